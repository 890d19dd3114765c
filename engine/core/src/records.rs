//! The one durable store of the engine's records, and the only place that writes them.
//!
//! # Format (version 1)
//! `DATA_ROOT/engine/records` is a text file of lines, appended to and never changed in place:
//!
//! ```text
//! bryo-records 1
//! 8f3a1c0e container 6f2c… {"name":"web",…}
//! 01b2c3d4 state 6f2c… {"status":"Running",…}
//! 77aa0192 container 6f2c… -
//! ```
//!
//! A line is: CRC-32 (IEEE, eight hex digits) of what follows the space behind it; kind; key; the record as JSON, or `-`
//! where it was removed. The last line of a kind and key holds. A file whose first line names a newer version is refused:
//! this engine might not understand it. Within a version, fields are only added, and readers take defaults for missing ones.
//!
//! # Durability
//! Each change is one `write` into the page cache before the call that caused it is answered: a killed engine loses nothing.
//! A power cut may lose the last second: `fdatasync` takes milliseconds and would be most of a container's start, so one
//! thread does it a second after the first change that is not yet on disk, and once more at the end. Files that a record
//! refers to and that were just made ([`Records::after`]) are synced before it. What a power cut tears is the file's tail only,
//! which its checksums show; it is cut off at the next open, and says so.
//!
//! # Compaction
//! When more than half of the file (and 1 MiB) is lines that no longer hold, the ones that do are copied to
//! `records.new`, which is synced and renamed over the old one.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::util::lock;
use crate::{Error, ErrorKind, Result};

const HEADER: &str = "bryo-records 1\n";
const HEADER_WORD: &str = "bryo-records ";
const SLACK: u64 = 1 << 20;
const SYNC_AFTER: Duration = Duration::from_secs(1);

/// The store. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Records {
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    log: Mutex<Log>,
    dirty: AtomicBool,
    /// Files and folders to be synced first.
    first: Mutex<Vec<PathBuf>>,
    sync_now: std::sync::mpsc::Sender<()>,
}

struct Log {
    file: File,
    /// Where each record that holds is.
    lines: HashMap<(String, String), (u64, u64)>,
    /// Bytes of the file.
    length: u64,
    /// Bytes of lines that hold.
    live: u64,
}

impl Records {
    /// Opens or makes the store in `folder`.
    pub(crate) fn open(folder: &Path) -> Result<Records> {
        std::fs::create_dir_all(folder).map_err(|e| failed("make the folder", folder, &e))?;
        let path = folder.join("records");
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(&path)
            .map_err(|e| failed("open the records", &path, &e))?;
        let mut text = Vec::new();
        file.read_to_end(&mut text).map_err(|e| failed("read the records", &path, &e))?;
        let log = load(file, &text, &path)?;
        let (sync_now, wake) = std::sync::mpsc::channel();
        let records = Records {
            shared: Arc::new(Shared {
                path,
                log: Mutex::new(log),
                dirty: AtomicBool::new(false),
                first: Mutex::default(),
                sync_now,
            }),
        };
        let weak = Arc::downgrade(&records.shared);
        std::thread::Builder::new()
            .name("records".into())
            .stack_size(128 * 1024)
            .spawn(move || {
                while wake.recv().is_ok() {
                    std::thread::sleep(SYNC_AFTER);
                    while wake.try_recv().is_ok() {}
                    let Some(shared) = weak.upgrade() else { return };
                    shared.settle();
                }
            })
            .map_err(|e| Error::internal(format!("start the thread that syncs records: {e}")))?;
        Ok(records)
    }

