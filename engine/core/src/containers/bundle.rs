//! The blocking part of a start: the container's files and its bundle.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bryo_monitor::messages::{
    ExternalRuntime, MonitorConfig, NetworkSetup, SECCOMP_FILTER, VERSION,
};
use oci_spec::runtime::LinuxSeccomp;

use super::record::{ContainerRecord, path_text};
use crate::engine::Inner;
use crate::model::{EndpointView, NetworkMode};
use crate::networks::endpoints;
use crate::spec::logging;
use crate::spec::mounts::Surroundings;
use crate::spec::oci::{self, Context, Joined};
use crate::spec::process::Defaults;
use crate::spec::user;
use crate::spec::volumes::DOCKER_SOCKETS;
use crate::spec::{caps, seccomp, security};
use crate::util::short;
use crate::{Error, Result};

/// What a start needs; everything the blocking thread may read.
pub(super) struct Plan {
    pub inner: Arc<Inner>,
    pub record: Arc<ContainerRecord>,
    pub endpoints: BTreeMap<String, EndpointView>,
    pub network: NetworkSetup,
    pub joined: Joined,
    /// Environment of links.
    pub links: Vec<String>,
}

/// Writes the files; the result is the attributes of the volumes' mount events.
pub(super) fn write(plan: &Plan) -> Result<Vec<BTreeMap<String, String>>> {
    let Plan { inner, record, .. } = plan;
    let id = &record.id;
    let layer = inner.images.writable(id).map_err(Error::from)?;
    let layers: Vec<PathBuf> =
        std::iter::once(layer.upper.clone()).chain(layer.lowers.iter().cloned()).collect();
    let mounted = sources(plan)?;
    let bundle = inner.paths.bundle(id);
    make_bundle(&bundle)?;
    let files = write_files(plan)?;
    let user = user::Files::read(&layers).resolve(&record.spec.user, &record.spec.group_add)?;
    let cgroup = inner.cgroups.folder(record);
    let around = Surroundings {
        single_id: inner.settings.single_id,
        docker_socket: inner.settings.docker_socket.clone(),
        default_shm_size: inner.settings.default_shm_size,
        shm_folder: shm(plan, &bundle)?,
        files,
        images: images(plan)?,
        own_cgroups: cgroup.is_some() && record.spec.cgroupns_mode == "private",
    };
    let defaults = defaults(inner);
    let runtime = external(inner, &record.runtime)?;
    let profile = profile(plan, &bundle, runtime.is_some())?;
    let spec = oci::spec(
        record,
        &Context {
            user: &user,
            defaults: &defaults,
            around: &around,
            joined: &plan.joined,
            links: &plan.links,
            seccomp: profile,
            mapped_gids: inner.settings.mapped_ids.1,
            root: Path::new("rootfs"),
        },
    )?;
    write_json(&bundle.join("config.json"), &spec)?;
    let config = MonitorConfig {
        version: VERSION,
        id: id.clone(),
        tty: record.spec.tty,
        tty_size: record.spec.console_size,
        open_stdin: record.spec.open_stdin,
        stdin_once: record.spec.stdin_once,
        log: logging::config(record, &inner.paths)?,
        rootfs: oci::rootfs(inner.images.snapshotter(), &layer, &inner.paths.init_layer()),
        network: plan.network.clone(),
        init: record.spec.init.unwrap_or(inner.settings.init),
        runtime,
        cgroup: cgroup.as_deref().map(path_text),
        limits: inner.limits.of(record).limits(&record.spec.resources),
    };
    write_json(&bundle.join("monitor.json"), &config)?;
    Ok(mounted)
}

/// The seccomp profile for an external runtime; for the built-in one its filter is put into the bundle.
fn profile(plan: &Plan, bundle: &Path, external: bool) -> Result<Option<LinuxSeccomp>> {
    let Plan { inner, record, .. } = plan;
    let asked = &record.spec;
    let options = security::parse(&asked.security_opt)?;
    let engine = inner.settings.seccomp_profile.as_deref();
    let choice = seccomp::Choice::of(options.seccomp.as_deref(), engine, asked.privileged)?;
    let capabilities = caps::resolve(asked.privileged, &asked.cap_add, &asked.cap_drop);
    if external {
        return choice.profile(&capabilities);
    }
    if let Some(filter) = inner.filters.get(choice, &capabilities)? {
        let path = bundle.join(SECCOMP_FILTER);
        std::fs::write(&path, filter).map_err(|e| failed("write", &path, &e))?;
    }
    Ok(None)
}

/// What the engine's settings add to every process.
pub(crate) fn defaults(inner: &Inner) -> Defaults {
    Defaults {
        ulimits: inner.settings.default_ulimits.clone(),
        no_new_privileges: inner.settings.no_new_privileges,
    }
}

/// hostname, hosts and resolv.conf, and where they are bound. A container in another's network has the other's.
fn write_files(plan: &Plan) -> Result<Vec<(&'static str, PathBuf)>> {
    let Plan { inner, record, .. } = plan;
    let own = inner.paths.bundle(&record.id);
    let spec = &record.spec;
    let mut out = Vec::with_capacity(3);
    let hostname = if spec.hostname.is_empty() { short(&record.id) } else { &spec.hostname };
    let write = |name: &str, text: &str| -> Result<PathBuf> {
        let path = own.join(name);
        std::fs::write(&path, text).map_err(|e| failed("write", &path, &e))?;
        Ok(path)
    };
    let with = match &spec.network_mode {
        NetworkMode::Container(r) => {
            let other = inner.registry.find(r)?.snapshot();
            inner.paths.bundle(other.id())
        }
        _ => {
            write("resolv.conf", &endpoints::resolv_text(inner, spec, &plan.endpoints))?;
            write("hosts", &endpoints::hosts_text(inner, record, &plan.endpoints))?;
            own.clone()
        }
    };
    out.push(("/etc/resolv.conf", with.join("resolv.conf")));
    out.push(("/etc/hostname", write("hostname", &format!("{hostname}\n"))?));
    out.push(("/etc/hosts", with.join("hosts")));
    Ok(out)
}

