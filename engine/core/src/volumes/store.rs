//! Which volumes there are, and their folders.
//!
//! Everything here is short and synchronous; what walks a volume's content (removal, sizes) is for a blocking thread.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

use super::local;
use crate::model::{VolumeSpec, VolumeView};
use crate::names::ALLOWED;
use crate::records::Records;
use crate::util::{lock, now, random_id};
use crate::{Error, Result};

/// The store's kind of [`VolumeRecord`].
const VOLUME: &str = "volume";

/// What is kept of a volume.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct VolumeRecord {
    pub spec: VolumeSpec,
    /// Made by a container for itself; `prune` takes these without being asked for all.
    pub anonymous: bool,
    pub created: i128,
}

/// All volumes.
pub(crate) struct Volumes {
    root: PathBuf,
    records: Records,
    table: Mutex<BTreeMap<String, VolumeRecord>>,
}

impl Volumes {
    /// Reads the records; folders without one (restored by hand) count as named volumes.
    pub(crate) fn open(data_root: &Path, records: Records) -> Result<Volumes> {
        let root = data_root.join("volumes");
        std::fs::create_dir_all(&root).map_err(|e| {
            Error::internal(format!("make the volumes' folder {}: {e}", root.display()))
        })?;
        let mut table: BTreeMap<String, VolumeRecord> = records.all(VOLUME)?.into_iter().collect();
        for (name, created) in folders(&root) {
            table.entry(name.clone()).or_insert_with(|| VolumeRecord {
                spec: VolumeSpec { name, driver: "local".into(), ..VolumeSpec::default() },
                anonymous: false,
                created,
            });
        }
        Ok(Volumes { root, records, table: Mutex::new(table) })
    }

    /// Makes a volume, or finds the one of that name (true: it is new). An empty name: an anonymous one.
    pub(crate) fn create(
        &self,
        mut spec: VolumeSpec,
        anonymous: bool,
    ) -> Result<(VolumeRecord, bool)> {
        let anonymous = anonymous || spec.name.is_empty();
        if spec.name.is_empty() {
            spec.name = random_id();
        } else {
            check_name(&spec.name)?;
        }
        let name = spec.name.clone();
        let within = |e: Error| Error::new(e.kind(), format!("create {name}: {}", e.message()));
        if !matches!(spec.driver.as_str(), "" | "local") {
            return Err(within(Error::not_found(format!(
                "error looking up volume plugin {}: plugin {:?} not found",
                spec.driver, spec.driver
            ))));
        }
        spec.driver = "local".into();
        local::check(&spec.options).map_err(within)?;
        let mut table = lock(&self.table);
        if let Some(there) = table.get(&spec.name) {
            return Ok((there.clone(), false));
        }
        let folder = self.data(&spec.name);
        std::fs::create_dir_all(&folder).map_err(|e| {
            within(Error::internal(format!("make the folder {}: {e}", folder.display())))
        })?;
        let record = VolumeRecord { spec, anonymous, created: now() };
        self.records.put(VOLUME, &record.spec.name, &record)?;
        table.insert(record.spec.name.clone(), record.clone());
        Ok((record, true))
    }

    /// One volume.
    pub(crate) fn get(&self, name: &str) -> Result<VolumeRecord> {
        lock(&self.table).get(name).cloned().ok_or_else(|| no_such(name))
    }

    /// All, by name.
    pub(crate) fn all(&self) -> Vec<VolumeRecord> {
        lock(&self.table).values().cloned().collect()
    }

    /// Forgets a volume and removes its data; the caller has seen that nobody uses it.
    pub(crate) fn remove(&self, name: &str) -> Result<()> {
        if lock(&self.table).remove(name).is_none() {
            return Err(no_such(name));
        }
        self.release(name);
        let folder = self.root.join(name);
        // Another name first: should the removal be interrupted, the rest is not taken for a volume.
        let going = self.root.join(format!(".removing-{name}"));
        let moved = std::fs::rename(&folder, &going);
        self.records.remove(&[(VOLUME, name)])?;
        match moved {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(e) => {
                Err(Error::internal(format!("remove {name}: rename {}: {e}", folder.display())))
            }
            Ok(()) => bryo_images::tree::remove(&going)
                .map_err(|e| Error::internal(format!("remove {name}: {e}")).with_source(e)),
        }
    }

