//! Making a container: check, merge with the image, name, volumes, writable layer, record.
//!
//! On failure everything made so far is taken back: name, volumes that were made for it, folders.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bryo_images::{Image, Reference};
use bryo_sys::layers::Layers;

use super::BUILT_IN;
use super::owner;
use super::record::{CONTAINER, ContainerRecord, Mount, STATE, StateRecord, path_text};
use crate::engine::{Engine, Inner};
use crate::model::{ContainerSpec, NetworkMode, VolumeSpec};
use crate::networks::endpoints;
use crate::requests::Created;
use crate::spec::{merge, resources, security, validate, volumes, warnings as limit_warnings};
use crate::util::{now, random_id, short};
use crate::{Error, ErrorKind, Result, names};

impl Engine {
    /// Makes a container; nothing runs yet.
    pub async fn create(&self, name: Option<&str>, spec: ContainerSpec) -> Result<Created> {
        let name = name.filter(|n| !n.is_empty()).map(names::container).transpose()?;
        let (inner, began) = (self.inner().clone(), std::time::Instant::now());
        // A client that goes away must not leave half a container: the work goes on in a task of its own.
        let made = tokio::spawn(make(inner, name, spec)).await;
        let made = made.map_err(|e| Error::internal(format!("create: {e}")))??;
        self.inner().metrics.action("create", began);
        Ok(made)
    }
}

async fn make(inner: Arc<Inner>, name: Option<String>, spec: ContainerSpec) -> Result<Created> {
    let id = random_id();
    let name = take_name(&inner, name, &id)?;
    let (worker, own_id, own_name) = (inner.clone(), id.clone(), name.clone());
    let prepared =
        tokio::task::spawn_blocking(move || prepare(&worker, own_id, own_name, spec)).await;
    let prepared = match prepared {
        Ok(prepared) => prepared,
        Err(e) => Err(Error::internal(format!("create: {e}"))),
    };
    let (record, state, warnings) = match prepared {
        Ok(prepared) => prepared,
        Err(e) => {
            inner.registry.give_name_back(&name, &id);
            return Err(e);
        }
    };
    let handle = owner::spawn(&inner, record, state, None);
    let attributes = std::collections::BTreeMap::new();
    handle.send(super::actions::Action::Emit { action: "create".into(), attributes })?;
    Ok(Created { id, warnings })
}

fn take_name(inner: &Inner, name: Option<String>, id: &str) -> Result<String> {
    if let Some(name) = name {
        inner.registry.take_name(&name, id)?;
        return Ok(name);
    }
    for attempt in 0..100 {
        let name = names::random(attempt);
        if inner.registry.take_name(&name, id).is_ok() {
            return Ok(name);
        }
    }
    let name = short(id).to_string();
    inner.registry.take_name(&name, id)?;
    Ok(name)
}

/// The blocking part.
fn prepare(
    inner: &Arc<Inner>,
    id: String,
    name: String,
    mut spec: ContainerSpec,
) -> Result<(ContainerRecord, StateRecord, Vec<String>)> {
    let image = find_image(inner, &mut spec)?;
    merge::image(&mut spec, &image.config)?;
    fill_in(inner, &mut spec, &id)?;
    validate::check(&mut spec)?;
    resources::check(&mut spec.resources, inner.cpus)?;
    inner.cgroups.check_parent(&spec.resources.cgroup_parent)?;
    if !spec.ulimits.is_empty() {
        let own_limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
        validate::ulimits_within(&spec.ulimits, &own_limits, &inner.settings.user)?;
    }
    let runtime = runtime(inner, &spec)?;
    let warnings = warnings(inner, &spec, &runtime)?;
    let state =
        StateRecord { endpoints: endpoints::asked(inner, &spec)?, ..StateRecord::default() };
    joins_exist(inner, &mut spec)?;
    let (path, args) = merge::program(&spec).unwrap_or_default();
    let mut mounts = volumes::collect(&spec, |r| {
        let other = inner.registry.find(r)?;
        Ok(other.snapshot().record.mounts.clone())
    })?;
    let made = Undo::new(inner, &id);
    let layer = inner.images.prepare(&id, &image).map_err(Error::from)?;
    if let Some(place) = layer.upper.parent() {
        inner.records.after([place.join("writable.json"), place.to_owned()]);
    }
    let folder = inner.paths.container(&id);
    make_folder(&folder)?;
    if spec.log.driver == "local" {
        make_folder(&folder.join("local-logs"))?;
    }
    if layer.lowers.is_empty() {
        // No overlay, so no init layer either: the one file of it that nothing else makes.
        let _ = std::fs::write(layer.upper.join(".dockerenv"), "");
    }
    let layers: Vec<PathBuf> = std::iter::once(layer.upper).chain(layer.lowers).collect();
    for mount in &mut mounts {
        volume(inner, mount, &layers, &spec, &made)?;
    }
    let record = ContainerRecord {
        id: id.clone(),
        name,
        created: now(),
        image_id: image.id.to_string(),
        spec,
        path,
        args,
        mounts,
        runtime,
        storage_driver: inner.snapshotter.name().to_string(),
    };
    inner.records.put(CONTAINER, &id, &record)?;
    inner.records.put(STATE, &id, &state)?;
    made.keep();
    Ok((record, state, warnings))
}

