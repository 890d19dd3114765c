//! Compressed bytes in, files out: two threads joined by a short queue of buffers.
//!
//! One thread reads, hashes what it reads and inflates; the other hashes the inflated bytes, takes the
//! archive apart and writes files. So cut, both have about as much to do with gzip and small files; the
//! queue lets each run ahead of the other by a few buffers and no more, so memory is bounded.

use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use sha2::{Digest as _, Sha256};

use super::{Applied, ApplyOptions, apply_from};
use crate::digest::Digest;
use crate::error::{At, Error, Result};
use crate::tar::Reader;

/// Bytes of one buffer between the threads.
const CHUNK: usize = 256 << 10;

/// Buffers between the threads.
const QUEUE: usize = 16;

/// What the bytes of an archive turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Digests {
    /// Of the bytes as they came.
    pub blob: Digest,
    /// How many.
    pub blob_size: u64,
    /// Of the archive itself.
    pub diff_id: Digest,
    /// How they were compressed.
    pub compression: Compression,
}

/// How an archive is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    /// Not at all.
    None,
    /// gzip.
    Gzip,
    /// zstd.
    Zstd,
}

/// Unpacks a layer, compressed or not, into the empty folder `dir`.
pub(crate) fn unpack(
    source: impl Read + Send,
    dir: &Path,
    options: &ApplyOptions,
) -> Result<(Applied, Digests)> {
    pipeline(source, |chunks| {
        let mut options = options.clone();
        options.umask_is_zero = clear_umask();
        let mut reader = Reader::new(chunks);
        let applied = apply_from(&mut reader, dir, &options)?;
        reader.finish()?;
        Ok(applied)
    })
}

/// Runs `work` on the inflated bytes in a thread of its own, and tells the digests of all bytes.
/// `work` must read to the end.
pub(crate) fn pipeline<T: Send>(
    source: impl Read + Send,
    work: impl FnOnce(&mut Chunks) -> Result<T> + Send,
) -> Result<(T, Digests)> {
    let (full, chunks) = sync_channel(QUEUE);
    let (back, empty) = sync_channel(QUEUE);
    let mut chunks =
        Chunks { full: chunks, back, current: Vec::new(), at: 0, hasher: Sha256::new() };
    thread::scope(|scope| {
        let inflating = start(scope, "inflate", move || inflate(source, &full, &empty))?;
        let working = start(scope, "unpack", move || {
            let worked = work(&mut chunks)?;
            Ok((worked, Digest::finish(chunks.hasher)))
        })?;
        let worked = join(working);
        // An error of the inflating half reaches the working half through the queue, so the worker's
        // error is the one that says more; except when the queue just ended.
        let blob = join(inflating);
        let (worked, inflated) = worked?;
        let Blob { digest, size, compression } = blob?;
        let diff_id = if compression == Compression::None { digest } else { inflated };
        Ok((worked, Digests { blob: digest, blob_size: size, diff_id, compression }))
    })
}

fn start<'scope, T: Send + 'scope>(
    scope: &'scope thread::Scope<'scope, '_>,
    name: &str,
    work: impl FnOnce() -> T + Send + 'scope,
) -> Result<thread::ScopedJoinHandle<'scope, T>> {
    thread::Builder::new()
        .name(name.to_owned())
        .spawn_scoped(scope, work)
        .at("start a thread for", "the layer")
}

fn join<T>(thread: thread::ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    thread.join().unwrap_or_else(|_| {
        Err(Error::new(crate::ErrorKind::Io, "a thread of the unpacking failed"))
    })
}

/// Gives the calling thread a umask of its own, 0; whether it worked.
fn clear_umask() -> bool {
    if bryo_sys::ns::unshare_fs().is_err() {
        return false;
    }
    rustix::process::umask(rustix::fs::Mode::empty());
    true
}

/// What the inflating half knows of the bytes as they came.
struct Blob {
    digest: Digest,
    size: u64,
    compression: Compression,
}

/// Bytes on their way to the working half.
struct Chunk {
    bytes: Vec<u8>,
    /// They differ from the bytes that came, so they want a digest of their own.
    inflated: bool,
}

