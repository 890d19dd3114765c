//! Mounts as descriptors: the mount API of Linux 5.2 and later.
//!
//! A filesystem is made ([`Maker`]) or a tree is cloned ([`clone_tree`]) as a *detached* mount, gets its attributes
//! ([`set_attributes`]) while nobody can see it, and is attached ([`attach`]) onto a descriptor of its target. No
//! path is resolved twice, so a tree that changes meanwhile cannot redirect anything, and no mount is ever
//! visible with the wrong flags (a bind mount by mount(2) is writable until it is remounted).
//!
//! On failure: the kernel's error; for [`Maker`] with the filesystem's own words from its log (`read` on the
//! descriptor, Linux 5.2) in the text.

use std::ffi::CString;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags};

/// Attributes of a mount (not of the filesystem below it).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Attributes(u64);

impl Attributes {
    /// No attribute.
    pub const NONE: Attributes = Attributes(0);
    /// `ro`
    pub const RDONLY: Attributes = Attributes(0x1);
    /// `nosuid`
    pub const NOSUID: Attributes = Attributes(0x2);
    /// `nodev`
    pub const NODEV: Attributes = Attributes(0x4);
    /// `noexec`
    pub const NOEXEC: Attributes = Attributes(0x8);
    /// The bits of the access-time policy; `relatime` is all of them clear.
    pub const ATIME: Attributes = Attributes(0x70);
    /// `noatime`
    pub const NOATIME: Attributes = Attributes(0x10);
    /// `strictatime`
    pub const STRICTATIME: Attributes = Attributes(0x20);
    /// `nodiratime`
    pub const NODIRATIME: Attributes = Attributes(0x80);
    /// `nosymfollow` (Linux 5.14)
    pub const NOSYMFOLLOW: Attributes = Attributes(0x20_0000);

    /// Whether no bit is set.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether every bit of `other` is set.
    pub fn contains(self, other: Attributes) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both.
    pub fn with(self, other: Attributes) -> Attributes {
        Attributes(self.0 | other.0)
    }

    /// Without the bits of `other`.
    pub fn without(self, other: Attributes) -> Attributes {
        Attributes(self.0 & !other.0)
    }

    fn for_fsmount(self) -> MountAttrFlags {
        MountAttrFlags::from_bits_retain(u32::try_from(self.0).unwrap_or(0))
    }
}

/// Where mount events go (mount_namespaces(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    /// Nowhere.
    Private,
    /// From the source only.
    Slave,
    /// Both ways.
    Shared,
    /// Nowhere, and it cannot be bound.
    Unbindable,
}

/// An error of the mount API: the kernel's number and, if the filesystem said anything, its words.
#[derive(Debug)]
pub struct MountError {
    /// The kernel's error.
    pub source: io::Error,
    /// The filesystem's log, one line; empty if it said nothing.
    pub log: String,
}

impl fmt::Display for MountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.log.is_empty() {
            write!(f, "{}", self.source)
        } else {
            write!(f, "{} ({})", self.source, self.log)
        }
    }
}

impl std::error::Error for MountError {}

impl From<rustix::io::Errno> for MountError {
    fn from(e: rustix::io::Errno) -> MountError {
        MountError { source: e.into(), log: String::new() }
    }
}

/// A filesystem being configured.
#[derive(Debug)]
pub struct Maker {
    fd: OwnedFd,
}

impl Maker {
    /// Begins with a filesystem type.
    pub fn new(filesystem: &str) -> Result<Maker, MountError> {
        let fd = rustix::mount::fsopen(filesystem, FsOpenFlags::FSOPEN_CLOEXEC)?;
        Ok(Maker { fd })
    }

    /// Sets `key=value`. The kernel takes at most 255 bytes of value here.
    pub fn set(&self, key: &str, value: impl AsRef<Path>) -> Result<(), MountError> {
        rustix::mount::fsconfig_set_string(&self.fd, key, value.as_ref())
            .map_err(|e| self.explain(e))
    }

    /// Sets a word without a value.
    pub fn flag(&self, key: &str) -> Result<(), MountError> {
        rustix::mount::fsconfig_set_flag(&self.fd, key).map_err(|e| self.explain(e))
    }

    /// Sets `key` to a descriptor.
    pub fn set_fd(&self, key: &str, value: BorrowedFd<'_>) -> Result<(), MountError> {
        rustix::mount::fsconfig_set_fd(&self.fd, key, value).map_err(|e| self.explain(e))
    }

    /// Makes the filesystem and a detached mount of it.
    pub fn mount(self, attributes: Attributes) -> Result<OwnedFd, MountError> {
        rustix::mount::fsconfig_create(&self.fd).map_err(|e| self.explain(e))?;
        rustix::mount::fsmount(&self.fd, FsMountFlags::FSMOUNT_CLOEXEC, attributes.for_fsmount())
            .map_err(|e| self.explain(e))
    }

    fn explain(&self, errno: rustix::io::Errno) -> MountError {
        let mut log = String::new();
        let mut line = [0u8; 512];
        // One message a read, prefixed by its level ("e overlay: …"), until ENODATA.
        while let Ok(n) = rustix::io::read(&self.fd, &mut line) {
            let text = String::from_utf8_lossy(line.get(..n).unwrap_or_default());
            if !log.is_empty() {
                log.push_str("; ");
            }
            log.push_str(text.trim_start_matches(['e', 'w', 'i']).trim());
            if n == 0 || log.len() > 2048 {
                break;
            }
        }
        MountError { source: errno.into(), log }
    }
}

