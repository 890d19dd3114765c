//! Files in a stack of overlay layers that is not mounted: what a container would see, read without mounting.
//!
//! The engine needs this where a mount would cost more than the read: names of users before a start, and the first content
//! of a volume. Layers are hostile trees, so nothing here hands the kernel a path of more than one name: every step opens one
//! name with `O_NOFOLLOW`, and symlinks are followed by hand, over all layers and never out of them.
//!
//! Rules of overlayfs (Documentation/filesystems/overlayfs.rst): a character device 0:0 hides what is below; a folder with
//! `user.overlay.opaque` = `y` hides the content of the folders below; other than two folders, the topmost hides the rest.
//!
//! On failure: the kernel's error; a path that is not there is `None`.

use std::collections::{HashSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, XattrFlags,
};
use rustix::io::Errno;

use crate::rooted::read_link;

/// Symlinks followed in one path; the kernel's own limit.
const MAX_LINKS: u32 = 40;

/// Folders within folders; deeper trees are refused rather than followed until the stack ends.
const MAX_DEPTH: u32 = 1000;

/// A stack of layers.
#[derive(Debug)]
pub struct Layers {
    /// Topmost first.
    roots: Vec<OwnedFd>,
}

/// Something in the stack.
enum Found {
    /// A folder: its parts, topmost first.
    Folder(Vec<OwnedFd>),
    /// Anything else: the folder that has it, its name, its type.
    Other(OwnedFd, OsString, FileType),
}

impl Layers {
    /// The layers in these folders, topmost first. One that does not exist counts as empty.
    pub fn open<P: AsRef<Path>>(folders: &[P]) -> io::Result<Layers> {
        let mut roots = Vec::with_capacity(folders.len());
        for folder in folders {
            match rustix::fs::openat(CWD, folder.as_ref(), folder_flags(), Mode::empty()) {
                Ok(fd) => roots.push(fd),
                Err(Errno::NOENT) => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(Layers { roots })
    }

    /// A whole regular file of at most `limit` bytes; a larger one, a device or a pipe is `InvalidData`.
    pub fn read(&self, path: impl AsRef<Path>, limit: u64) -> io::Result<Option<Vec<u8>>> {
        let Some(found) = self.find(path.as_ref())? else { return Ok(None) };
        let Found::Other(folder, name, FileType::RegularFile) = found else {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "not a regular file"));
        };
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::openat(&folder, &name, flags, Mode::empty())?);
        let mut data = Vec::new();
        file.take(limit.saturating_add(1)).read_to_end(&mut data)?;
        if u64::try_from(data.len()).unwrap_or(u64::MAX) > limit {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the file is too large"));
        }
        Ok(Some(data))
    }

    /// Copies the folder at `path` as a container would see it into the folder `into`: content, owners, modes, times,
    /// extended attributes. Devices are left out. False: there is no folder at `path`.
    pub fn copy_folder(&self, path: impl AsRef<Path>, into: &Path) -> io::Result<bool> {
        let Some(Found::Folder(parts)) = self.find(path.as_ref())? else { return Ok(false) };
        let target = rustix::fs::openat(CWD, into, folder_flags(), Mode::empty())?;
        copy_parts(&parts, &target, 0)?;
        if let Some(top) = parts.first() {
            dress(top.as_fd(), target.as_fd())?;
        }
        Ok(true)
    }

    fn find(&self, path: &Path) -> io::Result<Option<Found>> {
        let mut todo = names(path);
        // The folders on the way; `..` goes back.
        let mut way: Vec<Vec<OwnedFd>> = vec![duplicate(&self.roots)?];
        let mut links = 0;
        while let Some(name) = todo.pop_front() {
            if name == ".." {
                if way.len() > 1 {
                    way.pop();
                }
                continue;
            }
            let Some(parts) = way.last() else { return Ok(None) };
            match step(parts, &name)? {
                None => return Ok(None),
                Some(Found::Folder(next)) => way.push(next),
                Some(Found::Other(folder, name, FileType::Symlink)) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(Errno::LOOP.into());
                    }
                    let target = read_link(folder.as_fd(), &name)?;
                    if target.is_absolute() {
                        way.truncate(1);
                    }
                    for part in names(&target).into_iter().rev() {
                        todo.push_front(part);
                    }
                }
                Some(other) if todo.is_empty() => return Ok(Some(other)),
                Some(_) => return Ok(None),
            }
        }
        Ok(way.pop().map(Found::Folder))
    }
}

