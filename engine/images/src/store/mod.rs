//! The store: the crate's front door.

mod options;

use std::io::{Read, Write};
use std::path::PathBuf;

use tokio::sync::mpsc;

use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::image::Image;
use crate::reference::Reference;
use crate::settings::{Auth, Progress, Registries, StoreSettings};
use crate::snapshotter::SnapshotterKind;

pub use options::{CommitOptions, ImageFilter, ImportOptions, Removed, Usage, WritableLayer};

/// All images of one data root. Clones share it.
#[derive(Debug, Clone)]
pub struct Store {
    settings: std::sync::Arc<StoreSettings>,
}

fn not_yet<T>() -> Result<T> {
    Err(Error::new(ErrorKind::Unavailable, "images are not available in this version"))
}

impl Store {
    /// Opens the store, making it if it is missing, and removes what killed processes left behind.
    pub fn open(settings: StoreSettings) -> Result<Store> {
        Ok(Store { settings: std::sync::Arc::new(settings) })
    }

    /// Takes new registry settings; pulls that run keep theirs.
    pub fn reload(&self, registries: Registries) {
        let _ = registries;
    }

    /// How root filesystems are put together.
    pub fn snapshotter(&self) -> &SnapshotterKind {
        &self.settings.snapshotter.kind
    }

    /// Brings an image from its registry, or joins a pull of it that is under way. `platform` is
    /// `os[/arch[/variant]]`, by default the machine's. Lines go to `progress` in Docker's words and
    /// may be dropped. Dropping the future cancels, unless others wait for the same layers.
    pub async fn pull(
        &self,
        reference: &Reference,
        platform: Option<&str>,
        auth: Option<Auth>,
        progress: mpsc::Sender<Progress>,
    ) -> Result<Image> {
        let _ = (reference, platform, auth, progress);
        not_yet()
    }

    /// Finds an image by name, digest, id or a unique prefix of an id. Unknown: `No such image: x:latest`.
    /// With a platform, an image of another one counts as missing.
    pub fn resolve(&self, name: &str, platform: Option<&str>) -> Result<Image> {
        let _ = (name, platform);
        not_yet()
    }

    /// Images, newest first.
    pub fn list(&self, filter: &ImageFilter) -> Result<Vec<Image>> {
        let _ = filter;
        not_yet()
    }

    /// Gives an image a name, taking it away from another. The other image's id is returned.
    pub fn tag(&self, image: Digest, name: &Reference) -> Result<Option<Digest>> {
        let _ = (image, name);
        not_yet()
    }

    /// What [`Store::remove`] would do with the image: the image, and whether it would be deleted
    /// (else only untagged). For the caller, who knows which containers use it.
    pub fn removal(&self, name: &str, force: bool) -> Result<(Image, bool)> {
        let _ = (name, force);
        not_yet()
    }

    /// Removes a name; with the last one the image, and its layers unless containers hold them.
    /// By id an image with several names needs `force`.
    pub fn remove(&self, name: &str, force: bool) -> Result<Vec<Removed>> {
        let _ = (name, force);
        not_yet()
    }

    /// Removes images that match and that `in_use` does not claim: without names, or all of them.
    pub fn prune(
        &self,
        filter: &ImageFilter,
        all: bool,
        in_use: &dyn Fn(Digest) -> bool,
    ) -> Result<(Vec<Removed>, u64)> {
        let _ = (filter, all, in_use);
        not_yet()
    }

    /// Removes blobs, layers and partial downloads that nothing refers to; bytes freed.
    pub fn collect(&self) -> Result<u64> {
        not_yet()
    }

    /// Bytes of all layers' files together, each counted once.
    pub fn layers_size(&self) -> u64 {
        0
    }

    /// Bytes of the image's layers that other images have too.
    pub fn shared_size(&self, image: &Image) -> u64 {
        let _ = image;
        0
    }

    /// Writes images as one archive that is a docker-archive and an OCI layout at once. A name
    /// without a tag means all tags of the repository.
    pub fn save(&self, names: &[String], out: impl Write) -> Result<()> {
        let _ = (names, out);
        not_yet()
    }

    /// Reads all images of a docker-archive or OCI layout, compressed or not. The result has, for each,
    /// the image and its names; `Loaded image: …` lines are the caller's.
    pub fn load(&self, archive: impl Read + Send) -> Result<Vec<(Image, Vec<String>)>> {
        let _ = archive;
        not_yet()
    }

    /// Makes an image of one layer from the archive of a root filesystem, compressed or not.
    pub fn import(&self, options: &ImportOptions, archive: impl Read + Send) -> Result<Image> {
        let _ = (options, archive);
        not_yet()
    }

    /// Makes an image of a container's changes.
    pub fn commit(&self, container: &str, options: &CommitOptions) -> Result<Image> {
        let _ = (container, options);
        not_yet()
    }

    /// The folders of an image's layers, topmost first, all in one parent folder.
    pub fn rootfs(&self, image: &Image) -> Result<Vec<PathBuf>> {
        let _ = image;
        not_yet()
    }

    /// Makes (or finds again) the folders that a container writes into.
    pub fn prepare(&self, container: &str, image: &Image) -> Result<WritableLayer> {
        let _ = (container, image);
        not_yet()
    }

    /// A container's folders, as [`Store::prepare`] made them.
    pub fn writable(&self, container: &str) -> Result<WritableLayer> {
        let _ = container;
        not_yet()
    }

    /// Removes what a container wrote; content if there is nothing.
    pub fn remove_writable(&self, container: &str) -> Result<()> {
        let _ = container;
        not_yet()
    }

    /// What a container wrote: bytes and inodes.
    pub fn writable_usage(&self, container: &str) -> Result<Usage> {
        let _ = container;
        not_yet()
    }

    /// Makes the embedded image `bryo/hello:latest` if `reference` names it; else none.
    pub fn ensure_embedded(&self, reference: &Reference) -> Result<Option<Image>> {
        let _ = reference;
        not_yet()
    }
}
