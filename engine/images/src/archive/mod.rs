//! Images in and out of files: `save`, `load`, `import`, `commit`.

mod changes;
mod load;
mod make;
mod save;

pub(crate) use load::load;
pub(crate) use make::{commit, import};
pub(crate) use save::save;

use serde::{Deserialize, Serialize};

/// An entry of `manifest.json`, the table of contents of a docker-archive.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ArchiveEntry {
    /// Path of the configuration document in the archive.
    config: String,
    /// Familiar names.
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    /// Paths of the layers, lowest first.
    #[serde(default)]
    layers: Option<Vec<String>>,
}

/// OCI's name for what an index entry is called; Docker puts the tag alone there.
const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// The full name, as containerd and Docker write it.
const IMAGE_NAME: &str = "io.containerd.image.name";
