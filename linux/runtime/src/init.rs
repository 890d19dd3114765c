//! The small init in front of a program (docker's `--init`): process 1 of the container.
//!
//! It starts the program as its child, forwards every signal to it, reaps whatever ends, and ends with the program's exit
//! code (128 + signal number for a killed one); the kernel then kills what is left. It is our own code, copied
//! by clone: no file is needed in the image. It has the container's user, capabilities and seccomp filter.

use std::convert::Infallible;
use std::os::fd::AsFd;

use bryo_sys::fork::{self, Fork};
use bryo_sys::process::close_from;
use bryo_sys::signal::{self, SignalFd};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::Pid;

use crate::error::{Context, Result};
use crate::sync::Line;

/// Signals that are not forwarded: those that the kernel sends for what this process does itself, and those that
/// cannot be caught.
const OWN: [i32; 9] = [
    4,  // SIGILL
    5,  // SIGTRAP
    6,  // SIGABRT
    7,  // SIGBUS
    8,  // SIGFPE
    9,  // SIGKILL
    11, // SIGSEGV
    19, // SIGSTOP
    31, // SIGSYS
];

const SIGCHLD: i32 = 17;
const SIGTTIN: i32 = 21;
const SIGTTOU: i32 = 22;

/// Becomes the init of the program that `execute` becomes. Returns only in the program's process, and only if its exec
/// failed.
pub(crate) fn run(line: &Line, execute: impl FnOnce() -> Result<Infallible>) -> Result<Infallible> {
    let all: Vec<i32> = signal::numbers().filter(|s| !OWN.contains(s)).collect();
    let signals = SignalFd::new(&all).context(|| "collecting init's signals")?;
    match fork::fork().context(|| "starting the program below init")? {
        Fork::Parent(program) => supervise(&signals, program, line),
        Fork::Child => {
            foreground();
            signal::reset().context(|| "resetting signals")?;
            execute()
        }
    }
}

/// A process group of the program's own, in the terminal's foreground if there is one, so that keys reach it.
fn foreground() {
    if rustix::process::setpgid(None, None).is_err() {
        return;
    }
    let stdin = rustix::stdio::stdin();
    if rustix::termios::isatty(stdin) {
        // SIGTTOU, which a background group gets for this, is blocked.
        let _ = rustix::termios::tcsetpgrp(stdin, rustix::process::getpgrp());
    }
}

fn supervise(signals: &SignalFd, program: Pid, line: &Line) -> ! {
    // The parent waits for the end of file, which only the program's exec may bring.
    close_line(line, signals);
    // Only for people who look with ps; its arguments are those of the monitor that it is a copy of.
    let _ = bryo_sys::process::set_title("bryo-init", "");
    loop {
        let mut fds = [PollFd::new(signals, PollFlags::IN)];
        let _ = poll(&mut fds, None);
        while let Ok(Some(number)) = signals.next() {
            match number {
                SIGCHLD => reap(program),
                SIGTTIN | SIGTTOU => {}
                number => forward(program, number),
            }
        }
    }
}

fn reap(program: Pid) {
    while let Ok(Some((pid, ended))) = fork::reap() {
        if pid == program {
            fork::exit(ended.code());
        }
    }
}

fn forward(program: Pid, number: i32) {
    let pid = bryo_sys::pidfd::to_u32(program);
    let _ = bryo_sys::pidfd::open(pid).and_then(|fd| bryo_sys::pidfd::signal(fd, number));
}

/// Closes everything but the standard descriptors and the signals'.
fn close_line(line: &Line, signals: &SignalFd) {
    let _ = line;
    if bryo_sys::exec::close_others(3, signals.as_fd()).is_err() {
        close_from(1024);
    }
}
