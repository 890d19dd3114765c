//! Docker's words for durations and sizes, which both `Status` fields and the command line's tables use.

/// A duration in words, rounded as Docker does (`Less than a second`, `About a minute`, `3 weeks`).
pub fn human_duration(seconds: i64) -> String {
    let minutes = seconds / 60;
    let hours = (seconds + 1800) / 3600;
    match seconds {
        ..1 => "Less than a second".into(),
        1 => "1 second".into(),
        2..60 => format!("{seconds} seconds"),
        _ if minutes == 1 => "About a minute".into(),
        _ if minutes < 60 => format!("{minutes} minutes"),
        _ if hours == 1 => "About an hour".into(),
        _ if hours < 48 => format!("{hours} hours"),
        _ if hours < 24 * 7 * 2 => format!("{} days", hours / 24),
        _ if hours < 24 * 30 * 2 => format!("{} weeks", hours / 24 / 7),
        _ if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        _ => format!("{} years", seconds / 3600 / 24 / 365),
    }
}

/// Bytes with decimal units and so many significant digits (`1.07MB`).
#[allow(clippy::cast_precision_loss, reason = "the figure is rounded to a few digits")]
pub fn human_size(bytes: u64, digits: usize) -> String {
    scale(bytes as f64, 1000.0, &["B", "kB", "MB", "GB", "TB", "PB", "EB"], digits)
}

/// Bytes with binary units (`23.54GiB`).
#[allow(clippy::cast_precision_loss, reason = "the figure is rounded to a few digits")]
pub fn binary_size(bytes: u64) -> String {
    scale(bytes as f64, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"], 4)
}

fn scale(mut value: f64, base: f64, units: &[&str], digits: usize) -> String {
    let mut unit = 0;
    while value >= base && unit + 1 < units.len() {
        value /= base;
        unit += 1;
    }
    format!("{}{}", significant(value, digits), units.get(unit).unwrap_or(&""))
}

/// C's `%.<digits>g` for values from 0 to 1024: significant digits, trailing zeros dropped.
fn significant(value: f64, digits: usize) -> String {
    let whole = match value {
        v if v >= 1000.0 => 4,
        v if v >= 100.0 => 3,
        v if v >= 10.0 => 2,
        _ => 1,
    };
    let text = format!("{value:.*}", digits.saturating_sub(whole));
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// Parses a size as docker's flags take it: a number with an optional unit of powers of 1024 (`64m`, `1.5GiB`, `10kb`).
pub fn parse_bytes(text: &str) -> Option<i64> {
    let text = text.trim();
    let split = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: f64 = number.parse().ok()?;
    let unit = unit.trim().to_ascii_lowercase();
    let unit = unit.strip_suffix("ib").or_else(|| unit.strip_suffix('b')).unwrap_or(&unit);
    let power = match unit {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        _ => return None,
    };
    let bytes = number * 1024f64.powi(power);
    #[allow(clippy::cast_possible_truncation, reason = "checked against i64's range just before")]
    (bytes < 9.2e18).then_some(bytes as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_dockers() {
        for (seconds, words) in [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (119, "About a minute"),
            (120, "2 minutes"),
            (3599, "59 minutes"),
            (3600, "About an hour"),
            (7200, "2 hours"),
            (47 * 3600, "47 hours"),
            (48 * 3600, "2 days"),
            (14 * 86400, "2 weeks"),
            (60 * 86400, "2 months"),
            (730 * 86400, "2 years"),
        ] {
            assert_eq!(human_duration(seconds), words, "{seconds}");
        }
    }

    #[test]
    fn sizes_read_as_dockers() {
        assert_eq!(human_size(3_093_234, 3), "3.09MB");
        assert_eq!(human_size(3_094_000, 4), "3.094MB");
        assert_eq!(human_size(0, 3), "0B");
        assert_eq!(human_size(696, 3), "696B");
        assert_eq!(human_size(4096, 4), "4.096kB");
        assert_eq!(human_size(12_400, 4), "12.4kB");
        assert_eq!(human_size(1_000_000, 3), "1MB");
        assert_eq!(binary_size(25_276_518_400), "23.54GiB");
    }

    #[test]
    fn sizes_are_parsed() {
        assert_eq!(parse_bytes("64m"), Some(64 << 20));
        assert_eq!(parse_bytes("1.5GiB"), Some(3 << 29));
        assert_eq!(parse_bytes("10kb"), Some(10 << 10));
        assert_eq!(parse_bytes("12"), Some(12));
        assert_eq!(parse_bytes("x"), None);
        assert_eq!(parse_bytes("3 parsecs"), None);
    }
}
