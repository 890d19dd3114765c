//! What containers write: an upper folder for each, and the note of the layers below it.
//!
//! The note keeps those layers from being collected, even when their image is gone.

use std::collections::HashSet;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Lease, Store, Usage, WritableLayer};
use crate::digest::Digest;
use crate::error::{At, Error, ErrorKind, Result};
use crate::image::Image;
use crate::layout::{make_dir, read_record, write_new_record};
use crate::snapshotter::SnapshotterKind;
use crate::unpack::settle::copy_folder_attributes;

/// `writable/ID/writable.json`.
#[derive(Debug, Serialize, Deserialize)]
struct WritableFile {
    /// The image.
    image: Digest,
    /// Chain ids, lowest first.
    layers: Vec<Digest>,
    /// The upper folder is a whole copy.
    #[serde(default)]
    copied: bool,
}

impl Store {
    /// See [`Store::rootfs`].
    pub(super) fn layer_folders(&self, chain_ids: &[Digest]) -> Result<Vec<PathBuf>> {
        let state = self.state();
        let mut folders = Vec::new();
        for id in chain_ids.iter().rev() {
            if !state.layers.contains_key(id) {
                return Err(Error::new(
                    ErrorKind::NotFound,
                    format!("the layer {id} is missing; pull the image again"),
                ));
            }
            folders.push(self.layout().layer(*id).join("fs"));
        }
        if folders.is_empty() {
            // An overlay needs a lower folder, even below an image without layers.
            let empty = self.layout().layers().join(".empty/fs");
            make_dir(&empty)?;
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            std::fs::set_permissions(&empty, mode).at("set the mode of", &empty)?;
            folders.push(empty);
        }
        Ok(folders)
    }

    /// See [`Store::prepare`].
    pub(super) fn prepare_writable(&self, container: &str, image: &Image) -> Result<WritableLayer> {
        check_name(container)?;
        let place = self.layout().writable(container);
        if read_record::<WritableFile>(&place.join("writable.json"))?.is_some() {
            return self.find_writable(container);
        }
        // Without a record, what is there is the rest of an interrupted attempt.
        crate::tree::remove(&place)?;
        let chain_ids: Vec<Digest> = image.layers.iter().map(|l| l.chain_id).collect();
        // Held until the record below is written and holds them itself.
        let lease = Lease::new(self);
        lease.hold(chain_ids.iter().copied());
        let lowers = self.layer_folders(&chain_ids)?;
        let (upper, work) = (place.join("upper"), place.join("work"));
        make_dir(&upper)?;
        make_dir(&work)?;
        let copied = self.snapshotter() == &SnapshotterKind::Copy;
        if copied {
            crate::tree::copy::merged(&lowers, &upper)?;
        } else if let Some(top) = lowers.first() {
            // An overlay shows the upper folder's attributes for `/`.
            let (from, to) = (crate::merged::open_root(top)?, crate::merged::open_root(&upper)?);
            copy_folder_attributes(&from, &to, b"/")?;
        }
        let record = WritableFile { image: image.id, layers: chain_ids, copied };
        write_new_record(&place.join("writable.json"), &record)?;
        Ok(WritableLayer { upper, work, lowers: if copied { Vec::new() } else { lowers } })
    }

    /// See [`Store::writable`].
    pub(super) fn find_writable(&self, container: &str) -> Result<WritableLayer> {
        let record = self.writable_record(container)?;
        let place = self.layout().writable(container);
        let lowers = if record.copied { Vec::new() } else { self.layer_folders(&record.layers)? };
        Ok(WritableLayer { upper: place.join("upper"), work: place.join("work"), lowers })
    }

    fn writable_record(&self, container: &str) -> Result<WritableFile> {
        check_name(container)?;
        read_record(&self.layout().writable(container).join("writable.json"))?.ok_or_else(|| {
            Error::new(ErrorKind::NotFound, format!("container {container} has no filesystem"))
        })
    }

    /// The image and the layers (lowest first) below a container's folder.
    pub(crate) fn below(&self, container: &str) -> Result<(Digest, Vec<Digest>, bool)> {
        let record = self.writable_record(container)?;
        Ok((record.image, record.layers, record.copied))
    }

    /// See [`Store::remove_writable`].
    pub(super) fn discard_writable(&self, container: &str) -> Result<()> {
        check_name(container)?;
        // Layers whose image went while the container had them are collected with the next image.
        crate::tree::remove(&self.layout().writable(container))
    }

    /// See [`Store::writable_usage`].
    pub(super) fn measure_writable(&self, container: &str) -> Result<Usage> {
        check_name(container)?;
        crate::tree::usage(&self.layout().writable(container).join("upper"))
    }

    /// Layers below the folders of all containers.
    pub(super) fn layers_of_containers(&self) -> Result<HashSet<Digest>> {
        let folder = self.layout().root().join("writable");
        let mut layers = HashSet::new();
        for entry in std::fs::read_dir(&folder).at("read", &folder)? {
            let path = entry.at("read", &folder)?.path().join("writable.json");
            if let Some(record) = read_record::<WritableFile>(&path)? {
                layers.extend(record.layers);
            }
        }
        Ok(layers)
    }
}

/// Container ids become names of folders.
fn check_name(container: &str) -> Result<()> {
    let valid = !container.is_empty()
        && container.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if valid {
        return Ok(());
    }
    Err(Error::new(ErrorKind::InvalidRequest, format!("{container:?} is no container id")))
}
