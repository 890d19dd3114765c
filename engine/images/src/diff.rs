//! What a container changed: the upper folder of an overlay compared with the layers below it.

use std::io::Write;
use std::path::{Path, PathBuf};

use crate::error::Result;

/// A path that is not as in the image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// Absolute, as the container sees it.
    pub path: PathBuf,
    /// What happened.
    pub kind: ChangeKind,
}

/// What happened to a path; the numbers are the API's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChangeKind {
    /// It is another file, or a folder in which something changed (0).
    Modified,
    /// It is new (1).
    Added,
    /// It is gone (2).
    Deleted,
}

/// Changes, sorted by path. `lowers` has the topmost layer first.
pub fn changes(upper: &Path, lowers: &[PathBuf]) -> Result<Vec<Change>> {
    let _ = (upper, lowers);
    Ok(Vec::new())
}

/// Writes the upper folder as a layer archive (`.wh.` entries for what is gone).
pub fn write_layer(upper: &Path, out: impl Write) -> Result<()> {
    let _ = (upper, out);
    Ok(())
}
