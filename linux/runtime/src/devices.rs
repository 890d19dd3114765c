//! `/dev`: device nodes, the usual links, the console.
//!
//! A user namespace cannot make device nodes, so the host's are bound, one by one. The targets are empty files made in
//! the container's `/dev`, which is a tmpfs that only this code has touched so far.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use bryo_sys::mount;
use bryo_sys::rooted::Root;
use oci_spec::runtime::{LinuxDevice, LinuxDeviceType, Spec};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::error::{Context, Error, Result, plain};
use crate::mounts::Planned;

/// What every container has.
const NODES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// Links that programs expect (fd(4), and `ptmx` because devpts is an instance of the container's own).
const LINKS: [(&str, &str); 6] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("core", "/proc/kcore"),
    ("ptmx", "pts/ptmx"),
];

/// Fills `/dev`, unless the whole of it is bound from elsewhere.
pub(crate) fn set_up(root: &Root, spec: &Spec, mounts: &[Planned]) -> Result<()> {
    let dev = Path::new("/dev");
    if mounts.iter().any(|m| m.target == dev && m.kind == "bind") {
        return Ok(());
    }
    let folder =
        root.mkdir_p(dev, Mode::from_raw_mode(0o755)).context(|| "making the container's /dev")?;
    for name in NODES {
        let source = Path::new("/dev").join(name);
        node(folder.as_fd(), Path::new(name), &source)
            .map_err(|e| e.within(format!("binding {}", source.display())))?;
    }
    for (name, target) in LINKS {
        match rustix::fs::symlinkat(target, &folder, name) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(e) => return Err(e).context(|| format!("making the link /dev/{name}")),
        }
    }
    for device in spec.linux().iter().flat_map(|l| l.devices().iter().flatten()) {
        extra(root, device).map_err(|e| e.within(format!("device {}", device.path().display())))?;
    }
    Ok(())
}

/// Binds the host's `source` on the new file `name` of the folder.
fn node(folder: BorrowedFd<'_>, name: &Path, source: &Path) -> Result<()> {
    let target = new_file(folder, name)?;
    let tree = mount::clone_tree(CWD, source, false).context(|| "cloning the device")?;
    mount::attach(tree.as_fd(), target.as_fd()).context(|| "attaching the device")
}

/// An empty file in a folder; one that exists is taken, a link is not followed.
fn new_file(folder: BorrowedFd<'_>, name: &Path) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(folder, name, flags, Mode::from_raw_mode(0o666)) {
        Err(Errno::EXIST) => {
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            rustix::fs::openat(folder, name, flags, Mode::empty())
        }
        other => other,
    }
    .context(|| "making its file")
}

/// A device of the spec: the host's node with that number.
fn extra(root: &Root, device: &LinuxDevice) -> Result<()> {
    let path = device.path();
    if NODES.iter().any(|n| Path::new("/dev").join(n) == *path) {
        return Ok(());
    }
    if device.typ() == LinuxDeviceType::P {
        let (folder, name) = parent(root, path)?;
        let mode = Mode::from_raw_mode(device.file_mode().unwrap_or(0o666) & 0o7777);
        return rustix::fs::mknodat(&folder, &name, FileType::Fifo, mode, 0)
            .context(|| "making the fifo");
    }
    let source = find(device)?;
    let (folder, name) = parent(root, path)?;
    node(folder.as_fd(), Path::new(&name), &source)
}

fn parent(root: &Root, path: &Path) -> Result<(OwnedFd, std::ffi::OsString)> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    root.mkdir_p(folder, Mode::from_raw_mode(0o755)).context(|| "making its folder")?;
    root.parent(path).context(|| "finding its folder")
}

/// The host's path of a device number: the same name if it fits, else the kernel's name for it.
fn find(device: &LinuxDevice) -> Result<PathBuf> {
    if is_device(device.path(), device) {
        return Ok(device.path().clone());
    }
    let class = if device.typ() == LinuxDeviceType::B { "block" } else { "char" };
    let (major, minor) = (device.major(), device.minor());
    let uevent = format!("/sys/dev/{class}/{major}:{minor}/uevent");
    let name = std::fs::read_to_string(&uevent).ok().and_then(|text| {
        text.lines().find_map(|l| l.strip_prefix("DEVNAME=").map(|n| Path::new("/dev").join(n)))
    });
    match name {
        Some(path) if is_device(&path, device) => Ok(path),
        _ => Err(Error::bad(format!(
            "no {class} device {major}:{minor} on the host (device nodes cannot be made in a user namespace, only \
             taken from the host's /dev)"
        ))),
    }
}

