//! What was asked of a container.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

pub use bryo_net::Protocol;

/// Everything that `create` can say. Empty and `None` mean "as the image says" or "the default".
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerSpec {
    /// The image reference as the user wrote it.
    pub image: String,
    /// `--platform`, as `os/arch[/variant]`.
    pub platform: Option<String>,
    /// The command, replacing the image's.
    pub cmd: Option<Vec<String>>,
    /// The entrypoint, replacing the image's; `[""]` or `[]` clears it.
    pub entrypoint: Option<Vec<String>>,
    /// `KEY=VALUE`, or `KEY` alone which removes the image's.
    pub env: Vec<String>,
    /// Working folder.
    pub working_dir: String,
    /// `user[:group]`, names or numbers.
    pub user: String,
    /// Additional groups, names or numbers.
    pub group_add: Vec<String>,
    /// Host name; empty: the short id.
    pub hostname: String,
    /// Domain name.
    pub domainname: String,
    /// A pseudo terminal.
    pub tty: bool,
    /// Keep stdin open.
    pub open_stdin: bool,
    /// Close stdin after the first client.
    pub stdin_once: bool,
    /// What the client said it will attach (only shown again in inspect): stdin, stdout, stderr.
    pub attach: (bool, bool, bool),
    /// Terminal size at start: rows, columns.
    pub console_size: (u16, u16),
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations for the OCI runtime.
    pub annotations: BTreeMap<String, String>,
    /// `--stop-signal`.
    pub stop_signal: Option<String>,
    /// `--stop-timeout` in seconds; negative: wait for ever.
    pub stop_timeout: Option<i64>,
    /// `--health-*`; see [`HealthCheck`].
    pub healthcheck: Option<HealthCheck>,
    /// Ports that the container says it listens on.
    pub exposed_ports: Vec<Port>,
    /// Ports to publish.
    pub port_bindings: Vec<PortBinding>,
    /// Publish every exposed port to a free one.
    pub publish_all_ports: bool,
    /// Anonymous volumes (`-v /path`, VOLUME), container paths.
    pub volumes: Vec<String>,
    /// `-v`, as written: `source:target[:options]`.
    pub binds: Vec<String>,
    /// `--mount`.
    pub mounts: Vec<MountSpec>,
    /// `--tmpfs`: path → options.
    pub tmpfs: BTreeMap<String, String>,
    /// `--volumes-from`: `container[:ro|rw]`.
    pub volumes_from: Vec<String>,
    /// `--volume-driver`.
    pub volume_driver: String,
    /// What to do when it ends.
    pub restart: RestartPolicy,
    /// Remove the container when it ends.
    pub auto_remove: bool,
    /// A small init as pid 1; none: the engine's default (off).
    pub init: Option<bool>,
    /// OCI runtime's name; empty: the default.
    pub runtime: String,
    /// All capabilities, devices, no masking.
    pub privileged: bool,
    /// Root filesystem read-only.
    pub read_only: bool,
    /// Capabilities beyond Docker's default set; `ALL` or names with or without `CAP_`.
    pub cap_add: Vec<String>,
    /// Capabilities to take away.
    pub cap_drop: Vec<String>,
    /// `--security-opt`, as written.
    pub security_opt: Vec<String>,
    /// Paths hidden; none: Docker's defaults.
    pub masked_paths: Option<Vec<String>>,
    /// Paths made read-only; none: Docker's defaults.
    pub readonly_paths: Option<Vec<String>>,
    /// Host devices.
    pub devices: Vec<DeviceMapping>,
    /// `--device-cgroup-rule`, as written (not enforceable rootless; said in the warnings).
    pub device_cgroup_rules: Vec<String>,
    /// CDI and GPU requests, kept as given (JSON) and refused at start when they name a driver.
    pub device_requests: Vec<serde_json::Value>,
    /// `--ulimit`.
    pub ulimits: Vec<Ulimit>,
    /// `--sysctl`.
    pub sysctls: BTreeMap<String, String>,
    /// Size of /dev/shm; 0: 64 MiB.
    pub shm_size: u64,
    /// `--oom-score-adj`.
    pub oom_score_adj: i64,
    /// `--log-driver` and `--log-opt`; an empty driver is the engine's default.
    pub log: LogSettings,
    /// Which network; see [`NetworkMode`].
    pub network_mode: NetworkMode,
    /// Settings for networks by name, as the client sent them (`default` means the mode's own network).
    pub endpoints: BTreeMap<String, EndpointSettings>,
    /// `--network none` in the old form.
    pub network_disabled: bool,
    /// `--mac-address` in the old form.
    pub mac_address: String,
    /// `--dns`.
    pub dns: Vec<String>,
    /// `--dns-option`.
    pub dns_options: Vec<String>,
    /// `--dns-search`.
    pub dns_search: Vec<String>,
    /// `--add-host`: `name:ip` (ip may be `host-gateway`).
    pub extra_hosts: Vec<String>,
    /// `--link`: `container[:alias]`.
    pub links: Vec<String>,
    /// `--ipc`: empty, none, private, shareable, host, `container:…`.
    pub ipc_mode: String,
    /// `--pid`: empty, host, `container:…`.
    pub pid_mode: String,
    /// `--uts`: empty, host.
    pub uts_mode: String,
    /// `--cgroupns`: empty, private, host.
    pub cgroupns_mode: String,
    /// `--userns`: empty or host.
    pub userns_mode: String,
    /// `--storage-opt`.
    pub storage_opt: BTreeMap<String, String>,
    /// `--cidfile`, only shown again.
    pub cidfile: String,
    /// Limits; kept and shown, enforced where [`crate::model::EngineInfo`] says so.
    pub resources: Resources,
}

