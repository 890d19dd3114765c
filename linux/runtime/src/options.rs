//! What a caller says besides the OCI spec.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use crate::limits::Limits;
use crate::seccomp::Filter;

/// Where the root filesystem comes from. It is mounted in the container's own mount namespace, so
/// there is nothing to unmount afterwards.
#[derive(Debug, Clone)]
pub enum Rootfs {
    /// overlayfs with `userxattr`.
    Overlay {
        /// Layer folders, topmost first.
        lower: Vec<PathBuf>,
        /// The writable layer.
        upper: PathBuf,
        /// overlayfs' work folder, on the same filesystem as `upper`.
        work: PathBuf,
    },
    /// The same through the program `fuse-overlayfs`, which runs beside the container, outside its
    /// namespaces, and ends with it.
    FuseOverlay {
        /// Absolute path of the program.
        program: PathBuf,
        /// Layer folders, topmost first.
        lower: Vec<PathBuf>,
        /// The writable layer.
        upper: PathBuf,
        /// The work folder.
        work: PathBuf,
    },
    /// A plain folder.
    Folder(PathBuf),
}

/// The first three descriptors of a process.
#[derive(Debug)]
pub enum Stdio {
    /// These; the parent's copies are closed by `create` and `exec`.
    Files {
        /// Descriptor 0.
        stdin: OwnedFd,
        /// Descriptor 1.
        stdout: OwnedFd,
        /// Descriptor 2.
        stderr: OwnedFd,
    },
    /// A pseudo terminal from the container's own devpts, so that `tty` inside names it. Its master
    /// is [`crate::Running::terminal`].
    Terminal {
        /// Size at start; 0 leaves it to the kernel.
        rows: u16,
        /// Likewise.
        cols: u16,
    },
}

/// How a container is made, besides its spec.
#[derive(Debug)]
pub struct CreateOptions {
    /// The root filesystem (the spec's `root.path` is not looked at, `root.readonly` is).
    pub rootfs: Rootfs,
    /// The first process' descriptors; the spec's `terminal` is not looked at.
    pub stdio: Stdio,
    /// Put a small init in front of the program as pid 1: it forwards signals and reaps orphans.
    pub init: bool,
    /// A cgroup v2 folder in which the process is born (`CLONE_INTO_CGROUP`).
    pub cgroup: Option<PathBuf>,
    /// A seccomp filter compiled beforehand, in place of the spec's profile; none: that is compiled now.
    pub seccomp: Option<Filter>,
    /// Limits beside the spec's, where no cgroup keeps them.
    pub limits: Limits,
}

/// How a further process is started in a running container.
#[derive(Debug)]
pub struct ExecOptions {
    /// Its descriptors.
    pub stdio: Stdio,
    /// A cgroup v2 folder in which it is born.
    pub cgroup: Option<PathBuf>,
    /// The container's compiled seccomp filter; none: the spec's profile is compiled now.
    pub seccomp: Option<Filter>,
    /// Limits beside the spec's, where no cgroup keeps them.
    pub limits: Limits,
}
