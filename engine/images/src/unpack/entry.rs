//! One entry of a layer archive becomes one thing in a folder.

use std::fs::File;
use std::io::{BufRead, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::attributes::{Fresh, set_at, set_on_fd, set_opaque, set_times};
use super::folders::{Way, name_of, open_folder, split};
use super::{Applied, Unpacker};
use crate::error::{At, Error, Result};
use crate::tar::{Entry, Extent, Kind, Reader};

/// Prefix of whiteouts.
pub(crate) const WHITEOUT: &[u8] = b".wh.";

/// The whiteout that makes its folder opaque.
pub(crate) const OPAQUE_ENTRY: &[u8] = b".wh..wh..opq";

impl Unpacker<'_> {
    /// Makes what the entry says; its data comes from `reader`.
    pub(crate) fn entry(&mut self, reader: &mut Reader<impl BufRead>, entry: &Entry) -> Result<()> {
        let names = split(&entry.path)?;
        let Some((name, parents)) = names.split_last() else { return self.root_entry(entry) };
        self.enter(entry, parents)?;
        if name.starts_with(WHITEOUT) {
            return self.whiteout(entry, parents, name);
        }
        match entry.kind {
            Kind::File => self.file(reader, entry, name),
            Kind::Folder => self.folder(entry, &names, name),
            Kind::HardLink => self.hard_link(entry, &names, parents, name),
            Kind::Symlink => self.symlink(entry, name),
            Kind::Fifo => self.fifo(entry, name),
            Kind::CharDevice | Kind::BlockDevice => {
                let text = name_of(&entry.path);
                self.applied.note(format!(
                    "{text}: device {}:{} left out: only the host's root may make devices",
                    entry.device.0, entry.device.1
                ));
                Ok(())
            }
            Kind::Unknown(flag) => {
                let text = name_of(&entry.path);
                let flag = char::from(flag);
                self.applied.note(format!("{text}: entry of unknown type {flag:?} left out"));
                Ok(())
            }
        }
    }

    /// Opens the parent folder, making what is missing.
    fn enter(&mut self, entry: &Entry, parents: &[&[u8]]) -> Result<()> {
        let Way::Missing(depth) = self.folders.enter(&entry.path, parents)? else { return Ok(()) };
        for end in depth..parents.len() {
            let Some(name) = parents.get(end) else { break };
            let fd = make_folder(self.folders.current(), name, &entry.path)?;
            rustix::fs::chmodat(self.folders.current(), *name, Mode::from(0o755), AtFlags::empty())
                .at("set the mode of the parent of", name_of(&entry.path))?;
            self.folders.push(name, fd);
            self.applied.implicit.insert(parents.get(..=end).unwrap_or_default().join(&b'/'));
        }
        Ok(())
    }

    /// The root folder itself.
    fn root_entry(&mut self, entry: &Entry) -> Result<()> {
        if entry.kind != Kind::Folder {
            return Err(Error::bad_entry(&entry.path, "it takes the place of the root folder"));
        }
        self.folders.enter(&entry.path, &[])?;
        let fd = reopen(self.folders.current(), &entry.path)?;
        self.set_folder(fd.as_fd(), entry, Vec::new())
    }

    fn set_folder(&mut self, fd: BorrowedFd<'_>, entry: &Entry, path: Vec<u8>) -> Result<()> {
        let owner = self.owners.of(entry)?;
        let mut notes = Vec::new();
        set_on_fd(fd, entry, owner, Fresh::default(), &mut notes)?;
        self.folders.mode_changed();
        notes.into_iter().for_each(|n| self.applied.note(n));
        self.applied.implicit.remove(&path);
        self.folder_times.push((path, entry.mtime));
        Ok(())
    }

    fn folder(&mut self, entry: &Entry, names: &[&[u8]], name: &[u8]) -> Result<()> {
        let parent = self.folders.current();
        let mut opaque = false;
        match rustix::fs::mkdirat(parent, name, Mode::from(0o700)) {
            Ok(()) => {}
            Err(Errno::EXIST) => {
                let stat = stat_at(parent, name, &entry.path)?;
                if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
                    // What was deleted below and made anew here must not show what was deleted.
                    opaque = is_whiteout(&stat);
                    clear(parent, name, &entry.path)?;
                    rustix::fs::mkdirat(parent, name, Mode::from(0o700))
                        .at("make the folder", name_of(&entry.path))?;
                }
            }
            Err(e) => return Err(Error::io("make the folder", name_of(&entry.path), e)),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(parent, name, flags, Mode::empty())
            .at("open the folder", name_of(&entry.path))?;
        if opaque {
            set_opaque(fd.as_fd(), &entry.path)?;
        }
        self.set_folder(fd.as_fd(), entry, names.join(&b'/'))?;
        self.folders.push(name, fd);
        Ok(())
    }

    fn file(
        &mut self,
        reader: &mut Reader<impl BufRead>,
        entry: &Entry,
        name: &[u8],
    ) -> Result<()> {
        let owner = self.owners.of(entry)?;
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from(entry.mode & 0o777);
        let own = owner == self.own && !self.folders.hands_group_down();
        let parent = self.folders.current();
        let fd = match rustix::fs::openat(parent, name, flags, mode) {
            Err(Errno::EXIST) => {
                clear(parent, name, &entry.path)?;
                rustix::fs::openat(parent, name, flags, mode)
            }
            other => other,
        }
        .at("make the file", name_of(&entry.path))?;
        let mut file = File::from(fd);
        write_data(reader, entry, &mut file)?;
        let mut notes = Vec::new();
        let fresh = Fresh { owner: own, mode: self.options.umask_is_zero };
        set_on_fd(file.as_fd(), entry, owner, fresh, &mut notes)?;
        set_times(file.as_fd(), &entry.path, entry.mtime)?;
        notes.into_iter().for_each(|n| self.applied.note(n));
        Ok(())
    }

    fn symlink(&mut self, entry: &Entry, name: &[u8]) -> Result<()> {
        let owner = self.owners.of(entry)?;
        if entry.link.is_empty() || entry.link.contains(&0) {
            return Err(Error::bad_entry(
                &entry.path,
                "its target is empty or contains a NUL byte",
            ));
        }
        let parent = self.folders.current();
        replacing(parent, name, &entry.path, || {
            rustix::fs::symlinkat(entry.link.as_slice(), parent, name)
        })
        .at("make the symlink", name_of(&entry.path))?;
        set_at(parent, name, entry, owner)
    }

    fn fifo(&mut self, entry: &Entry, name: &[u8]) -> Result<()> {
        let owner = self.owners.of(entry)?;
        let parent = self.folders.current();
        let mode = Mode::from(entry.mode);
        replacing(parent, name, &entry.path, || {
            rustix::fs::mknodat(parent, name, FileType::Fifo, mode, 0)
        })
        .at("make the pipe", name_of(&entry.path))?;
        set_at(parent, name, entry, owner)?;
        rustix::fs::chmodat(parent, name, mode, AtFlags::empty())
            .at("set the mode of", name_of(&entry.path))
    }

    fn hard_link(
        &mut self,
        entry: &Entry,
        names: &[&[u8]],
        parents: &[&[u8]],
        name: &[u8],
    ) -> Result<()> {
        let target = split(&entry.link).map_err(|_| {
            let target = String::from_utf8_lossy(&entry.link);
            Error::bad_entry(
                &entry.path,
                format!("it is a hard link out of the root, to {target:?}"),
            )
        })?;
        let Some((target_name, target_parents)) = target.split_last() else {
            return Err(Error::bad_entry(&entry.path, "it is a hard link to the root folder"));
        };
        if target == names {
            return Err(Error::bad_entry(&entry.path, "it is a hard link to itself"));
        }
        let here = self.folders.current().try_clone_to_owned().at("open", name_of(&entry.path))?;
        let linked = match self.folders.enter(&entry.path, target_parents)? {
            Way::Missing(_) => Err(Errno::NOENT),
            Way::Open => {
                let there = self.folders.current();
                replacing(here.as_fd(), name, &entry.path, || {
                    rustix::fs::linkat(there, *target_name, &here, name, AtFlags::empty())
                })
            }
        };
        // Back again, before anything that was replaced can be taken for a parent.
        self.folders.enter(&entry.path, parents)?;
        match linked {
            Err(Errno::NOENT) => {
                // Not in this layer: one of the layers below must have it.
                self.applied.links_below.push((names.join(&b'/'), target.join(&b'/')));
                Ok(())
            }
            other => other.at("make the hard link", name_of(&entry.path)),
        }
    }

    /// `.wh.NAME` and its relatives.
    fn whiteout(&mut self, entry: &Entry, parents: &[&[u8]], name: &[u8]) -> Result<()> {
        if name == OPAQUE_ENTRY {
            let path = parents.join(&b'/');
            return set_opaque(self.folders.current(), &path);
        }
        let hidden = name.strip_prefix(WHITEOUT).unwrap_or(name);
        if hidden.starts_with(WHITEOUT) {
            // Aufs' own bookkeeping (.wh..wh.plnk, .wh..wh.aufs), which old archives still carry.
            return Ok(());
        }
        if matches!(hidden, b"" | b"." | b"..") {
            return Err(Error::bad_entry(&entry.path, "it is a whiteout of nothing"));
        }
        let parent = self.folders.current();
        match make_whiteout(parent, hidden) {
            Err(Errno::EXIST) => {
                // Whiteouts speak of lower layers: what this layer has stays, and hides them.
                let stat = stat_at(parent, hidden, &entry.path)?;
                if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
                    return Ok(());
                }
                let folder = open_folder(parent, hidden).at("open", name_of(&entry.path))?;
                set_opaque(folder.as_fd(), &entry.path)
            }
            other => other.at("make the whiteout", name_of(&entry.path)),
        }
    }

    /// Sets the times of a folder when nothing is written into it any more.
    pub(crate) fn set_folder_time(&mut self, path: &[u8], mtime: (i64, u32)) -> Result<()> {
        let names = split(path)?;
        if self.folders.enter(path, &names)? == Way::Open {
            let fd = reopen(self.folders.current(), path)?;
            set_times(fd.as_fd(), path, mtime)?;
        }
        Ok(())
    }
}

