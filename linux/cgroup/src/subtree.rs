//! The delegated subtree: helpers out of the way, controllers switched on, leftovers swept.

use std::path::{Path, PathBuf};

use crate::place::members;
use crate::{Error, Result, group, put};

/// The cgroup of Bryo's own processes.
pub const HELPERS: &str = "helpers";

/// The controllers that limits use.
const WANTED: [&str; 5] = ["cpu", "memory", "pids", "io", "cpuset"];

/// A delegated folder that is ready for containers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subtree {
    /// The folder.
    pub base: PathBuf,
    /// The controllers that containers have there.
    pub controllers: Vec<String>,
}

impl Subtree {
    /// Makes `base` ready: `own`, which are Bryo's processes, and whatever else is in it move to `helpers`, and the controllers that
    /// were delegated are switched on for what is below.
    pub fn prepare(base: &Path, own: &[u32]) -> Result<Subtree> {
        let helpers = base.join(HELPERS);
        std::fs::create_dir_all(&helpers)
            .map_err(|source| Error { what: format!("make {}", helpers.display()), source })?;
        let procs = helpers.join("cgroup.procs");
        for pid in own {
            match put(&procs, &pid.to_string()) {
                // It has ended meanwhile.
                Err(e)
                    if e.source.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => {}
                other => other?,
            }
        }
        for pid in members(base) {
            put(&procs, &pid.to_string())?;
        }
        enable(base);
        let controllers = words(&base.join("cgroup.subtree_control"));
        Ok(Subtree { base: base.to_owned(), controllers })
    }

    /// Whether containers have a controller.
    pub fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|c| c == controller)
    }

    /// Whether containers have a file of a controller; some are there or not by the kernel's configuration.
    pub fn has_file(&self, name: &str) -> bool {
        self.base.join(HELPERS).join(name).exists()
    }

    /// Removes the empty cgroups of containers that do not run, which monitors that were killed have left. One with processes in
    /// it stays: it may belong to another engine of this user.
    pub fn sweep(&self) {
        sweep(&self.base, 0);
    }
}

/// Containers' folders are named by 64 hex digits; others are looked into, a few deep (`--cgroup-parent`).
fn sweep(folder: &Path, depth: usize) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        if !entry.file_type().is_ok_and(|t| t.is_dir()) || name == HELPERS {
            continue;
        }
        if name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit()) {
            let events = std::fs::read_to_string(entry.path().join("cgroup.events"));
            if !events.is_ok_and(|e| e.lines().any(|l| l == "populated 1")) {
                // One that cannot be removed is found again next time.
                let _ = group::remove_tree(&entry.path());
            }
        } else if depth < 8 {
            sweep(&entry.path(), depth + 1);
            let _ = std::fs::remove_dir(entry.path());
        }
    }
}

/// Switches on each wanted controller that there is. One by one: a single one that fails would fail them all.
pub(crate) fn enable(folder: &Path) {
    let have = words(&folder.join("cgroup.controllers"));
    let control = folder.join("cgroup.subtree_control");
    for controller in WANTED.iter().filter(|w| have.iter().any(|h| h == *w)) {
        // One that is refused (EBUSY: real-time processes with `cpu`, say) is simply not there for containers.
        let _ = std::fs::write(&control, format!("+{controller}"));
    }
}

fn words(file: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.split_ascii_whitespace().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_empty_groups_of_containers_are_swept() {
        let dir = tempfile::tempdir().unwrap();
        let (old, new) = ("a".repeat(64), "b".repeat(64));
        for name in [old.as_str(), new.as_str(), HELPERS, "x.slice", "other"] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
        }
        std::fs::create_dir(dir.path().join("x.slice").join(&old)).unwrap();
        let subtree = Subtree { base: dir.path().to_owned(), controllers: vec!["pids".into()] };
        std::fs::write(dir.path().join(&new).join("cgroup.events"), "populated 1\n").unwrap();
        subtree.sweep();
        let mut left: Vec<_> =
            std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, [new.as_str(), HELPERS]);
        assert!(subtree.has("pids") && !subtree.has("io"));
    }
}
