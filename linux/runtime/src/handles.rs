//! Descriptors of a container's namespaces.
//!
//! They are opened while the first process is still our own code. Later its `/proc` files may be out of reach: a
//! process that changed its user or executed an unreadable file is not dumpable, and `setns` by its pidfd or
//! `/proc/PID/ns` would be refused.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use bryo_sys::ns::{self, Kind};

use crate::error::{Context, Error, Result};

/// All kinds. The user namespace comes last: joining it gives up the caller's rights over the others.
pub(crate) const KINDS: [Kind; 7] =
    [Kind::Cgroup, Kind::Ipc, Kind::Uts, Kind::Net, Kind::Pid, Kind::Mount, Kind::User];

/// The namespaces of a container.
#[derive(Debug)]
pub struct Namespaces {
    fds: Vec<OwnedFd>,
}

impl Namespaces {
    /// Those of the process `pid`: a child of the caller that did not execute anything yet, or any process whose
    /// `/proc` files the caller may open.
    pub fn of_process(pid: u32) -> Result<Namespaces> {
        let mut fds = Vec::with_capacity(KINDS.len());
        for kind in KINDS {
            let fd = ns::of_process(pid, kind)
                .context(|| format!("opening the {} namespace of process {pid}", kind.file()))?;
            fds.push(fd);
        }
        Ok(Namespaces { fds })
    }

    /// The caller's own, for a concealed child that sends them to its parent.
    pub(crate) fn own() -> Result<Vec<OwnedFd>> {
        let open = |kind: Kind| {
            ns::open(format!("/proc/self/ns/{}", kind.file()))
                .context(|| format!("opening my {} namespace", kind.file()))
        };
        KINDS.into_iter().map(open).collect()
    }

    /// What a concealed child sent.
    pub(crate) fn received(fds: Vec<OwnedFd>) -> Result<Namespaces> {
        if fds.len() == KINDS.len() {
            Ok(Namespaces { fds })
        } else {
            Err(Error::other("the new process did not send its namespaces"))
        }
    }

    /// A second set of descriptors.
    pub fn try_clone(&self) -> Result<Namespaces> {
        let fds: std::io::Result<_> = self.fds.iter().map(OwnedFd::try_clone).collect();
        Ok(Namespaces { fds: fds.context(|| "duplicating namespace descriptors")? })
    }

    /// The namespace of one kind.
    pub fn get(&self, kind: Kind) -> Result<BorrowedFd<'_>> {
        let index = KINDS.iter().position(|k| *k == kind);
        index
            .and_then(|i| self.fds.get(i))
            .map(AsFd::as_fd)
            .ok_or_else(|| Error::other(format!("no {} namespace is known", kind.file())))
    }

    /// Joins all of them but those that the caller is in already. The caller's **children** are in the pid
    /// namespace. After this the caller is uid 0 of the container's user namespace at its root folder.
    pub(crate) fn join(&self) -> Result<()> {
        // All at once: behind the container's mount namespace `/proc` does not know the caller.
        for (kind, own) in KINDS.into_iter().zip(Namespaces::own()?) {
            let fd = self.get(kind)?;
            // Re-entering one's own user namespace is EINVAL, and the others would be a waste.
            if same(own.as_fd(), fd)? {
                continue;
            }
            ns::join(fd, kind)
                .context(|| format!("joining the container's {} namespace", kind.file()))?;
        }
        Ok(())
    }
}

/// Whether two descriptors are of one namespace.
pub(crate) fn same(a: BorrowedFd<'_>, b: BorrowedFd<'_>) -> Result<bool> {
    let a = rustix::fs::fstat(a).context(|| "looking at a namespace")?;
    let b = rustix::fs::fstat(b).context(|| "looking at a namespace")?;
    Ok(a.st_ino == b.st_ino && a.st_dev == b.st_dev)
}
