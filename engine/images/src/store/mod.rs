//! The store: the crate's front door. Each method says what it does; how is in the module it calls.

mod collect;
mod durable;
mod lease;
mod names;
mod options;
mod records;
mod remove;
#[cfg(test)]
mod tests;
mod writable;

use std::collections::HashMap;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use tokio::sync::mpsc;

use crate::digest::Digest;
use crate::error::Result;
use crate::image::Image;
use crate::layout::Layout;
use crate::pull::job::Jobs;
use crate::reference::Reference;
use crate::registry::Http;
use crate::settings::{Auth, Progress, Registries, StoreSettings};
use crate::snapshotter::SnapshotterKind;

pub use options::{
    CommitOptions, ImageFilter, ImportOptions, Loaded, Removed, Usage, WritableLayer,
};

pub(crate) use lease::Lease;
pub(crate) use records::{ImageRecord, LayerFile, LayerRecord, boot_id, now_ns};

/// Layers downloaded at the same time, unless the settings say otherwise.
const DOWNLOADS: usize = 3;

/// All images of one data root. Clones share it.
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    settings: StoreSettings,
    layout: Layout,
    state: RwLock<records::State>,
    registries: RwLock<Arc<Registries>>,
    leases: Mutex<HashMap<Digest, usize>>,
    jobs: Jobs,
    http: Http,
    _lock: OwnedFd,
}

impl Store {
    /// Opens the store, making it if it is missing, and removes what killed processes left behind.
    pub fn open(settings: StoreSettings) -> Result<Store> {
        let (layout, lock) = Layout::open(&settings.root)?;
        let state = records::State::read(&layout)?;
        let registries = Registries {
            insecure: settings.insecure_registries.clone(),
            mirrors: settings.mirrors.clone(),
        };
        let downloads = match settings.max_concurrent_downloads {
            0 => DOWNLOADS,
            n => n,
        };
        let store = Store {
            inner: Arc::new(Inner {
                http: Http::new(&settings.user_agent)?,
                jobs: Jobs::new(downloads),
                leases: Mutex::default(),
                registries: RwLock::new(Arc::new(registries)),
                state: RwLock::new(state),
                layout,
                settings,
                _lock: lock,
            }),
        };
        store.clear_leftovers()?;
        Ok(store)
    }

    /// Takes new registry settings; pulls that run keep theirs.
    pub fn reload(&self, registries: Registries) {
        let mut current = self.inner.registries.write().unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new(registries);
    }

    /// How root filesystems are put together.
    pub fn snapshotter(&self) -> &SnapshotterKind {
        &self.inner.settings.snapshotter.kind
    }

    /// Brings an image from its registry; layers that another pull is fetching are shared with it.
    /// `platform` is `os[/arch[/variant]]`, by default the machine's. Lines go to `progress` in
    /// Docker's words; the receiver must read on, or be dropped. Dropping the future cancels what
    /// nobody else waits for.
    pub async fn pull(
        &self,
        reference: &Reference,
        platform: Option<&str>,
        auth: Option<Auth>,
        progress: mpsc::Sender<Progress>,
    ) -> Result<Image> {
        crate::pull::pull(self, reference, platform, auth, progress).await
    }

    /// Finds an image by name, digest, id or a unique prefix of an id. Unknown: `No such image: x:latest`.
    /// With a platform, an image of another one counts as missing.
    pub fn resolve(&self, name: &str, platform: Option<&str>) -> Result<Image> {
        self.find(name, platform)
    }

    /// Images, newest first.
    pub fn list(&self, filter: &ImageFilter) -> Result<Vec<Image>> {
        self.select(filter)
    }

    /// Gives an image a name, taking it away from another. The other image's id is returned.
    pub fn tag(&self, image: Digest, name: &Reference) -> Result<Option<Digest>> {
        if name.digest().is_some() {
            return Err(crate::Error::new(
                crate::ErrorKind::InvalidRequest,
                "refusing to create a tag with a digest reference",
            ));
        }
        let before = self.state().names.get(name).copied().filter(|id| *id != image);
        self.image(image)?;
        self.set_names(image, std::slice::from_ref(name))?;
        Ok(before)
    }

    /// What [`Store::remove`] would do with the image: the image, and whether it would be deleted
    /// (else only untagged). For the caller, who knows which containers use it.
    pub fn removal(&self, name: &str, force: bool) -> Result<(Image, bool)> {
        self.would_remove(name, force)
    }

