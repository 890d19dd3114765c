//! Copies of single things and of merged trees, with owner, mode, times and attributes.

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, XattrFlags,
};
use rustix::io::Errno;

use crate::error::{At, Error, Result};
use crate::merged::{Found, Merged, names_in, open_root, read_link, step};
use crate::unpack::attributes::wanted;
use crate::unpack::folders::name_of;
use crate::unpack::settle::copy_folder_attributes;

/// Bytes of names or of one value of an attribute, at most (the kernel's own limit).
const MAX_XATTR: usize = 64 << 10;

/// Copies a file, symlink or pipe held by an `O_PATH` descriptor to `name` in `folder`.
pub(crate) fn node(from: &OwnedFd, stat: &Stat, folder: BorrowedFd<'_>, name: &[u8]) -> Result<()> {
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    let mode = Mode::from(stat.st_mode & 0o7777);
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => {
            let mut source = File::from(open_data(from, name)?);
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            let fd = rustix::fs::openat(folder, name, flags, Mode::from(0o600))
                .at("make the file", name_of(name))?;
            let mut target = File::from(fd);
            std::io::copy(&mut source, &mut target).at("copy", name_of(name))?;
            rustix::fs::fchown(&target, Some(uid), Some(gid))
                .at("set the owner of", name_of(name))?;
            rustix::fs::fchmod(&target, mode).at("set the mode of", name_of(name))?;
            xattrs(from, &target, wanted)?;
            return rustix::fs::futimens(&target, &times(stat))
                .at("set the time of", name_of(name));
        }
        FileType::Symlink => {
            rustix::fs::symlinkat(read_link(from)?.as_slice(), folder, name)
                .at("make the symlink", name_of(name))?;
        }
        FileType::Fifo => {
            rustix::fs::mknodat(folder, name, FileType::Fifo, mode, 0)
                .at("make the pipe", name_of(name))?;
            rustix::fs::chmodat(folder, name, mode, AtFlags::empty())
                .at("set the mode of", name_of(name))?;
        }
        // Sockets and devices mean nothing in a copy.
        _ => return Ok(()),
    }
    rustix::fs::chownat(folder, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
        .at("set the owner of", name_of(name))?;
    rustix::fs::utimensat(folder, name, &times(stat), AtFlags::SYMLINK_NOFOLLOW)
        .at("set the time of", name_of(name))
}

/// Opens the regular file behind an `O_PATH` descriptor for reading.
pub(crate) fn open_data(from: &OwnedFd, name: &[u8]) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::NOCTTY | OFlags::CLOEXEC;
    rustix::fs::open(bryo_sys::rooted::fd_path(from.as_fd()), flags, Mode::empty())
        .at("open", name_of(name))
}

/// Copies a whole merged view into the existing folder `target`.
pub(crate) fn merged(layers: &[PathBuf], target: &std::path::Path) -> Result<()> {
    let root = open_root(target)?;
    let mut copier = Copier { links: HashMap::new(), root: root.try_clone().at("open", target)? };
    copier.folder(&Merged::open(layers)?.root()?, &root, &[])
}

struct Copier {
    /// Files with several names that have been copied: where.
    links: HashMap<(u64, u64), Vec<u8>>,
    root: OwnedFd,
}

impl Copier {
    fn folder(&mut self, from: &[OwnedFd], to: &OwnedFd, path: &[u8]) -> Result<()> {
        let mut names = Vec::new();
        for folder in from {
            names.extend(names_in(folder.as_fd())?);
        }
        names.sort();
        names.dedup();
        for name in names {
            let below = if path.is_empty() { name.clone() } else { [path, b"/", &name].concat() };
            match step(from, &name)? {
                None => {}
                Some(Found::Other(fd, stat)) => self.other(&fd, &stat, to, &name, below)?,
                Some(Found::Folder(folders)) => {
                    rustix::fs::mkdirat(to, name.as_slice(), Mode::RWXU)
                        .at("make the folder", name_of(&below))?;
                    let inner = crate::unpack::folders::open_folder(to.as_fd(), &name)
                        .at("open", name_of(&below))?;
                    self.folder(&folders, &inner, &below)?;
                }
            }
        }
        match from.first() {
            Some(first) => copy_folder_attributes(first, to, path),
            None => Ok(()),
        }
    }

    fn other(
        &mut self,
        fd: &OwnedFd,
        stat: &Stat,
        to: &OwnedFd,
        name: &[u8],
        path: Vec<u8>,
    ) -> Result<()> {
        if stat.st_nlink > 1 {
            if let Some(first) = self.links.get(&(stat.st_dev, stat.st_ino)) {
                return rustix::fs::linkat(
                    &self.root,
                    first.as_slice(),
                    to,
                    name,
                    AtFlags::empty(),
                )
                .at("make the hard link", name_of(&path));
            }
            self.links.insert((stat.st_dev, stat.st_ino), path);
        }
        node(fd, stat, to.as_fd(), name)
    }
}

/// Copies the attributes that `keep` wants; those that the target refuses are left out.
pub(crate) fn xattrs(from: &OwnedFd, to: &impl AsFd, keep: impl Fn(&[u8]) -> bool) -> Result<()> {
    for (name, value) in read_xattrs(from.as_fd(), keep)? {
        match rustix::fs::fsetxattr(to, name.as_slice(), &value, XattrFlags::empty()) {
            Ok(()) | Err(Errno::NOTSUP | Errno::PERM | Errno::INVAL) => {}
            Err(e) => return Err(Error::io("set an attribute of", "a copied file", e)),
        }
    }
    Ok(())
}

/// Reads attributes of what an `O_PATH` descriptor holds (not of symlinks: they have none of ours).
pub(crate) fn read_xattrs(
    from: BorrowedFd<'_>,
    keep: impl Fn(&[u8]) -> bool,
) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let path = bryo_sys::rooted::fd_path(from);
    let mut names = vec![0_u8; 1024];
    let length = match rustix::fs::listxattr(&*path, &mut names) {
        Ok(0) | Err(Errno::NOTSUP) => return Ok(Vec::new()),
        Err(Errno::RANGE) => {
            names = vec![0; MAX_XATTR];
            rustix::fs::listxattr(&*path, &mut names).at("list the attributes of", &path)?
        }
        other => other.at("list the attributes of", &path)?,
    };
    names.truncate(length);
    let mut found = Vec::new();
    for name in names.split(|b| *b == 0).filter(|n| !n.is_empty() && keep(n)) {
        let mut value = vec![0_u8; MAX_XATTR];
        match rustix::fs::getxattr(&*path, name, &mut value) {
            Ok(length) => {
                value.truncate(length);
                found.push((name.to_vec(), value));
            }
            Err(Errno::NODATA | Errno::NOTSUP | Errno::OVERFLOW) => {}
            Err(e) => return Err(Error::io("read an attribute of", &path, e)),
        }
    }
    found.sort();
    Ok(found)
}

/// The times of a stat, to be set on a copy.
pub(crate) fn times(stat: &Stat) -> Timestamps {
    let nanoseconds = stat.st_mtime_nsec.try_into().unwrap_or(0);
    let time = Timespec { tv_sec: stat.st_mtime, tv_nsec: nanoseconds };
    Timestamps { last_access: time, last_modification: time }
}
