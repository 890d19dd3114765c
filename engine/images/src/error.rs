//! The crate's one error: a kind that callers act on, a sentence for the user, and the cause.
//!
//! The message says what was tried, on what, why it failed and what to do; the cause is kept apart
//! and never repeated in the message. Where docker clients look for a text, the text is Docker's.

use std::fmt;
use std::io;
use std::path::Path;

/// What went wrong, as far as a caller acts on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// A name is not a valid image reference.
    InvalidReference,
    /// A request makes no sense (a platform, a filter, a change instruction).
    InvalidRequest,
    /// No such image, tag, manifest or file.
    NotFound,
    /// The registry wants credentials, or refuses those given.
    Unauthorized,
    /// The registry says no, or hides that a repository is missing.
    Denied,
    /// The registry cannot be reached or fails.
    Unavailable,
    /// An archive or manifest is malformed, hostile, or not what its digest says.
    BadArchive,
    /// A file belongs to an id that the user namespace does not map.
    OutsideIdMap,
    /// The disk is full.
    NoSpace,
    /// Something else refers to it.
    Conflict,
    /// Every caller of a shared job went away.
    Cancelled,
    /// The store on disk was written by a newer version, or is in use by another process.
    Unusable,
    /// Any other failure of the filesystem.
    Io,
}

/// See the module's documentation.
#[derive(Debug, Clone)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<std::sync::Arc<dyn std::error::Error + Send + Sync>>,
}

/// A result with this crate's error.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error without a further cause.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
        Error { kind, message: message.into(), source: None }
    }

    /// The same error with its cause.
    pub fn with_source(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Error {
        self.source = Some(std::sync::Arc::new(source));
        self
    }

    /// A failed filesystem call: `cannot WHAT PATH: cause`.
    pub fn io(what: &str, path: impl AsRef<Path>, cause: impl Into<io::Error>) -> Error {
        let cause = cause.into();
        let kind = io_kind(&cause);
        let message = format!("cannot {what} {}: {}", path.as_ref().display(), io_text(&cause));
        Error { kind, message, source: Some(std::sync::Arc::new(cause)) }
    }

    /// A malformed or hostile archive; `entry` is the offending entry's name.
    pub(crate) fn bad_entry(entry: &[u8], why: impl fmt::Display) -> Error {
        Error::new(
            ErrorKind::BadArchive,
            format!("archive entry {:?} refused: {why}", String::from_utf8_lossy(entry)),
        )
    }

    /// A malformed archive, as a whole.
    pub(crate) fn bad_archive(why: impl Into<String>) -> Error {
        Error::new(ErrorKind::BadArchive, why)
    }

    /// A read that failed: an error of this crate that travelled through `io::Read` comes out as it
    /// went in.
    pub(crate) fn from_read(cause: io::Error) -> Error {
        match cause.get_ref().and_then(|e| e.downcast_ref::<Error>()) {
            Some(own) => own.clone(),
            None => {
                let kind = io_kind(&cause);
                Error { kind, message: format!("cannot read the archive: {cause}"), source: None }
            }
        }
    }

    /// Wraps the error for a trip through `io::Read`.
    pub(crate) fn into_read(self) -> io::Error {
        io::Error::other(self)
    }

    /// All callers of a shared job went away.
    pub(crate) fn cancelled() -> Error {
        Error::new(ErrorKind::Cancelled, "the pull was cancelled")
    }

    /// The kind.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The sentence for the user.
    pub fn message(&self) -> &str {
        &self.message
    }
}

/// Which kind a failed call is.
fn io_kind(cause: &io::Error) -> ErrorKind {
    match cause.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::NoSpace,
        io::ErrorKind::NotFound => ErrorKind::NotFound,
        io::ErrorKind::UnexpectedEof => ErrorKind::BadArchive,
        _ => ErrorKind::Io,
    }
}

/// The cause in words, with the remedy where there is one.
fn io_text(cause: &io::Error) -> String {
    match io_kind(cause) {
        ErrorKind::NoSpace => {
            format!("{cause}; free some space (`docker system prune`) or use another data root")
        }
        _ => cause.to_string(),
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|e| e as _)
    }
}

/// `result.at("open", path)?` turns an I/O error into this crate's.
pub(crate) trait At<T> {
    /// Names what was tried and on what.
    fn at(self, what: &str, path: impl AsRef<Path>) -> Result<T>;
}

impl<T, E: Into<io::Error>> At<T> for std::result::Result<T, E> {
    fn at(self, what: &str, path: impl AsRef<Path>) -> Result<T> {
        self.map_err(|e| Error::io(what, path, e))
    }
}
