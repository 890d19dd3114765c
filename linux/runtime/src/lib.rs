//! The OCI runtime as a library: a spec becomes a process.
//!
//! The caller is a container's monitor: small, **single-threaded** (the child is made by a plain
//! `clone3` and goes on in ordinary Rust code), uid 0 of Bryo's user namespace and in its mount
//! namespace. Data flows one way:
//!
//! ```text
//! caller                                    child
//!   create(spec, options)
//!     checks the spec, compiles seccomp
//!     clone3 with every new namespace ────▶ waits
//!     writes the id maps ─────────────────▶ root filesystem, mounts, devices, pivot_root …
//!   Created: pid, pidfd, netns                │ (at the same time:)
//!     the caller moves interfaces in          │
//!   Created::start ───────────────────────▶ waits for this; then user, capabilities, seccomp, exec
//!   Running  ◀── end of file on exec, or one error message
//! ```
//!
//! So mounts and network are set up at the same time, and any failure up to the exec comes back as
//! one [`Error`] from [`Created::start`] (or [`Created::ready`]). A [`Created`] that is dropped kills
//! its child; as everything the child made lives in its own namespaces, nothing is left.
//!
//! What is not here: cgroup limits, hooks, checkpoints, names of users (see [`users`] for the lookup in
//! an image's files), the network beyond loopback.

mod error;
mod options;
pub mod seccomp;
pub mod users;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

pub use error::{Error, ErrorKind, Result};
pub use options::{CreateOptions, ExecOptions, Rootfs, Stdio};

use oci_spec::runtime::{Process, Spec};

/// A container whose namespaces exist and whose program does not run yet. Dropping it kills it.
#[derive(Debug)]
pub struct Created {
    pid: u32,
    pidfd: OwnedFd,
}

/// A process whose program was executed. The caller is its parent and must reap it
/// (`waitid` on the pidfd).
#[derive(Debug)]
pub struct Running {
    /// In the caller's pid namespace.
    pub pid: u32,
    /// Becomes readable when the process ended.
    pub pidfd: OwnedFd,
    /// The master of the terminal, with [`Stdio::Terminal`].
    pub terminal: Option<OwnedFd>,
}

/// Makes the namespaces and starts the set-up inside; see the crate's documentation.
///
/// Namespaces follow the spec's `linux.namespaces`: without a path a new one, with a path that one is
/// joined, not listed: the caller's own is kept (host mode; so a caller of a `--network host`
/// container must not have left the host's network namespace). A new user namespace has the same ids
/// as the caller's. If a namespace with a path belongs to another container's user namespace, that
/// user namespace is joined too instead of making a new one, since only there the capabilities over
/// the joined namespace are.
pub fn create(spec: &Spec, options: CreateOptions) -> Result<Created> {
    let _ = (spec, options);
    Err(Error::other("the runtime is not finished"))
}

impl Created {
    /// The first process' pid in the caller's pid namespace.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Its pidfd.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// The container's network namespace, for `setns` and for moving interfaces into it. Loopback is
    /// brought up by the child.
    pub fn network_namespace(&self) -> Result<OwnedFd> {
        Err(Error::other("the runtime is not finished"))
    }

    /// Waits until everything but the exec is done.
    pub fn ready(&mut self) -> Result<()> {
        Err(Error::other("the runtime is not finished"))
    }

    /// Lets the program start and waits until it was executed. On failure the child is reaped and
    /// nothing is left.
    pub fn start(self) -> Result<Running> {
        Err(Error::other("the runtime is not finished"))
    }
}

/// Starts a further process in the container whose first process is behind `pidfd`: in all its
/// namespaces, with the user, capabilities, limits, directory and environment of `process` and the
/// seccomp profile of the container's `spec`. Returns once the program was executed.
pub fn exec(
    pidfd: BorrowedFd<'_>,
    spec: &Spec,
    process: &Process,
    options: ExecOptions,
) -> Result<Running> {
    let _ = (pidfd, spec, process, options);
    Err(Error::other("the runtime is not finished"))
}

/// The pids (in the caller's pid namespace) of all processes of the container whose first process is
/// `pid`: the members of `cgroup` if there is one, else those in the same pid namespace, else (host
/// pid namespace) `pid` and its descendants.
pub fn processes(pid: u32, cgroup: Option<&Path>) -> Result<Vec<u32>> {
    let _ = (pid, cgroup);
    Err(Error::other("the runtime is not finished"))
}

/// Freezes every process of a container: by the freezer of `cgroup` (v2), else by SIGSTOP to each.
pub fn pause(pid: u32, cgroup: Option<&Path>) -> Result<()> {
    let _ = (pid, cgroup);
    Err(Error::other("the runtime is not finished"))
}

/// The reverse of [`pause`].
pub fn unpause(pid: u32, cgroup: Option<&Path>) -> Result<()> {
    let _ = (pid, cgroup);
    Err(Error::other("the runtime is not finished"))
}

/// Sends a signal by number (1–64). `Ok(false)`: the process has ended.
pub fn signal(pidfd: BorrowedFd<'_>, signal: i32) -> Result<bool> {
    let _ = (pidfd, signal);
    Err(Error::other("the runtime is not finished"))
}
