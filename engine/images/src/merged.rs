//! Layers seen as one filesystem, the way overlayfs shows them, without mounting it.
//!
//! A path is looked up one name at a time in all folders that are merged at that point, topmost
//! first: a whiteout ends the search, a folder adds itself and goes on below unless it is opaque,
//! anything else is the answer if nothing above had the name.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::error::{At, Result};
use crate::unpack::attributes::is_opaque;
use crate::unpack::entry::is_whiteout;

/// Symlinks followed in one path.
const MAX_LINKS: usize = 40;

/// Layers, topmost first.
#[derive(Debug)]
pub(crate) struct Merged {
    roots: Vec<OwnedFd>,
}

/// What a path is in the merged view.
#[derive(Debug)]
pub(crate) enum Found {
    /// A folder: those that are merged, topmost first; the first one's attributes count.
    Folder(Vec<OwnedFd>),
    /// Something else: an `O_PATH` descriptor of it.
    Other(OwnedFd, Box<Stat>),
}

impl Merged {
    /// Opens the layers' folders.
    pub fn open(layers: &[PathBuf]) -> Result<Merged> {
        let roots = layers.iter().map(|path| open_root(path)).collect::<Result<_>>()?;
        Ok(Merged { roots })
    }

    /// The merged root.
    pub fn root(&self) -> Result<Vec<OwnedFd>> {
        self.roots.iter().map(|r| r.try_clone().at("open", "a layer")).collect()
    }

    /// Looks a path up without following symlinks, neither at its end nor on the way.
    pub fn lookup(&self, names: &[&[u8]]) -> Result<Option<Found>> {
        let mut found = Found::Folder(self.root()?);
        for name in names {
            let Found::Folder(folders) = &found else { return Ok(None) };
            match step(folders, name)? {
                Some(next) => found = next,
                None => return Ok(None),
            }
        }
        Ok(Some(found))
    }

    /// The path of a folder, every symlink followed inside the root; none if it leads to no folder.
    pub fn resolve_folder(&self, names: &[&[u8]]) -> Result<Option<Vec<Vec<u8>>>> {
        let mut todo: Vec<Vec<u8>> = names.iter().rev().map(|n| n.to_vec()).collect();
        let mut done: Vec<Vec<u8>> = Vec::new();
        let mut links = 0;
        while let Some(name) = todo.pop() {
            if name == b".." {
                done.pop();
                continue;
            }
            let here: Vec<&[u8]> =
                done.iter().map(Vec::as_slice).chain([name.as_slice()]).collect();
            match self.lookup(&here)? {
                Some(Found::Folder(_)) => done.push(name),
                Some(Found::Other(fd, stat)) if is_symlink(&stat) && links < MAX_LINKS => {
                    links += 1;
                    let target = read_link(&fd)?;
                    if target.starts_with(b"/") {
                        done.clear();
                    }
                    let parts = target.split(|b| *b == b'/').rev();
                    todo.extend(parts.filter(|p| !p.is_empty() && *p != b".").map(<[u8]>::to_vec));
                }
                _ => return Ok(None),
            }
        }
        Ok(Some(done))
    }
}

/// One name in a merged folder.
pub(crate) fn step(folders: &[OwnedFd], name: &[u8]) -> Result<Option<Found>> {
    let mut merged = Vec::new();
    for folder in folders {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = match rustix::fs::openat(folder, name, flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::NOENT | Errno::NAMETOOLONG) => continue,
            Err(e) => {
                return Err(crate::Error::io("open", String::from_utf8_lossy(name).as_ref(), e));
            }
        };
        let stat = rustix::fs::fstat(&fd).at("look at", String::from_utf8_lossy(name).as_ref())?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            let stop = is_opaque(fd.as_fd());
            merged.push(fd);
            if stop {
                break;
            }
        } else if is_whiteout(&stat) || !merged.is_empty() {
            break;
        } else {
            return Ok(Some(Found::Other(fd, Box::new(stat))));
        }
    }
    Ok((!merged.is_empty()).then_some(Found::Folder(merged)))
}

/// Whether it is a symlink.
pub(crate) fn is_symlink(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Symlink
}

/// The target of a symlink held by an `O_PATH` descriptor.
pub(crate) fn read_link(fd: &impl AsFd) -> Result<Vec<u8>> {
    let target = rustix::fs::readlinkat(fd, c"", Vec::new()).at("read", "a symlink")?;
    Ok(target.into_bytes())
}

/// Names in a folder, sorted, without `.` and `..`.
pub(crate) fn names_in(folder: BorrowedFd<'_>) -> Result<Vec<Vec<u8>>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(folder, c".", flags, Mode::empty()).at("read", "a folder")?;
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::new(fd).at("read", "a folder")? {
        let entry = entry.at("read", "a folder")?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(name.to_vec());
        }
    }
    names.sort();
    Ok(names)
}

/// A layer's or other trusted folder.
pub(crate) fn open_root(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, path, flags, Mode::empty()).at("open", path)
}

/// `statat` that does not follow.
pub(crate) fn stat_at(folder: BorrowedFd<'_>, name: &[u8]) -> Result<Option<Stat>, Errno> {
    match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(e) => Err(e),
    }
}
