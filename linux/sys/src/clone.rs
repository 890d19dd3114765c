//! `clone3`: a child born in its namespaces (and cgroup), with a pidfd that no reused pid can fool.
//!
//! The child is a copy of the calling process with its one thread, as after `fork`: it runs on the same code and
//! its own memory. libc's fork handlers do not run, so a caller with threads may find the allocator's locks held:
//! callers have **one** thread. (CLONE_VM|CLONE_VFORK would save the copied page tables but puts the child on
//! memory that the parent uses afterwards; the callers are small, and plain copies measured alike.)

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::ns::Kind;

/// What [`clone`] returned, and in which process.
#[derive(Debug)]
pub enum Cloned {
    /// In the caller.
    Parent {
        /// The child's pid in the caller's pid namespace.
        pid: u32,
        /// The child's pidfd, close-on-exec.
        pidfd: OwnedFd,
    },
    /// In the new process. It should end by exec or [`crate::fork::exit`].
    Child,
}

/// `struct clone_args` of linux/sched.h, all of its fields as of Linux 5.7.
#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

const _: () = assert!(size_of::<CloneArgs>() == 88, "CLONE_ARGS_SIZE_VER2");

/// Whose child the new process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parent {
    /// The caller's.
    Caller,
    /// The caller's parent's (CLONE_PARENT): for a helper that enters namespaces on behalf of its parent.
    Grandparent,
}

/// Makes a child in new namespaces of `kinds` and, if given, in the cgroup v2 folder `cgroup` (CLONE_INTO_CGROUP,
/// Linux 5.7: being born there is much cheaper than moving, which waits for a grace period).
pub fn clone(kinds: &[Kind], parent: Parent, cgroup: Option<BorrowedFd<'_>>) -> io::Result<Cloned> {
    let mut pidfd: libc::c_int = -1;
    let mut flags = unsigned(libc::CLONE_PIDFD);
    for kind in kinds {
        flags |= flag(*kind);
    }
    let mut args =
        CloneArgs { pidfd: (&raw mut pidfd).expose_provenance() as u64, ..CloneArgs::default() };
    match parent {
        // With CLONE_PARENT the kernel takes the caller's own exit signal and wants none here.
        Parent::Grandparent => flags |= unsigned(libc::CLONE_PARENT),
        Parent::Caller => args.exit_signal = unsigned(libc::SIGCHLD),
    }
    if let Some(fd) = cgroup {
        flags |= 0x2_0000_0000; // CLONE_INTO_CGROUP, wider than an int
        args.cgroup = u64::try_from(fd.as_raw_fd()).map_err(io::Error::other)?;
    }
    args.flags = flags;
    // SAFETY: `args` and the pidfd it points to live through the call; without CLONE_VM and a stack of its own the
    // child goes on here with a copy of this thread's memory, as after fork.
    let r = unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<CloneArgs>()) };
    match r {
        0 => Ok(Cloned::Child),
        pid if pid > 0 => {
            // SAFETY: CLONE_PIDFD made the kernel put a new descriptor here, which nobody else owns.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            Ok(Cloned::Parent { pid: u32::try_from(pid).map_err(io::Error::other)?, pidfd })
        }
        _ => Err(io::Error::last_os_error()),
    }
}

fn flag(kind: Kind) -> u64 {
    unsigned(match kind {
        Kind::User => libc::CLONE_NEWUSER,
        Kind::Mount => libc::CLONE_NEWNS,
        Kind::Net => libc::CLONE_NEWNET,
        Kind::Pid => libc::CLONE_NEWPID,
        Kind::Ipc => libc::CLONE_NEWIPC,
        Kind::Uts => libc::CLONE_NEWUTS,
        Kind::Cgroup => libc::CLONE_NEWCGROUP,
    })
}

fn unsigned(flag: libc::c_int) -> u64 {
    // The flags are bits of an int; as a number each is positive.
    u64::from(flag.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fork;

    #[test]
    fn a_child_in_a_pid_namespace_is_number_one() {
        let ended =
            fork::in_child(|| match clone(&[Kind::User, Kind::Pid], Parent::Caller, None) {
                Ok(Cloned::Child) => fork::exit(rustix::process::getpid().as_raw_nonzero().get()),
                Ok(Cloned::Parent { pid, pidfd }) => {
                    let ended = crate::pidfd::to_pid(pid).and_then(fork::wait);
                    drop(pidfd);
                    ended.map_or(2, |e| if e.code() == 1 { 0 } else { 3 })
                }
                Err(_) => 77,
            });
        match ended.unwrap().code() {
            77 => println!("SKIPPED: user namespaces are forbidden here"),
            code => assert_eq!(code, 0),
        }
    }
}
