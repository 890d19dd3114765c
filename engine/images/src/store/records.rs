//! The records of images and layers, in memory as they are on disk.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use serde::{Deserialize, Serialize};

use super::Store;
use crate::digest::Digest;
use crate::error::{At, Error, ErrorKind, Result};
use crate::image::{ConfigDocument, Image, Layer, parse_time};
use crate::layout::{Layout, read_record, write_record};
use crate::manifest::Descriptor;
use crate::reference::Reference;

/// `images/HEX.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ImageRecord {
    /// Digest of the configuration document.
    pub id: Digest,
    /// Digest of the manifest.
    pub manifest: Digest,
    /// Its media type.
    pub manifest_type: String,
    /// Its bytes.
    pub manifest_size: u64,
    /// Lowest first.
    pub layers: Vec<LayerRecord>,
    /// Nanoseconds since the epoch.
    pub added: i64,
    /// Nanoseconds since the epoch.
    pub last_tagged: i64,
    /// What it was committed from.
    #[serde(default)]
    pub parent: Option<Digest>,
}

/// A layer as an image's record has it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct LayerRecord {
    /// Of the uncompressed archive.
    pub diff_id: Digest,
    /// The archive as it came.
    pub blob: Descriptor,
}

impl LayerRecord {
    /// From a manifest's layers and a configuration's diff ids.
    pub fn zip(layers: &[Descriptor], diff_ids: &[Digest]) -> Vec<LayerRecord> {
        let pairs = layers.iter().zip(diff_ids);
        pairs.map(|(blob, id)| LayerRecord { diff_id: *id, blob: blob.clone() }).collect()
    }
}

impl ImageRecord {
    /// Chain ids of the layers, lowest first.
    pub fn chain_ids(&self) -> Vec<Digest> {
        let mut chain = None;
        let diff_ids = self.layers.iter().map(|l| l.diff_id);
        diff_ids
            .map(|id| {
                let next = Digest::chain(chain, id);
                chain = Some(next);
                next
            })
            .collect()
    }
}

/// `layers/NAME/layer.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct LayerFile {
    /// The layer and all below it.
    pub chain_id: Digest,
    /// Of the uncompressed archive.
    pub diff_id: Digest,
    /// Chain id of the layer below.
    pub parent: Option<Digest>,
    /// Bytes of its files.
    pub size: u64,
    /// Entries of its archive.
    pub entries: u64,
    /// What was left out.
    #[serde(default)]
    pub notes: Vec<String>,
    /// The boot in which it was written.
    #[serde(default)]
    pub boot: String,
}

/// Everything that is in memory.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub images: BTreeMap<Digest, (ImageRecord, ConfigDocument)>,
    pub names: BTreeMap<Reference, Digest>,
    pub layers: HashMap<Digest, LayerFile>,
}

/// The kernel's id of this boot; empty if it is not to be had.
pub(crate) fn boot_id() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}

/// Now, as records have it.
pub(crate) fn now_ns() -> i64 {
    i64::try_from(crate::image::now()).unwrap_or(0)
}

/// Marks a layer whose files are known to be on the disk.
pub(super) const SYNCED: &str = "synced";

impl State {
    /// Reads all records. Layers that a crash of the machine may have damaged are removed, and images
    /// without all of their parts are dropped, so that they can be pulled again.
    pub fn read(layout: &Layout) -> Result<State> {
        let mut state = State::default();
        state.read_layers(layout)?;
        let folder = layout.root().join("images");
        for entry in std::fs::read_dir(&folder).at("read", &folder)? {
            let path = entry.at("read", &folder)?.path();
            if path.extension().is_none_or(|e| e != "json") {
                drop(std::fs::remove_file(&path));
                continue;
            }
            let record = read_record::<ImageRecord>(&path).and_then(|record| {
                let record = record.ok_or_else(|| Error::bad_archive("its record is gone"))?;
                state.complete(layout, &record).map(|document| (record, document))
            });
            match record {
                Ok((record, document)) => drop(state.images.insert(record.id, (record, document))),
                Err(e) => {
                    tracing::warn!(record = %path.display(), error = %e, "an image is incomplete and is dropped; pull it again");
                    std::fs::remove_file(&path).at("remove", &path)?;
                }
            }
        }
        state.names = read_names(layout)
            .into_iter()
            .filter_map(|(name, id)| Some((Reference::parse(&name).ok()?, id)))
            .filter(|(_, id)| state.images.contains_key(id))
            .collect();
        Ok(state)
    }

