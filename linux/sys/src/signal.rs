//! Signals as descriptors: a process blocks what it wants to hear of and reads it from a signalfd in its loop.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Blocked signals that arrive as reads. Dropping it unblocks nothing.
#[derive(Debug)]
pub struct SignalFd {
    fd: OwnedFd,
}

impl SignalFd {
    /// Blocks `signals` in the calling thread and collects them; close-on-exec, non-blocking.
    pub fn new(signals: &[i32]) -> io::Result<SignalFd> {
        let set = set_of(signals)?;
        change_mask(libc::SIG_BLOCK, &set)?;
        // SAFETY: the set is initialised and outlives the call.
        let fd = unsafe { libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: signalfd just returned this descriptor, so nobody else owns it.
        Ok(SignalFd { fd: unsafe { OwnedFd::from_raw_fd(fd) } })
    }

    /// The next signal's number, if one is pending. Several SIGCHLD may have become one.
    pub fn next(&self) -> io::Result<Option<i32>> {
        // struct signalfd_siginfo is 128 bytes and starts with ssi_signo, a u32 (signalfd(2)).
        let mut info = [0u8; 128];
        match rustix::io::read(&self.fd, &mut info) {
            Ok(_) => {
                let number = u32::from_ne_bytes([info[0], info[1], info[2], info[3]]);
                Ok(i32::try_from(number).ok())
            }
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }
}

impl AsFd for SignalFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Every signal that a program may use. Between 31 and SIGRTMIN lie libc's own, which it refuses with EINVAL: glibc keeps
/// two, musl three.
pub fn numbers() -> impl Iterator<Item = i32> {
    (1..=31).chain(libc::SIGRTMIN()..=64)
}

/// Puts every signal back to its default action and unblocks all: what a program expects when it is started.
pub fn reset() -> io::Result<()> {
    for signal in numbers() {
        // These two cannot be changed.
        if matches!(signal, libc::SIGKILL | libc::SIGSTOP) {
            continue;
        }
        set_action(signal, libc::SIG_DFL)?;
    }
    change_mask(libc::SIG_SETMASK, &set_of(&[])?)
}

/// Ignores a signal.
pub fn ignore(signal: i32) -> io::Result<()> {
    set_action(signal, libc::SIG_IGN)
}

/// Blocks signals in the calling thread (and the threads it makes afterwards).
pub fn block(signals: &[i32]) -> io::Result<()> {
    change_mask(libc::SIG_BLOCK, &set_of(signals)?)
}

fn set_action(signal: i32, action: libc::sighandler_t) -> io::Result<()> {
    // SAFETY: the action is SIG_DFL or SIG_IGN, so no handler of ours can run.
    let r = unsafe { libc::signal(signal, action) };
    if r == libc::SIG_ERR { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn set_of(signals: &[i32]) -> io::Result<libc::sigset_t> {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset initialises the set it is given.
    let _ = unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: initialised just above.
    let mut set = unsafe { set.assume_init() };
    for &signal in signals {
        // SAFETY: the set is initialised; a bad number is refused with EINVAL.
        if unsafe { libc::sigaddset(&mut set, signal) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(set)
}

fn change_mask(how: i32, set: &libc::sigset_t) -> io::Result<()> {
    // SAFETY: the set is initialised; the old mask is not asked for.
    match unsafe { libc::pthread_sigmask(how, set, std::ptr::null_mut()) } {
        0 => Ok(()),
        e => Err(io::Error::from_raw_os_error(e)),
    }
}

impl SignalFd {
    /// The descriptor as a number, for loops that keep their own table.
    pub fn raw(&self) -> i32 {
        self.fd.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blocked_signal_is_read_and_reset_unblocks() {
        let ended = crate::fork::in_child(|| {
            let Ok(signals) = SignalFd::new(&[libc::SIGTERM]) else { return 1 };
            let me = rustix::process::getpid();
            let term = rustix::process::Signal::TERM;
            if rustix::process::kill_process(me, term).is_err() {
                return 2;
            }
            if signals.next().ok().flatten() != Some(libc::SIGTERM) {
                return 3;
            }
            if signals.next().ok().flatten().is_some() || reset().is_err() {
                return 4;
            }
            let _ = rustix::process::kill_process(me, term);
            5
        });
        assert_eq!(ended.unwrap(), crate::fork::Ended::Signaled(libc::SIGTERM));
    }
}
