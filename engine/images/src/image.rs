//! What an image is: its configuration as the engine uses it, and where its layers are.
//!
//! The configuration is a JSON document named by its digest, which is the image's id. The document
//! itself is kept byte for byte as a blob; [`ImageConfig`] is what the engine reads out of it.
//! Docker's and OCI's documents have the same fields, with `null` wherever nothing is said.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};

/// What a container made from the image starts with.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ImageConfig {
    /// `user[:group]`.
    #[serde(deserialize_with = "or_default")]
    pub user: String,
    /// `KEY=VALUE`.
    #[serde(deserialize_with = "or_default")]
    pub env: Vec<String>,
    /// Arguments, or program and arguments when there is no entrypoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cmd: Option<Vec<String>>,
    /// Program and its first arguments.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// Working folder.
    #[serde(deserialize_with = "or_default")]
    pub working_dir: String,
    /// Labels.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// `80/tcp`.
    #[serde(
        deserialize_with = "keys",
        serialize_with = "as_set",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub exposed_ports: Vec<String>,
    /// Container paths that become anonymous volumes.
    #[serde(
        deserialize_with = "keys",
        serialize_with = "as_set",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub volumes: Vec<String>,
    /// Name or number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
    /// Seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_timeout: Option<i64>,
    /// Health check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<HealthCheck>,
    /// The shell of `RUN`, `CMD` and health checks in their shell form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shell: Option<Vec<String>>,
    /// Triggers for builds on top of it.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub on_build: Vec<String>,
    /// Windows only; kept to be shown again.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_false")]
    pub args_escaped: bool,
}

/// A health check of an image; times are nanoseconds, 0 means the default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct HealthCheck {
    /// `["NONE"]`, `["CMD", …]` or `["CMD-SHELL", line]`.
    #[serde(deserialize_with = "or_default")]
    pub test: Vec<String>,
    /// Between checks.
    #[serde(skip_serializing_if = "is_zero")]
    pub interval: i64,
    /// For one check.
    #[serde(skip_serializing_if = "is_zero")]
    pub timeout: i64,
    /// After the start, when failures do not count.
    #[serde(skip_serializing_if = "is_zero")]
    pub start_period: i64,
    /// Between checks in that time.
    #[serde(skip_serializing_if = "is_zero")]
    pub start_interval: i64,
    /// Failures in a row that make it unhealthy.
    #[serde(skip_serializing_if = "is_zero")]
    pub retries: i64,
}

/// One step of how the image came about, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HistoryStep {
    /// RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// The command.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub created_by: String,
    /// Who.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub author: String,
    /// Free text.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub comment: String,
    /// The step made no layer.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_false")]
    pub empty_layer: bool,
}

/// The configuration document: what the engine reads of it, and what it writes for images of its own.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConfigDocument {
    /// RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Who made it.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub author: String,
    /// `amd64` …
    #[serde(deserialize_with = "or_default")]
    pub architecture: String,
    /// `v7` …
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub variant: String,
    /// `linux`.
    #[serde(deserialize_with = "or_default")]
    pub os: String,
    /// What containers start with.
    #[serde(deserialize_with = "or_default")]
    pub config: ImageConfig,
    /// Diff ids of the layers, lowest first.
    #[serde(deserialize_with = "or_default")]
    pub rootfs: RootFs,
    /// Steps, oldest first.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<HistoryStep>,
    /// Docker's free text (commit and import messages).
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub comment: String,
    /// Which Docker made it.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub docker_version: String,
}

/// The layers of a configuration document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RootFs {
    /// `layers`.
    #[serde(rename = "type", deserialize_with = "or_default")]
    pub kind: String,
    /// Digests of the uncompressed layers, lowest first.
    #[serde(deserialize_with = "or_default")]
    pub diff_ids: Vec<Digest>,
}

impl Default for RootFs {
    fn default() -> RootFs {
        RootFs { kind: "layers".to_owned(), diff_ids: Vec::new() }
    }
}

impl ConfigDocument {
    /// Reads the document.
    pub(crate) fn parse(bytes: &[u8]) -> Result<ConfigDocument> {
        serde_json::from_slice(bytes).map_err(|e| {
            Error::new(ErrorKind::BadArchive, format!("image configuration is not valid: {e}"))
        })
    }
}

/// One layer of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// The layer and all below it; names the folder.
    pub chain_id: Digest,
    /// Of the uncompressed archive.
    pub diff_id: Digest,
    /// Of the archive as the registry has it.
    pub blob: Digest,
    /// Bytes of its files.
    pub size: u64,
}

