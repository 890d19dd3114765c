//! The data root: is it a place where images and containers can live, and is it ours alone?
//!
//! Checked before the engine opens anything: made if missing (0700), on a filesystem that allows what layers need (not
//! read-only, not noexec, not NFS, not full), of a format that this version knows (`version`), and locked (`lock`).

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{FlockOperation, StatVfsMountFlags};

use crate::error::SetupError;

/// The newest format of the data root that this program reads, and the one it writes.
pub const FORMAT: u32 = 1;

/// Less free space than this is called a full disk: bytes.
const MIN_FREE: u64 = 16 << 20;

/// A data root that passed.
#[derive(Debug)]
pub struct DataRoot {
    /// Keeps other instances out as long as it lives.
    pub lock: File,
}

/// Checks and takes the data root; see the module's text for the order.
pub fn prepare(path: &Path) -> Result<DataRoot, SetupError> {
    make(path)?;
    check_filesystem(path)?;
    check_version(path)?;
    let lock = lock(&path.join("lock")).map_err(|e| cannot_write(path, &e))?.map_err(|owner| {
        SetupError::new(
            "the data root is in use by another instance",
            format!("{} is locked by pid {owner}", path.join("lock").display()),
            format!("kill {owner}\nor give another folder with --data-root"),
        )
    })?;
    write_version(path)?;
    Ok(DataRoot { lock })
}

/// Takes an advisory lock on a file for the life of the returned handle. Inner error: the pid that has it.
pub(crate) fn lock(path: &Path) -> io::Result<Result<File, String>> {
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {
            file.set_len(0)?;
            file.rewind()?;
            writeln!(file, "{}", std::process::id())?;
            Ok(Ok(file))
        }
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let mut owner = String::new();
            file.read_to_string(&mut owner)?;
            let owner = owner.trim();
            Ok(Err(if owner.is_empty() { "unknown".into() } else { owner.to_owned() }))
        }
        Err(e) => Err(e.into()),
    }
}

/// Whether the filesystem of `path`, or of its nearest folder that exists, can hold a data root; makes nothing.
pub fn check_place(path: &Path) -> Result<(), SetupError> {
    let place = path.ancestors().find(|p| p.exists()).unwrap_or(path);
    check_filesystem(place)
}

fn make(path: &Path) -> Result<(), SetupError> {
    let mut builder = std::fs::DirBuilder::new();
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(path).map_err(|e| cannot_write(path, &e))
}

fn check_filesystem(path: &Path) -> Result<(), SetupError> {
    let seen = |what: &str| format!("{} is on a filesystem that is {what}", path.display());
    let unreadable = |e: rustix::io::Errno| cannot_write(path, &e.into());
    let fs = rustix::fs::statvfs(path).map_err(unreadable)?;
    if fs.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return Err(read_only(path));
    }
    if fs.f_flag.contains(StatVfsMountFlags::NOEXEC) {
        return Err(SetupError::new(
            "the data root is mounted noexec: no program of an image could be started",
            seen("mounted noexec"),
            format!(
                "sudo mount -o remount,exec \"$(findmnt -no TARGET -T {})\"\nor give another folder with --data-root",
                path.display()
            ),
        ));
    }
    let kind = rustix::fs::statfs(path).map_err(unreadable)?.f_type;
    if let Some(name) = network_filesystem(kind) {
        return Err(SetupError::new(
            format!(
                "the data root is on {name}: its server refuses files of subordinate ids (lchown: operation not permitted)"
            ),
            seen(&format!("{name} (f_type {kind:#x})")),
            "bryo daemon --data-root /var/tmp/bryo-$(id -u)\nor any other folder on a local disk; to keep it: \"data-root\" in daemon.json",
        ));
    }
    let free = fs.f_bavail.saturating_mul(fs.f_frsize);
    // Filesystems that make inodes as they go (btrfs) say 0 of 0.
    let no_inodes = fs.f_files > 0 && fs.f_favail < 100;
    if free < MIN_FREE || no_inodes {
        return Err(disk_full(
            path,
            &format!("{free} bytes and {} inodes free at {}", fs.f_favail, path.display()),
        ));
    }
    Ok(())
}

/// Network filesystems that map ids on the server (numbers from linux/magic.h and the drivers' sources).
fn network_filesystem(kind: impl TryInto<u64>) -> Option<&'static str> {
    match kind.try_into().ok()? & 0xffff_ffff {
        0x6969 => Some("NFS"),
        0xff53_4d42 | 0xfe53_4d42 => Some("SMB/CIFS"),
        0x5346_414f | 0x6b41_4653 => Some("AFS"),
        _ => None,
    }
}

