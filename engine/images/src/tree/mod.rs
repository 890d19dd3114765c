//! Trees of files owned by many ids: archives of them, archives into them, copies, sizes, removal.
//!
//! Every path is resolved inside a root by the kernel (`openat2`); see `bryo_sys::rooted`. Trees are
//! walked by descriptors, one name at a time, so a container that renames and links while it is
//! being archived can confuse its own archive and nothing else.

mod archive;
pub(crate) mod copy;
mod extract;
mod remove;
pub(crate) mod walk;

use std::os::fd::OwnedFd;

use bryo_sys::rooted::Root;
use rustix::fs::FileType;

use crate::error::{Error, Result};
use crate::merged::{is_symlink, read_link};
use crate::settings::IdMap;

pub use archive::{export, write_tar};
pub use extract::extract;
pub use remove::remove;
pub use walk::usage;

pub(crate) use archive::layer;
pub(crate) use remove::remove_at;

/// What a path in a tree is, for `docker cp`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathStat {
    /// Its last name; `/` for the root.
    pub name: String,
    /// Bytes.
    pub size: i64,
    /// `st_mode`: type and permission bits.
    pub mode: u32,
    /// Nanoseconds since the epoch.
    pub mtime: i128,
    /// Where a symlink points, absolute inside the root; else empty.
    pub link_target: String,
}

/// How [`extract`] treats what is there.
#[derive(Debug, Clone)]
pub struct ExtractOptions {
    /// A folder may not take the place of something else, nor the other way round.
    pub no_overwrite_dir_non_dir: bool,
    /// Owner of everything that is unpacked; none: as the archive says.
    pub owner: Option<(u32, u32)>,
    /// Which owners are possible.
    pub ids: IdMap,
}

/// Looks at `path` itself, not through a final symlink (unless the path ends in a slash or `/.`).
pub fn stat(root: &Root, path: &str) -> Result<PathStat> {
    let opened = open_as_named(root, path)?;
    let stat = rustix::fs::fstat(&opened).map_err(|e| Error::io("look at", path, e))?;
    let mut link_target = String::new();
    if is_symlink(&stat) {
        let target = String::from_utf8_lossy(&read_link(&opened)?).into_owned();
        let parent = clean(path).rsplit_once('/').map_or(String::new(), |(p, _)| p.to_owned());
        link_target = if target.starts_with('/') {
            clean(&target)
        } else {
            clean(&format!("{parent}/{target}"))
        };
    }
    Ok(PathStat {
        name: base_name(path),
        size: stat.st_size,
        mode: stat.st_mode,
        mtime: i128::from(stat.st_mtime) * 1_000_000_000 + i128::from(stat.st_mtime_nsec),
        link_target,
    })
}

/// Opens what a path names as `O_PATH`.
fn open_as_named(root: &Root, path: &str) -> Result<OwnedFd> {
    let through = path.ends_with('/') || path.ends_with("/.") || path == ".";
    let opened = if through { root.resolve(path) } else { root.resolve_link(path) };
    let opened = opened.map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => {
            archive::not_found(path)
        }
        _ => Error::io("open", path, e),
    })?;
    if path.ends_with('/') {
        let stat = rustix::fs::fstat(&opened).map_err(|e| Error::io("look at", path, e))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            return Err(archive::not_found(path));
        }
    }
    Ok(opened)
}

/// The last name of a path as Go's `filepath.Base` has it.
fn base_name(path: &str) -> String {
    if path.ends_with("/.") || path == "." {
        return ".".to_owned();
    }
    match clean(path).rsplit_once('/') {
        Some((_, "")) | None => "/".to_owned(),
        Some((_, name)) => name.to_owned(),
    }
}

/// An absolute path without `.`, `..` and doubled slashes.
fn clean(path: &str) -> String {
    let mut names: Vec<&str> = Vec::new();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." => drop(names.pop()),
            name => names.push(name),
        }
    }
    format!("/{}", names.join("/"))
}