/// Looks at the sources of binds, makes those that `-v` may make, and collects what was mounted of volumes.
fn sources(plan: &Plan) -> Result<Vec<BTreeMap<String, String>>> {
    let mut mounted = Vec::new();
    for mount in &plan.record.mounts {
        let point = &mount.point;
        match point.kind.as_str() {
            "bind" => {
                let source = Path::new(&point.source);
                if DOCKER_SOCKETS.contains(&point.source.as_str()) || source.exists() {
                    continue;
                }
                if !mount.make_source {
                    return Err(Error::invalid(format!(
                        "invalid mount config for type \"bind\": bind source path does not exist: {}",
                        point.source
                    )));
                }
                std::fs::create_dir_all(source).map_err(|e| {
                    Error::internal(format!(
                        "error while creating mount source path '{0}': mkdir {0}: {1}",
                        point.source,
                        plain(&e)
                    ))
                })?;
            }
            "volume" => {
                plan.inner.volumes.hold(&point.name)?;
                mounted.push(BTreeMap::from([
                    ("name".to_string(), point.name.clone()),
                    ("container".to_string(), plan.record.id.clone()),
                    ("destination".to_string(), point.destination.clone()),
                    ("driver".to_string(), point.driver.clone()),
                    ("propagation".to_string(), point.propagation.clone()),
                    ("read/write".to_string(), point.rw.to_string()),
                ]));
            }
            _ => {}
        }
    }
    Ok(mounted)
}

/// A bundle that is left from a run whose engine was killed goes first.
fn make_bundle(bundle: &Path) -> Result<()> {
    match std::fs::create_dir(bundle) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            std::fs::remove_dir_all(bundle).map_err(|e| failed("remove", bundle, &e))?;
            std::fs::create_dir(bundle).map_err(|e| failed("make", bundle, &e))
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            std::fs::create_dir_all(bundle).map_err(|e| failed("make", bundle, &e))
        }
        other => other.map_err(|e| failed("make", bundle, &e)),
    }
}

/// The folder that is /dev/shm where it is shared: the donor's, in its bundle, which is memory.
fn shm(plan: &Plan, bundle: &Path) -> Result<Option<PathBuf>> {
    let mode = &plan.record.spec.ipc_mode;
    if let Some(r) = mode.strip_prefix("container:") {
        let donor = plan.inner.registry.find(r)?.snapshot();
        let folder = plan.inner.paths.bundle(donor.id()).join("shm");
        return Ok(folder.exists().then_some(folder));
    }
    if mode != "shareable" {
        return Ok(None);
    }
    let folder = bundle.join("shm");
    std::fs::create_dir(&folder).map_err(|e| failed("make", &folder, &e))?;
    let all = std::fs::Permissions::from_mode(0o1777);
    std::fs::set_permissions(&folder, all).map_err(|e| failed("open up", &folder, &e))?;
    Ok(Some(folder))
}

fn images(plan: &Plan) -> Result<Vec<(String, Vec<PathBuf>)>> {
    let mut out = Vec::new();
    for mount in plan.record.mounts.iter().filter(|m| m.point.kind == "image") {
        let image = plan.inner.images.resolve(&mount.point.source, None).map_err(Error::from)?;
        out.push((
            mount.point.source.clone(),
            plan.inner.images.rootfs(&image).map_err(Error::from)?,
        ));
    }
    Ok(out)
}

/// The external runtime of that name; none: the built-in one.
fn external(inner: &Inner, name: &str) -> Result<Option<ExternalRuntime>> {
    if name == super::BUILT_IN {
        return Ok(None);
    }
    let Some(found) = inner.runtime(name) else {
        return Err(Error::invalid(format!("unknown or invalid runtime name: {name}")));
    };
    let path = if found.path.contains('/') {
        PathBuf::from(&found.path)
    } else {
        let mut places = inner.settings.search_path.iter().map(|p| p.join(&found.path));
        places.find(|p| p.is_file()).ok_or_else(|| {
            Error::invalid(format!(
                "the program {} of the runtime {name} is not in PATH",
                found.path
            ))
        })?
    };
    Ok(Some(ExternalRuntime { path: path_text(&path), args: found.args }))
}

fn write_json<T: serde::Serialize>(path: &Path, value: &T) -> Result<()> {
    let json = serde_json::to_vec(value)
        .map_err(|e| Error::internal(format!("encode {}: {e}", path.display())))?;
    std::fs::write(path, json).map_err(|e| failed("write", path, &e))
}

fn failed(what: &str, path: &Path, e: &io::Error) -> Error {
    Error::internal(format!("{what} {}: {}", path.display(), plain(e)))
}

/// The kernel's text without its number, as Go prints it.
fn plain(e: &io::Error) -> String {
    let text = e.to_string();
    text.split(" (os error").next().unwrap_or_default().to_lowercase()
}
