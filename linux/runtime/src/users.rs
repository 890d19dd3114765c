//! Names of users and groups, read from the files of a root that is not trusted.

use bryo_sys::rooted::Root;

use crate::{Error, Result};

/// A user as Docker's `--user` and an image's `User` name one, resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedUser {
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Supplementary groups from `etc/group` (only when no group was named) and the extra ones.
    pub additional_gids: Vec<u32>,
    /// Home folder from `etc/passwd`, `/` if there is none.
    pub home: String,
}

/// Resolves `user` (`""`, `name`, `uid`, `name:group`, `uid:gid`) and `extra` groups (docker's
/// `--group-add`) with `etc/passwd` and `etc/group` inside `root`.
pub fn resolve(root: &Root, user: &str, extra: &[String]) -> Result<ResolvedUser> {
    let _ = (root, user, extra);
    Err(Error::other("the runtime is not finished"))
}
