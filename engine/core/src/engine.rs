//! The engine as its doors see it: one cheap handle whose methods are the whole of what can be asked.
//!
//! [`Engine`] is a handle on shared state; cloning it is cheap. The methods are spread over the modules of their subject
//! (`containers`, `networks`, `volumes`, `images` …), each as one `impl Engine` block.
//!
//! **Opening**: records → networks → gate (in the background) → containers of an earlier engine → restart policies. What is in the
//! way of a single container or network is logged and left out; only what makes the whole engine useless is an error.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use bryo_images::{IdMap, Registries, Snapshotter, Store, StoreSettings};

use crate::cgroups::Cgroups;
use crate::containers::record::Paths;
use crate::containers::registry::Registry;
use crate::containers::{self, BUILT_IN};
use crate::events::Events;
use crate::exec::Execs;
use crate::gate::Gate;
use crate::info::Facts;
use crate::metrics::Metrics;
use crate::model::{EventKind, Filters};
use crate::networks::{self, table::Table};
use crate::records::Records;
use crate::requests::EventStream;
use crate::settings::{Reloadable, RuntimeDef, Settings};
use crate::spec::seccomp;
use crate::spec::support::Support;
use crate::util::{lock, random_id};
use crate::volumes::Volumes;
use crate::{Error, Result};

/// The engine. See the module's text.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

/// Everything shared.
pub(crate) struct Inner {
    pub settings: Settings,
    /// The settings that change while it runs.
    pub live: Mutex<Reloadable>,
    pub paths: Paths,
    pub records: Records,
    pub events: Events,
    pub registry: Registry,
    pub execs: Execs,
    /// Compiled seccomp profiles.
    pub filters: seccomp::Filters,
    pub images: Store,
    pub snapshotter: Snapshotter,
    pub networks: Table,
    pub volumes: Volumes,
    pub gate: Gate,
    pub metrics: Metrics,
    pub shutting_down: AtomicBool,
    /// A random id, kept in the data root.
    pub id: String,
    pub facts: Facts,
    pub limits: Support,
    pub cgroups: Cgroups,
    pub cpus: u64,
    pub cgroup_version: u32,
    pub hostname: String,
    pub oom_score_adj: i64,
}

impl Inner {
    /// Which owners files may have.
    pub(crate) fn id_map(&self) -> IdMap {
        id_map(&self.settings, &self.facts)
    }

    /// An external runtime by name.
    pub(crate) fn runtime(&self, name: &str) -> Option<RuntimeDef> {
        lock(&self.live).runtimes.get(name).cloned()
    }

    /// The runtime of containers that name none.
    pub(crate) fn default_runtime(&self) -> String {
        let live = lock(&self.live);
        live.default_runtime
            .clone()
            .filter(|n| !n.is_empty())
            .unwrap_or_else(|| BUILT_IN.to_string())
    }
}

impl Engine {
    /// Reads the records, finds the monitors and the gate of an earlier engine, applies restart policies.
    pub async fn open(settings: Settings) -> Result<Engine> {
        let own = settings.clone();
        let prepared = tokio::task::spawn_blocking(move || Prepared::new(settings));
        // systemd is asked while the records are read.
        let (prepared, cgroups) = tokio::join!(prepared, Cgroups::open(&own));
        let prepared = prepared.map_err(|e| Error::internal(format!("open the engine: {e}")))??;
        let inner = Arc::new(prepared.into_inner(cgroups));
        networks::load(&inner)?;
        networks::announce(&inner);
        containers::restore::all(&inner).await?;
        if let Some(subtree) = inner.cgroups.subtree.clone() {
            tokio::task::spawn_blocking(move || subtree.sweep());
        }
        containers::restore::apply_policies(&inner);
        Ok(Engine { inner })
    }

    pub(crate) fn from_inner(inner: Arc<Inner>) -> Engine {
        Engine { inner }
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.inner
    }

    /// Blocking work on the shared state.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Arc<Inner>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let inner = self.inner.clone();
        let done = tokio::task::spawn_blocking(move || work(&inner)).await;
        done.map_err(|e| Error::internal(format!("a task failed: {e}")))?
    }

    /// Stops the containers (unless they shall live on), the gate and the holder.
    pub async fn shutdown(&self) {
        let inner = &self.inner;
        inner.shutting_down.store(true, Ordering::Release);
        let live_restore = lock(&inner.live).live_restore;
        if !live_restore {
            self.stop_all().await;
        }
        let mut running = 0;
        for handle in inner.registry.all() {
            running += usize::from(handle.snapshot().is_running());
            let _ = handle.send(containers::actions::Action::Close);
            // The owner ends when it has done what is before it: restarts and removals are not cut in half.
            let _ = tokio::time::timeout(std::time::Duration::from_secs(5), handle.queue.closed())
                .await;
        }
        if running == 0 {
            inner.gate.quit().await;
            let holder = inner.settings.holder.clone();
            match tokio::task::spawn_blocking(move || holder.quit()).await {
                Ok(Ok(())) => {}
                Ok(Err(e)) => tracing::warn!("end the holder: {e}"),
                Err(e) => tracing::warn!("end the holder: {e}"),
            }
        }
        inner.records.sync();
    }

    /// Takes over new settings.
    pub fn reload(&self, new: Reloadable) {
        self.inner.images.reload(Registries {
            insecure: new.insecure_registries.clone(),
            mirrors: new.mirrors.clone(),
        });
        *lock(&self.inner.live) = new;
        let name = BTreeMap::from([("name".to_string(), self.inner.hostname.clone())]);
        self.inner.events.emit(EventKind::Daemon, "reload", self.inner.id.clone(), name);
    }

    /// The settings it was opened with.
    pub fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    /// The image store, for everything that has to do with images alone.
    pub fn images(&self) -> &Store {
        &self.inner.images
    }

    /// Events since and until (nanoseconds since the epoch), past ones first; without `until` it does not end.
    pub fn events(
        &self,
        since: Option<i128>,
        until: Option<i128>,
        filters: Filters,
    ) -> Result<EventStream> {
        self.inner.events.stream(since, until, filters)
    }
}

