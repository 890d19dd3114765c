//! The OCI runtime spec of a container: everything put together.

use std::path::{Path, PathBuf};

use bryo_images::SnapshotterKind;
use oci_spec::runtime::{
    Linux, LinuxBuilder, LinuxNamespace, LinuxNamespaceBuilder, LinuxNamespaceType, LinuxSeccomp,
    RootBuilder, Spec, SpecBuilder,
};

use super::mounts::Surroundings;
use super::process::{Defaults, broken};
use super::user::User;
use super::{devices, mounts, process, security};
use crate::Result;
use crate::containers::record::ContainerRecord;
use crate::model::{ContainerSpec, NetworkMode};
use crate::util::short;

const MASKED: &[&str] = &[
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

const READ_ONLY: &[&str] =
    &["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// What a spec depends on besides the record.
pub(crate) struct Context<'a> {
    pub user: &'a User,
    pub defaults: &'a Defaults,
    pub around: &'a Surroundings,
    /// Pids of containers whose namespaces are joined.
    pub joined: &'a Joined,
    /// Environment of links.
    pub links: &'a [String],
    /// The profile that the runtime is to compile; Bryo's own gets it compiled.
    pub seccomp: Option<LinuxSeccomp>,
    /// Group ids that are mapped, for ping_group_range.
    pub mapped_gids: u32,
    /// Where the root filesystem is, for runtimes other than Bryo's.
    pub root: &'a Path,
}

/// Whose namespaces are joined.
#[derive(Debug, Clone, Default)]
pub(crate) struct Joined {
    pub network: Option<u32>,
    pub ipc: Option<u32>,
    pub pid: Option<u32>,
}

/// Docker's masked paths of a container, as inspect shows them.
pub(crate) fn masked(spec: &ContainerSpec) -> Vec<String> {
    paths(spec, spec.masked_paths.as_ref(), MASKED)
}

/// Its read-only paths.
pub(crate) fn read_only(spec: &ContainerSpec) -> Vec<String> {
    paths(spec, spec.readonly_paths.as_ref(), READ_ONLY)
}

fn paths(spec: &ContainerSpec, asked: Option<&Vec<String>>, default: &[&str]) -> Vec<String> {
    let unmasked = security::parse(&spec.security_opt).is_ok_and(|s| s.unmasked);
    match asked {
        _ if spec.privileged || unmasked => Vec::new(),
        Some(asked) => asked.clone(),
        None => default.iter().map(|p| (*p).to_string()).collect(),
    }
}

/// The spec.
pub(crate) fn spec(record: &ContainerRecord, context: &Context<'_>) -> Result<Spec> {
    let asked = &record.spec;
    let nodes = devices::nodes(asked)?;
    let root = RootBuilder::default()
        .path(context.root)
        .readonly(asked.read_only)
        .build()
        .map_err(broken)?;
    let mut builder = SpecBuilder::default()
        .version("1.2.0")
        .process(process::main(record, context.user, context.links, context.defaults)?)
        .root(root)
        .mounts(mounts::all(asked, &record.mounts, &nodes, context.around)?)
        .linux(linux(record, context)?)
        .annotations(
            asked.annotations.clone().into_iter().collect::<std::collections::HashMap<_, _>>(),
        );
    if asked.uts_mode != "host" {
        let hostname = if asked.hostname.is_empty() { short(&record.id) } else { &asked.hostname };
        builder = builder.hostname(hostname);
        if !asked.domainname.is_empty() {
            builder = builder.domainname(asked.domainname.clone());
        }
    }
    builder.build().map_err(broken)
}

fn linux(record: &ContainerRecord, context: &Context<'_>) -> Result<Linux> {
    let asked = &record.spec;
    let mut builder = LinuxBuilder::default()
        .namespaces(namespaces(asked, context)?)
        .sysctl(sysctls(asked, context))
        .masked_paths(masked(asked))
        .readonly_paths(read_only(asked));
    if let Some(profile) = &context.seccomp {
        builder = builder.seccomp(profile.clone());
    }
    let mut linux = builder.build().map_err(broken)?;
    // The builder's defaults are limits and devices, which are not for a user namespace.
    linux.set_resources(None);
    linux.set_devices(None);
    Ok(linux)
}

/// New, joined (with a path), or left out, which keeps Bryo's own: the host's, but for the user and mount namespaces.
fn namespaces(asked: &ContainerSpec, context: &Context<'_>) -> Result<Vec<LinuxNamespace>> {
    use LinuxNamespaceType as T;
    let joined = context.joined;
    let mut out = vec![namespace(T::Mount, None)?];
    let file = |pid: u32, name: &str| Some(PathBuf::from(format!("/proc/{pid}/ns/{name}")));
    if asked.network_mode != NetworkMode::Host {
        out.push(namespace(T::Network, joined.network.and_then(|p| file(p, "net")))?);
    }
    if asked.ipc_mode != "host" {
        out.push(namespace(T::Ipc, joined.ipc.and_then(|p| file(p, "ipc")))?);
    }
    if asked.pid_mode != "host" {
        out.push(namespace(T::Pid, joined.pid.and_then(|p| file(p, "pid")))?);
    }
    if asked.uts_mode != "host" {
        out.push(namespace(T::Uts, None)?);
    }
    if asked.cgroupns_mode == "private" {
        out.push(namespace(T::Cgroup, None)?);
    }
    if asked.userns_mode != "host" {
        out.push(namespace(T::User, None)?);
    }
    Ok(out)
}

fn namespace(kind: LinuxNamespaceType, path: Option<PathBuf>) -> Result<LinuxNamespace> {
    let mut builder = LinuxNamespaceBuilder::default().typ(kind);
    if let Some(path) = path {
        builder = builder.path(path);
    }
    builder.build().map_err(broken)
}

/// Docker lets every program in a network namespace of its own bind low ports and ping; what the user says wins.
fn sysctls(
    asked: &ContainerSpec,
    context: &Context<'_>,
) -> std::collections::HashMap<String, String> {
    let mut out = std::collections::HashMap::new();
    let own_network = asked.network_mode != NetworkMode::Host && context.joined.network.is_none();
    // Without a pid namespace of its own a container has the host's /proc, where it may write nothing.
    if own_network && asked.pid_mode != "host" {
        out.insert("net.ipv4.ip_unprivileged_port_start".into(), "0".into());
        // Group ids that the namespace does not map are refused by the kernel (EINVAL).
        let last = context.mapped_gids.saturating_sub(1);
        out.insert("net.ipv4.ping_group_range".into(), format!("0 {last}"));
    }
    out.extend(asked.sysctls.clone());
    out
}

/// The root filesystem as the monitor mounts it.
pub(crate) fn rootfs(
    kind: &SnapshotterKind,
    layer: &bryo_images::WritableLayer,
    init_layer: &Path,
) -> bryo_monitor::messages::Rootfs {
    use bryo_monitor::messages::Rootfs;
    let text = crate::containers::record::path_text;
    let lower =
        || std::iter::once(text(init_layer)).chain(layer.lowers.iter().map(|l| text(l))).collect();
    let (upper, work) = (text(&layer.upper), text(&layer.work));
    match kind {
        SnapshotterKind::Overlay => Rootfs::Overlay { lower: lower(), upper, work },
        SnapshotterKind::FuseOverlay(program) => {
            Rootfs::FuseOverlay { program: text(program), lower: lower(), upper, work }
        }
        SnapshotterKind::Copy => Rootfs::Folder(upper),
    }
}
