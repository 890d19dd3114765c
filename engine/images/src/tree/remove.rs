//! Removing trees, whatever is in them.
//!
//! A container can leave folders without permissions and folders nested deeper than any path is long.
//! Permissions do not matter to uid 0 of the user namespace; where they do (a test as a plain user),
//! they are set first. Depth costs neither stack nor descriptors: what lies deeper than
//! [`MAX_DEPTH`] is moved up to the top and removed from there.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;

use crate::error::{At, Result};

/// Folders followed downwards before the rest is moved up.
const MAX_DEPTH: usize = 64;

/// Removes a tree; content if it is not there.
pub fn remove(path: &Path) -> Result<()> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(crate::Error::io("remove", path, Errno::INVAL));
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let parent = match rustix::fs::openat(CWD, parent, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(()),
        other => other.at("open", parent)?,
    };
    remove_at(parent.as_fd(), std::os::unix::ffi::OsStrExt::as_bytes(name)).at("remove", path)
}

/// Removes `name` in `parent`, and all below it; content if it is not there.
pub(crate) fn remove_at(parent: BorrowedFd<'_>, name: &[u8]) -> Result<(), Errno> {
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        // Linux says EISDIR, POSIX EPERM.
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(e) => return Err(e),
    }
    let top = open(parent, name)?;
    let mut moved = 0;
    loop {
        let before = moved;
        empty(top.as_fd(), top.as_fd(), 0, &mut moved)?;
        if moved == before {
            return rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR);
        }
    }
}

/// Removes everything in a folder, except what it moves up to `top`.
fn empty(
    folder: BorrowedFd<'_>,
    top: BorrowedFd<'_>,
    depth: usize,
    moved: &mut u64,
) -> Result<(), Errno> {
    let mut folders = Vec::new();
    for entry in rustix::fs::Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        match rustix::fs::unlinkat(folder, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(Errno::ISDIR | Errno::PERM) => folders.push(name.to_owned()),
            Err(e) => return Err(e),
        }
    }
    for name in folders {
        if rustix::fs::unlinkat(folder, &name, AtFlags::REMOVEDIR).is_ok() {
            continue;
        }
        if depth == MAX_DEPTH {
            *moved += 1;
            let fresh = format!(".bryo-removed-{moved}-{:x}", rand::random::<u32>());
            rustix::fs::renameat(folder, &name, top, fresh)?;
            continue;
        }
        let inner = open(folder, name.to_bytes())?;
        empty(inner.as_fd(), top, depth + 1, moved)?;
        rustix::fs::unlinkat(folder, &name, AtFlags::REMOVEDIR)?;
    }
    Ok(())
}

fn open(parent: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(parent, name, flags, Mode::empty()) {
        Err(Errno::ACCESS) => {
            rustix::fs::chmodat(parent, name, Mode::RWXU, AtFlags::empty())?;
            rustix::fs::openat(parent, name, flags, Mode::empty())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn removes_forbidden_and_very_deep_folders() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().join("top");
        fs::create_dir_all(top.join("closed/inner")).unwrap();
        fs::write(top.join("closed/inner/file"), "x").unwrap();
        std::os::unix::fs::symlink("/etc", top.join("link")).unwrap();
        fs::set_permissions(top.join("closed"), fs::Permissions::from_mode(0o0)).unwrap();
        let mut fd = open(CWD, std::os::unix::ffi::OsStrExt::as_bytes(top.as_os_str())).unwrap();
        for _ in 0..3000 {
            rustix::fs::mkdirat(&fd, c"deep", Mode::RWXU).unwrap();
            fd = open(fd.as_fd(), b"deep").unwrap();
        }
        remove(&top).unwrap();
        assert!(!top.exists());
        assert!(Path::new("/etc").exists());
        remove(&top).unwrap();
    }
}
