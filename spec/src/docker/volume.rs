//! Volumes.

use std::collections::BTreeMap;

wire! {
    /// A volume; the order of fields is that of dockerd (by name).
    pub struct Volume {
        #[serde(skip_serializing_if = "String::is_empty")]
        pub created_at: String,
        pub driver: String,
        pub labels: Option<BTreeMap<String, String>>,
        pub mountpoint: String,
        pub name: String,
        pub options: Option<BTreeMap<String, String>>,
        pub scope: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub usage_data: Option<VolumeUsage>,
    }

    /// Bytes and users of a volume; -1: not known.
    pub struct VolumeUsage {
        pub ref_count: i64,
        pub size: i64,
    }

    /// The answer of `GET /volumes`.
    pub struct VolumeList {
        pub volumes: Vec<Volume>,
        pub warnings: Option<Vec<String>>,
    }

    /// The body of `POST /volumes/create`.
    pub struct VolumeCreateRequest {
        pub driver: String,
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        pub driver_opts: BTreeMap<String, String>,
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        pub labels: BTreeMap<String, String>,
        pub name: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub cluster_volume_spec: Option<serde_json::Value>,
    }

    /// The answer of `POST /volumes/prune`.
    pub struct VolumesPruned {
        pub volumes_deleted: Vec<String>,
        pub space_reclaimed: u64,
    }
}