    /// Host path of a volume's data. Valid whether the volume exists or not.
    pub(crate) fn data(&self, name: &str) -> PathBuf {
        self.root.join(name).join("_data")
    }

    /// Makes the data ready for a container that is about to start and returns its path: mounts it if it has driver options
    /// and nobody has done so.
    pub(crate) fn hold(&self, name: &str) -> Result<PathBuf> {
        let record = self.get(name)?;
        let path = self.data(name);
        if !record.spec.options.is_empty() {
            let _one_at_a_time = lock(&self.table);
            if !local::is_mounted(&path) {
                local::mount(name, &record.spec.options, &path)?;
            }
        }
        Ok(path)
    }

    /// The reverse of [`Volumes::hold`], when no running container uses the volume any more. Containers that still have it
    /// mounted keep it.
    pub(crate) fn release(&self, name: &str) {
        let path = self.data(name);
        if !local::is_mounted(&path) {
            return;
        }
        if let Err(e) = bryo_sys::mount::detach(&path) {
            tracing::warn!("unmount the volume {name}: {e}");
        }
    }

    /// What the doors see.
    pub(crate) fn view(&self, record: &VolumeRecord) -> VolumeView {
        VolumeView {
            spec: record.spec.clone(),
            anonymous: record.anonymous,
            created: record.created,
            mountpoint: self.data(&record.spec.name).to_string_lossy().into_owned(),
            usage: None,
        }
    }
}

fn no_such(name: &str) -> Error {
    Error::not_found(format!("get {name}: no such volume"))
}

/// Docker's rule for names, with its texts.
fn check_name(name: &str) -> Result<()> {
    if name.len() == 1 {
        return Err(Error::invalid(
            "volume name is too short, names should be at least two alphanumeric characters",
        ));
    }
    if crate::names::is_valid(name) && name.len() <= 255 {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "create {name}: {name:?} includes invalid characters for a local volume name, only \"{ALLOWED}\" are allowed. If you \
         intended to pass a host directory, use absolute path"
    )))
}

/// Folders that look like volumes, with their times.
fn folders(root: &Path) -> Vec<(String, i128)> {
    let entries = std::fs::read_dir(root).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let data = entry.path().join("_data").metadata().ok()?;
            if !data.is_dir() || !crate::names::is_valid(&name) {
                return None;
            }
            let since = data.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
            Some((name, i128::try_from(since.as_nanos()).unwrap_or(0)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    fn open(dir: &Path) -> Volumes {
        Volumes::open(dir, Records::open(&dir.join("engine")).unwrap()).unwrap()
    }

    fn named(name: &str) -> VolumeSpec {
        VolumeSpec { name: name.into(), ..VolumeSpec::default() }
    }

    #[test]
    fn volumes_outlive_the_engine() {
        let dir = tempfile::tempdir().unwrap();
        let volumes = open(dir.path());
        let (record, new) = volumes.create(named("data"), false).unwrap();
        assert!(new && !record.anonymous && record.spec.driver == "local");
        assert!(!volumes.create(named("data"), false).unwrap().1);
        std::fs::write(volumes.hold("data").unwrap().join("f"), "x").unwrap();
        let (anonymous, _) = volumes.create(VolumeSpec::default(), false).unwrap();
        assert!(anonymous.anonymous && anonymous.spec.name.len() == 64);
        drop(volumes);
        std::fs::create_dir_all(dir.path().join("volumes/byhand/_data")).unwrap();
        let volumes = open(dir.path());
        assert_eq!(volumes.all().len(), 3);
        assert!(volumes.data("data").join("f").exists());
    }

    #[test]
    fn errors_are_dockers() {
        let dir = tempfile::tempdir().unwrap();
        let volumes = open(dir.path());
        assert_eq!(volumes.get("v1").unwrap_err().message(), "get v1: no such volume");
        assert_eq!(volumes.remove("v1").unwrap_err().kind(), ErrorKind::NotFound);
        let e = volumes.create(named("a/b"), false).unwrap_err();
        assert!(e.message().contains("includes invalid characters for a local volume name"));
        assert!(volumes.create(named("a"), false).is_err());
        let plugin = VolumeSpec { driver: "fancy".into(), ..named("ok") };
        let e = volumes.create(plugin, false).unwrap_err();
        assert_eq!(
            e.message(),
            "create ok: error looking up volume plugin fancy: plugin \"fancy\" not found"
        );
    }
}