    fn read_layers(&mut self, layout: &Layout) -> Result<()> {
        let boot = boot_id();
        let folder = layout.layers();
        for entry in std::fs::read_dir(&folder).at("read", &folder)? {
            let path = entry.at("read", &folder)?.path();
            if path.file_name().is_some_and(|n| n.as_encoded_bytes().starts_with(b".")) {
                continue;
            }
            let record: Option<LayerFile> = read_record(&path.join("layer.json")).unwrap_or(None);
            match record {
                Some(layer) if layer.boot == boot || path.join(SYNCED).exists() => {
                    self.layers.insert(layer.chain_id, layer);
                }
                _ => {
                    tracing::warn!(layer = %path.display(), "a layer was not wholly on the disk when the machine went down; it is removed");
                    crate::tree::remove(&path)?;
                }
            }
        }
        Ok(())
    }

    fn complete(&self, layout: &Layout, record: &ImageRecord) -> Result<ConfigDocument> {
        let intact = |digest: Digest| {
            let path = layout.blob(digest);
            let bytes = std::fs::read(&path).at("read", &path)?;
            if Digest::of(&bytes) == digest {
                return Ok(bytes);
            }
            Err(Error::bad_archive(format!("its document {digest} is damaged")))
        };
        intact(record.manifest)?;
        let bytes = intact(record.id)?;
        match record.chain_ids().iter().find(|id| !self.layers.contains_key(id)) {
            Some(missing) => Err(Error::bad_archive(format!("its layer {missing} is missing"))),
            None => ConfigDocument::parse(&bytes),
        }
    }

    /// The image as callers see it.
    pub fn image(&self, id: Digest) -> Result<Image> {
        let (record, document) =
            self.images.get(&id).ok_or_else(|| no_such_image(&id.to_string()))?;
        let named = self.names.iter().filter(|(_, named)| **named == id).map(|(name, _)| name);
        let (digests, tags): (Vec<_>, Vec<_>) = named.partition(|name| name.digest().is_some());
        let familiar = |names: Vec<&Reference>| {
            let mut names: Vec<String> = names.into_iter().map(Reference::familiar).collect();
            names.sort();
            names
        };
        let layers: Vec<Layer> = record
            .layers
            .iter()
            .zip(record.chain_ids())
            .map(|(layer, chain_id)| Layer {
                chain_id,
                diff_id: layer.diff_id,
                blob: layer.blob.digest,
                size: self.layers.get(&chain_id).map_or(0, |l| l.size),
            })
            .collect();
        Ok(Image {
            id,
            config: document.config.clone(),
            architecture: document.architecture.clone(),
            os: document.os.clone(),
            variant: document.variant.clone(),
            created_text: document.created.clone(),
            created: document.created.as_deref().and_then(parse_time),
            author: document.author.clone(),
            comment: comment(document),
            size: layers.iter().map(|l| l.size).sum(),
            layers,
            history: document.history.clone(),
            repo_tags: familiar(tags),
            repo_digests: familiar(digests),
            manifest_digest: record.manifest,
            manifest_type: record.manifest_type.clone(),
            manifest_size: record.manifest_size,
            last_tagged: record.last_tagged.into(),
            parent: record.parent,
        })
    }
}

/// The names on disk; after a crash that damaged them, those before the last change.
fn read_names(layout: &Layout) -> BTreeMap<String, Digest> {
    let path = layout.references();
    read_record(&path)
        .or_else(|e| {
            tracing::warn!(error = %e, "names of images are taken from before the last change");
            read_record(&before(&path))
        })
        .unwrap_or_else(|e| {
            tracing::warn!(error = %e, "images have lost their names");
            None
        })
        .unwrap_or_default()
}

/// Where the version before the last change is.
fn before(path: &Path) -> PathBuf {
    path.with_extension("json.old")
}

/// The document's comment, or that of its newest step.
fn comment(document: &ConfigDocument) -> String {
    if document.comment.is_empty() {
        document.history.last().map(|step| step.comment.clone()).unwrap_or_default()
    } else {
        document.comment.clone()
    }
}

/// Docker's words.
pub(crate) fn no_such_image(name: &str) -> Error {
    Error::new(ErrorKind::NotFound, format!("No such image: {name}"))
}