    /// All records of a kind, by key. A record that cannot be understood is left out and named in the log.
    pub(crate) fn all<T: DeserializeOwned>(&self, kind: &str) -> Result<Vec<(String, T)>> {
        let log = lock(&self.shared.log);
        let mut found = Vec::new();
        for ((k, key), place) in &log.lines {
            if k != kind {
                continue;
            }
            let line =
                log.line(*place).map_err(|e| failed("read a record of", &self.shared.path, &e))?;
            match line.splitn(4, ' ').nth(3).map(serde_json::from_str::<T>) {
                Some(Ok(value)) => found.push((key.clone(), value)),
                Some(Err(e)) => tracing::error!("record {kind} {key} is not understood: {e}"),
                None => tracing::error!("record {kind} {key} has no content"),
            }
        }
        Ok(found)
    }

    /// Writes a record.
    pub(crate) fn put<T: Serialize>(&self, kind: &str, key: &str, value: &T) -> Result<()> {
        let json = serde_json::to_string(value)
            .map_err(|e| Error::internal(format!("encode the record {kind} {key}: {e}")))?;
        self.append(&[(kind, key, Some(json))])
    }

    /// Takes records away; those that are not there are no error.
    pub(crate) fn remove(&self, keys: &[(&str, &str)]) -> Result<()> {
        let gone: Vec<_> = keys.iter().map(|(kind, key)| (*kind, *key, None)).collect();
        self.append(&gone)
    }

    fn append(&self, changes: &[(&str, &str, Option<String>)]) -> Result<()> {
        let mut log = lock(&self.shared.log);
        let compact = log.append(changes).map_err(|e| {
            let what = if e.kind() == io::ErrorKind::StorageFull {
                "the disk is full: make room (for instance by `docker system prune`); write the records"
            } else {
                "write the records"
            };
            failed(what, &self.shared.path, &e)
        })?;
        if compact {
            if let Err(e) = log.compact(&self.shared.path) {
                tracing::warn!("compact {}: {e}", self.shared.path.display());
            }
        }
        drop(log);
        if !self.shared.dirty.swap(true, Ordering::AcqRel) {
            // The thread ends only with the store.
            let _ = self.shared.sync_now.send(());
        }
        Ok(())
    }

    /// Has files synced before the records that are written next. One that is gone by then is no matter.
    pub(crate) fn after(&self, paths: impl IntoIterator<Item = PathBuf>) {
        lock(&self.shared.first).extend(paths);
    }

    /// Brings everything to disk now.
    pub(crate) fn sync(&self) {
        self.shared.settle();
    }
}

impl Shared {
    fn settle(&self) {
        if !self.dirty.swap(false, Ordering::AcqRel) {
            return;
        }
        for path in std::mem::take(&mut *lock(&self.first)) {
            let _ = File::open(path).and_then(|f| f.sync_all());
        }
        // A second handle on the file, so that writers do not wait for the disk.
        let file = lock(&self.log).file.try_clone();
        if let Err(e) = file.and_then(|f| f.sync_data()) {
            tracing::warn!("sync {}: {e}", self.path.display());
        }
    }
}

