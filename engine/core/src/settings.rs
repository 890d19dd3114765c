//! What the engine is told when it opens: values only. The library reads no environment and no configuration file.

use std::collections::BTreeMap;
use std::path::PathBuf;

use ipnet::IpNet;

use crate::model::Ulimit;

/// What makes containers' cgroups.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CgroupDriver {
    /// systemd where there is one, else a writable cgroup, else nothing.
    #[default]
    Auto,
    /// A scope that the user's systemd delegates.
    Systemd,
    /// A cgroup v2 folder that is the user's already.
    Cgroupfs,
    /// Nothing: containers stay in the engine's cgroup.
    None,
}

/// Everything [`crate::Engine::open`] needs to know.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Durable data: images, containers' records, volumes.
    pub data_root: PathBuf,
    /// What lives as long as the boot: bundles, sockets, the namespace of the bridges.
    pub exec_root: PathBuf,
    /// The program of the helpers (what `/proc/self/exe` names); bound into containers for `--init`.
    pub program: PathBuf,
    /// The holder, connected.
    pub holder: bryo_rootless::HolderClient,
    /// Folders in which programs are looked for (`$PATH`, split): fuse-overlayfs, external runtimes.
    pub search_path: Vec<PathBuf>,
    /// The user's name on the host, for remedies in messages.
    pub user: String,
    /// Bryo's version, for registries and `info`.
    pub version: String,
    /// No subordinate ids: every file has one owner.
    pub single_id: bool,
    /// How many user and group ids are mapped (1 and 1 in single-id mode).
    pub mapped_ids: (u32, u32),
    /// Registries spoken to without TLS (`host:port` or CIDR).
    pub insecure_registries: Vec<String>,
    /// Mirrors of docker.io.
    pub mirrors: Vec<String>,
    /// External OCI runtimes by name.
    pub runtimes: BTreeMap<String, RuntimeDef>,
    /// The runtime of containers that name none; none: the built-in `bryo`.
    pub default_runtime: Option<String>,
    /// The log driver of containers that name none (`json-file`).
    pub log_driver: String,
    /// Options of that driver.
    pub log_options: BTreeMap<String, String>,
    /// What makes containers' cgroups.
    pub cgroup_driver: CgroupDriver,
    /// Where they are made: a slice, or a folder below `/sys/fs/cgroup`; empty: Bryo finds a place.
    pub cgroup_parent: String,
    /// The user's id on the host, outside the user namespace.
    pub host_uid: u32,
    /// `$XDG_RUNTIME_DIR`, where the user's systemd listens.
    pub runtime_dir: Option<PathBuf>,
    /// `$DBUS_SESSION_BUS_ADDRESS`.
    pub bus: Option<String>,
    /// Hold limits without a cgroup as well as can be done; false: discard them and say so, as Docker does.
    pub emulate_limits: bool,
    /// Limits of containers that name none.
    pub default_ulimits: Vec<Ulimit>,
    /// Bytes of /dev/shm where a container names none.
    pub default_shm_size: u64,
    /// Seconds between the stop signal and SIGKILL at [`crate::Engine::shutdown`] and where a container names none.
    pub default_stop_timeout: i64,
    /// A small init as pid 1 where a container does not say.
    pub init: bool,
    /// Containers go on when the engine shuts down.
    pub live_restore: bool,
    /// The engine's own labels.
    pub labels: Vec<String>,
    /// Shown in `info`.
    pub debug: bool,
    /// Layers downloaded at the same time.
    pub max_concurrent_downloads: usize,
    /// Name servers of containers that name none; empty: the host's.
    pub dns: Vec<String>,
    /// Resolver options, likewise.
    pub dns_options: Vec<String>,
    /// Search domains, likewise.
    pub dns_search: Vec<String>,
    /// Where subnets of new networks come from: pool and the prefix length of each subnet; empty: Docker's.
    pub default_address_pools: Vec<(IpNet, u8)>,
    /// Address and subnet of the default bridge; none: 172.17.0.1/16.
    pub bip: Option<IpNet>,
    /// MTU of bridges whose options do not say; 0: the gate's choice (65520).
    pub mtu: u32,
    /// The engine's own API socket, which a bind of `/var/run/docker.sock` gets.
    pub docker_socket: Option<PathBuf>,
    /// The host's resolv.conf.
    pub host_resolv_conf: PathBuf,
    /// Where the API is served over TCP: no container reaches these.
    pub api_addresses: Vec<std::net::SocketAddr>,
    /// Path of the seccomp profile of containers that name none; `unconfined`; none: the built-in one.
    pub seccomp_profile: Option<String>,
    /// Set no_new_privs in every container.
    pub no_new_privileges: bool,
    /// Keep figures for [`crate::Engine::metrics`].
    pub metrics: bool,
}

/// An external OCI runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeDef {
    /// Path of the program, or its name in PATH.
    pub path: String,
    /// Arguments before the sub-command.
    pub args: Vec<String>,
}

/// The settings that may change while the engine runs (SIGHUP).
#[derive(Debug, Clone, Default)]
pub struct Reloadable {
    /// See [`Settings::insecure_registries`].
    pub insecure_registries: Vec<String>,
    /// See [`Settings::mirrors`].
    pub mirrors: Vec<String>,
    /// See [`Settings::labels`].
    pub labels: Vec<String>,
    /// See [`Settings::debug`].
    pub debug: bool,
    /// See [`Settings::live_restore`].
    pub live_restore: bool,
    /// See [`Settings::runtimes`].
    pub runtimes: BTreeMap<String, RuntimeDef>,
    /// See [`Settings::default_runtime`].
    pub default_runtime: Option<String>,
    /// See [`Settings::max_concurrent_downloads`].
    pub max_concurrent_downloads: usize,
}
