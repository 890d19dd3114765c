//! Layer archives become folders.
//!
//! [`apply_layer`] reads a tar and writes below one folder, which it owns and in which nothing else
//! writes. Every entry is placed relative to an open parent folder, one name at a time and without
//! following a symlink ([`folders`]); so no archive can reach outside, whatever it contains. What
//! does not fit is refused with the entry's name: `..`, absolute names, a parent that is not a
//! folder, a hard link to the outside, owners outside the map, more bytes than the disk has.
//!
//! Whiteouts become what overlayfs expects: `.wh.NAME` a character device 0:0 called NAME, and
//! `.wh..wh..opq` the attribute `user.overlay.opaque=y` on the folder. Device nodes, which a user
//! namespace cannot make, and attributes that only the host's root may set are left out with a note.
//!
//! Layers are unpacked side by side, before the layers below them are there. Two things can need the
//! layers below: folders that the archive does not mention (their modes and owners) and hard links
//! to files of a lower layer. Both are remembered in [`Applied`] and put right by [`settle`].
//!
//! On failure the folder is left half-written; the caller removes it.

pub(crate) mod attributes;
pub(crate) mod entry;
pub(crate) mod folders;
pub(crate) mod inflate;
pub(crate) mod settle;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::io::BufRead;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags};

use crate::error::{At, Error, ErrorKind, Result};
use crate::settings::IdMap;
use crate::tar::{Kind, Reader};
use attributes::Owners;
use folders::Folders;

/// Bytes written between two looks at the free space.
const SPACE_INTERVAL: u64 = 64 << 20;

/// Free space that unpacking leaves to everybody else, in bytes.
const SPACE_RESERVE: u64 = 32 << 20;

/// Notes kept; further ones are only counted.
const MAX_NOTES: usize = 20;

/// Bounds of one archive beyond what the disk sets.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Entries, whiteouts included.
    pub entries: u64,
    /// Bytes of data.
    pub bytes: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { entries: 20_000_000, bytes: u64::MAX }
    }
}

/// How [`apply_layer`] works.
#[derive(Debug, Clone)]
pub struct ApplyOptions {
    /// Which owners files may have.
    pub ids: IdMap,
    /// Bounds.
    pub limits: Limits,
    /// The calling thread's umask is 0, so that modes need not be set twice.
    pub umask_is_zero: bool,
}

/// What [`apply_layer`] did.
#[derive(Debug, Clone, Default)]
pub struct Applied {
    /// Bytes of the regular files.
    pub bytes: u64,
    /// Entries of the archive.
    pub entries: u64,
    /// What was left out, in words.
    pub notes: Vec<String>,
    /// Folders that were made because something lies in them; relative, the root as the empty path.
    pub implicit: BTreeSet<Vec<u8>>,
    /// Hard links (name, target; relative) whose target this layer does not have.
    pub links_below: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Applied {
    /// Adds a note.
    fn note(&mut self, text: String) {
        if self.notes.len() < MAX_NOTES {
            self.notes.push(text);
        } else if self.notes.len() == MAX_NOTES {
            self.notes.push("further notes are not shown".to_owned());
        }
    }
}

/// One archive on its way into one folder.
pub(crate) struct Unpacker<'a> {
    pub(crate) options: &'a ApplyOptions,
    pub(crate) owners: Owners<'a>,
    pub(crate) folders: Folders,
    pub(crate) applied: Applied,
    /// Times of folders, set at the end: writing into a folder changes them.
    pub(crate) folder_times: Vec<(Vec<u8>, (i64, u32))>,
    /// Whom new files belong to.
    pub(crate) own: (u32, u32),
    root: OwnedFd,
    space: u64,
    since_check: u64,
}

/// Unpacks a tar (not compressed) into the empty folder `dir`.
pub fn apply_layer(tar: impl BufRead, dir: &Path, options: &ApplyOptions) -> Result<Applied> {
    let mut reader = Reader::new(tar);
    let applied = apply_from(&mut reader, dir, options)?;
    reader.finish()?;
    Ok(applied)
}

