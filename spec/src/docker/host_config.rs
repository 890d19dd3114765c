//! `HostConfig`: the part of a container's settings that depends on the host.
//!
//! The order of fields and which empty lists are `null` and which `[]` is dockerd's, because `docker inspect` prints it.

use std::collections::BTreeMap;

use serde_json::Value;

use super::config::OneOrMany;

/// Published ports: `80/tcp` → where.
pub type PortMap = BTreeMap<String, Option<Vec<PortBinding>>>;

wire! {
    /// A container's settings on its host.
    pub struct HostConfig {
        pub binds: Option<Vec<String>>,
        #[serde(rename = "ContainerIDFile")]
        pub container_id_file: String,
        pub log_config: LogConfig,
        pub network_mode: String,
        pub port_bindings: PortMap,
        pub restart_policy: RestartPolicy,
        pub auto_remove: bool,
        pub volume_driver: String,
        pub volumes_from: Option<Vec<String>>,
        pub console_size: [u16; 2],
        #[serde(skip_serializing_if = "Option::is_none")]
        pub annotations: Option<BTreeMap<String, String>>,
        pub cap_add: Option<Vec<String>>,
        pub cap_drop: Option<Vec<String>>,
        pub cgroupns_mode: String,
        pub dns: Option<Vec<String>>,
        pub dns_options: Vec<String>,
        pub dns_search: Vec<String>,
        pub extra_hosts: Option<Vec<String>>,
        pub group_add: Option<Vec<String>>,
        pub ipc_mode: String,
        pub cgroup: String,
        pub links: Option<Vec<String>>,
        pub oom_score_adj: i64,
        pub pid_mode: String,
        pub privileged: bool,
        pub publish_all_ports: bool,
        pub readonly_rootfs: bool,
        pub security_opt: Option<Vec<String>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub storage_opt: Option<BTreeMap<String, String>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub tmpfs: Option<BTreeMap<String, String>>,
        #[serde(rename = "UTSMode")]
        pub uts_mode: String,
        pub userns_mode: String,
        pub shm_size: i64,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub sysctls: Option<BTreeMap<String, String>>,
        #[serde(skip_serializing_if = "String::is_empty")]
        pub runtime: String,
        pub isolation: String,
        #[serde(flatten)]
        pub resources: Resources,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub mounts: Option<Vec<Mount>>,
        pub masked_paths: Option<Vec<String>>,
        pub readonly_paths: Option<Vec<String>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub init: Option<bool>,
    }

    /// Limits and devices; also most of the body of `update`.
    pub struct Resources {
        pub cpu_shares: i64,
        pub memory: i64,
        pub nano_cpus: i64,
        pub cgroup_parent: String,
        pub blkio_weight: u16,
        pub blkio_weight_device: Vec<Value>,
        pub blkio_device_read_bps: Vec<Value>,
        pub blkio_device_write_bps: Vec<Value>,
        #[serde(rename = "BlkioDeviceReadIOps")]
        pub blkio_device_read_iops: Vec<Value>,
        #[serde(rename = "BlkioDeviceWriteIOps")]
        pub blkio_device_write_iops: Vec<Value>,
        pub cpu_period: i64,
        pub cpu_quota: i64,
        pub cpu_realtime_period: i64,
        pub cpu_realtime_runtime: i64,
        pub cpuset_cpus: String,
        pub cpuset_mems: String,
        pub devices: Vec<DeviceMapping>,
        pub device_cgroup_rules: Option<Vec<String>>,
        pub device_requests: Option<Vec<Value>>,
        #[serde(skip_serializing_if = "crate::docker::wire::is_zero")]
        pub kernel_memory: i64,
        #[serde(rename = "KernelMemoryTCP", skip_serializing_if = "crate::docker::wire::is_zero")]
        pub kernel_memory_tcp: i64,
        pub memory_reservation: i64,
        pub memory_swap: i64,
        pub memory_swappiness: Option<i64>,
        pub oom_kill_disable: Option<bool>,
        pub pids_limit: Option<i64>,
        pub ulimits: Vec<Ulimit>,
        pub cpu_count: i64,
        pub cpu_percent: i64,
        #[serde(rename = "IOMaximumIOps")]
        pub io_maximum_iops: u64,
        #[serde(rename = "IOMaximumBandwidth")]
        pub io_maximum_bandwidth: u64,
    }

    /// The body of `POST /containers/{id}/update`.
    pub struct UpdateRequest {
        #[serde(flatten)]
        pub resources: Resources,
        pub restart_policy: RestartPolicy,
    }

    /// `{"Warnings": …}`.
    pub struct UpdateResponse {
        pub warnings: Option<Vec<String>>,
    }

    /// Log driver.
    pub struct LogConfig {
        pub r#type: String,
        pub config: BTreeMap<String, String>,
    }

    /// Where a port is published.
    pub struct PortBinding {
        pub host_ip: String,
        pub host_port: String,
    }

    /// What happens after the end.
    pub struct RestartPolicy {
        pub name: String,
        pub maximum_retry_count: u32,
    }

    /// A host device.
    pub struct DeviceMapping {
        pub path_on_host: String,
        pub path_in_container: String,
        pub cgroup_permissions: String,
    }

    /// A resource limit.
    pub struct Ulimit {
        pub name: String,
        pub hard: i64,
        pub soft: i64,
    }

    /// A mount of the `--mount` form.
    pub struct Mount {
        pub r#type: String,
        #[serde(skip_serializing_if = "String::is_empty")]
        pub source: String,
        pub target: String,
        #[serde(skip_serializing_if = "crate::docker::wire::is_zero")]
        pub read_only: bool,
        #[serde(skip_serializing_if = "String::is_empty")]
        pub consistency: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub bind_options: Option<BindOptions>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub volume_options: Option<VolumeOptions>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub image_options: Option<ImageOptions>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub tmpfs_options: Option<TmpfsOptions>,
    }

    /// Options of a bind.
    pub struct BindOptions {
        #[serde(skip_serializing_if = "String::is_empty")]
        pub propagation: String,
        #[serde(skip_serializing_if = "crate::docker::wire::is_zero")]
        pub non_recursive: bool,
        #[serde(skip_serializing_if = "crate::docker::wire::is_zero")]
        pub create_mountpoint: bool,
        #[serde(skip_serializing_if = "crate::docker::wire::is_zero")]
        pub read_only_non_recursive: bool,
        #[serde(skip_serializing_if = "crate::docker::wire::is_zero")]
        pub read_only_force_recursive: bool,
    }

    /// Options of a volume.
    pub struct VolumeOptions {
        #[serde(skip_serializing_if = "crate::docker::wire::is_zero")]
        pub no_copy: bool,
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        pub labels: BTreeMap<String, String>,
        #[serde(skip_serializing_if = "String::is_empty")]
        pub subpath: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub driver_config: Option<DriverConfig>,
    }

    /// A volume's driver.
    pub struct DriverConfig {
        #[serde(skip_serializing_if = "String::is_empty")]
        pub name: String,
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        pub options: BTreeMap<String, String>,
    }

    /// Options of an image mount.
    pub struct ImageOptions {
        #[serde(skip_serializing_if = "String::is_empty")]
        pub subpath: String,
    }

    /// Options of a tmpfs.
    pub struct TmpfsOptions {
        #[serde(skip_serializing_if = "crate::docker::wire::is_zero")]
        pub size_bytes: i64,
        #[serde(skip_serializing_if = "crate::docker::wire::is_zero")]
        pub mode: u32,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub options: Vec<Vec<String>>,
    }

    /// The body of `POST /commit`: a [`super::Config`] is read from it; this is the answer.
    pub struct IdResponse {
        pub id: String,
    }
}

/// A command in the shape of a list, or none.
pub fn command(list: Option<&Vec<String>>) -> Option<OneOrMany> {
    list.map(|l| OneOrMany::Many(l.clone()))
}
