//! The filesystem of a container without the container: for copying in and out, export and the like.
//!
//! It is put together in the mount namespace of a thread that does the work and ends: nothing is left to unmount, whatever
//! happens. Read-only views stack the upper layer on the others as one more lower layer, so they may exist beside a running
//! container's own mount; a writable view is the container's own overlay, for a container that does not run.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use bryo_sys::mount::{self, Attributes, Change, Maker};
use bryo_sys::ns;
use bryo_sys::rooted::Root;
use rustix::fs::{CWD, FileType, Mode};

use crate::error::{Context, Error, ErrorKind, Result};
use crate::mounts::open_folder;
use crate::options::Rootfs;
use crate::rootfs::overlay;

/// A host folder or file that belongs on top of the root filesystem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bind {
    /// Host path.
    pub source: PathBuf,
    /// Path in the container.
    pub destination: PathBuf,
    /// Not writable.
    pub read_only: bool,
}

/// What the caller will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Look.
    Read,
    /// Change files; the container must not run.
    Write,
}

/// Shows `work` the filesystem. The calling process may have threads; it must be uid 0 of a user namespace that owns its
/// mount namespace.
pub fn offline<T: Send>(
    rootfs: &Rootfs,
    binds: &[Bind],
    access: Access,
    work: impl FnOnce(&Root) -> T + Send,
) -> Result<T> {
    if let (Rootfs::Folder(folder), true) = (rootfs, binds.is_empty()) {
        let root = Root::open(folder).context(|| format!("opening {}", folder.display()))?;
        return Ok(work(&root));
    }
    let ended = std::thread::scope(|scope| {
        let name = std::thread::Builder::new().name("offline".into());
        let thread = name.spawn_scoped(scope, || {
            ns::unshare(&[ns::Kind::Mount]).context(|| "making a mount namespace")?;
            let root = assemble(rootfs, binds, access)?;
            Ok(work(&root))
        });
        thread.context(|| "starting a thread").map(|t| t.join())
    })?;
    ended.unwrap_or_else(|_| {
        Err(Error::other("the thread that looked at the container's files panicked"))
    })
}

fn assemble(rootfs: &Rootfs, binds: &[Bind], access: Access) -> Result<Root> {
    let (tree, place) = match (rootfs, access) {
        (Rootfs::Overlay { lower, upper, work }, Access::Write) => {
            (overlay(lower, upper, work)?, upper)
        }
        (
            Rootfs::Overlay { lower, upper, .. } | Rootfs::FuseOverlay { lower, upper, .. },
            Access::Read,
        ) => {
            let layers: Vec<&Path> =
                std::iter::once(upper).chain(lower).map(PathBuf::as_path).collect();
            (stack(&layers)?, upper)
        }
        (Rootfs::FuseOverlay { .. }, Access::Write) => {
            return Err(Error::new(
                ErrorKind::WrongState,
                "files of a stopped container cannot be changed with fuse-overlayfs: start the container first",
            ));
        }
        (Rootfs::Folder(folder), _) => {
            let tree = mount::clone_tree(CWD, folder, false)
                .context(|| format!("binding the root folder {}", folder.display()))?;
            (tree, folder)
        }
    };
    let what = || format!("attaching the root filesystem at {}", place.display());
    mount::attach(tree.as_fd(), open_folder(place).context(what)?.as_fd()).context(what)?;
    let root = Root::from_fd(tree);
    let mut binds: Vec<&Bind> = binds.iter().collect();
    binds.sort_by_key(|b| b.destination.components().count());
    for bind in binds {
        add(&root, bind, access)?;
    }
    Ok(root)
}

/// A read-only overlay of folders, topmost first.
fn stack(layers: &[&Path]) -> Result<OwnedFd> {
    let what = || format!("stacking {} layers", layers.len());
    if let [only] = layers {
        // An overlay needs two lower layers; there is nothing that whiteouts of this one could hide.
        return mount::clone_tree(CWD, only, false).context(what);
    }
    let build = |one_by_one: bool| {
        let maker = Maker::new("overlay")?;
        maker.set("source", "overlay")?;
        maker.flag("userxattr")?;
        if one_by_one {
            for layer in layers {
                maker.set("lowerdir+", layer)?;
            }
        } else {
            let names: Vec<String> = layers
                .iter()
                .map(|l| l.to_string_lossy().replace('\\', "\\\\").replace(':', "\\:"))
                .collect();
            maker.set("lowerdir", names.join(":"))?;
        }
        maker.mount(Attributes::RDONLY)
    };
    // `lowerdir+` is of Linux 6.5; before, the names must fit into 255 bytes.
    build(true).or_else(|_| build(false)).map_err(|e| Error::other(e.to_string()).within(what()))
}

