//! Times as text, by hand because every log line has one: RFC 3339 in UTC with up to nine decimals.
//!
//! All times are nanoseconds since the epoch. A text that is not such a time is `None`.

use std::time::{SystemTime, UNIX_EPOCH};

const SECOND: i128 = 1_000_000_000;
const DAY: i64 = 86_400;

/// Length in bytes of [`format_fixed`]'s text.
pub const FIXED: usize = 30;

/// The clock.
pub fn now() -> i128 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(d) => i128::try_from(d.as_nanos()).unwrap_or(i128::MAX),
        Err(e) => i128::try_from(e.duration().as_nanos()).map_or(i128::MIN, |n| -n),
    }
}

/// `2006-01-02T15:04:05.000000000Z`: always nine decimals, so that texts sort as times do.
pub fn format_fixed(time: i128) -> [u8; FIXED] {
    let seconds = i64::try_from(time.div_euclid(SECOND)).unwrap_or(0);
    let nanos = u64::try_from(time.rem_euclid(SECOND)).unwrap_or(0);
    let (year, month, day) = civil(seconds.div_euclid(DAY));
    let second = u64::try_from(seconds.rem_euclid(DAY)).unwrap_or(0);
    let mut text = *b"0000-00-00T00:00:00.000000000Z";
    digits(&mut text[0..4], year);
    digits(&mut text[5..7], month);
    digits(&mut text[8..10], day);
    digits(&mut text[11..13], second / 3600);
    digits(&mut text[14..16], second / 60 % 60);
    digits(&mut text[17..19], second % 60);
    digits(&mut text[20..29], nanos);
    text
}

/// Go's `RFC3339Nano`: as [`format_fixed`], but zeros at the end of the decimals are left out.
pub fn format_short(time: i128, out: &mut Vec<u8>) {
    let fixed = format_fixed(time);
    let decimals = &fixed[20..29];
    let kept = decimals.iter().rposition(|&b| b != b'0').map_or(0, |last| last + 1);
    out.extend_from_slice(&fixed[..19]);
    if kept > 0 {
        out.push(b'.');
        out.extend_from_slice(&decimals[..kept]);
    }
    out.push(b'Z');
}

/// Reads a UTC time of either form; also with an offset (`+02:00`), which other writers may have used.
pub fn parse(text: &[u8]) -> Option<i128> {
    let date_time = text.get(..19)?;
    let (b, n) = (date_time, number);
    if b[4] != b'-' || b[7] != b'-' || b[10] != b'T' || b[13] != b':' || b[16] != b':' {
        return None;
    }
    let days = days(n(&b[0..4])?, n(&b[5..7])?, n(&b[8..10])?);
    let mut seconds = days * DAY + n(&b[11..13])? * 3600 + n(&b[14..16])? * 60 + n(&b[17..19])?;
    let mut rest = &text[19..];
    let mut nanos = 0;
    if rest.first() == Some(&b'.') {
        let end = rest[1..].iter().position(|b| !b.is_ascii_digit()).map_or(rest.len(), |p| p + 1);
        let decimals = rest.get(1..end.min(10))?;
        nanos = number(decimals)? * 10i64.pow(9 - u32::try_from(decimals.len()).ok()?);
        rest = &rest[end..];
    }
    match rest {
        b"Z" => {}
        [sign @ (b'+' | b'-'), offset @ ..] if offset.len() == 5 && offset[2] == b':' => {
            let east = number(&offset[..2])? * 3600 + number(&offset[3..])? * 60;
            seconds += if *sign == b'+' { -east } else { east };
        }
        _ => return None,
    }
    Some(i128::from(seconds) * SECOND + i128::from(nanos))
}

/// The text of a time in UTC, of either form, with nine decimals; works on the text alone.
pub(crate) fn widen(text: &[u8]) -> Option<[u8; FIXED]> {
    if text.len() == FIXED && text[29] == b'Z' {
        return text.try_into().ok();
    }
    let short = text.len() >= 20 && text.len() < FIXED && text.last() == Some(&b'Z');
    if short && (text.len() == 20 || text[19] == b'.') {
        let mut fixed = *b"0000-00-00T00:00:00.000000000Z";
        fixed[..text.len() - 1].copy_from_slice(&text[..text.len() - 1]);
        fixed[19] = b'.';
        return Some(fixed);
    }
    parse(text).map(format_fixed)
}

fn digits(out: &mut [u8], mut value: u64) {
    for place in out.iter_mut().rev() {
        *place = b'0' + u8::try_from(value % 10).unwrap_or(0);
        value /= 10;
    }
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0i64, |n, &b| {
        b.is_ascii_digit().then(|| n.wrapping_mul(10).wrapping_add(i64::from(b - b'0')))
    })
}

/// Days since the epoch → year, month, day, by counting years from March so that the leap day comes last.
fn civil(days: i64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let positive = |n: i64| u64::try_from(n).unwrap_or(0);
    (positive(year), positive(month), positive(day))
}

/// The reverse of [`civil`].
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    fn short(time: i128) -> String {
        let mut out = Vec::new();
        format_short(time, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn known_times_read_as_go_writes_them() {
        assert_eq!(short(0), "1970-01-01T00:00:00Z");
        assert_eq!(short(951_782_400_000_000_000), "2000-02-29T00:00:00Z");
        assert_eq!(short(1_700_000_000_120_000_000), "2023-11-14T22:13:20.12Z");
        assert_eq!(short(1_700_000_000_000_000_001), "2023-11-14T22:13:20.000000001Z");
        assert_eq!(&format_fixed(1_700_000_000_120_000_000), b"2023-11-14T22:13:20.120000000Z");
    }

    #[test]
    fn what_is_written_is_read_back() {
        for day in (-20_000..60_000).step_by(13) {
            let time = i128::from(day) * 86_400 * SECOND + 123_456_789 + 3661 * SECOND;
            assert_eq!(parse(&format_fixed(time)), Some(time));
            assert_eq!(parse(short(time).as_bytes()), Some(time));
            assert_eq!(widen(short(time).as_bytes()), Some(format_fixed(time)));
        }
    }

    #[test]
    fn offsets_are_understood_and_nonsense_is_not() {
        assert_eq!(parse(b"2023-11-15T00:13:20+02:00"), Some(1_700_000_000 * SECOND));
        assert_eq!(parse(b"2023-11-14T17:13:20.5-05:00"), Some(1_700_000_000_500_000_000));
        for bad in [&b""[..], b"2023-11-14", b"2023-11-14T22:13:20", b"2023-11-14T22:13:2xZ"] {
            assert_eq!(parse(bad), None);
        }
    }
}
