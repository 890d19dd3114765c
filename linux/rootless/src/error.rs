//! What the user reads when Bryo cannot start: the cause, the value seen, and the command that mends it.

use std::fmt;

/// A refusal to start, or (as a [`Warning`]) a feature that is not to be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetupError {
    /// What does not hold, in one sentence without a full stop.
    pub cause: String,
    /// The value that was found, with where it was found.
    pub seen: String,
    /// Commands and sentences that mend it, one a line; may hold a whole file's text.
    pub mend: String,
}

/// Something that works less well than it could; the same three parts as a refusal.
pub type Warning = SetupError;

impl SetupError {
    /// All three parts at once.
    pub fn new(
        cause: impl Into<String>,
        seen: impl Into<String>,
        mend: impl Into<String>,
    ) -> SetupError {
        SetupError { cause: cause.into(), seen: seen.into(), mend: mend.into() }
    }
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n  seen: {}", self.cause, self.seen)?;
        for (i, line) in self.mend.lines().enumerate() {
            let head = if i == 0 { "  mend: " } else { "        " };
            write!(f, "\n{head}{line}")?;
        }
        Ok(())
    }
}

impl std::error::Error for SetupError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_parts_stand_on_lines_of_their_own() {
        let e = SetupError::new("no room", "0 bytes free", "rm -r something\nor buy a disk");
        assert_eq!(
            e.to_string(),
            "no room\n  seen: 0 bytes free\n  mend: rm -r something\n        or buy a disk"
        );
    }
}
