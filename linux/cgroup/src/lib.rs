//! Control groups, version 2: finding a subtree that is delegated to the user, and the cgroups of containers in it.
//!
//! ```text
//! BASE                     delegated: a scope of the user's systemd, or a folder that the user may write
//!  ├── helpers             holder, gate and monitors (a cgroup with controllers below it has no processes of its own)
//!  ├── ID                  a container; born in it by CLONE_INTO_CGROUP
//!  └── some.slice/ID       one with a parent of its own
//! ```
//!
//! Why the helpers are in there: the kernel lets a process be moved or born only within a tree whose common ancestor the
//! mover may write (`cgroup_procs_write_permission`), so monitors must live below the same folder as their containers.
//! And systemd kills what it finds in the unit of an engine that is stopped, so neither may live there.
//!
//! A container's cgroup is made and removed by its monitor, which outlives the engine; what a killed monitor leaves the next
//! engine sweeps away ([`Subtree::sweep`]). Paths here are the trusted ones of `/sys/fs/cgroup`.
//!
//! What is not here: which limit becomes which file (the engine), asking systemd (the engine, as it speaks D-Bus).

mod group;
mod place;
mod subtree;

use std::path::Path;

pub use group::{enter, make, remove, write};
pub use place::{Place, of_process, survey};
pub use subtree::{HELPERS, Subtree};

/// Where cgroups are mounted.
pub const ROOT: &str = "/sys/fs/cgroup";

/// Whether the host has cgroup v2 alone, with its controllers (the file exists in a v2 root only).
pub fn is_unified() -> bool {
    Path::new(ROOT).join("cgroup.controllers").exists()
}

/// Something could not be done to a cgroup.
#[derive(Debug)]
pub struct Error {
    /// What was tried, on which file.
    pub what: String,
    /// Why it failed.
    pub source: std::io::Error,
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = self.source.to_string();
        write!(f, "{}: {}", self.what, text.split(" (os error").next().unwrap_or_default())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// The outcome of this crate's functions.
pub type Result<T> = std::result::Result<T, Error>;

/// Writes a file of a cgroup in one call, as the kernel wants it.
fn put(path: &Path, value: &str) -> Result<()> {
    std::fs::write(path, value)
        .map_err(|source| Error { what: format!("write {value:?} to {}", path.display()), source })
}
