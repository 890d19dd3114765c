//! Masked and read-only paths.
//!
//! Paths in `/proc` and `/sys` are looked up in the very procfs and sysfs that were mounted here, without links and
//! without crossing another mount; so nothing that an image or another container does to the tree can make the mask
//! land elsewhere (CVE-2025-31133, CVE-2025-52881). A path that does not exist needs no mask.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use bryo_sys::mount::{self, Attributes, Change, Maker};
use bryo_sys::rooted::Root;
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::devices;
use crate::error::{Context, Error, Result, plain};
use crate::mounts::{Mounted, explain};

/// Covers `masked` paths: folders by an empty read-only tmpfs, files by the null device.
pub(crate) fn mask(root: &Root, mounted: &Mounted, masked: &[String]) -> Result<()> {
    let mut covers = Covers { null: None, empty: None };
    for path in masked {
        let what = || format!("masking {path}");
        let Some(target) = find(root, mounted, path).map_err(|e| e.within(what()))? else {
            continue;
        };
        let stat = rustix::fs::fstat(&target).context(what)?;
        let folder = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        covers.put(folder, target.as_fd()).map_err(|e| e.within(what()))?;
    }
    Ok(())
}

/// Makes `paths` read-only, with what is mounted below.
pub(crate) fn read_only(root: &Root, mounted: &Mounted, paths: &[String]) -> Result<()> {
    let change = Change { set: Attributes::RDONLY, ..Change::default() };
    for path in paths {
        let what = || format!("making {path} read-only");
        let Some(target) = find(root, mounted, path).map_err(|e| e.within(what()))? else {
            continue;
        };
        let tree = mount::clone_tree(target.as_fd(), "", true).context(what)?;
        mount::set_attributes(tree.as_fd(), true, change).context(what)?;
        mount::attach(tree.as_fd(), target.as_fd()).context(what)?;
    }
    Ok(())
}

/// What masks are made of; each is made once and cloned after that.
struct Covers {
    null: Option<OwnedFd>,
    empty: Option<OwnedFd>,
}

impl Covers {
    fn put(&mut self, folder: bool, target: BorrowedFd<'_>) -> Result<()> {
        if !folder {
            let null = match self.null.take() {
                Some(null) => null,
                None => devices::null()?,
            };
            let tree =
                mount::clone_tree(null.as_fd(), "", false).context(|| "cloning the null device")?;
            self.null = Some(null);
            return mount::attach(tree.as_fd(), target).context(|| "attaching the null device");
        }
        match &self.empty {
            // Attached, so it can be cloned (a detached mount only since Linux 6.15).
            Some(empty) => {
                let tree = mount::clone_tree(empty.as_fd(), "", false)
                    .context(|| "cloning the empty folder")?;
                mount::attach(tree.as_fd(), target).context(|| "attaching the empty folder")
            }
            None => {
                let maker = Maker::new("tmpfs").map_err(explain)?;
                maker.set("nr_blocks", "1").map_err(explain)?;
                maker.set("nr_inodes", "1").map_err(explain)?;
                let empty = maker.mount(Attributes::RDONLY).map_err(explain)?;
                mount::attach(empty.as_fd(), target).context(|| "attaching an empty folder")?;
                self.empty = Some(empty);
                Ok(())
            }
        }
    }
}

/// The target of a mask; none if it does not exist.
fn find(root: &Root, mounted: &Mounted, path: &str) -> Result<Option<OwnedFd>> {
    let path = Path::new(path);
    if !path.is_absolute() {
        return Err(Error::bad("the path is not absolute"));
    }
    let inside = |mount: &Option<OwnedFd>, place: &str| match (mount, path.strip_prefix(place)) {
        (Some(mount), Ok(rest)) if !rest.as_os_str().is_empty() => {
            Some(beneath(mount.as_fd(), rest))
        }
        _ => None,
    };
    let found =
        inside(&mounted.proc, "/proc").or_else(|| inside(&mounted.sys, "/sys")).unwrap_or_else(
            || root.resolve(path).map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO)),
        );
    match found {
        Ok(fd) => Ok(Some(fd)),
        // ACCESS: procfs hides it from us, so from the container too.
        Err(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS) => Ok(None),
        Err(e) => Err(Error::other(plain(&e.into()))),
    }
}

fn beneath(mount: BorrowedFd<'_>, path: &Path) -> rustix::io::Result<OwnedFd> {
    // Mounts may be crossed: a read-only path may lie below a mask of another, and then it is that which is found.
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    rustix::fs::openat2(mount, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve)
}
