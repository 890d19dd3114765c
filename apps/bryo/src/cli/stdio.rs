//! Standard input and output for tasks: reads and writes happen on the runtime's blocking threads, so that a terminal nobody
//! types at, or a pipe nobody reads, holds up nothing else.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Standard input.
pub fn stdin() -> io::Result<tokio::fs::File> {
    duplicate(io::stdin())
}

/// Standard output.
pub fn stdout() -> io::Result<tokio::fs::File> {
    duplicate(io::stdout())
}

/// Standard error.
pub fn stderr() -> io::Result<tokio::fs::File> {
    duplicate(io::stderr())
}

/// Whether standard output is a pipe that nobody reads any more.
pub fn is_output_closed() -> bool {
    let stdout = rustix::stdio::stdout();
    let mut fds = [PollFd::new(&stdout, PollFlags::OUT)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    let closed = poll(&mut fds, Some(&at_once)).is_ok();
    closed && fds.iter().any(|fd| fd.revents().contains(PollFlags::ERR))
}

/// Ends the process as a write to a closed pipe would.
pub fn end_by_pipe() -> ! {
    let pipe = rustix::process::Signal::PIPE;
    let _ = bryo_sys::signal::reset();
    let _ = rustix::process::kill_process(rustix::process::getpid(), pipe);
    std::process::exit(128 + pipe.as_raw())
}

fn duplicate(stream: impl AsFd) -> io::Result<tokio::fs::File> {
    Ok(tokio::fs::File::from_std(File::from(stream.as_fd().try_clone_to_owned()?)))
}
