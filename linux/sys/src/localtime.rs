//! The machine's local time, through libc's time zone data.

use std::mem::MaybeUninit;

/// A moment in local time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalTime {
    /// Year, four digits.
    pub year: i32,
    /// Month, 1–12.
    pub month: u8,
    /// Day of the month, 1–31.
    pub day: u8,
    /// Hour, 0–23.
    pub hour: u8,
    /// Minute.
    pub minute: u8,
    /// Second, 60 in a leap second.
    pub second: u8,
}

/// Local time of a moment, in seconds since the epoch; none if the year does not fit.
pub fn local(seconds: i64) -> Option<LocalTime> {
    let mut parts = MaybeUninit::<libc::tm>::uninit();
    // SAFETY: both pointers are to live objects; localtime_r writes only into the second. `time_t` is 64 bits wide on
    // every platform that Rust's libc supports here (checked by the type).
    let filled = unsafe { libc::localtime_r(&seconds, parts.as_mut_ptr()) };
    if filled.is_null() {
        return None;
    }
    // SAFETY: a non-null result says that `parts` was written.
    let parts = unsafe { parts.assume_init() };
    let small = |n: i32| u8::try_from(n).ok();
    Some(LocalTime {
        year: parts.tm_year + 1900,
        month: small(parts.tm_mon + 1)?,
        day: small(parts.tm_mday)?,
        hour: small(parts.tm_hour)?,
        minute: small(parts.tm_min)?,
        second: small(parts.tm_sec)?,
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_known_moment_is_within_a_day_of_utc() {
        let t = super::local(1_700_000_000).unwrap();
        assert_eq!((t.year, t.month), (2023, 11));
        assert!((13..=15).contains(&t.day));
        assert_eq!(t.second, 20);
    }
}