impl Store {
    /// Writes a small blob, unless it is there.
    pub(crate) fn add_blob(&self, digest: Digest, bytes: &[u8]) -> Result<()> {
        let path = self.layout().blob(digest);
        if std::fs::metadata(&path).is_ok_and(|m| m.len() == bytes.len() as u64) {
            return Ok(());
        }
        let temporary = self.layout().new_blob();
        let write = || -> std::io::Result<()> {
            std::fs::write(&temporary, bytes)?;
            std::fs::rename(&temporary, &path)
        };
        write().at("write", &path)
    }

    /// Gives an unpacked layer its place.
    pub(crate) fn add_layer(&self, folder: &Path, layer: LayerFile) -> Result<()> {
        write_record(&folder.join("layer.json"), &layer)?;
        let place = self.layout().layer(layer.chain_id);
        let mut state = self.state_mut();
        match read_record::<LayerFile>(&place.join("layer.json"))? {
            // Another process or an earlier pull made the same layer: one is enough.
            Some(there) if there.chain_id == layer.chain_id => {}
            Some(there) => {
                return Err(Error::bad_archive(format!(
                    "the layers {} and {} would have the same folder {}",
                    there.chain_id,
                    layer.chain_id,
                    place.display()
                )));
            }
            None => {
                std::fs::rename(folder, &place).at("move a layer to", &place)?;
            }
        }
        state.layers.insert(layer.chain_id, layer);
        Ok(())
    }

    /// Whether a layer is there, with its blob.
    pub(crate) fn has_layer(&self, chain_id: Digest, blob: &Descriptor) -> bool {
        let path = self.layout().blob(blob.digest);
        self.state().layers.contains_key(&chain_id)
            && std::fs::metadata(path).is_ok_and(|m| m.len() == blob.size)
    }

    /// Writes an image's record; an image that is there keeps its date.
    pub(crate) fn add_image(&self, mut record: ImageRecord) -> Result<()> {
        let path = self.layout().blob(record.id);
        let document = ConfigDocument::parse(&std::fs::read(&path).at("read", &path)?)?;
        let mut state = self.state_mut();
        if let Some((old, _)) = state.images.get(&record.id) {
            record.added = old.added;
            record.last_tagged = old.last_tagged;
            record.parent = record.parent.or(old.parent);
        }
        write_record(&self.layout().image(record.id), &record)?;
        state.images.insert(record.id, (record, document));
        Ok(())
    }

    /// Gives an image names, taking them from others; whether a tag moved or is new.
    pub(crate) fn set_names(&self, id: Digest, names: &[Reference]) -> Result<bool> {
        let mut state = self.state_mut();
        let mut changed = false;
        for name in names {
            let before = state.names.insert(name.clone(), id);
            changed |= before != Some(id);
        }
        if changed {
            self.write_names(&state)?;
            self.touch(&mut state, id)?;
        }
        Ok(changed)
    }

    /// Notes that an image was tagged now.
    pub(crate) fn touch(&self, state: &mut State, id: Digest) -> Result<()> {
        let Some((record, _)) = state.images.get_mut(&id) else { return Ok(()) };
        record.last_tagged = now_ns();
        write_record(&self.layout().image(id), record)
    }

    /// Writes `references.json`.
    pub(crate) fn write_names(&self, state: &State) -> Result<()> {
        let names: BTreeMap<String, &Digest> =
            state.names.iter().map(|(name, id)| (name.to_string(), id)).collect();
        let path = self.layout().references();
        let old = before(&path);
        drop(std::fs::remove_file(&old));
        // Without an older version there is nothing to fall back to, nor to lose.
        drop(std::fs::hard_link(&path, &old));
        write_record(&path, &names)
    }

    /// Which image a repository's digest names.
    pub(crate) fn name_of_digest(&self, reference: &Reference, digest: Digest) -> Option<Digest> {
        self.state().names.get(&reference.at_digest(digest)).copied()
    }

    /// The image with an id.
    pub(crate) fn image(&self, id: Digest) -> Result<Image> {
        self.state().image(id)
    }

    /// The state, for reading.
    pub(crate) fn state(&self) -> std::sync::RwLockReadGuard<'_, State> {
        self.inner.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state, for changing; held while the change is written.
    pub(crate) fn state_mut(&self) -> std::sync::RwLockWriteGuard<'_, State> {
        self.inner.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store {
    /// The record of an image.
    pub(crate) fn record(&self, id: Digest) -> Result<ImageRecord> {
        let state = self.state();
        let found = state.images.get(&id).map(|(record, _)| record.clone());
        found.ok_or_else(|| no_such_image(&id.to_string()))
    }
}
