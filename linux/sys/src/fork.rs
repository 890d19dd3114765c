//! Forking: the one way in which Bryo makes processes of its own.
//!
//! A forked child has one thread, the one that forked. In a process with threads, a lock that another
//! thread held stays locked in the child for ever; so the holder and the monitors, which fork for a living,
//! have one thread, and elsewhere [`in_child`] is for short probes that touch nothing shared.
//!
//! A child made here never returns into its parent's code: it ends by `_exit`, so neither destructors nor
//! buffered output of the parent run twice.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use rustix::process::{Pid, WaitOptions, waitpid};

/// What [`fork`] returned, and in which process.
#[derive(Debug)]
pub enum Fork {
    /// In the process that called: the child's pid.
    Parent(Pid),
    /// In the new process.
    Child,
}

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// By `_exit` with this code.
    Exited(i32),
    /// By this signal.
    Signaled(i32),
}

impl Ended {
    /// A shell's number for it: the code, or 128 + signal.
    pub fn code(self) -> i32 {
        match self {
            Ended::Exited(code) => code,
            Ended::Signaled(signal) => 128 + signal,
        }
    }
}

/// `fork(2)`. The child should end with [`exit`] and, if the caller has threads, may only use what needs no lock.
pub fn fork() -> io::Result<Fork> {
    // SAFETY: fork has no memory-safety condition of its own; the child gets a copy of this thread alone, and
    // libc's fork handler leaves its allocator usable there.
    let pid = unsafe { libc::fork() };
    match pid {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Fork::Child),
        pid => {
            Pid::from_raw(pid).map(Fork::Parent).ok_or_else(|| io::Error::other("fork: bad pid"))
        }
    }
}

/// `_exit(2)`: ends the process at once; no destructor, no flush.
pub fn exit(code: i32) -> ! {
    // SAFETY: _exit does not return and touches nothing of this process' memory.
    unsafe { libc::_exit(code) }
}

/// Runs `child` in a forked process, which exits with the number it returns (101 if it panics).
pub fn spawn(child: impl FnOnce() -> i32) -> io::Result<Pid> {
    match fork()? {
        Fork::Parent(pid) => Ok(pid),
        Fork::Child => exit(catch_unwind(AssertUnwindSafe(child)).unwrap_or(101)),
    }
}

/// The same, and waits for its end.
pub fn in_child(child: impl FnOnce() -> i32) -> io::Result<Ended> {
    wait(spawn(child)?)
}

/// Waits for the end of one child.
pub fn wait(pid: Pid) -> io::Result<Ended> {
    loop {
        match waitpid(Some(pid), WaitOptions::empty()) {
            Ok(Some((_, status))) => {
                if let Some(ended) = ended(status) {
                    return Ok(ended);
                }
            }
            Ok(None) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
}

/// A child that has ended, if there is one; none if all run on or there are none. Never blocks.
pub fn reap() -> io::Result<Option<(Pid, Ended)>> {
    // Not `waitpid(None, …)`, which waits only for children of the caller's own process group.
    match rustix::process::wait(WaitOptions::NOHANG) {
        Ok(Some((pid, status))) => Ok(ended(status).map(|e| (pid, e))),
        Ok(None) | Err(rustix::io::Errno::CHILD) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

fn ended(status: rustix::process::WaitStatus) -> Option<Ended> {
    if let Some(code) = status.exit_status() {
        Some(Ended::Exited(code))
    } else {
        status.terminating_signal().map(Ended::Signaled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_childs_code_and_signal_come_back() {
        assert_eq!(in_child(|| 7).unwrap(), Ended::Exited(7));
        let killed = in_child(|| {
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL)
                .map_or(1, |()| 0)
        });
        assert_eq!(killed.unwrap().code(), 137);
    }

    #[test]
    fn a_panic_in_the_child_stays_there() {
        let ended = in_child(|| {
            // The default hook would print; the test's output is not the point here.
            std::panic::set_hook(Box::new(|_| {}));
            panic!("child");
        });
        assert_eq!(ended.unwrap(), Ended::Exited(101));
    }
}