/// The image, and the reference as Docker keeps it. `bryo/hello` is made when it is asked for.
fn find_image(inner: &Inner, spec: &mut ContainerSpec) -> Result<Image> {
    if spec.image.is_empty() {
        return Err(Error::invalid("no image specified: \"Image\" is empty"));
    }
    match inner.images.resolve(&spec.image, spec.platform.as_deref()) {
        Err(e) if e.kind() == bryo_images::ErrorKind::NotFound => {
            let reference = Reference::parse(&spec.image).ok();
            let embedded = reference.map(|r| inner.images.ensure_embedded(&r)).transpose();
            match embedded.map_err(Error::from)?.flatten() {
                Some(image) => Ok(image),
                None => Err(e.into()),
            }
        }
        other => other.map_err(Error::from),
    }
}

/// What the engine's settings say where the request does not.
fn fill_in(inner: &Inner, spec: &mut ContainerSpec, id: &str) -> Result<()> {
    let settings = &inner.settings;
    if spec.log.driver.is_empty() {
        spec.log.driver.clone_from(&settings.log_driver);
        if spec.log.driver.is_empty() {
            spec.log.driver = "json-file".into();
        }
        for (key, value) in &settings.log_options {
            spec.log.options.entry(key.clone()).or_insert_with(|| value.clone());
        }
    }
    if spec.network_disabled {
        spec.network_mode = NetworkMode::None;
    }
    if let NetworkMode::Named(name) = &spec.network_mode {
        spec.network_mode = match name.as_str() {
            "host" => NetworkMode::Host,
            "none" => NetworkMode::None,
            "bridge" | "default" | "" => NetworkMode::Default,
            other => NetworkMode::Named(endpoints::named(inner, other)?.spec.name),
        };
    }
    if spec.hostname.is_empty() && !matches!(spec.network_mode, NetworkMode::Container(_)) {
        let shares_host = spec.uts_mode == "host" || spec.network_mode == NetworkMode::Host;
        spec.hostname = if shares_host && spec.uts_mode != "host" {
            inner.hostname.clone()
        } else if shares_host {
            String::new()
        } else {
            short(id).to_string()
        };
    }
    if spec.shm_size == 0 {
        spec.shm_size =
            if settings.default_shm_size == 0 { 64 << 20 } else { settings.default_shm_size };
    }
    if spec.ipc_mode.is_empty() {
        spec.ipc_mode = "private".into();
    }
    if spec.cgroupns_mode.is_empty() {
        spec.cgroupns_mode =
            if inner.cgroup_version == 2 { "private".into() } else { "host".into() };
    }
    Ok(())
}

fn warnings(inner: &Inner, spec: &ContainerSpec, runtime: &str) -> Result<Vec<String>> {
    let support = inner.limits.of_spec(spec, runtime);
    let mut out = limit_warnings::of(&spec.resources, &support, &inner.cgroups);
    out.extend(security::parse(&spec.security_opt)?.warnings);
    if spec.network_mode == NetworkMode::Host
        && (!spec.port_bindings.is_empty() || spec.publish_all_ports)
    {
        out.push("Published ports are discarded when using host network mode".into());
    }
    if !spec.device_cgroup_rules.is_empty() {
        out.push(
            "Device cgroup rules cannot be enforced without real root: the host's permissions of a device decide. Rules discarded."
                .into(),
        );
    }
    if spec.oom_score_adj < inner.oom_score_adj {
        out.push(format!(
            "OomScoreAdj {} is below the engine's own {}, which only real root may set. The engine's is used.",
            spec.oom_score_adj, inner.oom_score_adj
        ));
    }
    Ok(out)
}