/// Resource limits, in Docker's units.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Resources {
    /// Relative weight.
    pub cpu_shares: i64,
    /// Bytes.
    pub memory: i64,
    /// 10⁻⁹ CPUs.
    pub nano_cpus: i64,
    /// Parent cgroup.
    pub cgroup_parent: String,
    /// 10–1000.
    pub blkio_weight: u16,
    /// Per-device weights and rates, kept as given: key is Docker's field name, value its JSON.
    pub blkio_devices: BTreeMap<String, serde_json::Value>,
    /// Microseconds.
    pub cpu_period: i64,
    /// Microseconds.
    pub cpu_quota: i64,
    /// Microseconds.
    pub cpu_realtime_period: i64,
    /// Microseconds.
    pub cpu_realtime_runtime: i64,
    /// CPU list.
    pub cpuset_cpus: String,
    /// Node list.
    pub cpuset_mems: String,
    /// Bytes.
    pub memory_reservation: i64,
    /// Bytes of memory plus swap; -1: no limit.
    pub memory_swap: i64,
    /// 0–100.
    pub memory_swappiness: Option<i64>,
    /// Deprecated.
    pub kernel_memory: i64,
    /// Not on cgroup v2.
    pub oom_kill_disable: bool,
    /// Processes; 0 or -1: no limit; none: not said.
    pub pids_limit: Option<i64>,
}

/// A port inside a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Port {
    /// Its number.
    pub port: u16,
    /// TCP or UDP.
    pub protocol: Protocol,
}

/// A port to publish.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortBinding {
    /// The container's port.
    pub port: Port,
    /// Host address as written; empty: all.
    pub host_ip: String,
    /// Host port as written: empty (any), a number, or a range `8000-8010`.
    pub host_port: String,
}

/// A mount of the `--mount` form.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct MountSpec {
    /// What kind.
    pub kind: MountKind,
    /// Host path, volume name or image.
    pub source: String,
    /// Container path.
    pub target: String,
    /// Read-only.
    pub read_only: bool,
    /// `default`, `cached` …; only shown again.
    pub consistency: String,
    /// Bind: propagation (`rprivate` …); empty: default.
    pub propagation: String,
    /// Bind: not recursive.
    pub non_recursive: bool,
    /// Bind: make a missing source folder.
    pub create_mountpoint: bool,
    /// Bind: read-only mounts below stay writable.
    pub read_only_non_recursive: bool,
    /// Bind: fail if read-only mounts below cannot be had.
    pub read_only_force_recursive: bool,
    /// Volume: do not copy the image's content into it.
    pub no_copy: bool,
    /// Volume or image: a folder inside it.
    pub subpath: String,
    /// Volume: labels.
    pub labels: BTreeMap<String, String>,
    /// Volume: driver.
    pub driver: String,
    /// Volume: driver options.
    pub driver_options: BTreeMap<String, String>,
    /// Tmpfs: bytes; 0: no limit.
    pub tmpfs_size: u64,
    /// Tmpfs: mode bits; 0: 01777.
    pub tmpfs_mode: u32,
    /// Tmpfs: further options (`exec`, `uid=…`).
    pub tmpfs_options: Vec<Vec<String>>,
}

