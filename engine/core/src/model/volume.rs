//! Volumes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What `volume create` can say.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct VolumeSpec {
    /// Its name; empty: an anonymous one (64 hex digits).
    pub name: String,
    /// `local` or empty.
    pub driver: String,
    /// `type`, `o`, `device`.
    pub options: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

/// A volume as it is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct VolumeView {
    /// What was asked, the name filled in.
    pub spec: VolumeSpec,
    /// Made by a container for itself.
    pub anonymous: bool,
    /// Nanoseconds since the epoch.
    pub created: i128,
    /// Host path of its data.
    pub mountpoint: String,
    /// Bytes and number of containers that use it; only in `df`.
    pub usage: Option<(u64, u64)>,
}