fn runtime(inner: &Inner, spec: &ContainerSpec) -> Result<String> {
    let name = if spec.runtime.is_empty() { inner.default_runtime() } else { spec.runtime.clone() };
    if name == BUILT_IN || inner.runtime(&name).is_some() {
        return Ok(name);
    }
    Err(Error::invalid(format!("unknown or invalid runtime name: {name}")))
}

/// Containers that are named must exist; they are kept by id, since names may change.
fn joins_exist(inner: &Inner, spec: &mut ContainerSpec) -> Result<()> {
    let find = |r: &str| -> Result<String> { Ok(inner.registry.find(r)?.id.to_string()) };
    if let NetworkMode::Container(r) = &spec.network_mode {
        let other = inner.registry.find(r)?.snapshot();
        spec.hostname.clone_from(&other.record.spec.hostname);
        spec.network_mode = NetworkMode::Container(other.id().to_string());
    }
    for mode in [&mut spec.ipc_mode, &mut spec.pid_mode] {
        if let Some(r) = mode.strip_prefix("container:") {
            *mode = format!("container:{}", find(r)?);
        }
    }
    for link in &spec.links {
        let target = link.split_once(':').map_or(link.as_str(), |(target, _)| target);
        find(target).map_err(|e| {
            Error::new(e.kind(), format!("could not get container for {target}: {}", e.message()))
        })?;
    }
    Ok(())
}

/// Makes the volume of a mount where it is missing, fills it with the image's content if it is empty, and notes where it is.
fn volume(
    inner: &Arc<Inner>,
    mount: &mut Mount,
    layers: &[PathBuf],
    spec: &ContainerSpec,
    undo: &Undo<'_>,
) -> Result<()> {
    if mount.point.kind != "volume" {
        return Ok(());
    }
    if mount.point.name.is_empty() {
        mount.point.name = random_id();
        undo.volumes.borrow_mut().push(mount.point.name.clone());
    }
    let asked = spec.mounts.iter().find(|m| {
        m.kind == crate::model::MountKind::Volume
            && !m.target.is_empty()
            && m.target == mount.point.destination
    });
    let wanted = VolumeSpec {
        name: mount.point.name.clone(),
        driver: mount.point.driver.clone(),
        options: asked.map(|m| m.driver_options.clone()).unwrap_or_default(),
        labels: asked.map(|m| m.labels.clone()).unwrap_or_default(),
    };
    let made = crate::volumes::make(inner, wanted, mount.anonymous)?;
    let data = inner.volumes.data(&mount.point.name);
    mount.point.source = path_text(&data);
    // What a volume with driver options holds is not seen before it is mounted, at the start.
    if mount.no_copy || !made.spec.options.is_empty() {
        return Ok(());
    }
    let empty = std::fs::read_dir(&data).is_ok_and(|mut d| d.next().is_none());
    if !empty {
        return Ok(());
    }
    let copied = Layers::open(layers).and_then(|l| l.copy_folder(&mount.point.destination, &data));
    copied.map(|_| ()).map_err(|e| {
        Error::internal(format!(
            "copy the image's content of {} into the volume {}: {e}",
            mount.point.destination, mount.point.name
        ))
    })
}

fn make_folder(path: &Path) -> Result<()> {
    match std::fs::create_dir(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => std::fs::create_dir_all(path),
        other => other,
    }
    .map_err(|e| {
        let kind = if e.kind() == std::io::ErrorKind::StorageFull {
            ErrorKind::Unavailable
        } else {
            ErrorKind::Internal
        };
        Error::new(kind, format!("make {}: {e}", path_text(path)))
    })
}

/// Takes back what was made unless it is kept.
struct Undo<'a> {
    inner: &'a Arc<Inner>,
    id: &'a str,
    volumes: std::cell::RefCell<Vec<String>>,
    kept: std::cell::Cell<bool>,
}

impl<'a> Undo<'a> {
    fn new(inner: &'a Arc<Inner>, id: &'a str) -> Undo<'a> {
        Undo { inner, id, volumes: Default::default(), kept: Default::default() }
    }

    fn keep(&self) {
        self.kept.set(true);
    }
}

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        if self.kept.get() {
            return;
        }
        for name in self.volumes.borrow().iter() {
            let _ = crate::volumes::remove(self.inner, name);
        }
        let _ = std::fs::remove_dir_all(self.inner.paths.container(self.id));
        let _ = self.inner.images.remove_writable(self.id);
    }
}
