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

mod birth;
mod capability;
mod child;
mod control;
mod create;
mod devices;
mod error;
mod exec;
mod fuse;
mod handles;
mod idmap;
mod init;
mod limits;
mod lookup;
mod masks;
mod mounts;
mod namespaces;
mod offline;
mod options;
mod process;
mod rootfs;
pub mod seccomp;
mod sync;
mod sysctl;
pub mod users;

pub use control::{family, pause, processes, signal, unpause};
pub use create::{Created, Running, create};
pub use error::{Error, ErrorKind, Result};
pub use exec::exec;
pub use handles::Namespaces;
pub use limits::Limits;
pub use offline::{Access, Bind, offline};
pub use options::{CreateOptions, ExecOptions, Rootfs, Stdio};
pub use rootfs::overlay;
