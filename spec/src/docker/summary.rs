//! One entry of `GET /containers/json`.

use std::collections::BTreeMap;

use super::{EndpointSettings, MountPoint};

wire! {
    /// A container in a list.
    pub struct ContainerSummary {
        pub id: String,
        pub names: Vec<String>,
        pub image: String,
        #[serde(rename = "ImageID")]
        pub image_id: String,
        pub command: String,
        pub created: i64,
        pub ports: Vec<PortSummary>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub size_rw: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub size_root_fs: Option<u64>,
        pub labels: BTreeMap<String, String>,
        pub state: String,
        pub status: String,
        pub host_config: SummaryHostConfig,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub health: Option<SummaryHealth>,
        pub network_settings: SummaryNetworks,
        pub mounts: Vec<MountPoint>,
    }

    /// A port in a list.
    pub struct PortSummary {
        #[serde(rename = "IP", skip_serializing_if = "String::is_empty")]
        pub ip: String,
        pub private_port: u16,
        #[serde(skip_serializing_if = "crate::docker::wire::is_zero")]
        pub public_port: u16,
        pub r#type: String,
    }

    /// The little that lists tell of the host's part.
    pub struct SummaryHostConfig {
        pub network_mode: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub annotations: Option<BTreeMap<String, String>>,
    }

    /// Health in a list (since API 1.52).
    pub struct SummaryHealth {
        pub status: String,
        pub failing_streak: u32,
    }

    /// Networks in a list.
    pub struct SummaryNetworks {
        pub networks: BTreeMap<String, EndpointSettings>,
    }

    /// The answer of `POST /containers/prune`.
    pub struct ContainersPruned {
        pub containers_deleted: Option<Vec<String>>,
        pub space_reclaimed: u64,
    }
}