/// Puts a bind on its destination, which is made if the view is writable and left out if it is not there otherwise (the
/// container was never started; what it would show there is still reachable by its own name on the host).
fn add(root: &Root, bind: &Bind, access: Access) -> Result<()> {
    let what = || format!("binding {} on {}", bind.source.display(), bind.destination.display());
    let tree = mount::clone_tree(CWD, &bind.source, true).context(what)?;
    let target = match (root.resolve(&bind.destination), access) {
        (Ok(target), _) => target,
        (Err(_), Access::Read) => return Ok(()),
        (Err(_), Access::Write) => {
            let mode = Mode::from_raw_mode(0o755);
            let kind = rustix::fs::fstat(&tree).context(what)?.st_mode;
            match FileType::from_raw_mode(kind) {
                FileType::Directory => root.mkdir_p(&bind.destination, mode).context(what)?,
                _ => root.touch_p(&bind.destination, mode, mode).context(what)?,
            }
        }
    };
    if bind.read_only {
        let change = Change { set: Attributes::RDONLY, ..Change::default() };
        mount::set_attributes(tree.as_fd(), true, change).context(what)?;
    }
    mount::attach(tree.as_fd(), target.as_fd()).context(what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// In a forked process that is root of its own namespaces; 77: user namespaces are forbidden.
    fn as_root(test: impl FnOnce(&Path) -> Result<bool>) {
        let dir = tempfile::tempdir().unwrap();
        let ended = bryo_sys::fork::in_child(|| {
            let inside = ns::unshare_user_as_root().and_then(|()| ns::unshare(&[ns::Kind::Mount]));
            if inside.is_err() {
                return 77;
            }
            match test(dir.path()) {
                Ok(true) => 0,
                Ok(false) => 1,
                Err(e) => {
                    eprintln!("{e}");
                    2
                }
            }
        });
        match ended.unwrap().code() {
            77 => println!("SKIPPED: user namespaces are forbidden here"),
            code => assert_eq!(code, 0),
        }
    }

    fn layers(dir: &Path) -> Rootfs {
        for name in ["lower", "upper", "work", "volume"] {
            fs::create_dir(dir.join(name)).unwrap();
        }
        fs::create_dir(dir.join("lower/data")).unwrap();
        fs::write(dir.join("lower/etc"), "lower").unwrap();
        fs::write(dir.join("volume/v"), "volume").unwrap();
        Rootfs::Overlay {
            lower: vec![dir.join("lower")],
            upper: dir.join("upper"),
            work: dir.join("work"),
        }
    }

    fn bind(dir: &Path, destination: &str, read_only: bool) -> Bind {
        Bind { source: dir.join("volume"), destination: destination.into(), read_only }
    }

    fn read(root: &Root, path: &str) -> String {
        String::from_utf8(root.read(path, 100).unwrap_or_default()).unwrap_or_default()
    }

    #[test]
    fn what_is_written_lands_in_the_upper_layer_and_in_volumes() {
        as_root(|dir| {
            let rootfs = layers(dir);
            let binds = [bind(dir, "/data", false), bind(dir, "/made/here", true)];
            let flags = rustix::fs::OFlags::CREATE | rustix::fs::OFlags::WRONLY;
            let mode = Mode::from_raw_mode(0o644);
            let done = offline(&rootfs, &binds, Access::Write, |root| {
                let own = root.open_with("/own", flags, mode).is_ok();
                let volume = root.open_with("/data/new", flags, mode).is_ok();
                let refused = root.open_with("/made/here/new", flags, mode).is_err();
                own && volume
                    && refused
                    && read(root, "/etc") == "lower"
                    && read(root, "/made/here/v") == "volume"
            })?;
            let landed = dir.join("upper/own").exists() && dir.join("volume/new").exists();
            Ok(done && landed && !dir.join("upper/data/new").exists())
        });
    }

    #[test]
    fn reading_changes_nothing_and_leaves_no_mount() {
        as_root(|dir| {
            let rootfs = layers(dir);
            let before = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
            let binds = [bind(dir, "/data", false), bind(dir, "/nowhere", false)];
            let seen = offline(&rootfs, &binds, Access::Read, |root| {
                read(root, "/data/v") == "volume" && !root.exists("/nowhere")
            })?;
            let after = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
            let untouched = fs::read_dir(dir.join("upper")).is_ok_and(|mut d| d.next().is_none());
            Ok(seen && before == after && untouched)
        });
    }
}
