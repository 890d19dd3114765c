//! How layers become one root filesystem: probed once at start.
//!
//! 1. **overlay**: the kernel's overlayfs with `userxattr`, mounted by the container's monitor in its
//!    own mount namespace. Needs Linux 5.11 and a data root whose filesystem takes `user.*`
//!    attributes and whiteouts; the probe makes a real mount and looks through it.
//! 2. **fuse-overlayfs**: the program of that name, if it is installed and `/dev/fuse` opens.
//! 3. **copy**: layers are copied into a folder for each container.
//!
//! The probe mounts in a mount namespace of a thread that ends at once: nothing is ever left mounted.

use std::fs;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use bryo_sys::ns;
use rustix::mount::{MountFlags, MountPropagationFlags};

use crate::error::{At, Error, ErrorKind, Result};
use crate::layout::make_dir;
use crate::merged::open_root;
use crate::unpack::attributes::set_opaque;
use crate::unpack::entry::make_whiteout;

/// The chosen way, and why not a better one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshotter {
    /// The way.
    pub kind: SnapshotterKind,
    /// Why the better ways are out of the question; none for overlay.
    pub reason: Option<String>,
}

/// The ways.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SnapshotterKind {
    /// The kernel's overlayfs.
    Overlay,
    /// fuse-overlayfs, at this path.
    FuseOverlay(PathBuf),
    /// Plain copies.
    Copy,
}

impl Snapshotter {
    /// `overlayfs`, `fuse-overlayfs`, `copy`: what `docker info` shows as storage driver.
    pub fn name(&self) -> &'static str {
        match self.kind {
            SnapshotterKind::Overlay => "overlayfs",
            SnapshotterKind::FuseOverlay(_) => "fuse-overlayfs",
            SnapshotterKind::Copy => "copy",
        }
    }

    /// Finds the best way that works below `root` (made if missing). `path` is where programs are
    /// looked for (`$PATH`, split).
    pub fn probe(root: &Path, path: &[PathBuf]) -> Snapshotter {
        let no_overlay = match in_thread(root) {
            Ok(()) => return Snapshotter { kind: SnapshotterKind::Overlay, reason: None },
            Err(e) => e,
        };
        let program = path.iter().map(|p| p.join("fuse-overlayfs")).find(|p| p.is_file());
        let no_fuse = match program {
            None => "fuse-overlayfs is not installed".to_owned(),
            Some(program) => {
                match fs::OpenOptions::new().read(true).write(true).open("/dev/fuse") {
                    Ok(_) => {
                        return Snapshotter {
                            kind: SnapshotterKind::FuseOverlay(program),
                            reason: Some(format!("overlayfs: {no_overlay}")),
                        };
                    }
                    Err(e) => format!("/dev/fuse: {e}"),
                }
            }
        };
        Snapshotter {
            kind: SnapshotterKind::Copy,
            reason: Some(format!("overlayfs: {no_overlay}; fuse-overlayfs: {no_fuse}")),
        }
    }
}

/// Tries overlayfs in a thread that has its own mounts.
fn in_thread(root: &Path) -> Result<()> {
    let failed = || Error::new(ErrorKind::Io, "the probing thread failed");
    let place = root.join(format!("probe-{:08x}", rand::random::<u32>()));
    make_dir(&place)?;
    let inside = place.clone();
    let thread = std::thread::Builder::new()
        .name("probe".to_owned())
        .spawn(move || try_overlay(&inside))
        .map_err(|_| failed())?;
    let outcome = thread.join().map_err(|_| failed())?;
    // The mount went with the thread, in whose namespace alone it was.
    crate::tree::remove(&place)?;
    outcome
}

/// Mounts a small overlay and looks whether it shows what it should.
fn try_overlay(place: &Path) -> Result<()> {
    let path = |name: &str| place.join(name);
    for name in ["low/folder", "low/hidden", "up/folder", "work", "merged"] {
        make_dir(&path(name))?;
    }
    for name in ["low/gone", "low/hidden/file", "low/folder/kept"] {
        fs::write(path(name), "x").at("write", path(name))?;
    }
    make_dir(&path("up/hidden"))?;
    let upper = open_root(&path("up"))?;
    make_whiteout(upper.as_fd(), b"gone")
        .map_err(|e| Error::io("make a whiteout (mknod c 0 0) in", place, e))?;
    set_opaque(open_root(&path("up/hidden"))?.as_fd(), b"a folder of the data root")?;

    ns::unshare_fs().at("separate the filesystem state of", "a thread")?;
    ns::unshare(&[ns::Kind::Mount]).at("make a mount namespace for", "the probe")?;
    rustix::mount::mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE)
        .at("make private", "/")?;
    std::env::set_current_dir(place).at("go to", place)?;
    rustix::mount::mount(
        "overlay",
        "merged",
        "overlay",
        MountFlags::NODEV,
        c"lowerdir=low,upperdir=up,workdir=work,userxattr",
    )
    .at("mount an overlay with userxattr in", place)?;
    let shows = !Path::new("merged/gone").exists()
        && !Path::new("merged/hidden/file").exists()
        && Path::new("merged/folder/kept").exists()
        && fs::write("merged/folder/new", "x").is_ok()
        && fs::remove_file("merged/folder/kept").is_ok();
    if shows {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Io, "a test mount did not honour whiteouts or opaque folders"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::needs_user_namespace;

    #[test]
    fn overlay_works_here_and_leaves_nothing() {
        needs_user_namespace!();
        let dir = tempfile::tempdir().unwrap();
        let before = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let found = Snapshotter::probe(dir.path(), &[]);
        println!("{found:?}");
        assert_eq!(fs::read_to_string("/proc/self/mountinfo").unwrap(), before);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        assert!(found.kind == SnapshotterKind::Overlay || found.reason.is_some());
    }
}
