//! Finding the program: what Go's `exec.LookPath` does inside the container, with its texts, which Docker's clients
//! look for.

use std::ffi::{CStr, CString};
use std::io;

use rustix::fs::{Access, AtFlags, CWD, FileType};
use rustix::io::Errno;

use crate::error::{Error, ErrorKind, Result, plain};

/// The path of the program `name`, looked for in `path` (the value of PATH) if it has no slash. Runs as the container's
/// user, in its root and working folder.
pub(crate) fn find(name: &str, path: Option<&str>) -> Result<CString> {
    if name.contains('/') {
        return match check(name) {
            Ok(()) => c_string(name),
            Err(errno) => Err(refused(name, errno)),
        };
    }
    for folder in path.unwrap_or_default().split(':') {
        // An empty part means the working folder; Go finds but refuses such programs, so it is skipped.
        if folder.is_empty() || name.is_empty() {
            continue;
        }
        let candidate = format!("{folder}/{name}");
        if check(&candidate).is_ok() {
            return c_string(&candidate);
        }
    }
    let text = format!("exec: {name:?}: executable file not found in $PATH");
    Err(Error::new(ErrorKind::CommandNotFound, text))
}

/// Whether there is an executable file.
fn check(path: &str) -> std::result::Result<(), Errno> {
    let stat = rustix::fs::stat(path)?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        return Err(Errno::ISDIR);
    }
    rustix::fs::accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS).or_else(|e| match e {
        // faccessat2 came with Linux 5.8 and may be filtered: any execute bit will do then.
        Errno::NOSYS | Errno::PERM if stat.st_mode & 0o111 != 0 => Ok(()),
        e => Err(e),
    })
}

fn refused(name: &str, errno: Errno) -> Error {
    let reason = plain(&errno.into());
    match errno {
        Errno::NOENT | Errno::NOTDIR => {
            Error::new(ErrorKind::CommandNotFound, format!("exec: {name:?}: stat {name}: {reason}"))
        }
        _ => Error::new(ErrorKind::CommandNotExecutable, format!("exec: {name:?}: {reason}")),
    }
}

/// The error of an execve that failed although the file is there.
pub(crate) fn exec_failed(path: &CStr, error: &io::Error) -> Error {
    let kind = match Errno::from_io_error(error) {
        // The interpreter of a script, or the dynamic loader.
        Some(Errno::NOENT) => ErrorKind::CommandNotFound,
        _ => ErrorKind::CommandNotExecutable,
    };
    Error::new(kind, format!("exec {}: {}", path.to_string_lossy(), plain(error)))
}

fn c_string(path: &str) -> Result<CString> {
    CString::new(path)
        .map_err(|_| Error::bad(format!("the program's name {path:?} has a zero byte")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_s_texts() {
        let text = |name: &str| find(name, Some("/usr/bin:/bin")).unwrap_err();
        assert_eq!(
            text("nosuch").message(),
            "exec: \"nosuch\": executable file not found in $PATH"
        );
        assert_eq!(text("nosuch").kind(), ErrorKind::CommandNotFound);
        assert_eq!(text("/etc").message(), "exec: \"/etc\": is a directory");
        assert_eq!(text("/etc").kind(), ErrorKind::CommandNotExecutable);
        assert_eq!(
            text("/no/such").message(),
            "exec: \"/no/such\": stat /no/such: no such file or directory"
        );
        assert_eq!(text("/etc/passwd").message(), "exec: \"/etc/passwd\": permission denied");
    }

    #[test]
    fn the_first_hit_in_path_counts() {
        assert_eq!(find("sh", Some("/nowhere::/bin")).unwrap().as_c_str(), c"/bin/sh");
        assert!(find("sh", None).is_err());
    }
}
