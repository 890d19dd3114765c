//! Where a process is, and which folder above it the user may use.

use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use crate::subtree::HELPERS;
use crate::{ROOT, is_unified};

/// What can be used without asking anybody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A folder that this user may write. The helpers and containers go below it.
    Delegated(PathBuf),
    /// cgroup v2 without a folder for this user; the string is where the process is.
    NotDelegated(PathBuf),
    /// The host has cgroup v1 or both: nothing can be delegated safely.
    NotUnified,
}

/// The cgroup of a process, as a folder. None if it is gone, or the host has no cgroup v2.
pub fn of_process(pid: u32) -> Option<PathBuf> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let path = text.lines().find_map(|l| l.strip_prefix("0::"))?;
    // Of a process outside the reader's cgroup namespace: it cannot be used.
    if path.starts_with("/..") {
        return None;
    }
    Some(Path::new(ROOT).join(path.trim_start_matches('/')))
}

/// Looks whether the process `pid` lives below a folder that this user may use. `own` are Bryo's processes, which may be moved:
/// a folder with other processes in it cannot have controllers below it.
pub fn survey(pid: u32, own: &[u32]) -> Place {
    if !is_unified() {
        return Place::NotUnified;
    }
    let Some(here) = of_process(pid) else { return Place::NotDelegated(PathBuf::from(ROOT)) };
    if here.file_name().is_some_and(|n| n == HELPERS) {
        if let Some(base) = here.parent().filter(|b| writable(b)) {
            return Place::Delegated(base.to_owned());
        }
    }
    if writable(&here) && members(&here).iter().all(|p| own.contains(p)) {
        return Place::Delegated(here);
    }
    // Beside the user's shell, say: then a folder of our own next to it.
    match here.parent().filter(|p| p.starts_with(ROOT) && writable(p)) {
        Some(parent) if members(parent).is_empty() => Place::Delegated(parent.join("bryo")),
        _ => Place::NotDelegated(here),
    }
}

/// Whether this user may move processes into it and make cgroups with controllers below it.
fn writable(folder: &Path) -> bool {
    let may = |path: &Path| access(path, Access::WRITE_OK).is_ok();
    may(folder) && may(&folder.join("cgroup.procs")) && may(&folder.join("cgroup.subtree_control"))
}

/// The processes in a cgroup itself.
pub(crate) fn members(folder: &Path) -> Vec<u32> {
    let text = std::fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    text.split_ascii_whitespace().filter_map(|p| p.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_counts_only_with_all_three_writable() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("cgroup.procs"), "1\n22\n").unwrap();
        assert!(!writable(dir.path()));
        std::fs::write(dir.path().join("cgroup.subtree_control"), "").unwrap();
        assert!(writable(dir.path()));
        assert_eq!(members(dir.path()), [1, 22]);
    }

    #[test]
    fn the_own_process_is_found_where_there_is_v2() {
        if !is_unified() {
            println!("SKIPPED: the host has no unified cgroup v2");
            return;
        }
        assert!(of_process(std::process::id()).unwrap().starts_with(ROOT));
    }
}
