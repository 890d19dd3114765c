//! What can go wrong, in the few kinds that callers tell apart.
//!
//! The child side of a container has no way to return a value: it sends its [`Error`] as one message
//! over a close-on-exec socket and the parent returns it as its own.

use std::fmt;
use std::io;

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a container or a process in it could not be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    message: String,
}

/// The kinds that decide exit codes and statuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The program does not exist in the container (exit code 127).
    CommandNotFound,
    /// The program cannot be executed: a folder, no permission, a bad format (exit code 126).
    CommandNotExecutable,
    /// The request does not fit the container's state.
    WrongState,
    /// The request itself is wrong: an unknown mount option, an id outside the map, a bad sysctl.
    BadRequest,
    /// The kernel refused or something broke.
    Other,
}

impl Error {
    /// An error of `kind`; the message says what was tried, on what, and why it failed.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
        Error { kind, message: message.into() }
    }

    /// A wrong request.
    pub fn bad(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::BadRequest, message)
    }

    /// Anything else.
    pub fn other(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Other, message)
    }

    /// The kind.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The text, for people.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The same error with `what` (what was tried) in front.
    pub fn within(self, what: impl fmt::Display) -> Error {
        Error { kind: self.kind, message: format!("{what}: {}", self.message) }
    }

    /// One byte of kind and the text: the form in which it crosses the socket.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let kind = match self.kind {
            ErrorKind::CommandNotFound => 1,
            ErrorKind::CommandNotExecutable => 2,
            ErrorKind::WrongState => 3,
            ErrorKind::BadRequest => 4,
            ErrorKind::Other => 5,
        };
        let mut bytes = vec![kind];
        bytes.extend_from_slice(self.message.as_bytes());
        bytes
    }

    /// The reverse of [`Error::to_bytes`].
    pub(crate) fn from_bytes(bytes: &[u8]) -> Error {
        let (kind, text) = bytes.split_first().unwrap_or((&5, b"no reason given"));
        let kind = match kind {
            1 => ErrorKind::CommandNotFound,
            2 => ErrorKind::CommandNotExecutable,
            3 => ErrorKind::WrongState,
            4 => ErrorKind::BadRequest,
            _ => ErrorKind::Other,
        };
        Error { kind, message: String::from_utf8_lossy(text).into_owned() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// Adds what was tried to an error of the kernel.
pub(crate) trait Context<T> {
    /// `what` is computed only on failure.
    fn context<D: fmt::Display>(self, what: impl FnOnce() -> D) -> Result<T>;
}

impl<T> Context<T> for io::Result<T> {
    fn context<D: fmt::Display>(self, what: impl FnOnce() -> D) -> Result<T> {
        self.map_err(|e| Error::other(format!("{}: {}", what(), plain(&e))))
    }
}

impl<T> Context<T> for rustix::io::Result<T> {
    fn context<D: fmt::Display>(self, what: impl FnOnce() -> D) -> Result<T> {
        self.map_err(io::Error::from).context(what)
    }
}

/// The kernel's text as other engines print it: "permission denied", without "(os error 13)".
pub(crate) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => first.to_lowercase().chain(letters).collect(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_survives_the_socket() {
        let error = Error::new(ErrorKind::CommandNotFound, "exec: \"x\": not there");
        assert_eq!(Error::from_bytes(&error.to_bytes()), error);
    }

    #[test]
    fn texts_are_lower_case_and_have_no_number() {
        assert_eq!(plain(&io::Error::from_raw_os_error(13)), "permission denied");
    }
}
