//! Signals by name or number.

use crate::{Error, Result};

/// SIGKILL.
pub(crate) const KILL: i32 = 9;

/// SIGTERM, what containers are stopped with unless they say otherwise.
pub(crate) const TERM: i32 = 15;

/// Real-time signals that programs may use, as glibc counts them (the kernel's 32 and 33 are its own).
const RTMIN: i32 = 34;
const RTMAX: i32 = 64;

const NAMES: &[(&str, i32)] = &[
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("IOT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("POLL", 29),
    ("PWR", 30),
    ("SYS", 31),
    ("UNUSED", 31),
];

/// `9`, `KILL`, `SIGKILL`, `RTMIN+3`, `SIGRTMAX-1`, in any case.
pub(crate) fn parse(text: &str) -> Result<i32> {
    let wrong = || Error::invalid(format!("invalid signal: {text}"));
    if let Ok(number) = text.parse::<i32>() {
        return if (1..=RTMAX).contains(&number) { Ok(number) } else { Err(wrong()) };
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some((_, number)) = NAMES.iter().find(|(n, _)| *n == name) {
        return Ok(*number);
    }
    let number = match (name.strip_prefix("RTMIN"), name.strip_prefix("RTMAX")) {
        (Some(""), _) => Some(RTMIN),
        (_, Some("")) => Some(RTMAX),
        (Some(rest), _) => {
            rest.strip_prefix('+').and_then(|n| n.parse().ok()).map(|n: i32| RTMIN + n)
        }
        (_, Some(rest)) => {
            rest.strip_prefix('-').and_then(|n| n.parse().ok()).map(|n: i32| RTMAX - n)
        }
        _ => None,
    };
    number.filter(|n| (RTMIN..=RTMAX).contains(n)).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        for (text, number) in [
            ("9", 9),
            ("kill", 9),
            ("SIGHUP", 1),
            ("RTMIN+3", 37),
            ("SIGRTMAX-1", 63),
            ("rtmin", 34),
        ] {
            assert_eq!(parse(text).unwrap(), number, "{text}");
        }
        for bad in ["0", "65", "NOPE", "", "RTMIN-1", "RTMAX+1", "-9"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