/// Reads everything and passes it on inflated. A receiver that went away ends it quietly.
fn inflate(
    source: impl Read,
    full: &SyncSender<io::Result<Chunk>>,
    empty: &Receiver<Vec<u8>>,
) -> Result<Blob> {
    let mut source = Hashing { inner: source, hasher: Sha256::new(), bytes: 0 };
    let compression = match inflate_from(&mut source, full, empty) {
        Ok(compression) => compression,
        Err(e) => {
            let error = Error::from_read(e);
            drop(full.send(Err(error.clone().into_read())));
            return Err(error);
        }
    };
    // What follows the compressed stream belongs to the blob, too.
    io::copy(&mut source, &mut io::sink()).map_err(Error::from_read)?;
    Ok(Blob { digest: Digest::finish(source.hasher), size: source.bytes, compression })
}

fn inflate_from(
    source: &mut Hashing<impl Read>,
    full: &SyncSender<io::Result<Chunk>>,
    empty: &Receiver<Vec<u8>>,
) -> io::Result<Compression> {
    let mut head = [0; 6];
    let length = read_full(source, &mut head)?;
    let head = head.get(..length).unwrap_or_default();
    let compression = sniff(head)?;
    let chained = head.chain(source);
    match compression {
        Compression::None => pump(chained, false, full, empty)?,
        Compression::Gzip => {
            let buffered = BufReader::with_capacity(CHUNK, chained);
            pump(flate2::bufread::MultiGzDecoder::new(buffered), true, full, empty)?;
        }
        Compression::Zstd => {
            let buffered = BufReader::with_capacity(CHUNK, chained);
            pump(zstd::stream::read::Decoder::with_buffer(buffered)?, true, full, empty)?;
        }
    }
    Ok(compression)
}

/// Tells the compression by the first bytes.
fn sniff(head: &[u8]) -> io::Result<Compression> {
    let unsupported = |name| {
        Err(Error::bad_archive(format!(
            "the archive is compressed with {name}, which is not supported: use gzip, zstd or none"
        ))
        .into_read())
    };
    match head {
        [0x1f, 0x8b, ..] => Ok(Compression::Gzip),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Ok(Compression::Zstd),
        // A skippable frame in front, as seekable zstd files have it.
        [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Ok(Compression::Zstd),
        [0xfd, b'7', b'z', b'X', b'Z', 0] => unsupported("xz"),
        [b'B', b'Z', b'h', ..] => unsupported("bzip2"),
        _ => Ok(Compression::None),
    }
}

fn pump(
    mut from: impl Read,
    inflated: bool,
    full: &SyncSender<io::Result<Chunk>>,
    empty: &Receiver<Vec<u8>>,
) -> io::Result<()> {
    loop {
        let mut bytes = empty.try_recv().unwrap_or_default();
        bytes.resize(CHUNK, 0);
        let length = read_full(&mut from, &mut bytes)?;
        if length == 0 {
            return Ok(());
        }
        bytes.truncate(length);
        if full.send(Ok(Chunk { bytes, inflated })).is_err() {
            return Err(Error::cancelled().into_read());
        }
    }
}

/// Fills the buffer as far as the source goes.
fn read_full(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while let Some(room) = buffer.get_mut(length..).filter(|r| !r.is_empty()) {
        match from.read(room) {
            Ok(0) => break,
            Ok(n) => length += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(length)
}

/// A reader that hashes what goes through.
struct Hashing<R> {
    inner: R,
    hasher: Sha256,
    bytes: u64,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.hasher.update(buffer.get(..length).unwrap_or_default());
        self.bytes += length as u64;
        Ok(length)
    }
}

/// The inflated bytes, on the working side.
pub(crate) struct Chunks {
    full: Receiver<io::Result<Chunk>>,
    back: SyncSender<Vec<u8>>,
    current: Vec<u8>,
    at: usize,
    /// Over all inflated bytes that were received.
    hasher: Sha256,
}

impl BufRead for Chunks {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at >= self.current.len() {
            // The queue's other end went away: that is the end of the bytes.
            let end = Chunk { bytes: Vec::new(), inflated: false };
            let next = self.full.recv().unwrap_or(Ok(end))?;
            if next.inflated {
                self.hasher.update(&next.bytes);
            }
            let used = std::mem::replace(&mut self.current, next.bytes);
            self.at = 0;
            drop(self.back.try_send(used));
        }
        Ok(self.current.get(self.at..).unwrap_or_default())
    }

    fn consume(&mut self, amount: usize) {
        self.at += amount;
    }
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let length = available.len().min(buffer.len());
        let (Some(to), Some(from)) = (buffer.get_mut(..length), available.get(..length)) else {
            return Ok(0);
        };
        to.copy_from_slice(from);
        self.consume(length);
        Ok(length)
    }
}