fn check_version(path: &Path) -> Result<(), SetupError> {
    let file = path.join("version");
    let text = match std::fs::read_to_string(&file) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(cannot_write(path, &e)),
    };
    match text.trim().parse::<u32>() {
        Ok(version) if version <= FORMAT => Ok(()),
        Ok(version) => Err(SetupError::new(
            "the data root was written by a newer bryo",
            format!("{} says {version}, this bryo reads up to {FORMAT}", file.display()),
            "install the newer bryo again\nor give another folder with --data-root",
        )),
        Err(_) => Err(SetupError::new(
            "the data root's format cannot be told",
            format!("{} says {:?}, a number was expected", file.display(), text.trim()),
            format!("if the folder is Bryo's: echo {FORMAT} > {}", file.display()),
        )),
    }
}

fn write_version(path: &Path) -> Result<(), SetupError> {
    let file = path.join("version");
    if file.exists() {
        return Ok(());
    }
    let temporary = path.join("version.new");
    std::fs::write(&temporary, format!("{FORMAT}\n"))
        .and_then(|()| std::fs::rename(&temporary, &file))
        .map_err(|e| cannot_write(path, &e))
}

fn cannot_write(path: &Path, e: &io::Error) -> SetupError {
    match e.kind() {
        io::ErrorKind::ReadOnlyFilesystem => read_only(path),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            disk_full(path, &format!("{}: {e}", path.display()))
        }
        _ => SetupError::new(
            "the data root cannot be made or written",
            format!("{}: {e}", path.display()),
            format!(
                "sudo chown -R \"$(id -un):\" {}\nor give another folder with --data-root",
                path.display()
            ),
        ),
    }
}

fn read_only(path: &Path) -> SetupError {
    SetupError::new(
        "the data root is on a read-only filesystem",
        format!("{} is mounted ro", path.display()),
        format!(
            "sudo mount -o remount,rw \"$(findmnt -no TARGET -T {})\"\nor give another folder with --data-root",
            path.display()
        ),
    )
}

fn disk_full(path: &Path, seen: &str) -> SetupError {
    SetupError::new(
        "the disk is full: no space left on device for the data root",
        seen,
        format!(
            "du -xh {} | sort -h | tail\nor give another folder with --data-root",
            path.display()
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_instance_is_told_who_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let first = prepare(&dir.path().join("a/b")).unwrap();
        let second = prepare(&dir.path().join("a/b")).unwrap_err();
        assert!(second.cause.contains("in use by another instance"));
        assert!(second.mend.contains(&format!("kill {}", std::process::id())), "{second}");
        drop(first);
        prepare(&dir.path().join("a/b")).unwrap();
    }

    #[test]
    fn a_newer_format_is_refused_and_an_older_one_taken() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("version"), "99\n").unwrap();
        let e = prepare(dir.path()).unwrap_err();
        assert!(e.seen.contains("says 99, this bryo reads up to 1"), "{e}");
        std::fs::write(dir.path().join("version"), "1\n").unwrap();
        prepare(dir.path()).unwrap();
    }

    #[test]
    fn filesystems_are_told_apart() {
        assert_eq!(network_filesystem(0x6969_i64), Some("NFS"));
        assert_eq!(network_filesystem(0xef53_i64), None);
        // A 32-bit kernel interface shows the SMB number sign-extended.
        assert_eq!(network_filesystem(0xff53_4d42_u64), Some("SMB/CIFS"));
    }

    /// Runs in a forked child with mounts of its own; 77: user namespaces are forbidden here.
    fn with_tmpfs(options: &'static str, check: fn(&SetupError) -> bool) {
        use bryo_sys::ns::{Kind, unshare};
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().to_owned();
        let ended = bryo_sys::fork::in_child(move || {
            if unshare(&[Kind::User, Kind::Mount]).is_err() {
                return 77;
            }
            let (flags, data) = match options {
                "noexec" => (rustix::mount::MountFlags::NOEXEC, ""),
                "ro" => (rustix::mount::MountFlags::RDONLY, ""),
                data => (rustix::mount::MountFlags::empty(), data),
            };
            let data = std::ffi::CString::new(data).unwrap();
            if rustix::mount::mount("tmpfs", &path, "tmpfs", flags, data.as_c_str()).is_err() {
                return 2;
            }
            match prepare(&path) {
                Err(e) if check(&e) => 0,
                _ => 3,
            }
        });
        match ended.unwrap().code() {
            77 => println!("SKIPPED: user namespaces are forbidden here"),
            code => assert_eq!(code, 0),
        }
    }

    #[test]
    fn noexec_read_only_and_full_filesystems_are_refused_by_name() {
        with_tmpfs("noexec", |e| e.cause.contains("noexec"));
        with_tmpfs("ro", |e| e.cause.contains("read-only"));
        with_tmpfs("size=1m", |e| e.cause.contains("no space left on device"));
    }
}
