//! A container's log on disk: [`Writer`] in the monitor, [`Reader`] in the engine.
//!
//! Two formats, chosen by [`LogConfig`]: Docker's json-file lines ([`json`]) and a compact one
//! ([`local`]). Both are appended to, rotated by size to `path.1`, `path.2` … (optionally `.gz`), and can
//! be read from either end.
//!
//! ```text
//! program ─pipe─▶ monitor: Writer ── lines (cut at 16 KiB) ──▶ encode a whole read at once ──▶ one write(2)
//! engine: Reader ── chain of files, oldest first ──▶ decode a block at once ──▶ Batch, ready for the client
//!            ▲                                            │
//!            └── follow: inotify on the folder, until the engine says that the container ended
//! ```
//!
//! Reader and writer share nothing but the files: a reader never locks, a writer never waits. On
//! failure the writer drops what it could not write, leaving whole records behind; the reader
//! skips a record that is torn (the monitor was killed while it wrote).

mod chain;
mod details;
pub mod json;
pub mod local;
mod reader;
mod tail;
pub mod time;
mod writer;

use std::io;
use std::path::{Path, PathBuf};

pub use reader::{FollowHandle, Next, Reader};
pub use writer::{Compression, Writer};

use crate::messages::{LogConfig, LogFile};

/// The longest line in one record, in bytes; a longer one is cut into records of this size (Docker's value).
pub const MAX_LINE: usize = 16 * 1024;

/// Which of a program's outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output; everything of a terminal.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    /// Docker's number for it in frame headers.
    pub fn number(self) -> u8 {
        match self {
            Stream::Stdout => 1,
            Stream::Stderr => 2,
        }
    }

    /// Docker's 8-byte frame header for `length` bytes of this stream.
    pub fn frame_header(self, length: usize) -> [u8; 8] {
        let [a, b, c, d] = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
        [self.number(), 0, 0, 0, a, b, c, d]
    }
}

/// What to read.
#[derive(Debug, Clone, Default)]
pub struct ReadOptions {
    /// Give records of stdout.
    pub stdout: bool,
    /// Give records of stderr.
    pub stderr: bool,
    /// Go on after the end of the log until [`FollowHandle::container_ended`].
    pub follow: bool,
    /// Nothing older than this, nanoseconds since the epoch.
    pub since: Option<i128>,
    /// Nothing younger than this, nanoseconds since the epoch; the first such record ends the reading.
    pub until: Option<i128>,
    /// Begin this many records before the end (counted before the other choices, as Docker does).
    pub tail: Option<u64>,
    /// Put the time (`2006-01-02T15:04:05.000000000Z `) in front of each record.
    pub timestamps: bool,
    /// Put the log options' attributes (`a=1,b=2 `) in front of each record.
    pub details: bool,
    /// Put Docker's 8-byte frame header in front of each record in [`Batch::bytes`].
    pub framed: bool,
}

/// Some records, ready to be sent.
#[derive(Debug, Default)]
pub struct Batch {
    /// The records' bytes one after the other, as the options asked for.
    pub bytes: Vec<u8>,
    /// Where each record ends in `bytes`, and its stream.
    pub(crate) ends: Vec<(Stream, usize)>,
    framed: bool,
}

impl Batch {
    /// The records one by one, without frame headers.
    pub fn records(&self) -> impl Iterator<Item = (Stream, &[u8])> {
        let header = if self.framed { 8 } else { 0 };
        let mut start = 0;
        self.ends.iter().map(move |&(stream, end)| {
            let record = &self.bytes[(start + header).min(end)..end];
            start = end;
            (stream, record)
        })
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }
}

/// A log operation that failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} the container's log {}: {source}", path.display())]
pub struct LogError {
    /// What was tried.
    pub action: &'static str,
    /// On which file.
    pub path: PathBuf,
    /// Why it failed.
    pub source: io::Error,
}

impl LogError {
    fn new(action: &'static str, path: &Path, source: impl Into<io::Error>) -> LogError {
        LogError { action, path: path.to_owned(), source: source.into() }
    }
}

/// The two formats on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Json,
    Local,
}

/// The format and file of a configuration; none if nothing is kept.
fn file_of(config: &LogConfig) -> Option<(Format, &LogFile)> {
    match config {
        LogConfig::None => None,
        LogConfig::JsonFile(file) => Some((Format::Json, file)),
        LogConfig::Local(file) => Some((Format::Local, file)),
    }
}