impl Log {
    fn line(&self, (start, length): (u64, u64)) -> io::Result<String> {
        let length = usize::try_from(length).map_err(io::Error::other)?;
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, start)?;
        while bytes.last() == Some(&b'\n') {
            bytes.pop();
        }
        String::from_utf8(bytes).map_err(io::Error::other)
    }

    /// Appends lines; true: the file should be compacted.
    fn append(&mut self, changes: &[(&str, &str, Option<String>)]) -> io::Result<bool> {
        let mut text = String::new();
        let mut places = Vec::with_capacity(changes.len());
        for (kind, key, json) in changes {
            if json.is_none()
                && !self.lines.contains_key(&((*kind).to_string(), (*key).to_string()))
            {
                continue;
            }
            let body = format!("{kind} {key} {}", json.as_deref().unwrap_or("-"));
            let start = text.len();
            text.push_str(&format!("{:08x} {body}\n", crc32(body.as_bytes())));
            places.push((*kind, *key, json.is_some(), start, text.len() - start));
        }
        if let Err(e) = self.file.write_all(text.as_bytes()) {
            // Part of a line may be there: cut it off, or the next line would be taken for its rest.
            let _ = self.file.set_len(self.length);
            return Err(e);
        }
        for (kind, key, holds, start, length) in places {
            let name = (kind.to_string(), key.to_string());
            let old = if holds {
                let length = length as u64;
                self.live += length;
                self.lines.insert(name, (self.length + start as u64, length))
            } else {
                self.lines.remove(&name)
            };
            self.live -= old.map_or(0, |(_, length)| length);
        }
        self.length += text.len() as u64;
        Ok(self.length - self.live > SLACK && self.length > 2 * self.live)
    }

    fn compact(&mut self, path: &Path) -> io::Result<()> {
        let new_path = path.with_extension("new");
        let _ = std::fs::remove_file(&new_path);
        let new = OpenOptions::new().read(true).append(true).create_new(true).open(&new_path)?;
        let mut out = BufWriter::new(&new);
        out.write_all(HEADER.as_bytes())?;
        let mut lines = HashMap::with_capacity(self.lines.len());
        let mut length = HEADER.len() as u64;
        for (name, place) in &self.lines {
            let line = self.line(*place)?;
            out.write_all(line.as_bytes())?;
            out.write_all(b"\n")?;
            let bytes = line.len() as u64 + 1;
            lines.insert(name.clone(), (length, bytes));
            length += bytes;
        }
        out.flush()?;
        drop(out);
        new.sync_data()?;
        std::fs::rename(&new_path, path)?;
        *self = Log { file: new, lines, length, live: length - HEADER.len() as u64 };
        Ok(())
    }
}

/// Reads what is there; cuts a torn tail off.
fn load(mut file: File, text: &[u8], path: &Path) -> Result<Log> {
    if text.is_empty() {
        file.write_all(HEADER.as_bytes()).map_err(|e| failed("write the records", path, &e))?;
    } else {
        check_header(text, path)?;
    }
    let mut log = Log { file, lines: HashMap::new(), length: HEADER.len() as u64, live: 0 };
    let mut rest = text.get(HEADER.len()..).unwrap_or_default();
    while let Some(end) = rest.iter().position(|b| *b == b'\n') {
        let (line, after) = rest.split_at(end + 1);
        let Some((kind, key, holds)) = parse(line) else { break };
        let length = line.len() as u64;
        let old = if holds {
            log.live += length;
            log.lines.insert((kind, key), (log.length, length))
        } else {
            log.lines.remove(&(kind, key))
        };
        log.live -= old.map_or(0, |(_, length)| length);
        log.length += length;
        rest = after;
    }
    if !rest.is_empty() {
        tracing::warn!(
            "{}: the last {} bytes were torn by a crash of the machine and are cut off",
            path.display(),
            rest.len()
        );
        log.file.set_len(log.length).map_err(|e| failed("cut the torn end of", path, &e))?;
    }
    Ok(log)
}

fn check_header(text: &[u8], path: &Path) -> Result<()> {
    if text.starts_with(HEADER.as_bytes()) {
        return Ok(());
    }
    let first = text.split(|b| *b == b'\n').next().unwrap_or_default();
    let first = String::from_utf8_lossy(first);
    Err(Error::new(
        ErrorKind::Unavailable,
        match first.strip_prefix(HEADER_WORD) {
            Some(version) => format!(
                "{} has the format version {version}, this engine knows version 1: use the newer Bryo that wrote it, or another \
                 --data-root",
                path.display()
            ),
            None => format!(
                "{} does not begin as Bryo's records do: use another --data-root, or move the file away (its containers are \
                 then forgotten)",
                path.display()
            ),
        },
    ))
}

