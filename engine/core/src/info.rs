//! What `info` and `version` tell: facts of the machine, read once, and counts.

use crate::containers::BUILT_IN;
use crate::engine::Engine;
use crate::model::{EngineInfo, Status};
use crate::spec::support::{By, Support};
use crate::util::lock;

/// Facts of the machine that do not change while the engine runs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    pub kernel: String,
    /// Pretty name and version id.
    pub operating_system: (String, String),
    pub architecture: String,
    pub cpus: u64,
    pub memory: u64,
    pub hostname: String,
    pub cgroup_version: u32,
    pub oom_score_adj: i64,
    /// The user's id outside the user namespace.
    pub host_uid: u32,
}

impl Facts {
    /// Reads them from /proc and /etc/os-release; what is missing stays empty.
    pub(crate) fn read() -> Facts {
        let file = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let trimmed = |path: &str| file(path).trim().to_string();
        let release = [file("/etc/os-release"), file("/usr/lib/os-release")].concat();
        let field = |key: &str| {
            let line = release.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix('='));
            line.map(|v| v.trim_matches('"').to_string()).unwrap_or_default()
        };
        let memory = file("/proc/meminfo");
        let total = memory.lines().find_map(|l| l.strip_prefix("MemTotal:"));
        let kib: u64 =
            total.and_then(|t| t.trim().split(' ').next()?.parse().ok()).unwrap_or_default();
        let pretty = field("PRETTY_NAME");
        Facts {
            kernel: trimmed("/proc/sys/kernel/osrelease"),
            operating_system: (
                if pretty.is_empty() { "Linux".into() } else { pretty },
                field("VERSION_ID"),
            ),
            architecture: std::env::consts::ARCH.to_string(),
            cpus: std::thread::available_parallelism().map_or(1, |n| n.get() as u64),
            memory: kib * 1024,
            hostname: trimmed("/proc/sys/kernel/hostname"),
            cgroup_version: if std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
                2
            } else {
                1
            },
            oom_score_adj: trimmed("/proc/self/oom_score_adj").parse().unwrap_or(0),
            // `0 1000 1`: inside, outside, count.
            host_uid: file("/proc/self/uid_map")
                .split_whitespace()
                .nth(1)
                .and_then(|id| id.parse().ok())
                .unwrap_or(0),
        }
    }
}

impl Engine {
    /// What `info` and `version` tell.
    pub async fn info(&self) -> EngineInfo {
        let inner = self.inner();
        let facts = inner.facts.clone();
        let live = lock(&inner.live).clone();
        let mut containers = (0, 0, 0, 0);
        for handle in inner.registry.all() {
            containers.0 += 1;
            match handle.snapshot().status() {
                Status::Running | Status::Restarting => containers.1 += 1,
                Status::Paused => containers.2 += 1,
                _ => containers.3 += 1,
            }
        }
        let images = self.images().clone();
        let count = tokio::task::spawn_blocking(move || {
            images.list(&bryo_images::ImageFilter::default()).map_or(0, |l| l.len() as u64)
        });
        let (network_path, network_reason) = match inner.gate.ready().await {
            Ok((path, reason)) => (path, reason),
            Err(e) => ("none".into(), Some(e.message().to_string())),
        };
        let mut runtimes: std::collections::BTreeMap<String, String> =
            live.runtimes.iter().map(|(name, def)| (name.clone(), def.path.clone())).collect();
        runtimes.insert(BUILT_IN.into(), inner.settings.program.display().to_string());
        let s = &inner.settings;
        EngineInfo {
            id: inner.id.clone(),
            containers,
            images: count.await.unwrap_or(0),
            storage_driver: inner.snapshotter.name().to_string(),
            storage_status: storage(inner),
            network_path,
            network_reason,
            cgroup_driver: inner.cgroups.driver.into(),
            cgroup_version: facts.cgroup_version,
            limits: {
                let l = &inner.limits;
                [l.memory, l.swap, l.cpu, l.cpu, l.shares, l.cpuset_cpus, l.pids].map(By::holds)
            },
            warnings: warnings(inner),
            kernel: facts.kernel,
            operating_system: facts.operating_system,
            architecture: facts.architecture,
            cpus: facts.cpus,
            memory: facts.memory,
            name: facts.hostname,
            data_root: s.data_root.display().to_string(),
            runtimes,
            default_runtime: inner.default_runtime(),
            log_driver: if s.log_driver.is_empty() {
                "json-file".into()
            } else {
                s.log_driver.clone()
            },
            insecure_registries: live.insecure_registries,
            mirrors: live.mirrors,
            single_id: s.single_id,
            live_restore: live.live_restore,
            debug: live.debug,
            labels: live.labels,
            event_listeners: inner.events.listeners(),
        }
    }
}

