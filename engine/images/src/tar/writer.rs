//! Writes an archive: ustar headers, with a pax header in front where something does not fit.

use std::io::Write;

use super::header::field;
use super::{BLOCK, Entry, Kind};
use crate::error::{At, Error, Result};

/// Largest number of an 11-digit octal field.
const MAX_OCTAL_11: u64 = 0o77_777_777_777;

/// Largest number of a 7-digit octal field.
const MAX_OCTAL_7: u64 = 0o7_777_777;

/// A tar archive being written.
#[derive(Debug)]
pub(crate) struct Writer<W> {
    out: W,
    /// Data bytes that the current entry still owes.
    owed: u64,
    padding: usize,
}

impl<W: Write> Writer<W> {
    /// Starts an archive.
    pub fn new(out: W) -> Writer<W> {
        Writer { out, owed: 0, padding: 0 }
    }

    /// Writes an entry's header; `entry.size` bytes of data must follow.
    pub fn entry(&mut self, entry: &Entry) -> Result<()> {
        let records = pax_records(entry);
        if !records.is_empty() {
            let mut extension = Entry::new(b"PaxHeaders.0/".to_vec(), Kind::File);
            extension.path.extend(tail(&entry.path, 80));
            extension.size = records.len() as u64;
            extension.mode = 0o644;
            self.put(&header(&extension, b'x'))?;
            self.put(&records)?;
            self.put(zeros(padding(extension.size)))?;
        }
        self.put(&header(entry, type_flag(entry.kind)))?;
        self.owed = entry.size;
        self.padding = padding(entry.size);
        Ok(())
    }

    /// Writes data of the current entry.
    pub fn data(&mut self, part: &[u8]) -> Result<()> {
        self.owed = self
            .owed
            .checked_sub(part.len() as u64)
            .ok_or_else(|| Error::bad_archive("a file grew while it was being archived"))?;
        self.put(part)?;
        if self.owed == 0 {
            let padding = std::mem::take(&mut self.padding);
            self.put(zeros(padding))?;
        }
        Ok(())
    }

    /// Copies the current entry's data from a reader; a file that became shorter is filled up with
    /// zeros, as every archiver of live trees does.
    pub fn data_from(&mut self, mut input: impl std::io::Read) -> Result<()> {
        let mut buffer = vec![0; 128 << 10];
        while self.owed > 0 {
            let wanted = usize::try_from(self.owed).unwrap_or(usize::MAX).min(buffer.len());
            let room = buffer.get_mut(..wanted).unwrap_or_default();
            let length = match input.read(room) {
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
                other => other.map_err(Error::from_read)?,
            };
            if length == 0 {
                room.fill(0);
            }
            let part = if length == 0 { wanted } else { length };
            self.data(buffer.get(..part).unwrap_or_default())?;
        }
        Ok(())
    }

    /// A whole file in one call.
    pub fn file(&mut self, path: &str, mode: u32, mtime: i64, data: &[u8]) -> Result<()> {
        let mut entry = Entry::new(path.as_bytes().to_vec(), Kind::File);
        entry.mode = mode;
        entry.mtime = (mtime, 0);
        entry.size = data.len() as u64;
        self.entry(&entry)?;
        if data.is_empty() { Ok(()) } else { self.data(data) }
    }

    /// Ends the archive and gives the output back.
    pub fn finish(mut self) -> Result<W> {
        self.put(&[0; 2 * BLOCK])?;
        self.out.flush().at("write", "the archive")?;
        Ok(self.out)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.out.write_all(bytes).map_err(|e| {
            if e.get_ref().is_some_and(|inner| inner.is::<Error>()) {
                Error::from_read(e)
            } else {
                Error::io("write", "the archive", e)
            }
        })
    }
}

/// What does not fit into a ustar header.
fn pax_records(entry: &Entry) -> Vec<u8> {
    let mut records = Vec::new();
    if entry.path.len() > field::NAME.len() && split_name(&entry.path).is_none() {
        record(&mut records, b"path", &entry.path);
    }
    if entry.link.len() > field::LINK.len() {
        record(&mut records, b"linkpath", &entry.link);
    }
    for (key, value, limit) in [
        (&b"size"[..], entry.size, MAX_OCTAL_11),
        (b"uid", entry.uid, MAX_OCTAL_7),
        (b"gid", entry.gid, MAX_OCTAL_7),
    ] {
        if value > limit {
            record(&mut records, key, value.to_string().as_bytes());
        }
    }
    if entry.mtime.0 < 0 || entry.mtime.0.unsigned_abs() > MAX_OCTAL_11 {
        record(&mut records, b"mtime", entry.mtime.0.to_string().as_bytes());
    }
    for (name, value) in &entry.xattrs {
        record(&mut records, &[b"SCHILY.xattr.", name.as_slice()].concat(), value);
    }
    records
}

