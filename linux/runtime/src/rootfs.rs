//! The root filesystem: mounted in the container's own mount namespace, and made the root there.
//!
//! The mount is attached on a folder that nobody needs any more (the overlay's own upper layer, or the plain folder
//! itself), everything else is mounted below it, and `pivot_root` puts it in the old root's place. The old root is then
//! detached: no path of the host can be named afterwards.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use bryo_sys::mount::{self, Attributes, Change, Maker, Propagation};
use bryo_sys::rooted::Root;
use rustix::fs::{CWD, Mode, OFlags};

use crate::error::{Context, Error, Result};
use crate::mounts::{Failure, explain, open_folder};
use crate::options::Rootfs;
use crate::sync::{Line, Message};

/// Mounts the root filesystem and returns its root (`O_PATH`).
pub(crate) fn mount(rootfs: &Rootfs, line: &Line) -> Result<Root> {
    let (tree, place) = match rootfs {
        Rootfs::Overlay { lower, upper, work } => (overlay(lower, upper, work)?, upper),
        Rootfs::FuseOverlay { upper, .. } => (fuse(line)?, upper),
        Rootfs::Folder(folder) => {
            let tree = mount::clone_tree(CWD, folder, true)
                .context(|| format!("binding the root folder {}", folder.display()))?;
            (tree, folder)
        }
    };
    let what = || format!("mounting the root filesystem at {}", place.display());
    let target = open_folder(place).context(what)?;
    mount::attach(tree.as_fd(), target.as_fd()).context(what)?;
    Ok(Root::from_fd(tree))
}

/// A detached mount of overlayfs, each layer (topmost first) set on its own (`lowerdir+`, Linux 6.5): any number of
/// layers, no escaping.
pub fn overlay(lower: &[PathBuf], upper: &Path, work: &Path) -> Result<OwnedFd> {
    match overlay_by_layer(lower, upper, work) {
        // EINVAL: an older kernel, which knows only one option of at most 255 bytes here; or a real mistake,
        // which the classic call reports as well.
        Err(Failure { errno: Some(rustix::io::Errno::INVAL), .. }) => {
            overlay_classic(lower, upper, work)
        }
        other => other.map_err(|f| {
            let layers = lower.len();
            Error::from(f)
                .within(format!("mounting an overlay of {layers} layers on {}", upper.display()))
        }),
    }
}

fn overlay_by_layer(
    lower: &[PathBuf],
    upper: &Path,
    work: &Path,
) -> std::result::Result<OwnedFd, Failure> {
    let maker = Maker::new("overlay")?;
    maker.set("source", "overlay")?;
    maker.flag("userxattr")?;
    // Values are limited to 255 bytes; a longer path goes by way of a descriptor, which must stay open until then.
    let mut open = Vec::new();
    let mut set = |key: &str, path: &Path| -> std::result::Result<(), Failure> {
        if path.as_os_str().len() < 256 {
            return Ok(maker.set(key, path)?);
        }
        let fd =
            open_folder(path).map_err(|source| mount::MountError { source, log: String::new() })?;
        maker.set(key, bryo_sys::rooted::fd_path(fd.as_fd()))?;
        open.push(fd);
        Ok(())
    };
    for layer in lower {
        set("lowerdir+", layer)?;
    }
    set("upperdir", upper)?;
    set("workdir", work)?;
    Ok(maker.mount(Attributes::NONE)?)
}

/// mount(2), whose options must fit one page: every folder is named by the number of its descriptor, with
/// `/proc/self/fd` as the working folder meanwhile. So names need no escaping and hundreds of layers fit.
fn overlay_classic(lower: &[PathBuf], upper: &Path, work: &Path) -> Result<OwnedFd> {
    let what = || format!("mounting an overlay of {} layers on {}", lower.len(), upper.display());
    let open = |path: &Path| {
        open_folder(path).context(|| format!("{}: opening {}", what(), path.display()))
    };
    let layers = lower.iter().map(|l| open(l)).collect::<Result<Vec<_>>>()?;
    let (upper_fd, work_fd) = (open(upper)?, open(work)?);
    let numbers: Vec<_> = layers.iter().map(|fd| fd.as_raw_fd().to_string()).collect();
    let data = format!(
        "userxattr,lowerdir={},upperdir={},workdir={}",
        numbers.join(":"),
        upper_fd.as_raw_fd(),
        work_fd.as_raw_fd()
    );
    let here = rustix::fs::openat(CWD, ".", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .context(|| "opening the working folder")?;
    rustix::process::chdir("/proc/self/fd").context(|| "entering /proc/self/fd")?;
    let mounted = mount::classic("overlay", upper_fd.as_fd(), "overlay", data.as_bytes());
    rustix::process::fchdir(&here).context(|| "returning to the working folder")?;
    mounted.context(what)?;
    // Attached already; a clone of it is attached on top, which does no harm.
    mount::clone_tree(CWD, upper, false).context(what)
}

/// A FUSE mount whose server is the parent's business: it gets the descriptor and runs `fuse-overlayfs` outside of
/// the container, where the container's processes cannot see or disturb it.
fn fuse(line: &Line) -> Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    let device = rustix::fs::openat(CWD, "/dev/fuse", flags, Mode::empty())
        .context(|| "opening /dev/fuse (for fuse-overlayfs)")?;
    let maker = Maker::new("fuse").map_err(explain)?;
    let option = |key: &str, value: &str| {
        maker.set(key, value).map_err(|e| explain(e).within(format!("fuse option {key}")))
    };
    option("source", "fuse-overlayfs")?;
    option("subtype", "fuse-overlayfs")?;
    option("fd", &device.as_raw_fd().to_string())?;
    option("rootmode", "40000")?;
    option("user_id", "0")?;
    option("group_id", "0")?;
    for word in ["allow_other", "default_permissions"] {
        maker.flag(word).map_err(|e| explain(e).within(format!("fuse option {word}")))?;
    }
    let tree = maker
        .mount(Attributes::NOSUID.without(Attributes::NOSUID))
        .map_err(|e| explain(e).within("mounting FUSE"))?;
    line.send(&Message::Fuse(device)).context(|| "handing over the FUSE descriptor")?;
    Ok(tree)
}

