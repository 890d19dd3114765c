//! The server of a `fuse-overlayfs` root.
//!
//! The child mounts FUSE in the container's namespaces and hands the device over; the program runs here, in the caller's
//! namespaces, where the layers are and where no process of the container can reach it. It ends when the mount is
//! gone, with the container. Its parent is whoever reaps this caller's orphans.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use bryo_sys::exec::{Strings, execve};
use bryo_sys::{fork, process as sys_process};
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;

use crate::error::{Context, Error, Result};

/// The number under which the server finds its device.
const DEVICE: i32 = 3;

/// Starts the server for the mount behind `device`.
pub(crate) fn serve(
    program: &Path,
    lower: &[PathBuf],
    upper: &Path,
    work: &Path,
    device: OwnedFd,
) -> Result<()> {
    let layers: Vec<_> = lower.iter().map(|l| l.display().to_string()).collect();
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
        layers.join(":"),
        upper.display(),
        work.display()
    );
    // libfuse takes "/dev/fd/N" as a mount that exists already.
    let place = format!("/dev/fd/{DEVICE}");
    let arguments = Strings::new(["fuse-overlayfs", "-f", "-o", &options, &place])
        .context(|| "the names of the layers")?;
    let environment = Strings::new(["PATH=/usr/bin:/bin"]).context(|| "the environment")?;
    let path = CString::new(program.as_os_str().as_bytes())
        .map_err(|_| Error::bad("the name of the fuse-overlayfs program has a zero byte"))?;
    let child = fork::spawn(|| {
        // Twice, so that the caller has no child to reap.
        let server = fork::spawn(|| {
            let ready = rustix::process::setsid().is_ok()
                && bryo_sys::signal::reset().is_ok()
                && sys_process::duplicate_to(device.as_fd(), DEVICE).is_ok();
            if ready {
                sys_process::close_from(4);
                let _ = execve(&path, &arguments, &environment);
            }
            127
        });
        i32::from(server.is_err())
    })
    .context(|| format!("starting {}", program.display()))?;
    let _ = fork::wait(child);
    Ok(())
}
