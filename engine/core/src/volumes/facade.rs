//! What can be asked of volumes.

use std::collections::BTreeMap;

use super::store::VolumeRecord;
use crate::Result;
use crate::containers::filters::labels;
use crate::engine::{Engine, Inner};
use crate::model::{EventKind, Filters, VolumeSpec, VolumeView};
use crate::networks::check_filters;
use crate::requests::Pruned;
use crate::{Error, ErrorKind};

impl Engine {
    /// Makes a volume; one of the same name and driver is no error.
    pub async fn volume_create(&self, spec: VolumeSpec) -> Result<VolumeView> {
        self.blocking(move |inner| {
            let record = make(inner, spec, false)?;
            Ok(inner.volumes.view(&record))
        })
        .await
    }

    /// Volumes by name.
    pub async fn volume_list(&self, filters: &Filters) -> Result<Vec<VolumeView>> {
        check_filters(filters, &["dangling", "driver", "label", "name"])?;
        let inner = self.inner();
        let used = users(inner);
        let wanted = |v: &VolumeRecord| {
            let any = |key: &str, test: &dyn Fn(&str) -> bool| {
                !filters.has(key) || filters.get(key).iter().any(|w| test(w))
            };
            any("name", &|w| v.spec.name.contains(w))
                && any("driver", &|w| v.spec.driver == w)
                && any("dangling", &|w| {
                    matches!(w, "true" | "1") != used.contains_key(&v.spec.name)
                })
                && labels(filters, &v.spec.labels)
        };
        let all = inner.volumes.all();
        Ok(all.iter().filter(|v| wanted(v)).map(|v| inner.volumes.view(v)).collect())
    }

    /// Everything about one.
    pub async fn volume_inspect(&self, name: &str) -> Result<VolumeView> {
        let volumes = &self.inner().volumes;
        Ok(volumes.view(&volumes.get(name)?))
    }

    /// Removes one that no container uses; `force`: a missing one is no error.
    pub async fn volume_remove(&self, name: &str, force: bool) -> Result<()> {
        let name = name.to_string();
        self.blocking(move |inner| match remove(inner, &name) {
            Err(e) if force && e.kind() == ErrorKind::NotFound => Ok(()),
            other => other,
        })
        .await
    }

    /// Removes those that no container uses: anonymous ones, or all with the filter `all`.
    pub async fn prune_volumes(&self, filters: &Filters) -> Result<Pruned> {
        check_filters(filters, &["all", "label", "label!"])?;
        let all = filters.get("all").iter().any(|v| matches!(v.as_str(), "true" | "1"));
        let filters = filters.clone();
        self.blocking(move |inner| {
            let mut pruned = Pruned::default();
            for volume in inner.volumes.all() {
                if (!volume.anonymous && !all) || !labels(&filters, &volume.spec.labels) {
                    continue;
                }
                let data = inner.volumes.data(&volume.spec.name);
                let bytes = bryo_images::tree::usage(&data).map_or(0, |u| u.bytes);
                // One that is used is refused, and stays.
                if remove(inner, &volume.spec.name).is_ok() {
                    pruned.deleted.push(volume.spec.name);
                    pruned.reclaimed += bytes;
                }
            }
            let attributes =
                BTreeMap::from([("reclaimed".to_string(), pruned.reclaimed.to_string())]);
            inner.events.emit(EventKind::Volume, "prune", "", attributes);
            Ok(pruned)
        })
        .await
    }
}

/// Finds a volume or makes it, with its event. Blocking.
pub(crate) fn make(inner: &Inner, spec: VolumeSpec, anonymous: bool) -> Result<VolumeRecord> {
    let (record, new) = inner.volumes.create(spec, anonymous)?;
    if new {
        event(inner, "create", &record);
    }
    Ok(record)
}

/// Removes a volume that no container uses, with its event. Blocking.
pub(crate) fn remove(inner: &Inner, name: &str) -> Result<()> {
    let record = inner.volumes.get(name)?;
    if let Some(ids) = users(inner).get(name) {
        return Err(Error::conflict(format!(
            "remove {name}: volume is in use - [{}]",
            ids.join(", ")
        )));
    }
    inner.volumes.remove(name)?;
    event(inner, "destroy", &record);
    Ok(())
}

fn event(inner: &Inner, action: &str, record: &VolumeRecord) {
    let attributes = BTreeMap::from([("driver".to_string(), record.spec.driver.clone())]);
    inner.events.emit(EventKind::Volume, action, record.spec.name.clone(), attributes);
}

/// Ids of the containers that use each volume.
pub(crate) fn users(inner: &Inner) -> BTreeMap<String, Vec<String>> {
    let mut out: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for container in inner.registry.all() {
        let snapshot = container.snapshot();
        for mount in snapshot.record.mounts.iter().filter(|m| m.point.kind == "volume") {
            out.entry(mount.point.name.clone()).or_default().push(snapshot.id().to_string());
        }
    }
    out
}