fn storage(inner: &crate::engine::Inner) -> Vec<(String, String)> {
    let mut out = vec![("driver-type".to_string(), "io.bryo.layers.v1".to_string())];
    if let Some(reason) = &inner.snapshotter.reason {
        out.push(("why not better".into(), reason.clone()));
    }
    out
}

fn warnings(inner: &crate::engine::Inner) -> Vec<String> {
    let mut out = Vec::new();
    if inner.cgroups.subtree.is_none() {
        out.push(if inner.cgroup_version == 2 {
            "WARNING: Running in rootless-mode without cgroups. Systemd is required to enable cgroups in rootless-mode.".into()
        } else {
            "WARNING: Running in rootless-mode without cgroups. To enable cgroups in rootless-mode, you need to boot the system in \
             cgroup v2 mode."
                .into()
        });
    } else {
        out.extend(unsupported(&inner.limits));
    }
    if let Some(why) = &inner.cgroups.why {
        out.push(format!("WARNING: Containers have no cgroup: {why}"));
    }
    let own: Vec<&str> = [
        (inner.limits.memory, "memory (a watcher that kills)"),
        (inner.limits.pids, "processes (RLIMIT_NPROC)"),
        (inner.limits.cpuset_cpus, "CPU sets (affinity)"),
    ]
    .into_iter()
    .filter_map(|(by, what)| (by == By::Bryo).then_some(what))
    .collect();
    if !own.is_empty() {
        out.push(format!(
            "WARNING: No cgroup holds these limits, so Bryo itself does: {}",
            own.join(", ")
        ));
    }
    if inner.cgroup_version == 1 {
        out.push(
            "WARNING: Support for cgroup v1 is deprecated and planned to be removed by no later than May 2029 \
             (https://github.com/moby/moby/issues/51111)"
                .into(),
        );
    }
    if inner.settings.single_id {
        out.push(format!(
            "WARNING: single-id mode: no subordinate ids for {}, so all files of containers have one owner",
            inner.settings.user
        ));
    }
    if let Some(reason) = &inner.snapshotter.reason {
        out.push(format!("WARNING: storage driver {}: {reason}", inner.snapshotter.name()));
    }
    out
}

/// Docker's lines for limits that the kernel does not hold for containers.
fn unsupported(limits: &Support) -> Vec<String> {
    [
        (limits.memory, "memory limit"),
        (limits.swap, "swap limit"),
        (limits.cpu, "cpu cfs quota"),
        (limits.cpu, "cpu cfs period"),
        (limits.shares, "cpu shares"),
        (limits.cpuset_cpus, "cpuset"),
        (limits.io_weight, "io.weight"),
        (limits.io_weight, "io.weight (per device)"),
        (limits.io_max, "io.max (rbps)"),
        (limits.io_max, "io.max (wbps)"),
        (limits.io_max, "io.max (riops)"),
        (limits.io_max, "io.max (wiops)"),
    ]
    .into_iter()
    .filter(|(by, _)| *by != By::Kernel)
    .map(|(_, what)| format!("WARNING: No {what} support"))
    .collect()
}