    /// Removes a name; with the last one the image, and its layers unless containers hold them.
    /// By id an image with several names needs `force`.
    pub fn remove(&self, name: &str, force: bool) -> Result<Vec<Removed>> {
        self.remove_name(name, force)
    }

    /// Removes images that match and that `in_use` does not claim: without names, or all of them.
    /// The result also tells the bytes freed.
    pub fn prune(
        &self,
        filter: &ImageFilter,
        all: bool,
        in_use: &dyn Fn(Digest) -> bool,
    ) -> Result<(Vec<Removed>, u64)> {
        self.prune_images(filter, all, in_use)
    }

    /// Removes blobs, layers and old partial downloads that nothing refers to; bytes freed.
    pub fn collect(&self) -> Result<u64> {
        self.sweep().map(|(_, freed)| freed)
    }

    /// Bytes of all layers' files together, each counted once.
    pub fn layers_size(&self) -> u64 {
        self.state().layers.values().map(|l| l.size).sum()
    }

    /// Bytes of the image's layers that other images have too.
    pub fn shared_size(&self, image: &Image) -> u64 {
        let state = self.state();
        let others: std::collections::HashSet<Digest> = state
            .images
            .iter()
            .filter(|(id, _)| **id != image.id)
            .flat_map(|(_, (record, _))| record.chain_ids())
            .collect();
        image.layers.iter().filter(|l| others.contains(&l.chain_id)).map(|l| l.size).sum()
    }

    /// Writes images as one archive that is a docker-archive and an OCI layout at once. A name
    /// without a tag means all tags of the repository.
    pub fn save(&self, names: &[String], out: impl Write) -> Result<()> {
        crate::archive::save(self, names, out)
    }

    /// Reads all images of a docker-archive or OCI layout, compressed or not. `Loaded image: …` lines
    /// are the caller's.
    pub fn load(&self, archive: impl Read + Send) -> Result<Vec<Loaded>> {
        crate::archive::load(self, archive)
    }

    /// Makes an image of one layer from the archive of a root filesystem, compressed or not.
    pub fn import(&self, options: &ImportOptions, archive: impl Read + Send) -> Result<Image> {
        crate::archive::import(self, options, archive)
    }

    /// Makes an image of what a container wrote, on top of its image.
    pub fn commit(&self, container: &str, options: &CommitOptions) -> Result<Image> {
        crate::archive::commit(self, container, options)
    }

    /// The folders of an image's layers, topmost first. All lie in the folder `layers/` under names
    /// of 24 characters, so that on kernels before 6.5 an overlay's options fit in their page when
    /// they are written relative to it.
    pub fn rootfs(&self, image: &Image) -> Result<Vec<PathBuf>> {
        let chain_ids: Vec<Digest> = image.layers.iter().map(|l| l.chain_id).collect();
        self.layer_folders(&chain_ids)
    }

    /// Makes (or finds again) the folders that a container writes into. They hold the image's layers
    /// until [`Store::remove_writable`], across restarts and even when the image is removed.
    pub fn prepare(&self, container: &str, image: &Image) -> Result<WritableLayer> {
        self.prepare_writable(container, image)
    }

    /// A container's folders, as [`Store::prepare`] made them.
    pub fn writable(&self, container: &str) -> Result<WritableLayer> {
        self.find_writable(container)
    }

    /// Removes what a container wrote; content if there is nothing.
    pub fn remove_writable(&self, container: &str) -> Result<()> {
        self.discard_writable(container)
    }

    /// What a container wrote: bytes and inodes.
    pub fn writable_usage(&self, container: &str) -> Result<Usage> {
        self.measure_writable(container)
    }

    /// Makes the embedded image `bryo/hello:latest` if `reference` names it; else none.
    pub fn ensure_embedded(&self, reference: &Reference) -> Result<Option<Image>> {
        crate::embedded::ensure(self, reference)
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.inner.layout
    }

    pub(crate) fn settings(&self) -> &StoreSettings {
        &self.inner.settings
    }

    pub(crate) fn jobs(&self) -> &Jobs {
        &self.inner.jobs
    }

    pub(crate) fn http(&self) -> &Http {
        &self.inner.http
    }

    pub(crate) fn registries(&self) -> Arc<Registries> {
        Arc::clone(&self.inner.registries.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn leases(&self) -> MutexGuard<'_, HashMap<Digest, usize>> {
        self.inner.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