/// Keeps mounts made here from showing in the caller's namespace. A new user namespace did so already: its copy of the
/// tree is a slave (mount_namespaces(7)).
pub(crate) fn isolate() -> Result<()> {
    let root = open_folder(Path::new("/")).context(|| "opening /")?;
    let change = Change { propagation: Some(Propagation::Slave), ..Change::default() };
    mount::set_attributes(root.as_fd(), true, change).context(|| "isolating the mount namespace")
}

/// Makes `root` the root of this mount namespace and detaches the old one.
pub(crate) fn pivot(root: &Root) -> Result<()> {
    let old = open_folder(Path::new("/")).context(|| "opening the old root")?;
    rustix::process::fchdir(root).context(|| "entering the new root")?;
    // Both names are "." (no folder for the old root is needed): it ends up stacked on the new one.
    rustix::process::pivot_root(".", ".").context(|| "pivot_root")?;
    rustix::process::fchdir(&old).context(|| "returning to the old root")?;
    mount::detach(".").context(|| "detaching the old root")?;
    rustix::process::chdir("/").context(|| "entering the new root")
}

/// Sets the propagation of the root mount (the spec's `rootfsPropagation`).
pub(crate) fn propagate(root: &Root, word: &str) -> Result<()> {
    let (propagation, recursive) = match word {
        "" | "private" | "rprivate" => return Ok(()),
        "slave" => (Propagation::Slave, false),
        "rslave" => (Propagation::Slave, true),
        "shared" => (Propagation::Shared, false),
        "rshared" => (Propagation::Shared, true),
        "unbindable" => (Propagation::Unbindable, false),
        "runbindable" => (Propagation::Unbindable, true),
        other => return Err(Error::bad(format!("rootfsPropagation {other:?} is unknown"))),
    };
    // A mount that has no master cannot become a slave; and below a private root "slave" would mean nothing.
    if propagation == Propagation::Slave {
        return Ok(());
    }
    let change = Change { propagation: Some(propagation), ..Change::default() };
    mount::set_attributes(root.as_fd(), recursive, change).context(|| "setting rootfsPropagation")
}

/// Makes a mount read-only.
pub(crate) fn read_only(mount: impl AsFd) -> Result<()> {
    let change = Change { set: Attributes::RDONLY, ..Change::default() };
    mount::set_attributes(mount.as_fd(), false, change).context(|| "making a mount read-only")
}

#[cfg(test)]
mod tests {
    use super::*;
    use bryo_sys::fork;
    use bryo_sys::ns::{Kind, unshare};

    /// In a user namespace with one id; 77 if there is none.
    fn staged(body: impl FnOnce() -> Result<bool>) -> i32 {
        let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
        if unshare(&[Kind::User, Kind::Mount]).is_err() {
            return 77;
        }
        let mapped = std::fs::write("/proc/self/setgroups", "deny")
            .and_then(|()| std::fs::write("/proc/self/uid_map", format!("0 {uid} 1")))
            .and_then(|()| std::fs::write("/proc/self/gid_map", format!("0 {gid} 1")));
        match mapped.context(|| "mapping").and_then(|()| body()) {
            Ok(true) => 0,
            Ok(false) => 1,
            Err(e) => {
                eprintln!("{e}");
                2
            }
        }
    }

    /// What kernels before 6.5 get.
    #[test]
    fn the_classic_mount_takes_many_layers_with_long_and_odd_names() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: String| {
            let path = dir.path().join("with:colon,comma").join("x".repeat(100)).join(name);
            std::fs::create_dir_all(&path).unwrap();
            path
        };
        let lower: Vec<_> = (0..128).map(|n| path(format!("layer{n}"))).collect();
        std::fs::write(lower[127].join("deepest"), "x").unwrap();
        let (upper, work) = (path("upper".into()), path("work".into()));
        let ended = fork::in_child(|| {
            staged(|| {
                let tree = overlay_classic(&lower, &upper, &work)?;
                Ok(Root::from_fd(tree).exists("deepest") && upper.join("deepest").exists())
            })
        });
        match ended.unwrap().code() {
            77 => println!("SKIPPED: user namespaces are forbidden here"),
            code => assert_eq!(code, 0),
        }
    }
}
