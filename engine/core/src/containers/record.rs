//! What is kept of a container: the record (what was asked, with everything filled in) and the state (what became of it).
//!
//! They are two records in the store because the first is large and changes rarely (rename, update), the second is small and
//! changes at every start and end. [`Snapshot`] is both plus what only a running engine knows; the owner task publishes it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::{
    ContainerSpec, ContainerView, EndpointView, MountPoint, NetworkMode, PortBinding, State, Status,
};

/// The store's kind of [`ContainerRecord`].
pub(crate) const CONTAINER: &str = "container";

/// The store's kind of [`StateRecord`].
pub(crate) const STATE: &str = "state";

/// What was asked, with defaults and the image's settings merged in.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ContainerRecord {
    pub id: String,
    pub name: String,
    pub created: i128,
    /// `sha256:…`
    pub image_id: String,
    pub spec: ContainerSpec,
    /// Program.
    pub path: String,
    /// Its arguments.
    pub args: Vec<String>,
    pub mounts: Vec<Mount>,
    /// `bryo` or the name of an external OCI runtime.
    pub runtime: String,
    /// `overlayfs` …
    pub storage_driver: String,
}

/// A mount as it was resolved at create.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Mount {
    pub point: MountPointRecord,
    /// An anonymous volume that goes with the container.
    pub anonymous: bool,
    /// Do not copy the image's content into the volume.
    pub no_copy: bool,
    /// A folder inside the volume or image.
    pub subpath: String,
    /// Options for the mount besides ro, rbind and propagation (tmpfs: size, mode …).
    pub options: Vec<String>,
    /// Bind: not recursive.
    pub non_recursive: bool,
    /// Bind: make a missing source folder at the first start (`-v`).
    pub make_source: bool,
    /// Read-only holds for the mounts below, too; refused where the kernel cannot.
    pub recursive_read_only: bool,
}

/// [`MountPoint`], which the doors know, with defaults.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct MountPointRecord {
    pub kind: String,
    pub name: String,
    pub source: String,
    pub destination: String,
    pub driver: String,
    pub mode: String,
    pub rw: bool,
    pub propagation: String,
}

impl MountPointRecord {
    fn view(&self) -> MountPoint {
        MountPoint {
            kind: self.kind.clone(),
            name: self.name.clone(),
            source: self.source.clone(),
            destination: self.destination.clone(),
            driver: self.driver.clone(),
            mode: self.mode.clone(),
            rw: self.rw,
            propagation: self.propagation.clone(),
        }
    }
}

/// What became of it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct StateRecord {
    pub state: State,
    pub restart_count: u32,
    /// Stopped or killed by a user since the last start.
    pub stopped_by_hand: bool,
    /// What it has on each network while it runs; when it does not, what was asked.
    pub endpoints: BTreeMap<String, EndpointView>,
    /// Ports that are open on the host now.
    pub ports: Vec<PortBinding>,
}

/// A container as its owner last published it.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    pub record: Arc<ContainerRecord>,
    pub state: Arc<StateRecord>,
    /// Running execs.
    pub execs: Vec<String>,
    /// How often it ended since this engine knows it; `wait` compares.
    pub ends: u64,
    /// It is gone; why not wholly, if it is not.
    pub removed: Option<Result<(), String>>,
}

impl Snapshot {
    pub(crate) fn id(&self) -> &str {
        &self.record.id
    }

    pub(crate) fn status(&self) -> Status {
        self.state.state.status
    }

    /// Its program runs, frozen or not.
    pub(crate) fn is_running(&self) -> bool {
        matches!(self.status(), Status::Running | Status::Paused)
    }

    /// What the doors see. Paths are below the two roots.
    pub(crate) fn view(&self, paths: &Paths) -> ContainerView {
        let record = &self.record;
        let folder = paths.bundle(&record.id);
        let file = |name: &str| path_text(&folder.join(name));
        let mut ports = self.state.ports.clone();
        let exposed: &[crate::model::Port] =
            if self.is_running() { &record.spec.exposed_ports } else { &[] };
        for port in exposed {
            if !ports.iter().any(|p| p.port == *port) {
                let (host_ip, host_port) = (String::new(), String::new());
                ports.push(PortBinding { port: *port, host_ip, host_port });
            }
        }
        let has_files = !matches!(record.spec.network_mode, NetworkMode::Container(_));
        let of = |name: &str| if has_files { file(name) } else { String::new() };
        ContainerView {
            id: record.id.clone(),
            name: record.name.clone(),
            created: record.created,
            spec: record.spec.clone(),
            path: record.path.clone(),
            args: record.args.clone(),
            image_id: record.image_id.clone(),
            state: self.state.state.clone(),
            restart_count: self.state.restart_count,
            storage_driver: record.storage_driver.clone(),
            runtime: record.runtime.clone(),
            exec_ids: self.execs.clone(),
            log_path: match record.spec.log.driver.as_str() {
                "json-file" => path_text(&paths.json_log(&record.id)),
                "local" => path_text(&paths.local_log(&record.id)),
                _ => String::new(),
            },
            hostname_path: file("hostname"),
            hosts_path: of("hosts"),
            resolv_conf_path: of("resolv.conf"),
            mounts: record.mounts.iter().map(|m| m.point.view()).collect(),
            networks: self.state.endpoints.clone(),
            ports,
            sandbox_key: match self.state.state.pid {
                0 => String::new(),
                pid => format!("/proc/{pid}/ns/net"),
            },
            size: None,
            limits: Vec::new(),
            stopped_by_hand: self.state.stopped_by_hand,
        }
    }
}

/// Where things are on disk.
#[derive(Debug, Clone)]
pub(crate) struct Paths {
    pub data_root: PathBuf,
    pub exec_root: PathBuf,
}

impl Paths {
    /// The durable folder of a container: its log.
    pub(crate) fn container(&self, id: &str) -> PathBuf {
        self.data_root.join("containers").join(id)
    }

    /// Its bundle, which lives as long as the run: what the monitor reads and writes, and the files that are bound over
    /// /etc/hosts and its like. It is in memory, where making and removing files costs nothing.
    pub(crate) fn bundle(&self, id: &str) -> PathBuf {
        self.exec_root.join("containers").join(id)
    }

    pub(crate) fn json_log(&self, id: &str) -> PathBuf {
        self.container(id).join(format!("{id}-json.log"))
    }

    pub(crate) fn local_log(&self, id: &str) -> PathBuf {
        self.container(id).join("local-logs").join("container.log")
    }

    /// The network namespace that holds the bridges.
    pub(crate) fn bridges(&self) -> PathBuf {
        self.exec_root.join("netns")
    }

    /// The lowest files that every container has; see `create`.
    pub(crate) fn init_layer(&self) -> PathBuf {
        self.data_root.join("engine").join("init-layer")
    }
}

/// A path as text; Bryo's own folders come from settings that are UTF-8 or refused at start.
pub(crate) fn path_text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
