//! Walking down a tree by descriptors.

use std::collections::HashSet;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::error::{At, Result};
use crate::merged::{names_in, open_root};
use crate::store::Usage;
use crate::unpack::folders::name_of;

/// Deepest folder that is walked into; every level holds a descriptor.
pub(crate) const MAX_DEPTH: usize = 400;

/// What a walk calls for each thing below the start, folders before their content, names sorted.
pub(crate) trait Visitor {
    /// `path` is relative to the start; `folder` holds `name`. The result says whether to go into it
    /// if it is a folder.
    fn visit(
        &mut self,
        path: &[u8],
        folder: BorrowedFd<'_>,
        name: &[u8],
        stat: &Stat,
    ) -> Result<bool>;

    /// A folder's content has been visited.
    fn left(&mut self, path: &[u8]) -> Result<()> {
        let _ = path;
        Ok(())
    }
}

/// Visits everything in `folder`. What vanishes meanwhile is passed over.
pub(crate) fn walk(folder: BorrowedFd<'_>, visitor: &mut dyn Visitor) -> Result<()> {
    level(folder, &[], 0, visitor)
}

fn level(
    folder: BorrowedFd<'_>,
    path: &[u8],
    depth: usize,
    visitor: &mut dyn Visitor,
) -> Result<()> {
    for name in names_in(folder)? {
        let below = if path.is_empty() { name.clone() } else { [path, b"/", &name].concat() };
        let stat = match rustix::fs::statat(folder, name.as_slice(), AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => continue,
            other => other.at("look at", name_of(&below))?,
        };
        let enter = visitor.visit(&below, folder, &name, &stat)?;
        let is_folder = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        if !enter || !is_folder || depth >= MAX_DEPTH {
            continue;
        }
        let inner = match open(folder, &name) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => continue,
            other => other.at("open", name_of(&below))?,
        };
        level(inner.as_fd(), &below, depth + 1, visitor)?;
        visitor.left(&below)?;
    }
    Ok(())
}

fn open(folder: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(folder, name, flags, Mode::empty())
}

/// What a tree takes; folders deeper than [`MAX_DEPTH`] are not counted.
pub fn usage(path: &Path) -> Result<Usage> {
    let root = open_root(path)?;
    let mut counter = Counter::default();
    walk(root.as_fd(), &mut counter)?;
    Ok(counter.usage)
}

#[derive(Default)]
struct Counter {
    usage: Usage,
    linked: HashSet<(u64, u64)>,
}

impl Visitor for Counter {
    fn visit(
        &mut self,
        _path: &[u8],
        _folder: BorrowedFd<'_>,
        _name: &[u8],
        stat: &Stat,
    ) -> Result<bool> {
        let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        if stat.st_nlink > 1 && is_file && !self.linked.insert((stat.st_dev, stat.st_ino)) {
            return Ok(false);
        }
        self.usage.inodes += 1;
        if is_file {
            // A sparse file takes less than its length.
            let length = u64::try_from(stat.st_size).unwrap_or(0);
            let blocks = u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(512);
            // Small files may live in their inode and take no block at all.
            self.usage.bytes += length.min(blocks.max(4096));
        }
        Ok(true)
    }
}
