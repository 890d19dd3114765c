//! The crate's error: what was tried, on what, and why it failed.

use std::io;

/// A failure of the network part.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {source}")]
pub struct Error {
    /// What was tried, on what.
    pub what: String,
    /// Why it failed.
    pub source: io::Error,
}

/// Adds the "what" to a result.
pub(crate) trait Context<T> {
    /// Names the attempt.
    fn context(self, what: impl Into<String>) -> Result<T, Error>;
}

impl<T, E: Into<io::Error>> Context<T> for Result<T, E> {
    fn context(self, what: impl Into<String>) -> Result<T, Error> {
        self.map_err(|e| Error { what: what.into(), source: e.into() })
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> io::Error {
        io::Error::new(error.source.kind(), error)
    }
}
