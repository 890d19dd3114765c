//! Garbage collection: blobs, layers and downloads that nothing refers to.
//!
//! Roots are the images' records, the writable layers of containers, and leases. A collection runs
//! after an image was removed and when it is asked for; never at open, when the callers have not
//! said yet what they need.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::Store;
use crate::digest::Digest;
use crate::error::{At, Result};

/// How long an interrupted download is kept for a pull that continues it.
const KEEP_PARTIAL: Duration = Duration::from_secs(7 * 24 * 3600);

impl Store {
    /// Removes what nothing refers to. The result names the layers that went and tells the bytes.
    pub(super) fn sweep(&self) -> Result<(Vec<Digest>, u64)> {
        let (gone, folders, mut freed) = self.take_away_layers()?;
        discard(folders);
        freed += self.sweep_blobs()?;
        freed += self.sweep_partial()?;
        Ok((gone, freed))
    }

    /// Takes unreferenced layers out of the way at once: ids, folders to be removed, bytes.
    fn take_away_layers(&self) -> Result<(Vec<Digest>, Vec<PathBuf>, u64)> {
        let held_by_containers = self.layers_of_containers()?;
        let mut state = self.state_mut();
        let leases = self.leases();
        let mut needed: HashSet<Digest> = held_by_containers;
        for (record, _) in state.images.values() {
            needed.extend(record.chain_ids());
        }
        needed.extend(leases.keys());
        let gone: Vec<Digest> =
            state.layers.keys().filter(|id| !needed.contains(id)).copied().collect();
        let (mut folders, mut bytes) = (Vec::new(), 0);
        for id in &gone {
            let name = format!("gone-{:016x}", rand::random::<u64>());
            let away = self.layout().layers().join(".new").join(name);
            let place = self.layout().layer(*id);
            fs::rename(&place, &away).at("move away", &place)?;
            bytes += state.layers.remove(id).map_or(0, |l| l.size);
            folders.push(away);
        }
        Ok((gone, folders, bytes))
    }

    fn sweep_blobs(&self) -> Result<u64> {
        let state = self.state();
        let mut needed: HashSet<Digest> = self.leases().keys().copied().collect();
        for (record, _) in state.images.values() {
            needed.extend([record.id, record.manifest]);
            needed.extend(record.layers.iter().map(|l| l.blob.digest));
        }
        let folder = self.layout().root().join("blobs/sha256");
        // The state stays locked: a pull that finds a blob here leases it first.
        remove_files(&folder, |name, _| {
            let digest: Option<Digest> = format!("sha256:{name}").parse().ok();
            digest.is_none_or(|d| !needed.contains(&d))
        })
    }

    fn sweep_partial(&self) -> Result<u64> {
        let leased: HashSet<String> = self.leases().keys().map(Digest::hex).collect();
        remove_files(&self.layout().root().join("partial"), |name, age| {
            !leased.contains(name) && age > KEEP_PARTIAL
        })
    }

    /// Removes what killed processes left half-made. Only at open, when nothing runs.
    pub(super) fn clear_leftovers(&self) -> Result<()> {
        let new = self.layout().layers().join(".new");
        let entries = fs::read_dir(&new).at("read", &new)?;
        discard(entries.filter_map(|e| e.ok().map(|e| e.path())).collect());
        remove_files(&self.layout().root().join("partial"), |name, _| name.starts_with("new-"))?;
        remove_files(self.layout().root(), |name, _| name.contains(".tmp-")).map(drop)
    }
}

/// Removes folders that nobody sees any more, in a thread: a large layer on a busy disk takes its
/// time, and neither `rmi` nor the start of the daemon should wait for it. What is not done when the
/// process ends is done after the next open.
fn discard(folders: Vec<PathBuf>) {
    if folders.is_empty() {
        return;
    }
    let work = move || {
        for folder in folders {
            if let Err(e) = crate::tree::remove(&folder) {
                tracing::warn!(error = %e, "a removed layer's files are still there");
            }
        }
    };
    if let Err(e) = std::thread::Builder::new().name("remove".to_owned()).spawn(work) {
        tracing::warn!(error = %e, "removed layers' files stay until the next start");
    }
}

/// Removes files by name and age; the bytes freed.
fn remove_files(folder: &Path, doomed: impl Fn(&str, Duration) -> bool) -> Result<u64> {
    let mut freed = 0;
    for entry in fs::read_dir(folder).at("read", folder)? {
        let entry = entry.at("read", folder)?;
        let Ok(metadata) = entry.metadata() else { continue };
        let changed = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        let age = SystemTime::now().duration_since(changed).unwrap_or_default();
        if metadata.is_file() && doomed(&entry.file_name().to_string_lossy(), age) {
            fs::remove_file(entry.path()).at("remove", entry.path())?;
            freed += metadata.len();
        }
    }
    Ok(freed)
}
