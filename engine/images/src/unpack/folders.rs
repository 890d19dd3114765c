//! The way to an entry's parent folder, kept open.
//!
//! Archives are mostly in depth-first order, so the folders on the way to the last entry are the best
//! cache there is: a new entry keeps the common part and opens the rest, one name at a time, with
//! `O_NOFOLLOW`. A path is never handed to the kernel whole; there is nothing to race with and
//! nothing to follow.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::entry::is_whiteout;
use crate::error::{At, Error, Result};
use crate::merged::stat_at;

/// Longest path of an entry, in bytes; PATH_MAX.
const MAX_PATH: usize = 4096;

/// Most folders held open at a time. A path may be 2000 folders deep, and a process has only so many
/// descriptors; whoever comes back to a folder that was closed walks down from the root again.
const MAX_OPEN: usize = 64;

/// The open folders from the root to the last parent.
#[derive(Debug)]
pub(crate) struct Folders {
    root: OwnedFd,
    open: Vec<(Vec<u8>, Option<OwnedFd>)>,
    /// The current folder hands its group down (setgid).
    setgid: Option<bool>,
}

/// What was met on the way to a parent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// The parent is open.
    Open,
    /// A folder is missing, or a whiteout is in its place: its depth (0 for a folder in the root).
    Missing(usize),
}

/// Splits an entry's path into names; `.` and doubled slashes vanish. `..`, absolute names (but `/`
/// itself) and names with a NUL are refused.
pub(crate) fn split(path: &[u8]) -> Result<Vec<&[u8]>> {
    let why = if path.len() > MAX_PATH {
        "its name is longer than 4096 bytes"
    } else if path.contains(&0) {
        "its name contains a NUL byte"
    } else if path.starts_with(b"/") && path.iter().any(|b| *b != b'/') {
        "its name is absolute"
    } else {
        let names: Vec<&[u8]> =
            path.split(|b| *b == b'/').filter(|n| !n.is_empty() && *n != b".").collect();
        if !names.iter().any(|n| *n == b"..") {
            return Ok(names);
        }
        "its name leads out of the archive (..)"
    };
    Err(Error::bad_entry(path.get(..MAX_PATH.min(path.len())).unwrap_or_default(), why))
}

impl Folders {
    /// Starts in `root`.
    pub fn new(root: OwnedFd) -> Folders {
        Folders { root, open: Vec::new(), setgid: None }
    }

    /// The folder that is open now.
    pub fn current(&self) -> BorrowedFd<'_> {
        // The last one is never closed before it is taken off.
        self.open.last().and_then(|(_, fd)| fd.as_ref()).map_or(self.root.as_fd(), AsFd::as_fd)
    }

    /// Opens the folder `names` as far as it is there. Afterwards [`Folders::current`] is that folder,
    /// or the one in which the missing one belongs.
    pub fn enter(&mut self, entry: &[u8], names: &[&[u8]]) -> Result<Way> {
        let common = self.open.iter().zip(names).take_while(|((open, _), name)| open == *name);
        let mut common = common.count();
        if common != self.open.len() {
            self.setgid = None;
        }
        self.open.truncate(common);
        if self.open.last().is_some_and(|(_, fd)| fd.is_none()) {
            self.open.clear();
            common = 0;
        }
        for (depth, name) in names.iter().enumerate().skip(common) {
            match open_folder(self.current(), name) {
                Ok(fd) => self.push(name, fd),
                Err(Errno::NOENT) => return Ok(Way::Missing(depth)),
                Err(Errno::LOOP | Errno::NOTDIR) => {
                    let stat = stat_at(self.current(), name).at("look at", name_of(name))?;
                    if stat.is_some_and(|s| is_whiteout(&s)) {
                        return Ok(Way::Missing(depth));
                    }
                    let parent = names.get(..=depth).unwrap_or_default().join(&b'/');
                    let parent = String::from_utf8_lossy(&parent);
                    let why = format!("its parent {parent:?} is not a folder");
                    return Err(Error::bad_entry(entry, why));
                }
                Err(e) => return Err(Error::io("open the parent of", name_of(entry), e)),
            }
        }
        Ok(Way::Open)
    }

    /// Whether what is made in the current folder gets the folder's group instead of the maker's. Asked
    /// once for each folder that is entered.
    pub fn hands_group_down(&mut self) -> bool {
        if let Some(known) = self.setgid {
            return known;
        }
        let stat = rustix::fs::fstat(self.current());
        let setgid = stat.map_or(true, |s| s.st_mode & 0o2000 != 0);
        *self.setgid.insert(setgid)
    }

    /// Forgets what [`Folders::hands_group_down`] found, because a folder's mode was changed.
    pub fn mode_changed(&mut self) {
        self.setgid = None;
    }

    /// Takes note of a folder just made in the current one.
    pub fn push(&mut self, name: &[u8], fd: OwnedFd) {
        self.setgid = None;
        self.open.push((name.to_vec(), Some(fd)));
        let old = self.open.len().checked_sub(MAX_OPEN + 1);
        if let Some((_, fd)) = old.and_then(|old| self.open.get_mut(old)) {
            *fd = None;
        }
    }
}

/// One folder by name, for use as a parent.
pub(crate) fn open_folder(parent: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::empty())
}

/// A path for messages.
pub(crate) fn name_of(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_and_refuses() {
        assert_eq!(split(b"./a//b/.").unwrap(), [b"a", b"b"]);
        assert!(split(b"./").unwrap().is_empty());
        assert!(split(b"/").unwrap().is_empty());
        for bad in [&b"../x"[..], b"a/../../x", b"/etc/passwd", b"a\0b", b"a/.."] {
            let refusal = split(bad).unwrap_err();
            assert!(refusal.message().contains("refused"), "{refusal}");
        }
        assert!(split(&b"x/".repeat(3000)).is_err());
    }
}
