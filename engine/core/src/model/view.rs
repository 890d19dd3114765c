//! What the engine shows of containers, execs and itself.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{ContainerSpec, EndpointSettings, PortBinding};

/// Where a container is in its life. The comment says what may be asked of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// Never started: start, remove, rename, update, archive.
    #[default]
    Created,
    /// Its program runs: everything but start and remove without force.
    Running,
    /// Frozen: unpause, stop, kill, remove with force; no exec, no start.
    Paused,
    /// Ended, waiting to be started again by its policy: stop ends that.
    Restarting,
    /// Being removed: nothing.
    Removing,
    /// Ended: start, remove, archive, export, commit.
    Exited,
    /// Could not be removed wholly: remove.
    Dead,
}

impl Status {
    /// Docker's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Created => "created",
            Status::Running => "running",
            Status::Paused => "paused",
            Status::Restarting => "restarting",
            Status::Removing => "removing",
            Status::Exited => "exited",
            Status::Dead => "dead",
        }
    }
}

/// The state of a container.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// See [`Status`].
    pub status: Status,
    /// Host pid of the first process; 0 when none runs.
    pub pid: u32,
    /// The last exit code.
    pub exit_code: i32,
    /// Why the last start failed.
    pub error: String,
    /// Killed for memory.
    pub oom_killed: bool,
    /// Nanoseconds since the epoch.
    pub started_at: Option<i128>,
    /// Nanoseconds since the epoch.
    pub finished_at: Option<i128>,
    /// Health, when there is a check.
    pub health: Option<Health>,
}

/// Health of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// `starting`, `healthy`, `unhealthy`.
    pub status: String,
    /// Failures in a row.
    pub failing_streak: u32,
    /// The last five checks.
    pub log: Vec<HealthResult>,
}

/// One health check's outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthResult {
    /// Nanoseconds since the epoch.
    pub start: i128,
    /// Nanoseconds since the epoch.
    pub end: i128,
    /// Exit code; -1: timed out or could not be run.
    pub exit_code: i32,
    /// The first 4096 bytes of output.
    pub output: String,
}

/// A container as it is.
#[derive(Debug, Clone)]
pub struct ContainerView {
    /// 64 hex digits.
    pub id: String,
    /// Without a slash.
    pub name: String,
    /// Nanoseconds since the epoch.
    pub created: i128,
    /// What was asked, with defaults and the image's settings merged in (env, cmd, entrypoint, labels …).
    pub spec: ContainerSpec,
    /// Program.
    pub path: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Digest of the image (`sha256:…`).
    pub image_id: String,
    /// See [`State`].
    pub state: State,
    /// Times it was started again by its policy.
    pub restart_count: u32,
    /// `overlayfs` …
    pub storage_driver: String,
    /// OCI runtime in use.
    pub runtime: String,
    /// Exec ids that run.
    pub exec_ids: Vec<String>,
    /// Host path of the log; empty when there is none.
    pub log_path: String,
    /// Host paths of hostname, hosts, resolv.conf.
    pub hostname_path: String,
    /// See above.
    pub hosts_path: String,
    /// See above.
    pub resolv_conf_path: String,
    /// What is mounted.
    pub mounts: Vec<MountPoint>,
    /// Networks by name.
    pub networks: BTreeMap<String, EndpointView>,
    /// Ports that are published now (host_ip and host_port filled in) and exposed ones (empty host side).
    pub ports: Vec<PortBinding>,
    /// Key of the network namespace's path.
    pub sandbox_key: String,
    /// Bytes written, bytes in all; only when asked.
    pub size: Option<(u64, u64)>,
    /// How the limits that were asked for are held: Docker's field, and `cgroup`, `discarded` or Bryo's way.
    pub limits: Vec<(&'static str, &'static str)>,
    /// True after a manual stop (for unless-stopped).
    pub stopped_by_hand: bool,
}

/// One mount of a container.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MountPoint {
    /// `bind`, `volume`, `tmpfs`, `image`.
    pub kind: String,
    /// Volume's name.
    pub name: String,
    /// Host path.
    pub source: String,
    /// Container path.
    pub destination: String,
    /// Volume's driver.
    pub driver: String,
    /// The options as written (`ro`, `z` …).
    pub mode: String,
    /// Writable.
    pub rw: bool,
    /// `rprivate` …; empty for volumes.
    pub propagation: String,
}

/// What a container has on a network.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct EndpointView {
    /// What was asked.
    pub settings: EndpointSettings,
    /// The network's id.
    pub network_id: String,
    /// The endpoint's id; empty when the container does not run.
    pub endpoint_id: String,
    /// Gateway, address and prefix length.
    pub gateway: Option<IpAddr>,
    /// See above.
    pub ipv4: Option<(IpAddr, u8)>,
    /// See above.
    pub gateway6: Option<IpAddr>,
    /// See above.
    pub ipv6: Option<(IpAddr, u8)>,
    /// Hardware address as text.
    pub mac: String,
    /// Names that the resolver answers with this endpoint.
    pub dns_names: Vec<String>,
    /// Name of the interface inside the container; empty when the container does not run.
    pub interface: String,
}

/// An exec as it is.
#[derive(Debug, Clone)]
pub struct ExecView {
    /// 64 hex digits.
    pub id: String,
    /// The container's id.
    pub container: String,
    /// What was asked.
    pub spec: super::ExecSpec,
    /// It runs.
    pub running: bool,
    /// None while it was not started or runs.
    pub exit_code: Option<i32>,
    /// Host pid; 0 when it does not run.
    pub pid: u32,
}

/// What `info` and `version` tell of the engine.
#[derive(Debug, Clone, Default)]
pub struct EngineInfo {
    /// A random id, kept in the data root.
    pub id: String,
    /// Containers: all, running, paused, stopped.
    pub containers: (u64, u64, u64, u64),
    /// Images.
    pub images: u64,
    /// `overlayfs`, `fuse-overlayfs`, `copy`, and lines about it (key, value).
    pub storage_driver: String,
    /// See above.
    pub storage_status: Vec<(String, String)>,
    /// Name of the network's data path and why, if a lesser one is in use.
    pub network_path: String,
    /// See above.
    pub network_reason: Option<String>,
    /// `none`, `systemd`, `cgroupfs`.
    pub cgroup_driver: String,
    /// 1 or 2.
    pub cgroup_version: u32,
    /// Which limits hold: memory, swap, cfs period, cfs quota, shares, cpuset, pids.
    pub limits: [bool; 7],
    /// Lines for `Warnings`.
    pub warnings: Vec<String>,
    /// Kernel release.
    pub kernel: String,
    /// Pretty name of the distribution, its version id.
    pub operating_system: (String, String),
    /// x86_64, aarch64.
    pub architecture: String,
    /// CPUs that may be used.
    pub cpus: u64,
    /// Bytes of memory.
    pub memory: u64,
    /// Host name.
    pub name: String,
    /// Where data is.
    pub data_root: String,
    /// Runtimes by name, path; `bryo` is built in.
    pub runtimes: BTreeMap<String, String>,
    /// The default runtime.
    pub default_runtime: String,
    /// The default log driver.
    pub log_driver: String,
    /// Registries spoken to without TLS (CIDRs and host:port), mirrors of docker.io.
    pub insecure_registries: Vec<String>,
    /// See above.
    pub mirrors: Vec<String>,
    /// Single-id mode.
    pub single_id: bool,
    /// Containers go on when the daemon is stopped.
    pub live_restore: bool,
    /// Debug.
    pub debug: bool,
    /// Labels of the daemon.
    pub labels: Vec<String>,
    /// Listeners of events.
    pub event_listeners: u64,
}