fn is_device(path: &Path, device: &LinuxDevice) -> bool {
    let Ok(stat) = rustix::fs::stat(path) else { return false };
    let kind = FileType::from_raw_mode(stat.st_mode);
    let fits = match device.typ() {
        LinuxDeviceType::B => kind == FileType::BlockDevice,
        _ => kind == FileType::CharacterDevice,
    };
    fits && i64::from(rustix::fs::major(stat.st_rdev)) == device.major()
        && i64::from(rustix::fs::minor(stat.st_rdev)) == device.minor()
}

/// A terminal for the first process, from the container's devpts, bound on `/dev/console`; master and slave.
pub(crate) fn console(root: &Root, devpts: Option<&OwnedFd>) -> Result<(OwnedFd, OwnedFd)> {
    let (master, slave) = terminal(root, devpts)?;
    let dev = root
        .open_with("/dev", OFlags::PATH | OFlags::DIRECTORY, Mode::empty())
        .context(|| "opening the container's /dev")?;
    // A name in a folder that we hold: nothing can stand in for it (CVE-2025-52565).
    let target =
        new_file(dev.as_fd(), Path::new("console")).map_err(|e| e.within("making /dev/console"))?;
    let stat = rustix::fs::fstat(&target).context(|| "looking at /dev/console")?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink {
        return Err(Error::bad("/dev/console is a symbolic link in the image"));
    }
    let tree = mount::clone_tree(slave.as_fd(), "", false).context(|| "cloning the terminal")?;
    mount::attach(tree.as_fd(), target.as_fd()).context(|| "binding /dev/console")?;
    Ok((master, slave))
}

/// A terminal from the container's devpts; `devpts` if it was mounted here, else what is at `/dev/pts`.
pub(crate) fn terminal(root: &Root, devpts: Option<&OwnedFd>) -> Result<(OwnedFd, OwnedFd)> {
    const DEVPTS_MAGIC: i64 = 0x1cd1;
    let found;
    let devpts = match devpts {
        Some(fd) => fd.as_fd(),
        None => {
            found = root
                .open_with("/dev/pts", OFlags::PATH | OFlags::DIRECTORY, Mode::empty())
                .map_err(|e| {
                    Error::bad(format!("a terminal needs a devpts at /dev/pts: {}", plain(&e)))
                })?;
            found.as_fd()
        }
    };
    let kind = rustix::fs::fstatfs(devpts).map(|s| s.f_type).unwrap_or(0);
    if kind != DEVPTS_MAGIC {
        return Err(Error::bad(
            "a terminal needs a devpts at /dev/pts, and there is another filesystem",
        ));
    }
    bryo_sys::pty::open(devpts).context(|| "opening a terminal")
}

/// The host's `/dev/null`, checked to be that: what covers masked files (CVE-2025-31133).
pub(crate) fn null() -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(CWD, "/dev/null", flags, Mode::empty())
        .context(|| "opening /dev/null")?;
    let stat =
        rustix::fs::statat(&fd, "", AtFlags::EMPTY_PATH).context(|| "looking at /dev/null")?;
    let real = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
        && stat.st_rdev == rustix::fs::makedev(1, 3);
    if real { Ok(fd) } else { Err(Error::other("the host's /dev/null is not the null device")) }
}

/// Gives the terminal or the standard streams to the container's user, as other runtimes do, so that it can open
/// `/dev/stdout`. Streams that are not ours to give (a file of the engine's user) stay as they are.
pub(crate) fn give(fd: impl AsFd, uid: u32, gid: Option<u32>) -> io::Result<()> {
    let stat = rustix::fs::fstat(&fd)?;
    if stat.st_uid == uid || is_null(&stat) {
        return Ok(());
    }
    let gid = gid.map(rustix::fs::Gid::from_raw);
    match rustix::fs::fchown(&fd, Some(rustix::fs::Uid::from_raw(uid)), gid) {
        Ok(()) | Err(Errno::PERM | Errno::ROFS | Errno::INVAL | Errno::OVERFLOW) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

fn is_null(stat: &rustix::fs::Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
        && stat.st_rdev == rustix::fs::makedev(1, 3)
}
