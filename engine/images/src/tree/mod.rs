//! Trees of files owned by many ids: archives of them, archives into them, sizes, removal.
//!
//! Every path is resolved inside a root by the kernel (`openat2`); see `bryo_sys::rooted`.

use std::io::{Read, Write};
use std::path::Path;

use bryo_sys::rooted::Root;

use crate::error::Result;
use crate::settings::IdMap;
use crate::store::Usage;

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
    /// Where a symlink points, resolved inside the root, absolute; else empty.
    pub link_target: String,
}

/// How [`extract`] treats what is there.
#[derive(Debug, Clone)]
pub struct ExtractOptions {
    /// A folder may not take the place of something else, nor the other way round.
    pub no_overwrite_dir_non_dir: bool,
    /// Owners as in the archive; else root.
    pub copy_uid_gid: bool,
    /// Which owners are possible.
    pub ids: IdMap,
}

/// Looks at `path` itself, not through a final symlink.
pub fn stat(root: &Root, path: &str) -> Result<PathStat> {
    let _ = (root, path);
    Err(crate::error::Error::new(crate::ErrorKind::Unavailable, "not in this version"))
}

/// Writes `path` (a final symlink itself) as a tar archive whose names begin with its last name;
/// `/` gives names relative to the root, and a trailing `/.` the folder's content under `./`.
pub fn write_tar(root: &Root, path: &str, out: impl Write) -> Result<()> {
    let _ = (root, path, out);
    Err(crate::error::Error::new(crate::ErrorKind::Unavailable, "not in this version"))
}

/// Unpacks an archive (compressed or not) into the folder `path`.
pub fn extract(tar: impl Read, root: &Root, path: &str, options: &ExtractOptions) -> Result<()> {
    let _ = (tar, root, path, options);
    Err(crate::error::Error::new(crate::ErrorKind::Unavailable, "not in this version"))
}

/// Removes a tree whatever its modes; content if it is not there.
pub fn remove(path: &Path) -> Result<()> {
    let _ = path;
    Err(crate::error::Error::new(crate::ErrorKind::Unavailable, "not in this version"))
}

/// What a tree takes.
pub fn usage(path: &Path) -> Result<Usage> {
    let _ = path;
    Err(crate::error::Error::new(crate::ErrorKind::Unavailable, "not in this version"))
}
