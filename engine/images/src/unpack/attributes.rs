//! Owner, mode, times and extended attributes of what an archive makes.
//!
//! Order matters: `chown` clears setuid bits and capabilities, so modes and attributes come after it.

use std::os::fd::BorrowedFd;

use rustix::fs::{AtFlags, Mode, Timespec, Timestamps, XattrFlags};
use rustix::fs::{Gid, Uid};
use rustix::io::Errno;

use super::folders::name_of;
use crate::error::{At, Error, ErrorKind, Result};
use crate::settings::IdMap;
use crate::tar::Entry;

/// Turns an archive's owners into those of files, or refuses them.
#[derive(Debug)]
pub(crate) struct Owners<'a> {
    ids: &'a IdMap,
}

impl<'a> Owners<'a> {
    /// For one id map.
    pub fn new(ids: &'a IdMap) -> Owners<'a> {
        Owners { ids }
    }

    /// The owner that the entry's file gets.
    pub fn of(&self, entry: &Entry) -> Result<(u32, u32)> {
        if self.ids.single {
            return Ok((0, 0));
        }
        let uid = self.check(entry, "user", "/etc/subuid", entry.uid, self.ids.uids)?;
        let gid = self.check(entry, "group", "/etc/subgid", entry.gid, self.ids.gids)?;
        Ok((uid, gid))
    }

    fn check(&self, entry: &Entry, what: &str, file: &str, id: u64, count: u32) -> Result<u32> {
        match u32::try_from(id) {
            Ok(id) if id < count => Ok(id),
            _ => Err(Error::new(
                ErrorKind::OutsideIdMap,
                format!(
                    "archive entry {:?} belongs to {what} id {id}, but only the ids 0-{} exist in Bryo's user namespace; \
                     in {file}, give the line `{}:START:COUNT` a COUNT of at least {id}, then restart the daemon",
                    name_of(&entry.path),
                    count.saturating_sub(1),
                    self.ids.user
                ),
            )),
        }
    }
}

/// What a file has already that was just made.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Fresh {
    /// The owner it should have.
    pub owner: bool,
    /// The permission bits it should have (but not setuid, setgid, sticky).
    pub mode: bool,
}

/// Sets everything on an open file that it does not have yet.
pub(crate) fn set_on_fd(
    fd: BorrowedFd<'_>,
    entry: &Entry,
    owner: (u32, u32),
    fresh: Fresh,
    notes: &mut Vec<String>,
) -> Result<()> {
    if !fresh.owner {
        let (uid, gid) = (Uid::from_raw(owner.0), Gid::from_raw(owner.1));
        rustix::fs::fchown(fd, Some(uid), Some(gid))
            .at("set the owner of", name_of(&entry.path))?;
    }
    if !fresh.mode || entry.mode & 0o7000 != 0 {
        rustix::fs::fchmod(fd, Mode::from(entry.mode))
            .at("set the mode of", name_of(&entry.path))?;
    }
    for (name, value) in &entry.xattrs {
        if !wanted(name) {
            notes.push(left_out(&entry.path, name, "no container needs it"));
            continue;
        }
        match rustix::fs::fsetxattr(fd, name.as_slice(), value, XattrFlags::empty()) {
            Ok(()) => {}
            Err(Errno::NOTSUP | Errno::PERM | Errno::INVAL) => {
                notes.push(left_out(&entry.path, name, "the filesystem does not take it"));
            }
            Err(e) => {
                return Err(Error::io("set an attribute of", name_of(&entry.path), e));
            }
        }
    }
    Ok(())
}

/// Sets the times of an open file.
pub(crate) fn set_times(fd: BorrowedFd<'_>, path: &[u8], mtime: (i64, u32)) -> Result<()> {
    rustix::fs::futimens(fd, &stamps(mtime)).at("set the time of", name_of(path))
}

/// Owner and time of what cannot be opened: symlinks, pipes.
pub(crate) fn set_at(
    parent: BorrowedFd<'_>,
    name: &[u8],
    entry: &Entry,
    owner: (u32, u32),
) -> Result<()> {
    let (uid, gid) = (Uid::from_raw(owner.0), Gid::from_raw(owner.1));
    rustix::fs::chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
        .at("set the owner of", name_of(&entry.path))?;
    rustix::fs::utimensat(parent, name, &stamps(entry.mtime), AtFlags::SYMLINK_NOFOLLOW)
        .at("set the time of", name_of(&entry.path))
}

/// Marks a folder as hiding all lower ones. `folder` may be `O_PATH`.
pub(crate) fn set_opaque(folder: BorrowedFd<'_>, path: &[u8]) -> Result<()> {
    let name = bryo_sys::rooted::fd_path(folder);
    rustix::fs::setxattr(&*name, OPAQUE, b"y", XattrFlags::empty())
        .at("mark as opaque the folder", name_of(path))
}

/// The attribute of opaque folders of an overlay mounted with `userxattr`.
pub(crate) const OPAQUE: &str = "user.overlay.opaque";

/// Whether a folder hides all lower ones.
pub(crate) fn is_opaque(folder: BorrowedFd<'_>) -> bool {
    let name = bryo_sys::rooted::fd_path(folder);
    let mut value = [0_u8; 4];
    matches!(rustix::fs::getxattr(&*name, OPAQUE, &mut value), Ok(1))
        && value.first() == Some(&b'y')
}

/// Attributes that are taken over. Overlay's own would let an archive redirect lookups.
pub(crate) fn wanted(name: &[u8]) -> bool {
    let overlay = name.starts_with(b"user.overlay.") || name.starts_with(b"user.fuseoverlayfs.");
    name == b"security.capability"
        || name.starts_with(b"system.posix_acl_")
        || (name.starts_with(b"user.") && !overlay)
}

fn left_out(path: &[u8], name: &[u8], why: &str) -> String {
    format!("{}: attribute {} left out: {why}", name_of(path), name_of(name))
}

fn stamps(mtime: (i64, u32)) -> Timestamps {
    let time = Timespec { tv_sec: mtime.0, tv_nsec: mtime.1.into() };
    Timestamps { last_access: time, last_modification: time }
}
