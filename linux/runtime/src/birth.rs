//! Making the child: directly, or through a helper that enters other namespaces first.
//!
//! A process cannot come back from a user namespace, so joining is left to a helper: it hides itself, joins, makes the
//! child as a child of its *parent* (CLONE_PARENT), tells the pid and ends. The hiding comes before the joining: from then
//! on processes of the container see the helper and the child, which still have the host's files open
//! (CVE-2016-9962, CVE-2019-5736).

use std::convert::Infallible;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use bryo_sys::clone::{Cloned, Parent, clone};
use bryo_sys::ns::Kind;
use bryo_sys::{fork, pidfd};
use rustix::fs::{CWD, Mode, OFlags};

use crate::child::finish;
use crate::error::{Context, Error, Result};
use crate::process::conceal;
use crate::sync::{Line, Message};

/// A child that was just made.
#[derive(Debug)]
pub(crate) struct Born {
    pub(crate) pid: u32,
    pub(crate) pidfd: OwnedFd,
}

/// Makes a child in new namespaces of `kinds` that runs `body` and tells a failure over `line`.
pub(crate) fn direct(
    kinds: &[Kind],
    cgroup: Option<&Path>,
    line: &Line,
    body: impl FnOnce() -> Result<Infallible>,
) -> Result<Born> {
    let cgroup = cgroup.map(open_cgroup).transpose()?;
    match clone(kinds, Parent::Caller, cgroup.as_ref().map(AsFd::as_fd)) {
        Ok(Cloned::Parent { pid, pidfd }) => Ok(Born { pid, pidfd }),
        Ok(Cloned::Child) => finish(line, body),
        Err(e) => Err(refused(kinds, &e)),
    }
}

/// The same through a helper that runs `join` first.
pub(crate) fn joined(
    kinds: &[Kind],
    cgroup: Option<&Path>,
    line: &Line,
    join: impl FnOnce() -> Result<()>,
    body: impl FnOnce() -> Result<Infallible>,
) -> Result<Born> {
    let (ours, theirs) = Line::pair()?;
    // The helper is born in the cgroup, so its child is too.
    let helper = direct(&[], cgroup, &theirs, || {
        conceal()?;
        join()?;
        match clone(kinds, Parent::Grandparent, None) {
            Ok(Cloned::Parent { pid, .. }) => {
                theirs.send(&Message::Made(pid)).context(|| "telling the child's pid")?;
                fork::exit(0)
            }
            Ok(Cloned::Child) => finish(line, body),
            Err(e) => Err(refused(kinds, &e)),
        }
    })?;
    drop(theirs);
    let answer = ours.receive();
    let _ = pidfd::to_pid(helper.pid).and_then(fork::wait);
    match answer? {
        Message::Made(pid) => {
            let fd = pidfd::open(pid).context(|| format!("opening process {pid}"))?;
            Ok(Born { pid, pidfd: fd })
        }
        Message::Failed(error) => Err(error),
        _ => Err(Error::other("the helper that joins namespaces died")),
    }
}

fn open_cgroup(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, path, flags, Mode::empty())
        .context(|| format!("opening the cgroup {}", path.display()))
}

fn refused(kinds: &[Kind], error: &std::io::Error) -> Error {
    let names: Vec<_> = kinds.iter().map(|k| k.file()).collect();
    let hint = match error.raw_os_error() {
        // ENOSPC: /proc/sys/user/max_*_namespaces
        Some(28) => " (too many namespaces: see /proc/sys/user/max_*_namespaces)",
        Some(11) => " (too many processes: see `ulimit -u` of the engine's user)",
        _ => "",
    };
    Error::other(format!(
        "making a process with new namespaces ({}): {}{hint}",
        names.join(", "),
        crate::error::plain(error)
    ))
}