/// Writes an entry's data, where its sparse map says.
pub(crate) fn write_data(
    reader: &mut Reader<impl BufRead>,
    entry: &Entry,
    file: &mut File,
) -> Result<()> {
    let path = name_of(&entry.path);
    let Some(extents) = &entry.sparse else {
        return reader.copy_data(|part| file.write_all(part).at("write", &path));
    };
    file.set_len(entry.real_size).at("set the size of", &path)?;
    let mut extents = extents.iter().copied().filter(|e| e.length > 0);
    let mut room = extents.next();
    reader.copy_data(|mut part| {
        while !part.is_empty() {
            let Some(Extent { offset, length }) = room else {
                return Err(Error::bad_entry(&entry.path, "its sparse map does not fit the data"));
            };
            let now = usize::try_from(length).unwrap_or(usize::MAX).min(part.len());
            let (head, rest) = part.split_at(now);
            file.write_all_at(head, offset).at("write", &path)?;
            let written = now as u64;
            room = if written == length {
                extents.next()
            } else {
                Some(Extent { offset: offset + written, length: length - written })
            };
            part = rest;
        }
        Ok(())
    })
}

/// A folder of mode 0755, opened as a parent.
fn make_folder(parent: BorrowedFd<'_>, name: &[u8], entry: &[u8]) -> Result<OwnedFd> {
    let mode = Mode::from(0o755);
    let mut opaque = false;
    match rustix::fs::mkdirat(parent, name, mode) {
        Err(Errno::EXIST) => {
            // Only a whiteout gets here: what is below stays hidden.
            opaque = true;
            clear(parent, name, entry)?;
            rustix::fs::mkdirat(parent, name, mode)
        }
        other => other,
    }
    .at("make the parent of", name_of(entry))?;
    let folder = open_folder(parent, name).at("open the parent of", name_of(entry))?;
    if opaque {
        set_opaque(folder.as_fd(), entry)?;
    }
    Ok(folder)
}

