//! Where a container's files are to be seen.

use std::path::{Path, PathBuf};

use bryo_monitor::messages::Rootfs as Described;
use bryo_runtime::{Access, Bind, Rootfs, offline};
use bryo_sys::rooted::Root;

use crate::containers::record::Snapshot;
use crate::engine::Inner;
use crate::spec::{oci, user};
use crate::{Error, Result};

/// What the view is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// Nothing is changed.
    Looking,
    /// Files are changed.
    Changing,
}

/// Shows `work` the container's files with its volumes and binds. Blocking.
pub(super) fn show<T: Send>(
    inner: &Inner,
    snapshot: &Snapshot,
    why: Shown,
    work: impl FnOnce(&Root) -> T + Send,
) -> Result<T> {
    if snapshot.is_running() {
        return running(snapshot, work);
    }
    let rootfs = rootfs(inner, snapshot)?;
    let access = match why {
        Shown::Looking => Access::Read,
        Shown::Changing => Access::Write,
    };
    let (binds, held) = binds(inner, snapshot)?;
    let done = offline(&rootfs, &binds, access, work).map_err(runtime_error);
    release(inner, held);
    done
}

/// Shows `work` the root filesystem alone, of a running container too. Blocking.
pub(super) fn rootfs_only<T: Send>(
    inner: &Inner,
    snapshot: &Snapshot,
    work: impl FnOnce(&Root) -> T + Send,
) -> Result<T> {
    let rootfs = rootfs(inner, snapshot)?;
    if snapshot.is_running() && matches!(rootfs, Rootfs::FuseOverlay { .. }) {
        // Stacked by the kernel the view could miss what the program keeps to itself.
        return running(snapshot, work);
    }
    offline(&rootfs, &[], Access::Read, work).map_err(runtime_error)
}

fn running<T>(snapshot: &Snapshot, work: impl FnOnce(&Root) -> T) -> Result<T> {
    let pid = snapshot.state.state.pid;
    let root = Root::open(format!("/proc/{pid}/root")).map_err(|e| {
        Error::internal(format!(
            "open the root of container {} (process {pid}): {e}",
            snapshot.id()
        ))
    })?;
    Ok(work(&root))
}

/// The user that the container runs as: uid and gid.
pub(super) fn user(inner: &Inner, snapshot: &Snapshot) -> Result<(u32, u32)> {
    let layer = inner.images.writable(snapshot.id())?;
    let layers: Vec<PathBuf> = std::iter::once(layer.upper).chain(layer.lowers).collect();
    let spec = &snapshot.record.spec;
    let user = user::Files::read(&layers).resolve(&spec.user, &[])?;
    Ok((user.uid, user.gid))
}

fn rootfs(inner: &Inner, snapshot: &Snapshot) -> Result<Rootfs> {
    let layer = inner.images.writable(snapshot.id())?;
    let described = oci::rootfs(inner.images.snapshotter(), &layer, &inner.paths.init_layer());
    let paths = |list: Vec<String>| list.into_iter().map(PathBuf::from).collect();
    Ok(match described {
        Described::Overlay { lower, upper, work } => {
            Rootfs::Overlay { lower: paths(lower), upper: upper.into(), work: work.into() }
        }
        Described::FuseOverlay { program, lower, upper, work } => Rootfs::FuseOverlay {
            program: program.into(),
            lower: paths(lower),
            upper: upper.into(),
            work: work.into(),
        },
        Described::Folder(folder) => Rootfs::Folder(folder.into()),
    })
}

/// Volumes and binds, and the names of the volumes that were mounted for this.
fn binds(inner: &Inner, snapshot: &Snapshot) -> Result<(Vec<Bind>, Vec<String>)> {
    let mut binds = Vec::new();
    let mut held = Vec::new();
    for mount in &snapshot.record.mounts {
        let point = &mount.point;
        let source = match point.kind.as_str() {
            "bind" => PathBuf::from(&point.source),
            "volume" => {
                let data = inner.volumes.hold(&point.name)?;
                held.push(point.name.clone());
                inside(&data, &mount.subpath)?
            }
            _ => continue,
        };
        if source.exists() {
            let destination = PathBuf::from(&point.destination);
            binds.push(Bind { source, destination, read_only: !point.rw });
        }
    }
    Ok((binds, held))
}

/// A folder of a volume, which its containers may have replaced by a symlink.
fn inside(data: &Path, subpath: &str) -> Result<PathBuf> {
    if subpath.is_empty() {
        return Ok(data.to_owned());
    }
    let found = Root::open(data).and_then(|root| root.resolve(subpath));
    let found = found.and_then(|fd| {
        std::fs::read_link(bryo_sys::rooted::fd_path(std::os::fd::AsFd::as_fd(&fd)))
    });
    found.map_err(|e| {
        Error::internal(format!("open {subpath} of the volume {}: {e}", data.display()))
    })
}

/// Unmounts volumes with driver options again, if no running container uses them.
fn release(inner: &Inner, names: Vec<String>) {
    if names.is_empty() {
        return;
    }
    let users = crate::volumes::users(inner);
    for name in names {
        let used = users.get(&name).into_iter().flatten().any(|id| {
            inner.registry.find(id).is_ok_and(|container| container.snapshot().is_running())
        });
        if !used {
            inner.volumes.release(&name);
        }
    }
}

fn runtime_error(e: bryo_runtime::Error) -> Error {
    let kind = match e.kind() {
        bryo_runtime::ErrorKind::WrongState => crate::ErrorKind::Conflict,
        _ => crate::ErrorKind::Internal,
    };
    Error::new(kind, e.message())
}
