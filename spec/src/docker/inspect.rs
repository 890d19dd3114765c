//! The answer of `GET /containers/{id}/json`.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Config, EndpointSettings, HostConfig, PortBinding};

wire! {
    /// Everything about a container.
    pub struct ContainerInspect {
        pub id: String,
        pub created: String,
        pub path: String,
        pub args: Vec<String>,
        pub state: ContainerState,
        pub image: String,
        pub resolv_conf_path: String,
        pub hostname_path: String,
        pub hosts_path: String,
        pub log_path: String,
        pub name: String,
        pub restart_count: u32,
        pub driver: String,
        pub platform: String,
        pub mount_label: String,
        pub process_label: String,
        pub app_armor_profile: String,
        #[serde(rename = "ExecIDs")]
        pub exec_ids: Option<Vec<String>>,
        pub host_config: HostConfig,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub graph_driver: Option<GraphDriver>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub storage: Option<Value>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub size_rw: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub size_root_fs: Option<u64>,
        pub mounts: Vec<MountPoint>,
        pub config: Config,
        pub network_settings: NetworkSettings,
        /// Bryo's own: how the limits that were asked for are held.
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        pub limits_held_by: BTreeMap<String, String>,
    }

    /// Where it is in its life.
    pub struct ContainerState {
        pub status: String,
        pub running: bool,
        pub paused: bool,
        pub restarting: bool,
        #[serde(rename = "OOMKilled")]
        pub oom_killed: bool,
        pub dead: bool,
        pub pid: u32,
        pub exit_code: i32,
        pub error: String,
        pub started_at: String,
        pub finished_at: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub health: Option<Health>,
    }

    /// Health.
    pub struct Health {
        pub status: String,
        pub failing_streak: u32,
        pub log: Option<Vec<HealthcheckResult>>,
    }

    /// One check.
    pub struct HealthcheckResult {
        pub start: String,
        pub end: String,
        pub exit_code: i32,
        pub output: String,
    }

    /// The storage driver, before it was called `Storage`.
    pub struct GraphDriver {
        pub data: Option<BTreeMap<String, String>>,
        pub name: String,
    }

    /// What is mounted.
    pub struct MountPoint {
        pub r#type: String,
        #[serde(skip_serializing_if = "String::is_empty")]
        pub name: String,
        pub source: String,
        pub destination: String,
        #[serde(skip_serializing_if = "String::is_empty")]
        pub driver: String,
        pub mode: String,
        #[serde(rename = "RW")]
        pub rw: bool,
        pub propagation: String,
    }

    /// Network of a container; the fields that are an `Option` were there below API 1.52 only.
    pub struct NetworkSettings {
        #[serde(skip_serializing_if = "Option::is_none")]
        pub bridge: Option<String>,
        #[serde(rename = "SandboxID")]
        pub sandbox_id: String,
        pub sandbox_key: String,
        pub ports: BTreeMap<String, Option<Vec<PortBinding>>>,
        #[serde(rename = "HairpinMode", skip_serializing_if = "Option::is_none")]
        pub hairpin_mode: Option<bool>,
        #[serde(rename = "LinkLocalIPv6Address", skip_serializing_if = "Option::is_none")]
        pub link_local_ipv6_address: Option<String>,
        #[serde(rename = "LinkLocalIPv6PrefixLen", skip_serializing_if = "Option::is_none")]
        pub link_local_ipv6_prefix_len: Option<u8>,
        #[serde(skip_serializing_if = "Option::is_none", rename = "SecondaryIPAddresses")]
        pub secondary_ip_addresses: Option<Value>,
        #[serde(skip_serializing_if = "Option::is_none", rename = "SecondaryIPv6Addresses")]
        pub secondary_ipv6_addresses: Option<Value>,
        #[serde(rename = "EndpointID", skip_serializing_if = "Option::is_none")]
        pub endpoint_id: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub gateway: Option<String>,
        #[serde(rename = "GlobalIPv6Address", skip_serializing_if = "Option::is_none")]
        pub global_ipv6_address: Option<String>,
        #[serde(rename = "GlobalIPv6PrefixLen", skip_serializing_if = "Option::is_none")]
        pub global_ipv6_prefix_len: Option<u8>,
        #[serde(rename = "IPAddress", skip_serializing_if = "Option::is_none")]
        pub ip_address: Option<String>,
        #[serde(rename = "IPPrefixLen", skip_serializing_if = "Option::is_none")]
        pub ip_prefix_len: Option<u8>,
        #[serde(rename = "IPv6Gateway", skip_serializing_if = "Option::is_none")]
        pub ipv6_gateway: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub mac_address: Option<String>,
        pub networks: BTreeMap<String, EndpointSettings>,
    }

    /// Processes of a container.
    pub struct TopResponse {
        pub titles: Vec<String>,
        pub processes: Vec<Vec<String>>,
    }

    /// A changed path: 0 modified, 1 added, 2 deleted.
    pub struct FilesystemChange {
        pub path: String,
        pub kind: u8,
    }
}

/// The answer of `wait`.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct WaitResponse {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<WaitError>,
    pub status_code: i64,
}

/// Why waiting failed.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct WaitError {
    pub message: String,
}
