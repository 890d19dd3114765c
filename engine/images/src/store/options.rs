//! What calls of the store take and return.

use std::path::PathBuf;

use crate::image::ImageConfig;
use crate::reference::Reference;

/// Which images; empty means all. Values of one field are alternatives, fields must all match
/// (labels: every one).
#[derive(Debug, Clone, Default)]
pub struct ImageFilter {
    /// Images without (true) or with (false) a name.
    pub dangling: Option<bool>,
    /// `key` or `key=value`; all must be there.
    pub labels: Vec<String>,
    /// `key` or `key=value`; none may be there.
    pub labels_not: Vec<String>,
    /// Patterns as `filepath.Match` knows them, against the familiar name with and without tag.
    pub references: Vec<String>,
    /// Created before this image.
    pub before: Vec<String>,
    /// Created after this image.
    pub since: Vec<String>,
    /// Created before this time, nanoseconds since the epoch.
    pub until: Option<i128>,
}

/// What became of a name or an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removed {
    /// A name (familiar form) is gone.
    Untagged(String),
    /// An image (`sha256:…`) or a layer (its chain id) is gone.
    Deleted(String),
}

/// An image that was read from an archive.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The image.
    pub image: crate::image::Image,
    /// The names it has in the archive, familiar form; empty if it has none.
    pub names: Vec<String>,
}

/// See [`crate::Store::import`].
#[derive(Debug, Clone, Default)]
pub struct ImportOptions {
    /// The new image's name.
    pub reference: Option<Reference>,
    /// Kept as comment; empty: `Imported from -`.
    pub message: String,
    /// `CMD`, `ENTRYPOINT`, `ENV`, `EXPOSE`, `LABEL`, `USER`, `VOLUME`, `WORKDIR`, `STOPSIGNAL`,
    /// `HEALTHCHECK`, `ONBUILD`, `SHELL` lines as in a Dockerfile.
    pub changes: Vec<String>,
    /// `os[/arch[/variant]]`; none: the machine's.
    pub platform: Option<String>,
}

/// See [`crate::Store::commit`].
#[derive(Debug, Clone, Default)]
pub struct CommitOptions {
    /// The new image's name.
    pub reference: Option<Reference>,
    /// Kept as comment.
    pub comment: String,
    /// Kept as author.
    pub author: String,
    /// Dockerfile lines, as for import; applied to `config`.
    pub changes: Vec<String>,
    /// The container's configuration as an image's.
    pub config: ImageConfig,
    /// The container's command, for the history.
    pub created_by: String,
}

/// The folders of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WritableLayer {
    /// What it writes; in copy mode the whole root filesystem.
    pub upper: PathBuf,
    /// The overlay's `workdir`.
    pub work: PathBuf,
    /// The layers below, topmost first, all in one parent folder; empty in copy mode.
    pub lowers: Vec<PathBuf>,
}

/// What a tree takes on disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes: the sizes of regular files, hard links counted once.
    pub bytes: u64,
    /// Files, folders and the like.
    pub inodes: u64,
}