fn folder_flags() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC
}

fn duplicate(fds: &[OwnedFd]) -> io::Result<Vec<OwnedFd>> {
    fds.iter().map(OwnedFd::try_clone).collect()
}

fn names(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|c| match c {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some(OsString::from("..")),
            _ => None,
        })
        .collect()
}

/// One name in a folder's parts.
fn step(parts: &[OwnedFd], name: &OsStr) -> io::Result<Option<Found>> {
    let mut folders = Vec::new();
    for part in parts {
        let stat = match rustix::fs::statat(part, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => continue,
            Err(e) => return Err(e.into()),
        };
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind != FileType::Directory {
            if folders.is_empty() && !is_whiteout(&stat) {
                return Ok(Some(Found::Other(part.try_clone()?, name.to_owned(), kind)));
            }
            break;
        }
        let folder = rustix::fs::openat(part, name, folder_flags(), Mode::empty())?;
        let opaque = is_opaque(folder.as_fd());
        folders.push(folder);
        if opaque {
            break;
        }
    }
    Ok(if folders.is_empty() { None } else { Some(Found::Folder(folders)) })
}

fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

fn is_opaque(folder: BorrowedFd<'_>) -> bool {
    let mut value = [0u8; 4];
    let buffer: &mut [u8] = &mut value;
    matches!(rustix::fs::fgetxattr(folder, "user.overlay.opaque", buffer), Ok(1) if value.first() == Some(&b'y'))
}

/// Copies the content of a folder's parts.
fn copy_parts(parts: &[OwnedFd], target: &OwnedFd, depth: u32) -> io::Result<()> {
    if depth > MAX_DEPTH {
        return Err(Errno::LOOP.into());
    }
    let mut seen: HashSet<OsString> = HashSet::new();
    for (index, part) in parts.iter().enumerate() {
        let again = rustix::fs::openat(part, ".", folder_flags(), Mode::empty())?;
        for entry in Dir::new(again)? {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes()).to_owned();
            if name == "." || name == ".." || !seen.insert(name.clone()) {
                continue;
            }
            match step(parts.get(index..).unwrap_or_default(), &name)? {
                None => {}
                Some(Found::Folder(inner)) => copy_child(&inner, target, &name, depth)?,
                Some(Found::Other(folder, name, kind)) => copy_other(&folder, &name, kind, target)?,
            }
        }
    }
    Ok(())
}

fn copy_child(parts: &[OwnedFd], target: &OwnedFd, name: &OsStr, depth: u32) -> io::Result<()> {
    match rustix::fs::mkdirat(target, name, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(e) => return Err(e.into()),
    }
    let made = rustix::fs::openat(target, name, folder_flags(), Mode::empty())?;
    copy_parts(parts, &made, depth + 1)?;
    match parts.first() {
        Some(top) => dress(top.as_fd(), made.as_fd()),
        None => Ok(()),
    }
}

fn copy_other(folder: &OwnedFd, name: &OsStr, kind: FileType, target: &OwnedFd) -> io::Result<()> {
    match kind {
        FileType::RegularFile => {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let mut from = File::from(rustix::fs::openat(folder, name, flags, Mode::empty())?);
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            let made = rustix::fs::openat(target, name, flags | OFlags::NOFOLLOW, Mode::RUSR)?;
            let mut to = File::from(made);
            io::copy(&mut from, &mut to)?;
            dress(from.as_fd(), to.as_fd())
        }
        FileType::Symlink => {
            let leads: PathBuf = read_link(folder.as_fd(), name)?;
            rustix::fs::symlinkat(&leads, target, name)?;
            let stat = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
            Ok(rustix::fs::chownat(
                target,
                name,
                Some(Uid::from_raw(stat.st_uid)),
                Some(Gid::from_raw(stat.st_gid)),
                AtFlags::SYMLINK_NOFOLLOW,
            )?)
        }
        FileType::Fifo => {
            let stat = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
            let mode = Mode::from_raw_mode(stat.st_mode);
            Ok(rustix::fs::mknodat(target, name, FileType::Fifo, mode, 0)?)
        }
        _ => Ok(()),
    }
}

