//! Handles on processes that a reused pid cannot fool (pidfd, Linux 5.3).
//!
//! A pidfd becomes readable when the process ends. Signals sent through it reach that process or nobody.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags};

/// A handle on the process `pid`, which the caller knows to be the right one (its child, or checked afterwards
/// with [`start_time`]).
pub fn open(pid: u32) -> io::Result<OwnedFd> {
    Ok(rustix::process::pidfd_open(to_pid(pid)?, PidfdFlags::empty())?)
}

/// Sends signal number `signal`; 0 only checks that the process is there.
pub fn signal(pidfd: impl AsFd, signal: i32) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    let fd = pidfd.as_fd().as_raw_fd();
    // SAFETY: the descriptor is borrowed for the call; the siginfo pointer is null, which the kernel allows.
    let r = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            fd,
            signal,
            std::ptr::null::<libc::siginfo_t>(),
            0,
        )
    };
    if r == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Frees the memory of a process that was killed, without waiting until it gets to run (process_mrelease(2), Linux 5.15).
pub fn release_memory(pidfd: impl AsFd) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    let fd = pidfd.as_fd().as_raw_fd();
    // SAFETY: two numbers, of which the descriptor is borrowed for the call.
    let r = unsafe { libc::syscall(libc::SYS_process_mrelease, fd, 0) };
    if r == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Waits until the process ends, at most `timeout` (none: for ever). True if it ended.
pub fn wait(pidfd: impl AsFd, timeout: Option<Duration>) -> io::Result<bool> {
    let timeout = match timeout {
        Some(t) => Some(Timespec::try_from(t).map_err(io::Error::other)?),
        None => None,
    };
    loop {
        let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
        match poll(&mut fds, timeout.as_ref()) {
            Ok(n) => return Ok(n > 0),
            Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
}

/// When the process started, in clock ticks since boot (/proc/PID/stat, field 22): with the pid it names one
/// process for the life of the machine. None if there is no such process or it has ended and only waits to be reaped.
pub fn start_time(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name (field 2) is in parentheses and may hold anything, so count from the last one.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

/// A pid as rustix has it.
pub fn to_pid(pid: u32) -> io::Result<Pid> {
    i32::try_from(pid)
        .ok()
        .and_then(Pid::from_raw)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, format!("{pid} is no pid")))
}

/// A pid as a number.
pub fn to_u32(pid: Pid) -> u32 {
    pid.as_raw_nonzero().get().unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signalled_child_ends_its_pidfd() {
        let pid = crate::fork::spawn(|| {
            std::thread::sleep(Duration::from_secs(30));
            0
        })
        .unwrap();
        let fd = open(to_u32(pid)).unwrap();
        assert!(start_time(to_u32(pid)).unwrap() > 0);
        assert!(!wait(&fd, Some(Duration::ZERO)).unwrap());
        signal(&fd, libc::SIGKILL).unwrap();
        assert!(wait(&fd, Some(Duration::from_secs(5))).unwrap());
        assert_eq!(crate::fork::wait(pid).unwrap().code(), 137);
    }
}
