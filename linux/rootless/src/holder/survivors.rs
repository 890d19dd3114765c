//! Children that outlive a killed holder: how they are noted down, found again, and ended.
//!
//! `EXEC_ROOT/children` has `PID STARTTIME` a line, appended at each fork and removed when no child is left. A pid alone
//! could have been given to another process since; with its start time it cannot.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bryo_sys::pidfd;

/// The list of the children.
pub(crate) fn children_file(exec_root: &Path) -> PathBuf {
    exec_root.join("children")
}

/// Appends a child.
pub(crate) fn remember(exec_root: &Path, pid: u32) -> io::Result<()> {
    let start = pidfd::start_time(pid).unwrap_or(0);
    let file = children_file(exec_root);
    let mut file = OpenOptions::new().create(true).append(true).mode(0o600).open(file)?;
    file.write_all(format!("{pid} {start}\n").as_bytes())
}

/// The noted children that still run.
pub(crate) fn read_survivors(exec_root: &Path) -> Vec<(u32, u64)> {
    let text = std::fs::read_to_string(children_file(exec_root)).unwrap_or_default();
    text.lines()
        .filter_map(|line| {
            let (pid, start) = line.split_once(' ')?;
            let (pid, start) = (pid.parse().ok()?, start.parse().ok()?);
            (pidfd::start_time(pid) == Some(start)).then_some((pid, start))
        })
        .collect()
}

/// Ends a process: TERM, and KILL after half a second. With `start`, only if it is still that process.
pub(crate) fn end(pid: u32, start: Option<u64>) {
    let Ok(handle) = pidfd::open(pid) else { return };
    if start.is_some() && pidfd::start_time(pid) != start {
        return;
    }
    let _ = pidfd::signal(&handle, 15);
    if pidfd::wait(&handle, Some(Duration::from_millis(500))).unwrap_or(true) {
        return;
    }
    let _ = pidfd::signal(&handle, 9);
    let _ = pidfd::wait(&handle, Some(Duration::from_secs(2)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_very_same_processes_are_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let me = std::process::id();
        remember(dir.path(), me).unwrap();
        OpenOptions::new()
            .append(true)
            .open(children_file(dir.path()))
            .unwrap()
            .write_all(format!("{me} 1\n4194304999 5\nnonsense\n").as_bytes())
            .unwrap();
        let found = read_survivors(dir.path());
        assert_eq!(found, [(me, pidfd::start_time(me).unwrap())]);
    }

    #[test]
    fn a_process_that_ignores_term_is_killed() {
        let pid = bryo_sys::fork::spawn(|| {
            let _ = bryo_sys::signal::ignore(15);
            std::thread::sleep(Duration::from_secs(60));
            0
        })
        .unwrap();
        std::thread::sleep(Duration::from_millis(50));
        end(pidfd::to_u32(pid), None);
        assert_eq!(bryo_sys::fork::wait(pid).unwrap().code(), 137);
    }
}