/// Kind, key and whether the record holds; none: not a whole line.
fn parse(line: &[u8]) -> Option<(String, String, bool)> {
    let line = std::str::from_utf8(line).ok()?.strip_suffix('\n')?;
    let (sum, body) = line.split_once(' ')?;
    if u32::from_str_radix(sum, 16).ok()? != crc32(body.as_bytes()) {
        return None;
    }
    let mut words = body.splitn(3, ' ');
    let (kind, key, json) = (words.next()?, words.next()?, words.next()?);
    Some((kind.to_string(), key.to_string(), json != "-"))
}

fn failed(what: &str, path: &Path, e: &io::Error) -> Error {
    Error::internal(format!("{what} {}: {e}", path.display()))
}

/// CRC-32 as in IEEE 802.3, four bits at a time: a table of 16 words is enough for a few kilobytes a change.
fn crc32(data: &[u8]) -> u32 {
    const fn table() -> [u32; 16] {
        let mut table = [0u32; 16];
        let mut i = 0;
        let mut seed = 0u32;
        while i < 16 {
            let mut c = seed;
            let mut bit = 0;
            while bit < 4 {
                c = if c & 1 == 1 { (c >> 1) ^ 0xEDB8_8320 } else { c >> 1 };
                bit += 1;
            }
            table[i] = c;
            seed += 1;
            i += 1;
        }
        table
    }
    const TABLE: [u32; 16] = table();
    let mut crc = !0u32;
    for byte in data {
        for nibble in [u32::from(*byte), u32::from(*byte >> 4)] {
            let at = usize::try_from((crc ^ nibble) & 15).unwrap_or(0);
            crc = TABLE.get(at).copied().unwrap_or(0) ^ (crc >> 4);
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(records: &Records) -> Vec<(String, String)> {
        let mut all = records.all::<String>("t").unwrap();
        all.sort();
        all
    }

    #[test]
    fn the_checksum_is_the_usual_crc32() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn the_last_line_of_a_key_holds_across_opens() {
        let dir = tempfile::tempdir().unwrap();
        let records = Records::open(dir.path()).unwrap();
        records.put("t", "a", &"1").unwrap();
        records.put("t", "b", &"2 with spaces").unwrap();
        records.put("t", "a", &"3").unwrap();
        records.put("u", "a", &"other").unwrap();
        records.remove(&[("t", "b"), ("t", "never")]).unwrap();
        let again = Records::open(dir.path()).unwrap();
        assert_eq!(values(&again), [("a".to_string(), "3".to_string())]);
    }

    #[test]
    fn a_torn_tail_is_cut_off_and_writing_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let records = Records::open(dir.path()).unwrap();
        records.put("t", "a", &"1").unwrap();
        records.put("t", "b", &"2").unwrap();
        let path = dir.path().join("records");
        let length = std::fs::metadata(&path).unwrap().len();
        OpenOptions::new().write(true).open(&path).unwrap().set_len(length - 3).unwrap();
        let again = Records::open(dir.path()).unwrap();
        assert_eq!(values(&again), [("a".to_string(), "1".to_string())]);
        again.put("t", "c", &"3").unwrap();
        assert_eq!(values(&Records::open(dir.path()).unwrap()).len(), 2);
    }

    #[test]
    fn a_newer_format_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("records"), "bryo-records 2\nx").unwrap();
        let error = Records::open(dir.path()).err().unwrap();
        assert!(error.message().contains("format version 2"), "{error}");
    }

    #[test]
    fn compaction_keeps_what_holds() {
        let dir = tempfile::tempdir().unwrap();
        let records = Records::open(dir.path()).unwrap();
        let big = "x".repeat(100_000);
        for i in 0..30 {
            records.put("t", "a", &format!("{i}{big}")).unwrap();
        }
        records.put("t", "b", &"2").unwrap();
        assert!(std::fs::metadata(dir.path().join("records")).unwrap().len() < 2_000_000);
        let all = values(&Records::open(dir.path()).unwrap());
        assert_eq!(all.len(), 2);
        assert!(all[0].1.starts_with("29x"));
    }
}
