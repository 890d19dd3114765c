//! The files of one log: `path` and its elder brothers `path.1`, `path.2` …, each plain or `.gz`.
//!
//! A file is known by the inode it was written in and that inode's birth, since numbers are used again. A compressed
//! one carries them in its gzip header, so that a reader which stood in the original finds its place in the row again.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use flate2::read::MultiGzDecoder;

/// Two letters that name our field in a gzip header's extra part (RFC 1952, 2.3.1.1).
const FIELD: &[u8; 4] = b"By\x10\x00";

/// No log has more files than this, whatever its settings say.
const MOST: u32 = 1000;

/// What tells a file from all others of its filesystem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Id {
    inode: u64,
    /// Nanoseconds since the epoch; 0 on a filesystem that does not know.
    born: u64,
}

impl Id {
    fn of(meta: &std::fs::Metadata) -> Id {
        let born = meta.created().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok());
        let born = born.and_then(|d| u64::try_from(d.as_nanos()).ok()).unwrap_or(0);
        Id { inode: meta.ino(), born }
    }

    /// The extra part of a gzip header for a file that was written as this one.
    fn to_extra(self) -> Vec<u8> {
        [&FIELD[..], &self.inode.to_le_bytes(), &self.born.to_le_bytes()].concat()
    }

    fn from_extra(extra: &[u8]) -> Option<Id> {
        let numbers = extra.strip_prefix(FIELD)?;
        let number = |at: usize| numbers.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes);
        Some(Id { inode: number(0)?, born: number(8)? })
    }
}

/// One file, open for reading.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) path: PathBuf,
    pub(super) id: Id,
    pub(super) input: Input,
}

/// Its bytes.
#[derive(Debug)]
pub(super) enum Input {
    Plain(File),
    Gzip(Box<MultiGzDecoder<File>>),
}

impl Read for Input {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Input::Plain(file) => file.read(buf),
            Input::Gzip(decoder) => decoder.read(buf),
        }
    }
}

/// `path` with a suffix.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Opens the log's files, youngest first. In this order a rotation that happens meanwhile shows a file twice
/// (the second time is dropped) but never hides one.
pub(super) fn open(path: &Path, max_file: u32) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    let mut seen = HashSet::new();
    let mut add = |path: PathBuf, gzip: bool| -> io::Result<()> {
        if let Some(entry) = open_one(path, gzip)? {
            if seen.insert(entry.id) {
                entries.push(entry);
            }
        }
        Ok(())
    };
    add(path.to_owned(), false)?;
    for n in 1..max_file.min(MOST) {
        let rotated = with_suffix(path, &format!(".{n}"));
        let compressed = with_suffix(&rotated, ".gz");
        // Plain before compressed: a compression that ends in between shows both, with one id.
        add(rotated, false)?;
        add(compressed, true)?;
    }
    Ok(entries)
}

fn open_one(path: PathBuf, gzip: bool) -> io::Result<Option<Entry>> {
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    let id = Id::of(&file.metadata()?);
    if !gzip {
        return Ok(Some(Entry { path, id, input: Input::Plain(file) }));
    }
    // It reads the header when it is made.
    let decoder = MultiGzDecoder::new(file);
    let id = decoder.header().and_then(|h| h.extra()).and_then(Id::from_extra).unwrap_or(id);
    Ok(Some(Entry { path, id, input: Input::Gzip(Box::new(decoder)) }))
}

/// The file at `path`, if there is one.
pub(super) fn current(path: &Path) -> io::Result<Option<Id>> {
    match std::fs::metadata(path) {
        Ok(meta) => Ok(Some(Id::of(&meta))),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// Compresses `path` to `path.gz` and removes it. Left half done (the machine went down) it leaves `path` and a
/// `path.gz.tmp` that the next one overwrites.
pub(super) fn compress(path: &Path) -> io::Result<()> {
    let mut file = File::open(path)?;
    let target = with_suffix(path, ".gz");
    let temporary = with_suffix(path, ".gz.tmp");
    let mut encoder = flate2::GzBuilder::new()
        .extra(Id::of(&file.metadata()?).to_extra())
        .write(File::create(&temporary)?, flate2::Compression::fast());
    io::copy(&mut file, &mut encoder)?;
    encoder.finish()?;
    std::fs::rename(&temporary, &target)?;
    std::fs::remove_file(path)
}
