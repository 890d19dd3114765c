//! Times: nanoseconds since the epoch inside, RFC 3339 or `seconds.nanoseconds` at the door.

use jiff::Timestamp;

/// What Go prints for a time that was never set.
pub const ZERO: &str = "0001-01-01T00:00:00Z";

const SECOND: i128 = 1_000_000_000;

/// RFC 3339 in UTC with as many digits of the second as are not zero, as Go's RFC3339Nano.
pub fn rfc3339(nanos: i128) -> String {
    match Timestamp::from_nanosecond(nanos) {
        Ok(time) => time.to_string(),
        Err(_) => ZERO.to_owned(),
    }
}

/// The same for a time that may not be set.
pub fn rfc3339_or_zero(nanos: Option<i128>) -> String {
    nanos.map_or_else(|| ZERO.to_owned(), rfc3339)
}

/// RFC 3339 in whole seconds.
pub fn rfc3339_seconds(nanos: i128) -> String {
    rfc3339(nanos.div_euclid(SECOND) * SECOND)
}

/// Whole seconds since the epoch.
pub fn seconds(nanos: i128) -> i64 {
    i64::try_from(nanos.div_euclid(SECOND)).unwrap_or_default()
}

/// Now, in nanoseconds since the epoch.
pub fn now() -> i128 {
    Timestamp::now().as_nanosecond()
}

/// Parses `1136073600`, `1136073600.000000001` or RFC 3339.
pub fn parse(text: &str) -> Option<i128> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time.as_nanosecond());
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().ok()?;
    if fraction.len() > 9 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let nanos: i64 = format!("{fraction:0<9}").parse().ok()?;
    Some(i128::from(seconds) * SECOND + i128::from(nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_print_as_go_prints_them() {
        assert_eq!(rfc3339(1_795_442_606_308_757_979), "2026-11-23T14:03:26.308757979Z");
        assert_eq!(rfc3339(1_795_442_606_000_000_000), "2026-11-23T14:03:26Z");
        assert_eq!(rfc3339(1_795_442_606_100_000_000), "2026-11-23T14:03:26.1Z");
        assert_eq!(rfc3339_seconds(1_795_442_606_308_757_979), "2026-11-23T14:03:26Z");
        assert_eq!(rfc3339_or_zero(None), ZERO);
    }

    #[test]
    fn times_are_parsed() {
        assert_eq!(parse("1"), Some(SECOND));
        assert_eq!(parse("1.5"), Some(1_500_000_000));
        assert_eq!(parse("1.000000001"), Some(1_000_000_001));
        assert_eq!(parse("2026-11-23T14:03:26Z"), Some(1_795_442_606 * SECOND));
        assert_eq!(parse("yesterday"), None);
        assert_eq!(parse("1.x"), None);
    }
}
