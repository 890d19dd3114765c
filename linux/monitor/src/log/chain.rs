//! The files of one log: `path` and its elder brothers `path.1`, `path.2` …, each plain or `.gz`.
//!
//! A file is known by the inode it was written in. A compressed one carries that number in its gzip header, so that
//! a reader which stood in the original finds its place in the row again.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

/// Two letters that name our field in a gzip header's extra part (RFC 1952, 2.3.1.1).
const FIELD: &[u8; 4] = b"By\x08\x00";

/// No log has more files than this, whatever its settings say.
const MOST: u32 = 1000;

/// One file, open for reading.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) path: PathBuf,
    /// The inode it was written in.
    pub(super) id: u64,
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
    let inode = file.metadata()?.ino();
    if !gzip {
        return Ok(Some(Entry { path, id: inode, input: Input::Plain(file) }));
    }
    // It reads the header when it is made.
    let decoder = MultiGzDecoder::new(file);
    let id = decoder.header().and_then(|h| h.extra()).and_then(original).unwrap_or(inode);
    Ok(Some(Entry { path, id, input: Input::Gzip(Box::new(decoder)) }))
}

/// The inode of the file at `path`, if there is one.
pub(super) fn current(path: &Path) -> io::Result<Option<u64>> {
    match std::fs::metadata(path) {
        Ok(meta) => Ok(Some(meta.ino())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// The extra part of a gzip header for a file that was written in inode `id`.
fn extra(id: u64) -> Vec<u8> {
    [&FIELD[..], &id.to_le_bytes()].concat()
}

fn original(extra: &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(extra.strip_prefix(FIELD)?.get(..8)?.try_into().ok()?))
}

/// Compresses `path` to `path.gz` and removes it. Left half done (the machine went down) it leaves `path` and a
/// `path.gz.tmp` that the next one overwrites.
pub(super) fn compress(path: &Path) -> io::Result<()> {
    let mut file = File::open(path)?;
    let target = with_suffix(path, ".gz");
    let temporary = with_suffix(path, ".gz.tmp");
    let mut encoder = flate2::GzBuilder::new()
        .extra(extra(file.metadata()?.ino()))
        .write(File::create(&temporary)?, flate2::Compression::fast());
    io::copy(&mut file, &mut encoder)?;
    encoder.finish()?;
    std::fs::rename(&temporary, &target)?;
    std::fs::remove_file(path)
}