/// Unpacks a layer, compressed or not, into the empty folder `dir`, with one thread inflating and
/// hashing and one writing. The digests are computed and thrown away: this is for measuring.
pub fn unpack_archive(
    source: impl std::io::Read + Send,
    dir: &Path,
    options: &ApplyOptions,
) -> Result<Applied> {
    inflate::unpack(source, dir, options).map(|(applied, _)| applied)
}

/// Inflates and hashes alone; the bytes of the archive.
pub fn drain(source: impl std::io::Read + Send) -> Result<u64> {
    let work = |chunks: &mut inflate::Chunks| {
        std::io::copy(chunks, &mut std::io::sink()).map_err(Error::from_read)
    };
    inflate::pipeline(source, work).map(|(size, _)| size)
}

/// The same, leaving what follows the archive's end unread.
pub(crate) fn apply_from(
    reader: &mut Reader<impl BufRead>,
    dir: &Path,
    options: &ApplyOptions,
) -> Result<Applied> {
    let mut unpacker = Unpacker::new(dir, options)?;
    while let Some(entry) = reader.next()? {
        unpacker.count(&entry)?;
        unpacker.entry(reader, &entry)?;
    }
    unpacker.finish()
}

impl<'a> Unpacker<'a> {
    fn new(dir: &Path, options: &'a ApplyOptions) -> Result<Unpacker<'a>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::openat(CWD, dir, flags, Mode::empty()).at("open", dir)?;
        rustix::fs::fchmod(&root, Mode::from(0o755)).at("set the mode of", dir)?;
        let mut applied = Applied::default();
        applied.implicit.insert(Vec::new());
        let mut unpacker = Unpacker {
            options,
            owners: Owners::new(&options.ids),
            folders: Folders::new(root.try_clone().at("open", dir)?),
            applied,
            folder_times: Vec::new(),
            own: (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw()),
            root,
            space: 0,
            since_check: 0,
        };
        unpacker.measure_space()?;
        Ok(unpacker)
    }

    /// Refuses an entry that breaks a bound before any of it is written.
    fn count(&mut self, entry: &crate::tar::Entry) -> Result<()> {
        self.applied.entries += 1;
        if self.applied.entries > self.options.limits.entries {
            return Err(Error::bad_entry(
                &entry.path,
                format!("the archive has more than {} entries", self.options.limits.entries),
            ));
        }
        if entry.kind != Kind::File {
            return Ok(());
        }
        self.applied.bytes = self.applied.bytes.saturating_add(entry.size);
        if self.applied.bytes > self.options.limits.bytes {
            return Err(Error::bad_entry(
                &entry.path,
                format!("the archive has more than {} bytes", self.options.limits.bytes),
            ));
        }
        self.since_check = self.since_check.saturating_add(entry.size);
        if self.since_check > SPACE_INTERVAL || self.applied.entries % 4096 == 0 {
            self.measure_space()?;
            self.since_check = 0;
            if entry.size > self.space.saturating_sub(SPACE_RESERVE) {
                return Err(Error::new(
                    ErrorKind::NoSpace,
                    format!(
                        "archive entry {:?} refused: it needs {} bytes, the disk has {} left; free some space (`docker system prune`) or use another data root",
                        String::from_utf8_lossy(&entry.path),
                        entry.size,
                        self.space
                    ),
                ));
            }
        }
        Ok(())
    }

    fn measure_space(&mut self) -> Result<()> {
        let stat =
            rustix::fs::fstatvfs(self.root.as_fd()).at("measure the space of", "the layer")?;
        self.space = stat.f_bavail.saturating_mul(stat.f_frsize);
        Ok(())
    }

    /// Sets the folders' times.
    fn finish(mut self) -> Result<Applied> {
        let mut times = std::mem::take(&mut self.folder_times);
        // Sorted, neighbours share their parents; the last of equal paths is the one that counts.
        times.sort_by(|a, b| a.0.cmp(&b.0));
        for (path, mtime) in times {
            self.set_folder_time(&path, mtime)?;
        }
        Ok(self.applied)
    }
}
