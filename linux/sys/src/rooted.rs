//! Paths inside a tree that somebody else controls: a container's root, an unpacked layer, a volume.
//!
//! Everything in such a tree is hostile. A component may be a symlink to `/etc` of the host, and it
//! may become one between two calls. [`Root`] therefore never hands a path to the kernel unless it is
//! resolved by `openat2` with `RESOLVE_IN_ROOT` (absolute links and `..` stay inside the tree) and
//! `RESOLVE_NO_MAGICLINKS` (`/proc/PID/root` and its like lead nowhere); what comes back are
//! descriptors, and further work happens on descriptors with single names. Paths given to a `Root`
//! may be absolute or relative: both start at the root.
//!
//! On failure: the kernel's error as it is. `EXDEV` never shows (IN_ROOT has no "outside"); `EAGAIN`,
//! which openat2 answers when a rename raced with `..`, is retried a bounded number of times.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// Symlinks followed in one path before it is called a loop; the kernel's own limit.
const MAX_LINKS: usize = 40;

/// Attempts when openat2 says that a rename raced with the resolution.
const MAX_RACES: usize = 128;

/// A folder that acts as `/` for every path given to it.
#[derive(Debug)]
pub struct Root {
    fd: OwnedFd,
}

impl Root {
    /// The folder at `path` of the caller's own view, which is trusted.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Root> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Root { fd: rustix::fs::openat(CWD, path.as_ref(), flags, Mode::empty())? })
    }

    /// The folder behind a descriptor (`O_PATH` will do).
    pub fn from_fd(fd: OwnedFd) -> Root {
        Root { fd }
    }

    /// The descriptor, given up.
    pub fn into_fd(self) -> OwnedFd {
        self.fd
    }

    /// A second handle on the same folder.
    pub fn try_clone(&self) -> io::Result<Root> {
        Ok(Root { fd: self.fd.try_clone()? })
    }

    /// Opens `path` following every symlink inside the root. `mode` counts only with `O_CREAT`;
    /// `O_CLOEXEC` is always added.
    pub fn open_with(
        &self,
        path: impl AsRef<Path>,
        flags: OFlags,
        mode: Mode,
    ) -> io::Result<OwnedFd> {
        let path = path.as_ref();
        let path = if path.as_os_str().is_empty() { Path::new("/") } else { path };
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        for _ in 0..MAX_RACES {
            match rustix::fs::openat2(&self.fd, path, flags | OFlags::CLOEXEC, mode, resolve) {
                Err(Errno::AGAIN) => {}
                Err(e) => return Err(e.into()),
                Ok(fd) => return Ok(fd),
            }
        }
        Err(Errno::AGAIN.into())
    }

    /// `path` as an `O_PATH` descriptor, the last component's symlink followed.
    pub fn resolve(&self, path: impl AsRef<Path>) -> io::Result<OwnedFd> {
        self.open_with(path, OFlags::PATH, Mode::empty())
    }

    /// `path` as an `O_PATH` descriptor of the last component itself, even if it is a symlink.
    pub fn resolve_link(&self, path: impl AsRef<Path>) -> io::Result<OwnedFd> {
        self.open_with(path, OFlags::PATH | OFlags::NOFOLLOW, Mode::empty())
    }

    /// Opens a file for reading.
    pub fn open_file(&self, path: impl AsRef<Path>) -> io::Result<OwnedFd> {
        self.open_with(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY, Mode::empty())
    }

    /// Opens a folder for reading its entries.
    pub fn open_dir(&self, path: impl AsRef<Path>) -> io::Result<OwnedFd> {
        self.open_with(path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())
    }

    /// The folder that holds the last component of `path`, and that component's name, for the `…at`
    /// calls (which must get `AT_SYMLINK_NOFOLLOW` or `O_NOFOLLOW`). `/`, `.` and a final `..` have no
    /// name: `InvalidInput`.
    pub fn parent(&self, path: impl AsRef<Path>) -> io::Result<(OwnedFd, OsString)> {
        let (parent, name) = split(path.as_ref())?;
        let fd = self.open_with(parent, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?;
        Ok((fd, name.to_owned()))
    }

    /// Reads a whole regular file of at most `limit` bytes. A device, a pipe or a larger file is
    /// `InvalidData`: reading one could hang or never end.
    pub fn read(&self, path: impl AsRef<Path>, limit: u64) -> io::Result<Vec<u8>> {
        let fd = self.open_file(path)?;
        let stat = rustix::fs::fstat(&fd)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "not a regular file"));
        }
        let mut data = Vec::new();
        let file = std::fs::File::from(fd);
        io::Read::read_to_end(&mut io::Read::take(&file, limit.saturating_add(1)), &mut data)?;
        if u64::try_from(data.len()).unwrap_or(u64::MAX) > limit {
            let text = format!("larger than {limit} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        Ok(data)
    }

    /// `mkdir -p`: makes `path` and its missing parents with `mode` (less the umask) and returns the
    /// folder (`O_PATH`). Symlinks that exist are followed inside the root, dangling ones too: their
    /// targets are made. Something else than a folder on the way is `NotADirectory`.
    pub fn mkdir_p(&self, path: impl AsRef<Path>, mode: Mode) -> io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        match self.open_with(path.as_ref(), flags, Mode::empty()) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            other => return other,
        }
        // Most often only the last name is missing.
        if let Ok((folder, name)) = self.parent(path.as_ref()) {
            if rustix::fs::mkdirat(&folder, &name, mode).is_ok() {
                let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                return Ok(rustix::fs::openat(&folder, &name, flags, Mode::empty())?);
            }
        }
        let place = self.walk(path.as_ref(), mode)?;
        self.open_with(place, flags | OFlags::NOFOLLOW, Mode::empty())
    }

    /// Makes an empty file at `path` if nothing is there, parents too, and returns it (`O_PATH`).
    /// What exists is returned as it is, whatever its type. Dangling symlinks are followed.
    pub fn touch_p(
        &self,
        path: impl AsRef<Path>,
        dir_mode: Mode,
        mode: Mode,
    ) -> io::Result<OwnedFd> {
        let mut path = path.as_ref().to_owned();
        for _ in 0..MAX_LINKS {
            match self.resolve(&path) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                other => return other,
            }
            let (parent, name) = split(&path)?;
            let folder = self.mkdir_p(parent, dir_mode)?;
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
            match rustix::fs::openat(&folder, name, flags | OFlags::NOFOLLOW, mode) {
                Ok(_) => {
                    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                    return Ok(rustix::fs::openat(&folder, name, flags, Mode::empty())?);
                }
                Err(Errno::EXIST) => {}
                Err(e) => return Err(e.into()),
            }
            // A dangling link: go where it points, seen from the folder that holds it.
            let target = read_link(folder.as_fd(), name)?;
            path = parent.join(target);
        }
        Err(Errno::LOOP.into())
    }

    /// Whether anything is at `path` (a dangling symlink is nothing).
    pub fn exists(&self, path: impl AsRef<Path>) -> bool {
        self.resolve(path).is_ok()
    }

    /// Goes down `path` one name at a time, makes what is missing, and returns the path without
    /// symlinks at which it arrived.
    fn walk(&self, path: &Path, mode: Mode) -> io::Result<PathBuf> {
        let mut todo: VecDeque<OsString> = names(path);
        let mut done = PathBuf::from("/");
        let mut links = 0;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        while let Some(name) = todo.pop_front() {
            if name == ".." {
                done.pop();
                continue;
            }
            let folder = self.open_with(&done, flags, Mode::empty())?;
            match rustix::fs::mkdirat(&folder, &name, mode) {
                Ok(()) => {
                    done.push(name);
                    continue;
                }
                Err(Errno::EXIST) => {}
                Err(e) => return Err(e.into()),
            }
            let stat = rustix::fs::statat(&folder, &name, AtFlags::SYMLINK_NOFOLLOW)?;
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => done.push(name),
                FileType::Symlink => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(Errno::LOOP.into());
                    }
                    let target = read_link(folder.as_fd(), &name)?;
                    if target.is_absolute() {
                        done = PathBuf::from("/");
                    }
                    for part in names(&target).into_iter().rev() {
                        todo.push_front(part);
                    }
                }
                _ => return Err(Errno::NOTDIR.into()),
            }
        }
        Ok(done)
    }
}

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// `/proc/self/fd/N`: a name for a descriptor, for the calls that only know paths. It is exact (the
/// kernel does not resolve the path again) as long as the descriptor is open and `/proc` is the real
/// procfs; inside a container's tree use descriptors.
pub fn fd_path(fd: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&fd))
}

