//! What is used and what can go: processes, disk, prune.

use std::collections::BTreeMap;

use crate::containers::filters::{labels, time};
use crate::engine::Engine;
use crate::model::{EventKind, Filters, ImageView, Status, VolumeView};
use crate::networks::check_filters;
use crate::requests::{DiskUsage, ListOptions, Pruned, RemoveOptions, Top};
use crate::{Error, Result};

impl Engine {
    /// Its processes, as `ps` with these arguments shows them (empty: `-ef`).
    pub async fn top(&self, r: &str, ps_args: &str) -> Result<Top> {
        let snapshot = self.inner().registry.find(r)?.snapshot();
        match snapshot.status() {
            Status::Running | Status::Paused => {}
            Status::Restarting => {
                return Err(Error::conflict(format!(
                    "Container {r} is restarting, wait until the container is running"
                )));
            }
            _ => {
                return Err(Error::conflict(format!("container {} is not running", snapshot.id())));
            }
        }
        let ps_args = ps_args.to_owned();
        self.blocking(move |inner| {
            let pid = snapshot.state.state.pid;
            let pids = bryo_runtime::processes(pid, None)
                .map_err(|e| Error::conflict(format!("container {}: {e}", snapshot.id())))?;
            crate::top::list(&pids, &ps_args, &inner.settings.search_path)
        })
        .await
    }

    /// Removes containers that do not run.
    pub async fn prune_containers(&self, filters: &Filters) -> Result<Pruned> {
        check_filters(filters, &["until", "label", "label!"])?;
        let until = filters.get("until").first().map(|t| time(t)).transpose()?;
        let inner = self.inner();
        let mut pruned = Pruned::default();
        for handle in inner.registry.all() {
            let snapshot = handle.snapshot();
            let ended =
                matches!(snapshot.status(), Status::Created | Status::Exited | Status::Dead);
            let old = until.is_none_or(|until| snapshot.record.created < until);
            if !ended || !old || !labels(filters, &snapshot.record.spec.labels) {
                continue;
            }
            let id = snapshot.id().to_owned();
            let images = inner.images.clone();
            let measured = id.clone();
            let bytes = tokio::task::spawn_blocking(move || images.writable_usage(&measured));
            let bytes = bytes.await.ok().and_then(|usage| usage.ok()).map_or(0, |u| u.bytes);
            // One that was started meanwhile is refused, and stays.
            if self.remove(&id, RemoveOptions::default()).await.is_ok() {
                pruned.deleted.push(id);
                pruned.reclaimed += bytes;
            }
        }
        let attributes = BTreeMap::from([("reclaimed".to_owned(), pruned.reclaimed.to_string())]);
        inner.events.emit(EventKind::Container, "prune", "", attributes);
        Ok(pruned)
    }

    /// What takes how much disk.
    pub async fn disk_usage(&self) -> Result<DiskUsage> {
        let everything = ListOptions { all: true, size: true, ..ListOptions::default() };
        let containers = self.list(everything).await?;
        let used: Vec<String> = containers.iter().map(|c| c.image_id.clone()).collect();
        let (layers_size, images, volumes) = self
            .blocking(move |inner| {
                let store = &inner.images;
                let images = store.list(&bryo_images::ImageFilter::default())?;
                let shown = images.iter().map(|image| ImageView {
                    shared_size: Some(store.shared_size(image)),
                    ..crate::images::view(image, &used)
                });
                let users = crate::volumes::users(inner);
                let volumes = inner.volumes.all().into_iter().map(|record| {
                    let name = &record.spec.name;
                    let data = inner.volumes.data(name);
                    // A volume with driver options is somebody else's disk, or memory.
                    let bytes = match record.spec.options.is_empty() {
                        true => bryo_images::tree::usage(&data).map_or(0, |u| u.bytes),
                        false => 0,
                    };
                    let containers = users.get(name).map_or(0, Vec::len);
                    let usage = Some((bytes, u64::try_from(containers).unwrap_or(u64::MAX)));
                    VolumeView { usage, ..inner.volumes.view(&record) }
                });
                Ok((store.layers_size(), shown.collect(), volumes.collect()))
            })
            .await?;
        Ok(DiskUsage { layers_size, images, containers, volumes })
    }
}