/// What is made before the runtime's help is needed.
struct Prepared {
    settings: Settings,
    records: Records,
    images: Store,
    snapshotter: Snapshotter,
    volumes: Volumes,
    id: String,
    facts: Facts,
}

impl Prepared {
    fn new(settings: Settings) -> Result<Prepared> {
        let facts = Facts::read();
        let root = &settings.data_root;
        let records = Records::open(&root.join("engine"))?;
        let image_root = root.join("images");
        let snapshotter = Snapshotter::probe(&image_root, &settings.search_path);
        let images = Store::open(StoreSettings {
            root: image_root,
            insecure_registries: settings.insecure_registries.clone(),
            mirrors: settings.mirrors.clone(),
            max_concurrent_downloads: settings.max_concurrent_downloads,
            ids: id_map(&settings, &facts),
            snapshotter: snapshotter.clone(),
            user_agent: format!("bryo/{} (linux)", settings.version),
        })
        .map_err(Error::from)?;
        let volumes = Volumes::open(root, records.clone())?;
        init_layer(&root.join("engine").join("init-layer"))?;
        for folder in [root.join("containers"), settings.exec_root.join("containers")] {
            std::fs::create_dir_all(&folder)
                .map_err(|e| Error::internal(format!("make {}: {e}", folder.display())))?;
        }
        let id = match records.all::<String>("engine")?.pop() {
            Some((_, id)) => id,
            None => {
                let id = uuid();
                records.put("engine", "id", &id)?;
                id
            }
        };
        Ok(Prepared { settings, records, images, snapshotter, volumes, id, facts })
    }

    fn into_inner(self, cgroups: Cgroups) -> Inner {
        let Prepared { settings, records, images, snapshotter, volumes, id, facts } = self;
        let paths =
            Paths { data_root: settings.data_root.clone(), exec_root: settings.exec_root.clone() };
        let mtu = if settings.mtu == 0 { 65_520 } else { settings.mtu };
        let gate = Gate::open(&paths, &settings, mtu);
        let live = Reloadable {
            insecure_registries: settings.insecure_registries.clone(),
            mirrors: settings.mirrors.clone(),
            labels: settings.labels.clone(),
            debug: settings.debug,
            live_restore: settings.live_restore,
            runtimes: settings.runtimes.clone(),
            default_runtime: settings.default_runtime.clone(),
            max_concurrent_downloads: settings.max_concurrent_downloads,
        };
        Inner {
            live: Mutex::new(live),
            paths,
            records,
            events: Events::default(),
            registry: Registry::default(),
            execs: Execs::default(),
            filters: seccomp::Filters::default(),
            images,
            snapshotter,
            networks: Table::default(),
            volumes,
            gate,
            metrics: Metrics::new(settings.metrics),
            shutting_down: AtomicBool::new(false),
            id,
            limits: Support::with(|c| cgroups.has(c), settings.emulate_limits),
            cgroups,
            cpus: facts.cpus,
            cgroup_version: facts.cgroup_version,
            hostname: facts.hostname.clone(),
            oom_score_adj: facts.oom_score_adj,
            facts,
            settings,
        }
    }
}

/// Which owners files may have.
fn id_map(settings: &Settings, facts: &Facts) -> IdMap {
    IdMap {
        uids: settings.mapped_ids.0,
        gids: settings.mapped_ids.1,
        single: settings.single_id,
        user: settings.user.clone(),
        host_uid: facts.host_uid,
    }
}

/// The layer between every image and its containers: `/.dockerenv` and what is mounted upon. It is the same for all, so a start
/// writes nothing into the container's own layer, and nothing of it shows as a change.
fn init_layer(folder: &Path) -> Result<()> {
    let failed =
        |path: &Path, e: std::io::Error| Error::internal(format!("make {}: {e}", path.display()));
    for name in ["dev/pts", "dev/shm", "dev/mqueue", "etc", "proc", "sys"] {
        let path = folder.join(name);
        std::fs::create_dir_all(&path).map_err(|e| failed(&path, e))?;
    }
    for name in [".dockerenv", "etc/hosts", "etc/hostname", "etc/resolv.conf", "dev/console"] {
        let path = folder.join(name);
        if !path.exists() {
            std::fs::write(&path, "").map_err(|e| failed(&path, e))?;
        }
    }
    Ok(())
}

/// A random id of the form that Docker's engines have.
fn uuid() -> String {
    let id = random_id();
    let part = |from: usize, to: usize| id.get(from..to).unwrap_or_default().to_string();
    [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
}
