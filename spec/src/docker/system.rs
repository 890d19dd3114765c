//! `version` and `info`.

use std::collections::BTreeMap;

use serde_json::Value;

wire! {
    /// The answer of `GET /version`.
    pub struct Version {
        pub platform: Platform,
        pub version: String,
        pub api_version: String,
        #[serde(rename = "MinAPIVersion")]
        pub min_api_version: String,
        pub os: String,
        pub arch: String,
        pub components: Vec<Component>,
        pub git_commit: String,
        pub go_version: String,
        pub kernel_version: String,
        #[serde(skip_serializing_if = "String::is_empty")]
        pub build_time: String,
    }

    /// Whose engine it is.
    pub struct Platform {
        pub name: String,
    }

    /// A part of the engine.
    pub struct Component {
        pub name: String,
        pub version: String,
        pub details: BTreeMap<String, String>,
    }

    /// The answer of `GET /info`.
    pub struct Info {
        #[serde(rename = "ID")]
        pub id: String,
        pub containers: u64,
        pub containers_running: u64,
        pub containers_paused: u64,
        pub containers_stopped: u64,
        pub images: u64,
        pub driver: String,
        pub driver_status: Vec<(String, String)>,
        pub plugins: Plugins,
        pub memory_limit: bool,
        pub swap_limit: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub kernel_memory: Option<bool>,
        #[serde(rename = "KernelMemoryTCP", skip_serializing_if = "Option::is_none")]
        pub kernel_memory_tcp: Option<bool>,
        pub cpu_cfs_period: bool,
        pub cpu_cfs_quota: bool,
        #[serde(rename = "CPUShares")]
        pub cpu_shares: bool,
        #[serde(rename = "CPUSet")]
        pub cpu_set: bool,
        pub pids_limit: bool,
        #[serde(rename = "IPv4Forwarding")]
        pub ipv4_forwarding: bool,
        #[serde(skip_serializing_if = "Option::is_none", rename = "BridgeNfIptables")]
        pub bridge_nf_iptables: Option<bool>,
        #[serde(skip_serializing_if = "Option::is_none", rename = "BridgeNfIp6tables")]
        pub bridge_nf_ip6tables: Option<bool>,
        pub debug: bool,
        #[serde(rename = "NFd")]
        pub n_fd: u64,
        pub oom_kill_disable: bool,
        #[serde(rename = "NGoroutines")]
        pub n_goroutines: u64,
        pub system_time: String,
        pub logging_driver: String,
        pub cgroup_driver: String,
        pub cgroup_version: String,
        #[serde(rename = "NEventsListener")]
        pub n_events_listener: u64,
        pub kernel_version: String,
        pub operating_system: String,
        #[serde(rename = "OSVersion")]
        pub os_version: String,
        #[serde(rename = "OSType")]
        pub os_type: String,
        pub architecture: String,
        pub index_server_address: String,
        pub registry_config: RegistryConfig,
        #[serde(rename = "NCPU")]
        pub ncpu: u64,
        pub mem_total: u64,
        pub generic_resources: Option<Vec<Value>>,
        pub docker_root_dir: String,
        pub http_proxy: String,
        pub https_proxy: String,
        pub no_proxy: String,
        pub name: String,
        pub labels: Vec<String>,
        pub experimental_build: bool,
        pub server_version: String,
        pub runtimes: BTreeMap<String, RuntimeInfo>,
        pub default_runtime: String,
        pub swarm: Swarm,
        pub live_restore_enabled: bool,
        pub isolation: String,
        pub init_binary: String,
        pub containerd_commit: Commit,
        pub runc_commit: Commit,
        pub init_commit: Commit,
        pub security_options: Vec<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub default_address_pools: Option<Vec<AddressPool>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub firewall_backend: Option<FirewallBackend>,
        #[serde(rename = "CDISpecDirs")]
        pub cdi_spec_dirs: Vec<String>,
        pub warnings: Vec<String>,
    }

    /// Names of drivers.
    pub struct Plugins {
        pub volume: Vec<String>,
        pub network: Vec<String>,
        pub authorization: Option<Vec<String>>,
        pub log: Vec<String>,
    }

    /// Registries.
    pub struct RegistryConfig {
        #[serde(rename = "InsecureRegistryCIDRs")]
        pub insecure_registry_cidrs: Vec<String>,
        pub index_configs: BTreeMap<String, IndexConfig>,
        pub mirrors: Vec<String>,
    }

    /// One registry.
    pub struct IndexConfig {
        pub name: String,
        pub mirrors: Vec<String>,
        pub secure: bool,
        pub official: bool,
    }

    /// A revision of a component; Docker spells its field in full capitals.
    pub struct Commit {
        #[serde(rename = "ID")]
        pub id: String,
    }

    /// A pool that subnets come from.
    pub struct AddressPool {
        pub base: String,
        pub size: u8,
    }

    /// How the firewall is driven.
    pub struct FirewallBackend {
        pub driver: String,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub info: Vec<(String, String)>,
    }

    /// Swarm: never there.
    pub struct Swarm {
        #[serde(rename = "NodeID")]
        pub node_id: String,
        pub node_addr: String,
        pub local_node_state: String,
        pub control_available: bool,
        pub error: String,
        pub remote_managers: Option<Vec<Value>>,
    }
}

/// An OCI runtime; Docker spells these fields in lower case.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct RuntimeInfo {
    pub path: String,
    #[serde(rename = "runtimeArgs", skip_serializing_if = "Vec::is_empty")]
    pub runtime_args: Vec<String>,
}