/// The target of the symlink `name` in `folder`.
pub fn read_link(folder: BorrowedFd<'_>, name: impl AsRef<OsStr>) -> io::Result<PathBuf> {
    let target = rustix::fs::readlinkat(folder, name.as_ref(), Vec::new())?;
    Ok(PathBuf::from(OsString::from_vec(target.into_bytes())))
}

/// The names of a path: no root, no `.`.
fn names(path: &Path) -> VecDeque<OsString> {
    let mut names = VecDeque::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => names.push_back(name.to_owned()),
            Component::ParentDir => names.push_back(OsString::from("..")),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    names
}

/// A path as the folder it is in and its name.
fn split(path: &Path) -> io::Result<(&Path, &OsStr)> {
    let name = path.file_name().filter(|n| !n.as_bytes().is_empty());
    match (path.parent(), name) {
        (Some(parent), Some(name)) => Ok((parent, name)),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "the path has no last name")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn tree() -> (tempfile::TempDir, Root) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("root")).unwrap();
        let root = Root::open(dir.path().join("root")).unwrap();
        (dir, root)
    }

    #[test]
    fn absolute_and_climbing_links_stay_inside() {
        let (dir, root) = tree();
        std::fs::write(dir.path().join("secret"), "outside").unwrap();
        symlink("../secret", dir.path().join("root/up")).unwrap();
        symlink("/etc", dir.path().join("root/abs")).unwrap();
        assert_eq!(root.read("up", 100).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(root.read("abs/passwd", 100).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(root.read("../../../../etc/passwd", 1 << 20).is_err());
    }

    #[test]
    fn mkdir_p_follows_dangling_links_inside_the_root() {
        let (dir, root) = tree();
        symlink("/var/elsewhere", dir.path().join("root/link")).unwrap();
        symlink("../../../../deep", dir.path().join("root/climb")).unwrap();
        root.mkdir_p("/link/a/b", Mode::from(0o755)).unwrap();
        root.mkdir_p("climb/c", Mode::from(0o755)).unwrap();
        assert!(dir.path().join("root/var/elsewhere/a/b").is_dir());
        assert!(dir.path().join("root/deep/c").is_dir());
        assert!(!dir.path().join("deep").exists());
    }

    #[test]
    fn mkdir_p_refuses_a_file_on_the_way_and_a_loop() {
        let (dir, root) = tree();
        std::fs::write(dir.path().join("root/file"), "").unwrap();
        symlink("loop", dir.path().join("root/loop")).unwrap();
        let e = root.mkdir_p("file/x", Mode::from(0o755)).unwrap_err();
        assert_eq!(e.kind(), io::ErrorKind::NotADirectory);
        assert!(root.mkdir_p("loop/x", Mode::from(0o755)).is_err());
    }

    #[test]
    fn touch_p_makes_the_target_of_a_dangling_link() {
        let (dir, root) = tree();
        symlink("/run/real", dir.path().join("root/link")).unwrap();
        root.touch_p("link", Mode::from(0o755), Mode::from(0o644)).unwrap();
        root.touch_p("a/b/c", Mode::from(0o755), Mode::from(0o644)).unwrap();
        assert!(dir.path().join("root/run/real").is_file());
        assert!(dir.path().join("root/a/b/c").is_file());
    }

    #[test]
    fn read_refuses_what_is_not_a_small_regular_file() {
        let (dir, root) = tree();
        std::fs::write(dir.path().join("root/big"), vec![0u8; 100]).unwrap();
        let fifo = dir.path().join("root/fifo");
        rustix::fs::mknodat(CWD, &fifo, FileType::Fifo, Mode::from(0o600), 0).unwrap();
        assert_eq!(root.read("big", 99).unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(root.read("big", 100).unwrap().len(), 100);
        assert_eq!(root.read("fifo", 100).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn parent_needs_a_name() {
        let (_dir, root) = tree();
        assert!(root.parent("/").is_err());
        assert!(root.parent("..").is_err());
        assert_eq!(root.parent("/x").unwrap().1, "x");
    }
}
