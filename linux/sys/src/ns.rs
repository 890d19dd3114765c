//! Namespaces: making, opening and joining them.
//!
//! Namespaces belong to threads. Joining or making a **user** namespace fails (EINVAL) in a process with more than
//! one thread; joining a mount namespace as well, unless the thread has its own [`Kind::Mount`] file-system state.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::thread::{LinkNameSpaceType, UnshareFlags};

/// A kind of namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Ids and capabilities.
    User,
    /// Mounts.
    Mount,
    /// Network.
    Net,
    /// Process ids.
    Pid,
    /// System V IPC and POSIX queues.
    Ipc,
    /// Host name.
    Uts,
    /// Cgroup root.
    Cgroup,
}

impl Kind {
    /// Its file in `/proc/PID/ns`.
    pub fn file(self) -> &'static str {
        match self {
            Kind::User => "user",
            Kind::Mount => "mnt",
            Kind::Net => "net",
            Kind::Pid => "pid",
            Kind::Ipc => "ipc",
            Kind::Uts => "uts",
            Kind::Cgroup => "cgroup",
        }
    }

    fn link_type(self) -> LinkNameSpaceType {
        match self {
            Kind::User => LinkNameSpaceType::User,
            Kind::Mount => LinkNameSpaceType::Mount,
            Kind::Net => LinkNameSpaceType::Network,
            Kind::Pid => LinkNameSpaceType::ProcessID,
            Kind::Ipc => LinkNameSpaceType::InterProcessCommunication,
            Kind::Uts => LinkNameSpaceType::HostNameAndNISDomainName,
            Kind::Cgroup => LinkNameSpaceType::ControlGroup,
        }
    }

    fn flag(self) -> UnshareFlags {
        match self {
            Kind::User => UnshareFlags::NEWUSER,
            Kind::Mount => UnshareFlags::NEWNS,
            Kind::Net => UnshareFlags::NEWNET,
            Kind::Pid => UnshareFlags::NEWPID,
            Kind::Ipc => UnshareFlags::NEWIPC,
            Kind::Uts => UnshareFlags::NEWUTS,
            Kind::Cgroup => UnshareFlags::NEWCGROUP,
        }
    }
}

/// Opens the namespace that the calling thread is in.
pub fn current(kind: Kind) -> io::Result<OwnedFd> {
    open(format!("/proc/thread-self/ns/{}", kind.file()))
}

/// Opens the namespace of a process.
pub fn of_process(pid: u32, kind: Kind) -> io::Result<OwnedFd> {
    open(format!("/proc/{pid}/ns/{}", kind.file()))
}

/// Opens a namespace file (in `/proc`, or a bind mount of one).
pub fn open(path: impl AsRef<std::path::Path>) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path.as_ref(), flags, Mode::empty())?)
}

/// Moves the calling thread into a namespace; fails if the descriptor is not of that kind.
pub fn join(ns: impl AsFd, kind: Kind) -> io::Result<()> {
    Ok(rustix::thread::move_into_link_name_space(ns.as_fd(), Some(kind.link_type()))?)
}

/// The user namespace that owns a namespace (NS_GET_USERNS, Linux 4.9); EPERM if it is an ancestor of the caller's.
pub fn owner(ns: impl AsFd) -> io::Result<OwnedFd> {
    const NS_GET_USERNS: libc::c_int = 0xb701; // _IO(0xb7, 1)
    let fd = std::os::fd::AsRawFd::as_raw_fd(&ns.as_fd());
    // SAFETY: this request takes no argument.
    let owner = unsafe { libc::ioctl(fd, NS_GET_USERNS as _) };
    if owner < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just made this descriptor (close-on-exec) and nobody else owns it.
    Ok(unsafe { std::os::fd::FromRawFd::from_raw_fd(owner) })
}

/// Gives the calling thread new namespaces (for [`Kind::Pid`]: its children).
pub fn unshare(kinds: &[Kind]) -> io::Result<()> {
    let flags = kinds.iter().fold(UnshareFlags::empty(), |all, k| all | k.flag());
    // SAFETY: no `Kind` is CLONE_FILES, the one flag that can invalidate another thread's descriptors.
    Ok(unsafe { rustix::thread::unshare_unsafe(flags) }?)
}

/// Gives the (single-threaded) process a new user namespace in which it is uid and gid 0 and nobody else exists: what a
/// process may do without any help (user_namespaces(7)). `setgroups` is lost with it.
pub fn unshare_user_as_root() -> io::Result<()> {
    let uid = rustix::process::geteuid().as_raw();
    let gid = rustix::process::getegid().as_raw();
    unshare(&[Kind::User])?;
    std::fs::write("/proc/self/setgroups", "deny")?;
    std::fs::write("/proc/self/uid_map", format!("0 {uid} 1\n"))?;
    std::fs::write("/proc/self/gid_map", format!("0 {gid} 1\n"))
}

/// Gives the calling thread its own working folder, root and umask (CLONE_FS), so that it may join a mount namespace.
pub fn unshare_fs() -> io::Result<()> {
    // SAFETY: CLONE_FS leaves descriptors shared.
    Ok(unsafe { rustix::thread::unshare_unsafe(UnshareFlags::FS) }?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fork::in_child;

    #[test]
    fn a_process_joins_the_user_and_network_namespaces_of_another() {
        let ended = in_child(|| {
            let outside = current(Kind::Net).map(inode);
            if unshare(&[Kind::User, Kind::Net]).is_err() {
                return 77;
            }
            let (user, net) = (current(Kind::User), current(Kind::Net));
            let (Ok(user), Ok(net)) = (user, net) else { return 1 };
            let inside = inode(net.try_clone().expect("clone"));
            let ended = in_child(|| i32::from(join(&net, Kind::Net).is_err()));
            let _ = user;
            match (outside, ended) {
                (Ok(outside), Ok(e)) if outside != inside && e.code() == 0 => 0,
                _ => 2,
            }
        });
        match ended.unwrap().code() {
            77 => println!("SKIPPED: user namespaces are forbidden here"),
            code => assert_eq!(code, 0),
        }
    }

    fn inode(fd: OwnedFd) -> u64 {
        rustix::fs::fstat(fd).map(|s| s.st_ino).unwrap_or(0)
    }
}
