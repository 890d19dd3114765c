//! The answer of `GET /system/df`.

use super::{ContainerSummary, ImageSummary, Volume};

wire! {
    /// Disk usage; below API 1.52 the first half, since then the second.
    pub struct DiskUsage {
        #[serde(skip_serializing_if = "Option::is_none")]
        pub layers_size: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub images: Option<Vec<ImageSummary>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub containers: Option<Vec<ContainerSummary>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub volumes: Option<Vec<Volume>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub build_cache: Option<Vec<serde_json::Value>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub builder_size: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub image_usage: Option<Usage<ImageSummary>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub container_usage: Option<Usage<ContainerSummary>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub volume_usage: Option<Usage<Volume>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub build_cache_usage: Option<Usage<serde_json::Value>>,
    }
}

/// Usage of one kind of thing; items only when asked for in detail.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Usage<T> {
    #[serde(skip_serializing_if = "crate::docker::wire::is_zero")]
    pub active_count: u64,
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        bound(deserialize = "T: serde::Deserialize<'de>")
    )]
    pub items: Vec<T>,
    #[serde(skip_serializing_if = "crate::docker::wire::is_zero")]
    pub reclaimable: u64,
    #[serde(skip_serializing_if = "crate::docker::wire::is_zero")]
    pub total_count: u64,
    #[serde(skip_serializing_if = "crate::docker::wire::is_zero")]
    pub total_size: u64,
}