/// `LENGTH KEY=VALUE\n`, where LENGTH counts its own digits.
fn record(records: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + rest.to_string().len();
    if length.to_string().len() + rest > length {
        length = length.to_string().len() + rest;
    }
    records.extend_from_slice(length.to_string().as_bytes());
    records.push(b' ');
    records.extend_from_slice(key);
    records.push(b'=');
    records.extend_from_slice(value);
    records.push(b'\n');
}

fn header(entry: &Entry, flag: u8) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let (prefix, name) = split_name(&entry.path)
        .unwrap_or((&[], entry.path.get(..field::NAME.len()).unwrap_or(&entry.path)));
    put(&mut block, field::NAME, name);
    put(&mut block, field::PREFIX, prefix);
    octal(&mut block, field::MODE, u64::from(entry.mode), MAX_OCTAL_7);
    octal(&mut block, field::UID, entry.uid, MAX_OCTAL_7);
    octal(&mut block, field::GID, entry.gid, MAX_OCTAL_7);
    octal(&mut block, field::SIZE, entry.size, MAX_OCTAL_11);
    let seconds = u64::try_from(entry.mtime.0).unwrap_or(0);
    octal(&mut block, field::MTIME, seconds, MAX_OCTAL_11);
    put(&mut block, field::TYPE..field::TYPE + 1, &[flag]);
    put(&mut block, field::LINK, entry.link.get(..100).unwrap_or(&entry.link));
    put(&mut block, field::MAGIC, b"ustar\x0000");
    octal(&mut block, field::DEV_MAJOR, u64::from(entry.device.0), MAX_OCTAL_7);
    octal(&mut block, field::DEV_MINOR, u64::from(entry.device.1), MAX_OCTAL_7);
    put(&mut block, field::CHECKSUM, b"        ");
    let sum: u64 = block.iter().map(|b| u64::from(*b)).sum();
    put(&mut block, field::CHECKSUM, format!("{sum:06o}\0 ").as_bytes());
    block
}

/// Prefix and name of a path that fits into the two fields.
fn split_name(path: &[u8]) -> Option<(&[u8], &[u8])> {
    if path.len() <= field::NAME.len() {
        return Some((&[], path));
    }
    let first = path.len().checked_sub(field::NAME.len() + 1)?;
    let body = path.strip_suffix(b"/").unwrap_or(path);
    let cut = (first..body.len()).find(|at| body.get(*at) == Some(&b'/'))?;
    let (prefix, name) = (path.get(..cut)?, path.get(cut + 1..)?);
    (!prefix.is_empty() && prefix.len() <= field::PREFIX.len()).then_some((prefix, name))
}

fn put(block: &mut [u8; BLOCK], range: std::ops::Range<usize>, bytes: &[u8]) {
    let start = range.start;
    if let Some(room) = block.get_mut(start..start + bytes.len().min(range.len())) {
        room.copy_from_slice(bytes.get(..room.len()).unwrap_or_default());
    }
}

/// A number in octal with a NUL behind; too large ones are in the pax header and become 0 here.
fn octal(block: &mut [u8; BLOCK], range: std::ops::Range<usize>, value: u64, limit: u64) {
    let width = range.len() - 1;
    let value = if value > limit { 0 } else { value };
    put(block, range, format!("{value:0width$o}").as_bytes());
}

fn type_flag(kind: Kind) -> u8 {
    match kind {
        Kind::File => b'0',
        Kind::HardLink => b'1',
        Kind::Symlink => b'2',
        Kind::CharDevice => b'3',
        Kind::BlockDevice => b'4',
        Kind::Folder => b'5',
        Kind::Fifo => b'6',
        Kind::Unknown(flag) => flag,
    }
}

fn tail(path: &[u8], length: usize) -> &[u8] {
    path.get(path.len().saturating_sub(length)..).unwrap_or(path)
}

fn padding(size: u64) -> usize {
    usize::try_from(size.wrapping_neg() % BLOCK as u64).unwrap_or(0)
}

fn zeros(length: usize) -> &'static [u8] {
    const ZEROS: [u8; BLOCK] = [0; BLOCK];
    ZEROS.get(..length).unwrap_or(&ZEROS)
}