/// An image in the store.
#[derive(Debug, Clone)]
pub struct Image {
    /// Digest of the configuration document.
    pub id: Digest,
    /// What containers start with.
    pub config: ImageConfig,
    /// `amd64` …
    pub architecture: String,
    /// `linux`.
    pub os: String,
    /// `v7` …; often empty.
    pub variant: String,
    /// Creation as the document has it (RFC 3339); may be missing.
    pub created_text: Option<String>,
    /// The same in nanoseconds since the epoch.
    pub created: Option<i128>,
    /// Who made it.
    pub author: String,
    /// Free text.
    pub comment: String,
    /// Lowest first.
    pub layers: Vec<Layer>,
    /// Oldest first.
    pub history: Vec<HistoryStep>,
    /// `alpine:latest`, sorted.
    pub repo_tags: Vec<String>,
    /// `alpine@sha256:…`, sorted.
    pub repo_digests: Vec<String>,
    /// Bytes of all its layers' files.
    pub size: u64,
    /// Digest of its manifest.
    pub manifest_digest: Digest,
    /// Media type of its manifest.
    pub manifest_type: String,
    /// Bytes of its manifest.
    pub manifest_size: u64,
    /// When it was tagged last (or stored), nanoseconds since the epoch.
    pub last_tagged: i128,
    /// The image it was committed from, if that is known.
    pub parent: Option<Digest>,
}

/// A line of `docker history`, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryEntry {
    /// The image's id on the newest line, else none.
    pub id: Option<Digest>,
    /// Nanoseconds since the epoch; 0 if not known.
    pub created: i128,
    /// The command.
    pub created_by: String,
    /// Free text.
    pub comment: String,
    /// Bytes of the layer's files.
    pub size: u64,
    /// Tags, on the newest line.
    pub tags: Vec<String>,
}

impl Image {
    /// The lines of `docker history`, newest first.
    pub fn history_entries(&self) -> Vec<HistoryEntry> {
        let mut layers = self.layers.iter();
        let mut entries: Vec<HistoryEntry> = self
            .history
            .iter()
            .map(|step| HistoryEntry {
                id: None,
                created: step.created.as_deref().and_then(parse_time).unwrap_or(0),
                created_by: step.created_by.clone(),
                comment: step.comment.clone(),
                size: if step.empty_layer { 0 } else { layers.next().map_or(0, |l| l.size) },
                tags: Vec::new(),
            })
            .collect();
        // Images without a history still show their layers.
        entries.extend(layers.map(|layer| HistoryEntry {
            id: None,
            created: self.created.unwrap_or(0),
            created_by: String::new(),
            comment: String::new(),
            size: layer.size,
            tags: Vec::new(),
        }));
        entries.reverse();
        if let Some(newest) = entries.first_mut() {
            newest.id = Some(self.id);
            newest.tags = self.repo_tags.clone();
        }
        entries
    }
}

/// RFC 3339 to nanoseconds since the epoch.
pub(crate) fn parse_time(text: &str) -> Option<i128> {
    text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_nanosecond)
}

/// Now, in nanoseconds since the epoch.
pub(crate) fn now() -> i128 {
    jiff::Timestamp::now().as_nanosecond()
}

/// Now, as configuration documents write it.
pub(crate) fn now_text() -> String {
    jiff::Timestamp::now().to_string()
}

fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    d: D,
) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(d)?.unwrap_or_default())
}

/// Go's `map[string]struct{}` as its sorted keys.
fn keys<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<String>, D::Error> {
    let map = Option::<BTreeMap<String, serde::de::IgnoredAny>>::deserialize(d)?;
    Ok(map.unwrap_or_default().into_keys().collect())
}

/// Keys as Go's `map[string]struct{}`.
fn as_set<S: serde::Serializer>(keys: &[String], s: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Empty {}
    s.collect_map(keys.iter().map(|k| (k, Empty {})))
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(value: &bool) -> bool {
    !*value
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(value: &i64) -> bool {
    *value == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_dockers_document_with_nulls() {
        let text = br#"{"architecture":"amd64","os":"linux","config":{"Env":null,"Cmd":["sh"],
            "Labels":null,"ExposedPorts":{"80/tcp":{}},"Volumes":null,"OnBuild":null,
            "Healthcheck":{"Test":["CMD","x"],"Interval":5}},
            "container_config":{"x":1},"rootfs":{"type":"layers","diff_ids":null},"history":null}"#;
        let document = ConfigDocument::parse(text).unwrap();
        assert_eq!(document.config.exposed_ports, ["80/tcp"]);
        assert_eq!(document.config.cmd.as_deref(), Some(&["sh".to_owned()][..]));
        assert_eq!(document.config.healthcheck.as_ref().unwrap().interval, 5);
        let again = serde_json::to_vec(&document).unwrap();
        assert_eq!(ConfigDocument::parse(&again).unwrap(), document);
    }
}