/// Kinds of mount.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum MountKind {
    /// A host folder or file.
    #[default]
    Bind,
    /// A named or anonymous volume.
    Volume,
    /// Memory.
    Tmpfs,
    /// An image's filesystem, read-only.
    Image,
}

/// When a container that ended is started again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RestartPolicy {
    /// Never.
    #[default]
    No,
    /// Whatever the exit code, also after the engine starts.
    Always,
    /// The same, unless it was stopped by hand.
    UnlessStopped,
    /// On an exit code but 0, at most so many times (0: no bound).
    OnFailure(u32),
}

/// A device of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceMapping {
    /// Path on the host.
    pub host: String,
    /// Path in the container.
    pub container: String,
    /// `rwm`.
    pub permissions: String,
}

/// A resource limit of setrlimit(2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ulimit {
    /// `nofile`, `nproc` …
    pub name: String,
    /// Soft limit; -1: none.
    pub soft: i64,
    /// Hard limit; -1: none.
    pub hard: i64,
}

/// Log driver and its options.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogSettings {
    /// `json-file`, `local`, `none`; empty: the engine's default.
    pub driver: String,
    /// `max-size` …
    pub options: BTreeMap<String, String>,
}

/// A container's network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum NetworkMode {
    /// `bridge`, `default` or nothing.
    #[default]
    Default,
    /// The host's.
    Host,
    /// None.
    None,
    /// Another container's.
    Container(String),
    /// A network by name or id (also `bridge` when written so).
    Named(String),
}

/// A container's settings on one network, and, once it runs, what it got.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EndpointSettings {
    /// `--ip`.
    pub ipv4: Option<IpAddr>,
    /// `--ip6`.
    pub ipv6: Option<IpAddr>,
    /// `--link-local-ip`.
    pub link_local: Vec<IpAddr>,
    /// Names besides the container's.
    pub aliases: Vec<String>,
    /// `--link` on a user-defined network.
    pub links: Vec<String>,
    /// Driver options.
    pub driver_options: BTreeMap<String, String>,
    /// Which network's gateway is the default route: the highest.
    pub gw_priority: i64,
    /// `--mac-address`.
    pub mac: String,
}

/// A health check.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HealthCheck {
    /// `[]` inherits; `["NONE"]` switches off; `["CMD", …]`; `["CMD-SHELL", line]`.
    pub test: Vec<String>,
    /// Nanoseconds between checks; 0: 30 s.
    pub interval: i64,
    /// Nanoseconds a check may take; 0: 30 s.
    pub timeout: i64,
    /// Nanoseconds after the start in which failures do not count.
    pub start_period: i64,
    /// Nanoseconds between checks in that time; 0: 5 s.
    pub start_interval: i64,
    /// Failures in a row that make it unhealthy; 0: 3.
    pub retries: i64,
}

/// A change of a container by `update`; none leaves as it is.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ContainerUpdate {
    /// New restart policy.
    pub restart: Option<RestartPolicy>,
    /// New limits: fields that are not zero or empty replace.
    pub resources: Resources,
}

/// A further process in a running container.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ExecSpec {
    /// Program and arguments.
    pub cmd: Vec<String>,
    /// `KEY=VALUE`, added to the container's.
    pub env: Vec<String>,
    /// Working folder; empty: the container's.
    pub working_dir: String,
    /// `user[:group]`; empty: the container's.
    pub user: String,
    /// All capabilities.
    pub privileged: bool,
    /// A pseudo terminal.
    pub tty: bool,
    /// What the client attaches: stdin, stdout, stderr.
    pub attach: (bool, bool, bool),
    /// Detach keys; empty: the default.
    pub detach_keys: String,
    /// Terminal size at start: rows, columns.
    pub console_size: Option<(u16, u16)>,
}
