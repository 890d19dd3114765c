//! `tmpcopyup`: a tmpfs begins with the folder that it covers.
//!
//! The source is part of an image: only descriptors and single names are used, links are copied as links, devices and
//! sockets are left out (nobody could make them here).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, Stat, Timestamps, Uid};

use crate::error::{Context, Error, Result};

/// Deeper trees are refused: each level holds two descriptors.
const MAX_DEPTH: usize = 128;

/// Copies what is in the folder `from` into the folder `to`.
pub(crate) fn copy(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<()> {
    let from = open_dir(from, c".")?;
    let to = open_dir(to, c".")?;
    folder(&from, &to, 0)
}

fn folder(from: &OwnedFd, to: &OwnedFd, depth: usize) -> Result<()> {
    if depth > MAX_DEPTH {
        return Err(Error::bad(format!("more than {MAX_DEPTH} folders deep")));
    }
    let entries = Dir::read_from(from).context(|| "reading a folder")?;
    for entry in entries {
        let entry = entry.context(|| "reading a folder")?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let what = || format!("copying {:?}", name.to_string_lossy());
        let stat = rustix::fs::statat(from, name, AtFlags::SYMLINK_NOFOLLOW).context(what)?;
        let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                rustix::fs::mkdirat(to, name, mode).context(what)?;
                folder(&open_dir(from.as_fd(), name)?, &open_dir(to.as_fd(), name)?, depth + 1)?;
            }
            FileType::RegularFile => file(from, to, name, mode).context(what)?,
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(from, name, Vec::new()).context(what)?;
                rustix::fs::symlinkat(target, to, name).context(what)?;
            }
            FileType::Fifo => {
                rustix::fs::mknodat(to, name, FileType::Fifo, mode, 0).context(what)?;
            }
            _ => continue,
        }
        own(to, name, &stat).context(what)?;
    }
    Ok(())
}

fn file(from: &OwnedFd, to: &OwnedFd, name: &std::ffi::CStr, mode: Mode) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let source = rustix::fs::openat(from, name, flags, Mode::empty())?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let copy = rustix::fs::openat(to, name, flags, mode)?;
    io::copy(&mut std::fs::File::from(source), &mut std::fs::File::from(copy))?;
    Ok(())
}

/// Owner, mode (which a changed owner may have cut) and times.
fn own(to: &OwnedFd, name: &std::ffi::CStr, stat: &Stat) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    rustix::fs::chownat(to, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
        let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
        rustix::fs::chmodat(to, name, mode, AtFlags::empty())?;
    }
    let time = |seconds, nanoseconds: u64| rustix::fs::Timespec {
        tv_sec: seconds,
        tv_nsec: i64::try_from(nanoseconds).unwrap_or(0),
    };
    let times = Timestamps {
        last_access: time(stat.st_atime, stat.st_atime_nsec),
        last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
    };
    rustix::fs::utimensat(to, name, &times, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(())
}

fn open_dir(at: BorrowedFd<'_>, name: &std::ffi::CStr) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(at, name, flags, Mode::empty()).context(|| "opening a folder")
}
