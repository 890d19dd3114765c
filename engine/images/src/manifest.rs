//! Manifests and indexes, Docker's and OCI's, which differ in media types only.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::platform::Platform;

/// Docker schema 2.
pub(crate) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Docker's index.
pub(crate) const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// OCI.
pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// OCI's index.
pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// OCI's configuration document.
pub(crate) const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// An OCI layer, not compressed; `+gzip` and `+zstd` are appended.
pub(crate) const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// Layers of one image; overlayfs takes no more lower folders than this.
const MAX_LAYERS: usize = 128;

/// A reference to a blob by digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    /// What it is.
    #[serde(default)]
    pub media_type: String,
    /// Of its bytes.
    pub digest: Digest,
    /// Bytes.
    pub size: u64,
    /// In an index: what it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Free text.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl Descriptor {
    /// A plain one.
    pub fn new(media_type: impl Into<String>, digest: Digest, size: u64) -> Descriptor {
        Descriptor {
            media_type: media_type.into(),
            digest,
            size,
            platform: None,
            annotations: BTreeMap::new(),
        }
    }
}

/// The manifest of one image.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Manifest {
    /// 2.
    pub schema_version: u32,
    /// Its own type; OCI may leave it out.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub media_type: String,
    /// The configuration document.
    pub config: Descriptor,
    /// Lowest first.
    pub layers: Vec<Descriptor>,
}

/// A list of manifests for several platforms, or of a whole layout.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Index {
    /// 2.
    pub schema_version: u32,
    /// Its own type; OCI may leave it out.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub media_type: String,
    /// Manifests or further indexes.
    #[serde(default)]
    pub manifests: Vec<Descriptor>,
}

/// A manifest document of either kind.
#[derive(Debug)]
pub(crate) enum Document {
    /// One image.
    Manifest(Manifest),
    /// Several.
    Index(Index),
}

impl Document {
    /// Reads a document; `media_type` is what the registry or descriptor said (may be empty).
    pub fn parse(media_type: &str, bytes: &[u8]) -> Result<Document> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Probe {
            #[serde(default)]
            schema_version: u32,
            #[serde(default)]
            media_type: String,
            config: Option<serde::de::IgnoredAny>,
            manifests: Option<serde::de::IgnoredAny>,
        }
        let malformed = |e| Error::bad_archive(format!("the image's manifest is not valid: {e}"));
        let probe: Probe = serde_json::from_slice(bytes).map_err(malformed)?;
        if probe.schema_version == 1 {
            return Err(Error::new(
                ErrorKind::InvalidRequest,
                "the image has the format Docker Image Format v1 or schema 1, which nobody supports any more: push it again with a newer client",
            ));
        }
        let said = if probe.media_type.is_empty() { media_type } else { &probe.media_type };
        let is_index = match said {
            DOCKER_INDEX | OCI_INDEX => true,
            DOCKER_MANIFEST | OCI_MANIFEST => false,
            _ => probe.manifests.is_some() && probe.config.is_none(),
        };
        if is_index {
            return serde_json::from_slice(bytes).map(Document::Index).map_err(malformed);
        }
        let manifest: Manifest = serde_json::from_slice(bytes).map_err(malformed)?;
        manifest.check()?;
        Ok(Document::Manifest(manifest))
    }
}

impl Manifest {
    /// A manifest of the engine's own images.
    pub fn new(config: Descriptor, layers: Vec<Descriptor>) -> Manifest {
        Manifest { schema_version: 2, media_type: OCI_MANIFEST.to_owned(), config, layers }
    }

    /// Refuses what is not a container image.
    fn check(&self) -> Result<()> {
        if self.layers.len() > MAX_LAYERS {
            return Err(Error::bad_archive(format!(
                "the image has {} layers, more than the {MAX_LAYERS} that can be mounted",
                self.layers.len()
            )));
        }
        let unsupported = self.layers.iter().map(|l| l.media_type.as_str()).find(|media_type| {
            !media_type.is_empty()
                && (!media_type.contains("tar") || media_type.contains("encrypted"))
        });
        match unsupported {
            Some(media_type) => Err(Error::new(
                ErrorKind::InvalidRequest,
                format!(
                    "unsupported media type {media_type}: this is not the layer of a container image"
                ),
            )),
            None => Ok(()),
        }
    }
}

impl Index {
    /// The manifest that fits a platform best.
    pub fn choose(&self, platform: &Platform) -> Result<&Descriptor> {
        let ranked = self.manifests.iter().filter_map(|m| {
            let rank = match &m.platform {
                // Without a platform it may be anything: better than nothing.
                None => Some(usize::MAX),
                Some(for_platform) => platform.rank(for_platform),
            };
            rank.map(|rank| (rank, m))
        });
        ranked.min_by_key(|(rank, _)| *rank).map(|(_, m)| m).ok_or_else(|| {
            Error::new(
                ErrorKind::NotFound,
                format!("no matching manifest for {platform} in the manifest list entries"),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chooses_by_platform_and_passes_over_attestations() {
        let digest = Digest::of(b"");
        let entry = |arch: &str, variant: &str| {
            format!(
                r#"{{"mediaType":"{OCI_MANIFEST}","digest":"{digest}","size":1,"platform":{{"os":"{}","architecture":"{arch}","variant":"{variant}"}}}}"#,
                if arch == "unknown" { "unknown" } else { "linux" }
            )
        };
        let text = format!(
            r#"{{"schemaVersion":2,"manifests":[{},{},{}]}}"#,
            entry("unknown", ""),
            entry("arm", "v6"),
            entry("arm", "v7")
        );
        let Document::Index(index) = Document::parse("", text.as_bytes()).unwrap() else {
            panic!()
        };
        let v7 = Platform::parse("linux/arm/v7").unwrap();
        let chosen = index.choose(&v7).unwrap().platform.clone().unwrap();
        assert_eq!(chosen.variant, "v7");
        let none = index.choose(&Platform::parse("linux/amd64").unwrap()).unwrap_err();
        assert_eq!(
            none.message(),
            "no matching manifest for linux/amd64 in the manifest list entries"
        );
    }
}
