//! `--pidfile`: written at start, removed at the end; refused if the process it names still runs.

use std::path::{Path, PathBuf};

use bryo_rootless::SetupError;

/// Removes the file when dropped.
#[derive(Debug)]
pub struct PidFile(PathBuf);

impl Drop for PidFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Writes this process' pid.
pub fn write(path: Option<&Path>) -> Result<Option<PidFile>, SetupError> {
    let Some(path) = path else { return Ok(None) };
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let pid = text.trim().parse::<u32>().ok().filter(|p| *p != std::process::id());
    if let Some(pid) = pid.filter(|p| bryo_sys::pidfd::start_time(*p).is_some()) {
        return Err(SetupError::new(
            format!("pid file found, ensure bryo is not running or delete {}", path.display()),
            format!("{} names pid {pid}, which runs", path.display()),
            format!("kill {pid}\nor, if that is another program: rm {}", path.display()),
        ));
    }
    std::fs::write(path, format!("{}\n", std::process::id())).map_err(|e| {
        SetupError::new(
            "failed to write the pid file",
            format!("{}: {e}", path.display()),
            "give another place with --pidfile",
        )
    })?;
    Ok(Some(PidFile(path.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_process_keeps_its_file_and_a_dead_one_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pid");
        std::fs::write(&path, "1\n").unwrap();
        assert!(write(Some(&path)).unwrap_err().seen.contains("names pid 1"));
        std::fs::write(&path, "4194304999\n").unwrap();
        let file = write(Some(&path)).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
        drop(file);
        assert!(!path.exists());
    }
}
