//! Images as the engine lists them.

use std::collections::BTreeMap;

/// An image in a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageView {
    /// `sha256:…` of its configuration.
    pub id: String,
    /// `sha256:…` of the image it was made from here, or empty.
    pub parent: String,
    /// Familiar references with a tag.
    pub repo_tags: Vec<String>,
    /// Familiar references with a digest.
    pub repo_digests: Vec<String>,
    /// Nanoseconds since the epoch.
    pub created: i128,
    /// Bytes of all its layers.
    pub size: u64,
    /// Bytes that other images share; only in `df`.
    pub shared_size: Option<u64>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Containers made from it.
    pub containers: u64,
    /// Digest and media type of its manifest, when known, and the manifest's size.
    pub manifest: Option<(String, String, u64)>,
}
