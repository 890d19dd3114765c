//! What a container changed: the upper folder of an overlay compared with the layers below it.
//!
//! Everything in the upper folder was written, made or copied up by the container. A whiteout means
//! that something is gone; a folder that the layers below also have means that something in it
//! changed, and so does a file that they have, even if it is equal: overlayfs does not say.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, Stat};

use crate::error::{At, Result};
use crate::merged::{Found, Merged, names_in, open_root};
use crate::tree::walk::{Visitor, walk};
use crate::unpack::attributes::is_opaque;
use crate::unpack::entry::is_whiteout;
use crate::unpack::folders::{name_of, split};

/// A path that is not as in the image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// Absolute, as the container sees it.
    pub path: PathBuf,
    /// What happened.
    pub kind: ChangeKind,
}

/// What happened to a path; the numbers are the API's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChangeKind {
    /// It is another file, or a folder in which something changed (0).
    Modified,
    /// It is new (1).
    Added,
    /// It is gone (2).
    Deleted,
}

/// Changes, sorted by path. `lowers` has the topmost layer first.
pub fn changes(upper: &Path, lowers: &[PathBuf]) -> Result<Vec<Change>> {
    let root = open_root(upper)?;
    let mut comparison = Comparison { below: Merged::open(lowers)?, found: BTreeSet::new() };
    walk(root.as_fd(), &mut comparison)?;
    Ok(comparison.found.into_iter().collect())
}

/// Writes the upper folder as a layer archive (`.wh.` entries for what is gone).
pub fn write_layer(upper: &Path, out: impl Write) -> Result<()> {
    let root = open_root(upper)?;
    crate::tree::layer(root.as_fd(), out)
}

struct Comparison {
    below: Merged,
    found: BTreeSet<Change>,
}

impl Comparison {
    fn add(&mut self, path: &[u8], kind: ChangeKind) {
        let path = PathBuf::from(OsString::from_vec([b"/", path].concat()));
        self.found.insert(Change { path, kind });
    }

    /// What an opaque folder hides is gone, unless the folder has it anew.
    fn hidden(&mut self, path: &[u8], folder: BorrowedFd<'_>, below: &Found) -> Result<()> {
        let Found::Folder(folders) = below else { return Ok(()) };
        let kept: BTreeSet<Vec<u8>> = names_in(folder)?.into_iter().collect();
        let mut gone = BTreeSet::new();
        for folder in folders {
            gone.extend(names_in(folder.as_fd())?.into_iter().filter(|n| !kept.contains(n)));
        }
        for name in gone {
            if crate::merged::step(folders, &name)?.is_some() {
                self.add(&[path, b"/", &name].concat(), ChangeKind::Deleted);
            }
        }
        Ok(())
    }
}

impl Visitor for Comparison {
    fn visit(
        &mut self,
        path: &[u8],
        folder: BorrowedFd<'_>,
        name: &[u8],
        stat: &Stat,
    ) -> Result<bool> {
        let below = self.below.lookup(&split(path)?)?;
        if is_whiteout(stat) {
            if below.is_some() {
                self.add(path, ChangeKind::Deleted);
            }
            return Ok(false);
        }
        let Some(below) = below else {
            self.add(path, ChangeKind::Added);
            return Ok(true);
        };
        self.add(path, ChangeKind::Modified);
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let fd =
                rustix::fs::openat(folder, name, flags, Mode::empty()).at("open", name_of(path))?;
            if is_opaque(fd.as_fd()) {
                self.hidden(path, fd.as_fd(), &below)?;
            }
        }
        Ok(true)
    }
}