/// Gives `to` the owner, mode, times and attributes of `from`; the order matters: chown clears set-id bits and
/// `security.capability`.
fn dress(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<()> {
    let stat = rustix::fs::fstat(from)?;
    rustix::fs::fchown(to, Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)))?;
    rustix::fs::fchmod(to, Mode::from_raw_mode(stat.st_mode))?;
    copy_attributes(from, to)?;
    let times = Timestamps {
        last_access: timespec(stat.st_atime, stat.st_atime_nsec),
        last_modification: timespec(stat.st_mtime, stat.st_mtime_nsec),
    };
    Ok(rustix::fs::futimens(to, &times)?)
}

fn timespec<S: TryInto<i64>, N: TryInto<i64>>(seconds: S, nanoseconds: N) -> Timespec {
    Timespec {
        tv_sec: seconds.try_into().unwrap_or(0),
        tv_nsec: nanoseconds.try_into().unwrap_or(0),
    }
}

fn copy_attributes(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<()> {
    let mut list = vec![0u8; 64 * 1024];
    let length = match rustix::fs::flistxattr(from, &mut list[..]) {
        Ok(length) => length,
        Err(Errno::NOTSUP) => return Ok(()),
        Err(e) => return Err(e.into()),
    };
    for name in list.get(..length).unwrap_or_default().split(|b| *b == 0) {
        if name.is_empty() || name.starts_with(b"user.overlay.") {
            continue;
        }
        let name = OsStr::from_bytes(name);
        let mut value = vec![0u8; 64 * 1024];
        let length = rustix::fs::fgetxattr(from, name, &mut value[..])?;
        let value = value.get(..length).unwrap_or_default();
        match rustix::fs::fsetxattr(to, name, value, XattrFlags::empty()) {
            // Some namespaces of attributes are not for this user or filesystem; content matters more.
            Ok(()) | Err(Errno::PERM | Errno::NOTSUP | Errno::ACCESS) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn tree(base: &Path, files: &[(&str, &str)]) -> PathBuf {
        for (path, content) in files {
            let path = base.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        fs::create_dir_all(base).unwrap();
        base.to_owned()
    }

    fn text(layers: &Layers, path: &str) -> Option<String> {
        layers.read(path, 1000).unwrap().map(|b| String::from_utf8(b).unwrap())
    }

    #[test]
    fn the_topmost_file_wins_and_symlinks_cross_layers_but_never_leave() {
        let dir = tempfile::tempdir().unwrap();
        let low = tree(&dir.path().join("low"), &[("etc/passwd", "low"), ("real/x", "x")]);
        let top = tree(&dir.path().join("top"), &[("etc/group", "g")]);
        symlink("/real", top.join("link")).unwrap();
        symlink("../../../../../../etc/hostname", top.join("out")).unwrap();
        symlink("loop", top.join("loop")).unwrap();
        let layers = Layers::open(&[&top, &low]).unwrap();
        assert_eq!(text(&layers, "/etc/passwd").as_deref(), Some("low"));
        assert_eq!(text(&layers, "link/x").as_deref(), Some("x"));
        assert_eq!(text(&layers, "out"), None);
        assert!(layers.read("loop", 10).is_err());
        assert!(layers.read("etc/passwd", 2).is_err());
        assert!(layers.read("etc", 2).is_err());
    }

    #[test]
    fn opaque_folders_hide_what_is_below_when_copied() {
        let dir = tempfile::tempdir().unwrap();
        let low =
            tree(&dir.path().join("low"), &[("v/a", "1"), ("v/o/hidden", "1"), ("v/m/l", "l")]);
        let top = tree(&dir.path().join("top"), &[("v/a", "2"), ("v/o/seen", "2"), ("v/m/t", "t")]);
        rustix::fs::setxattr(top.join("v/o"), "user.overlay.opaque", b"y", XattrFlags::empty())
            .unwrap();
        symlink("a", low.join("v/s")).unwrap();
        let into = tree(&dir.path().join("into"), &[]);
        let layers = Layers::open(&[&top, &low]).unwrap();
        assert!(layers.copy_folder("/v", &into).unwrap());
        assert_eq!(fs::read_to_string(into.join("a")).unwrap(), "2");
        assert_eq!(fs::read_to_string(into.join("s")).unwrap(), "2");
        assert!(into.join("o/seen").exists() && !into.join("o/hidden").exists());
        assert!(into.join("m/l").exists() && into.join("m/t").exists());
        assert!(!layers.copy_folder("/nothing", &into).unwrap());
    }
}
