//! Standard input and output for tasks: reads and writes happen on the runtime's blocking threads, so that a terminal nobody
//! types at, or a pipe nobody reads, holds up nothing else.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;

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

fn duplicate(stream: impl AsFd) -> io::Result<tokio::fs::File> {
    Ok(tokio::fs::File::from_std(File::from(stream.as_fd().try_clone_to_owned()?)))
}