/// A detached clone of the tree at `path` (empty: of `from` itself), with the mounts below it if `recursive`.
pub fn clone_tree(
    from: BorrowedFd<'_>,
    path: impl AsRef<Path>,
    recursive: bool,
) -> io::Result<OwnedFd> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    if path.as_ref().as_os_str().is_empty() {
        flags |= OpenTreeFlags::AT_EMPTY_PATH;
    }
    Ok(rustix::mount::open_tree(from, path.as_ref(), flags)?)
}

/// Attaches a detached mount (or moves an attached one) onto what `target` is a descriptor of.
pub fn attach(mount: BorrowedFd<'_>, target: BorrowedFd<'_>) -> io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    Ok(rustix::mount::move_mount(mount, "", target, "", flags)?)
}

/// `struct mount_attr` of linux/mount.h.
#[repr(C)]
struct MountAttr {
    attr_set: u64,
    attr_clr: u64,
    propagation: u64,
    userns_fd: u64,
}

/// A change of attributes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Change {
    /// Bits to set.
    pub set: Attributes,
    /// Bits to clear.
    pub clear: Attributes,
    /// Propagation, if it changes.
    pub propagation: Option<Propagation>,
}

impl Change {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        *self == Change::default()
    }
}

/// `mount_setattr` (Linux 5.12) on the mount behind `mount`, and those below it if `recursive`.
pub fn set_attributes(mount: BorrowedFd<'_>, recursive: bool, change: Change) -> io::Result<()> {
    // A change of the access-time policy has to clear the whole field first.
    let atime = change.set.0 & Attributes::ATIME.0 != 0;
    let clear = if atime { change.clear.with(Attributes::ATIME) } else { change.clear };
    let attr = MountAttr {
        attr_set: change.set.0,
        attr_clr: clear.0,
        propagation: match change.propagation {
            None => 0,
            Some(Propagation::Unbindable) => 1 << 17,
            Some(Propagation::Private) => 1 << 18,
            Some(Propagation::Slave) => 1 << 19,
            Some(Propagation::Shared) => 1 << 20,
        },
        userns_fd: 0,
    };
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    let fd = mount.as_raw_fd();
    // SAFETY: the structure has the layout and the size that are passed; the path is an empty C string.
    let r = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            fd,
            c"".as_ptr(),
            flags,
            &raw const attr,
            size_of::<MountAttr>(),
        )
    };
    if r == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// mount(2), for what the new API of older kernels cannot say: options longer than 255 bytes.
pub fn classic(
    source: &str,
    target: BorrowedFd<'_>,
    filesystem: &str,
    data: &[u8],
) -> io::Result<()> {
    let target = crate::rooted::fd_path(target.as_fd());
    let data = CString::new(data).map_err(io::Error::other)?;
    let flags = rustix::mount::MountFlags::empty();
    Ok(rustix::mount::mount(source, target.as_str(), filesystem, flags, Some(data.as_c_str()))?)
}

/// Detaches whatever is mounted at `path` and below.
pub fn detach(path: impl AsRef<Path>) -> io::Result<()> {
    let flags = rustix::mount::UnmountFlags::DETACH | rustix::mount::UnmountFlags::NOFOLLOW;
    Ok(rustix::mount::unmount(path.as_ref().as_os_str().as_bytes(), flags)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_sets() {
        let a = Attributes::RDONLY.with(Attributes::NODEV);
        assert!(a.contains(Attributes::NODEV));
        assert!(!a.without(Attributes::NODEV).contains(Attributes::NODEV));
        assert!(Attributes::NONE.is_empty());
    }

    #[test]
    fn a_detached_tmpfs_is_usable_and_a_bad_option_is_explained() {
        use crate::ns::{Kind, unshare};
        let ended = crate::fork::in_child(|| {
            let uids = format!("0 {} 1", rustix::process::getuid().as_raw());
            let gids = format!("0 {} 1", rustix::process::getgid().as_raw());
            if unshare(&[Kind::User, Kind::Mount]).is_err() {
                return 77;
            }
            // Without maps nobody can own a file.
            let mapped = std::fs::write("/proc/self/uid_map", uids)
                .and_then(|()| std::fs::write("/proc/self/setgroups", "deny"))
                .and_then(|()| std::fs::write("/proc/self/gid_map", gids));
            if mapped.is_err() {
                return 8;
            }
            let Ok(maker) = Maker::new("tmpfs") else { return 1 };
            match maker.set("size", "nonsense") {
                Err(e) if e.source.raw_os_error() == Some(libc::EINVAL) && !e.log.is_empty() => {}
                _ => return 2,
            }
            let Ok(maker) = Maker::new("tmpfs") else { return 3 };
            let Ok(fd) = maker.mount(Attributes::NOEXEC) else { return 4 };
            let change = Change { set: Attributes::RDONLY, ..Change::default() };
            if rustix::fs::mkdirat(&fd, "x", rustix::fs::Mode::from(0o755)).is_err() {
                return 5;
            }
            if set_attributes(fd.as_fd(), true, change).is_err() {
                return 6;
            }
            match rustix::fs::mkdirat(&fd, "y", rustix::fs::Mode::from(0o755)) {
                Err(rustix::io::Errno::ROFS) => 0,
                _ => 7,
            }
        });
        match ended.unwrap().code() {
            77 => println!("SKIPPED: user namespaces are forbidden here"),
            code => assert_eq!(code, 0),
        }
    }
}