/// Opens a folder held by an `O_PATH` descriptor for calls that need a real one.
fn reopen(fd: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(fd, c".", flags, Mode::empty()).at("open", name_of(path))
}

/// A whiteout as overlayfs knows it.
pub(crate) fn make_whiteout(parent: BorrowedFd<'_>, name: &[u8]) -> Result<(), Errno> {
    rustix::fs::mknodat(parent, name, FileType::CharacterDevice, Mode::empty(), 0)
}

/// Whether it is a whiteout: a character device 0:0.
pub(crate) fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

fn stat_at(parent: BorrowedFd<'_>, name: &[u8], path: &[u8]) -> Result<Stat> {
    rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW).at("look at", name_of(path))
}

/// Runs a call that makes `name`; if something is there already, removes it and tries again.
fn replacing(
    parent: BorrowedFd<'_>,
    name: &[u8],
    path: &[u8],
    make: impl Fn() -> Result<(), Errno>,
) -> Result<(), Errno> {
    match make() {
        Err(Errno::EXIST) => {
            clear(parent, name, path).map_err(|_| Errno::EXIST)?;
            make()
        }
        other => other,
    }
}

/// Removes what an earlier entry of the same name made.
fn clear(parent: BorrowedFd<'_>, name: &[u8], path: &[u8]) -> Result<()> {
    crate::tree::remove_at(parent, name).at("replace", name_of(path))
}

impl Applied {
    /// Whether the layers below matter for this one.
    pub(crate) fn needs_lower(&self) -> bool {
        !self.implicit.is_empty() || !self.links_below.is_empty()
    }
}
