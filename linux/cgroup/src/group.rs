//! One container's cgroup.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::place::members;
use crate::{Error, Result, put, subtree};

/// How long killed processes may take to leave a cgroup that is being removed.
const LEAVING: Duration = Duration::from_secs(5);

/// Makes the cgroup `folder` with these files (name and value, written in order). Folders above it that are missing are made
/// too, with their controllers switched on. If a file cannot be written the folder is removed again.
pub fn make(folder: &Path, files: &[(String, String)]) -> Result<()> {
    if let Some(parent) = folder.parent().filter(|p| !p.exists()) {
        make(parent, &[])?;
        subtree::enable(parent);
    }
    match std::fs::create_dir(folder) {
        // Left by a monitor that was killed.
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
        other => other.map_err(|source| Error {
            what: format!("make the cgroup {}", folder.display()),
            source,
        })?,
    }
    for (file, value) in files {
        if let Err(e) = write(folder, file, value) {
            let _ = remove(folder);
            return Err(e);
        }
    }
    Ok(())
}

/// Writes a file of a cgroup.
pub fn write(folder: &Path, file: &str, value: &str) -> Result<()> {
    put(&folder.join(file), value)
}

/// Moves a process into it; what the process makes from then on is born there.
pub fn enter(folder: &Path, pid: u32) -> Result<()> {
    put(&folder.join("cgroup.procs"), &pid.to_string())
}

/// Ends what is left in it and removes it and all that was made below it; and its parent, if that is empty now.
pub fn remove(folder: &Path) -> Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    let start = Instant::now();
    loop {
        match remove_tree(folder) {
            Ok(()) => break,
            // Processes that are ending are still counted for a moment (EBUSY).
            Err(_) if start.elapsed() < LEAVING => {
                end_all(folder);
                std::thread::sleep(Duration::from_millis(2));
            }
            Err(source) => {
                let what = format!("remove the cgroup {}", folder.display());
                return Err(Error { what, source });
            }
        }
    }
    if let Some(parent) = folder.parent() {
        // The subtree's base has the helpers below it, so it stays.
        let _ = std::fs::remove_dir(parent);
    }
    Ok(())
}

pub(crate) fn remove_tree(folder: &Path) -> std::io::Result<()> {
    match std::fs::remove_dir(folder) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Ok(()) => return Ok(()),
        Err(_) => {}
    }
    for entry in std::fs::read_dir(folder)?.flatten() {
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    std::fs::remove_dir(folder)
}

/// `cgroup.kill` (Linux 5.14), or a signal to each.
fn end_all(folder: &Path) {
    if std::fs::write(folder.join("cgroup.kill"), "1").is_ok() {
        return;
    }
    for pid in members(folder) {
        let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_made_with_its_parents_and_removed_with_its_children() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("helpers")).unwrap();
        let folder = dir.path().join("x.slice/id");
        make(&folder, &[]).unwrap();
        std::fs::create_dir(folder.join("made-inside")).unwrap();
        remove(&folder).unwrap();
        assert!(!dir.path().join("x.slice").exists());
        assert!(dir.path().exists());
        remove(&folder).unwrap();
    }

    #[test]
    fn a_value_that_is_refused_takes_the_group_away() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("id");
        let files = [("no/such/file".to_owned(), "1".to_owned())];
        let error = make(&folder, &files).unwrap_err().to_string();
        assert!(error.contains("write \"1\" to") && error.contains("No such file"), "{error}");
        assert!(!folder.exists());
    }
}
