//! The store on disk: **format 1**.
//!
//! ```text
//! ROOT/                          mode 0700
//!   format                       JSON {"format":1}; written once
//!   lock                         flock(2): one process has the store open
//!   blobs/sha256/HEX             manifests, configurations and layers as they came, digest verified
//!   partial/HEX                  a layer's download so far: a prefix of the blob of that digest
//!   layers/NAME/fs/              an unpacked layer, ready to be an overlay's lowerdir
//!   layers/NAME/layer.json       what it is; NAME is the first 24 hex digits of the chain id
//!   layers/.new/RANDOM/          a layer being unpacked
//!   images/HEX.json              one record per image; HEX is the digest of its configuration
//!   references.json              full name → image id; `name:tag` and `name@digest`
//!   references.json.old          the same before the last change
//!   writable/ID/upper, work      what container ID writes
//!   writable/ID/writable.json    on top of which layers
//! ```
//!
//! **Order of writing.** Blobs, then layers, then the image's record, then references. Each is made
//! under another name and renamed, so a reader, and a kill of the engine, sees all of it or nothing.
//! Removing goes the other way; what is left unreferenced is collected by the next
//! [`crate::Store::collect`].
//!
//! **Crash of the machine.** Nothing here calls `fsync`: on ext4 one such call in the middle of a pull
//! writes out everything that was unpacked so far. Instead `syncfs` runs in the background after a
//! pull; until it has, a layer carries the id of the boot it was written in. At the next open a layer
//! of an earlier boot without the mark `synced` is removed, and records that are damaged or lack a
//! part are dropped with a warning: the user pulls again, and blobs are verified again. For names,
//! `references.json.old` holds the version before the last change.
//!
//! **Compressed blobs are kept.** A layer thus costs its archive besides its files: measured, 23 % of
//! the files for headers and Python code, 48 % for an image with much incompressible data. For that,
//! `save` and a later push hand out the registry's own bytes and digests at the cost of a copy, an
//! image loses nothing by a folder that cannot hold all of its metadata (single-id mode), and a
//! killed download needs no second place. Layers that come uncompressed, by `load`, are kept as they
//! are.
//!
//! **Names of layers** are short because an overlay's options must fit in one page on kernels before
//! 6.5: 128 layers relative to `layers/` take 28 bytes each. The record inside holds the whole chain
//! id and is compared on each use, so a forged collision is refused, not used.
//!
//! **Versions.** A store with a larger `format` is refused with [`ErrorKind::Unusable`]. Within a
//! format, unknown fields of records are ignored, and new fields must be optional.

use std::fs;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::error::{At, Error, ErrorKind, Result};

/// The format that this version writes, and the newest that it reads.
pub const FORMAT: u32 = 1;

/// Hex digits of the chain id in the name of a layer's folder.
const LAYER_NAME: usize = 24;

/// Paths of a store; see the module's documentation.
#[derive(Debug, Clone)]
pub struct Layout {
    root: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct Format {
    format: u32,
}

impl Layout {
    /// Makes the folders that are missing, takes the lock and checks the format.
    pub(crate) fn open(root: &Path) -> Result<(Layout, OwnedFd)> {
        let layout = Layout { root: root.to_owned() };
        make_dir(root)?;
        let lock = layout.lock()?;
        layout.check_format()?;
        for dir in
            ["blobs", "blobs/sha256", "partial", "layers", "layers/.new", "images", "writable"]
        {
            make_dir(&root.join(dir))?;
        }
        Ok((layout, lock))
    }

    fn lock(&self) -> Result<OwnedFd> {
        let path = self.root.join("lock");
        let file = fs::OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .at("open", &path)?;
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|e| {
            Error::new(
                ErrorKind::Unusable,
                format!(
                    "the image store {} is in use by another process; stop that daemon or give this one its own data root",
                    self.root.display()
                ),
            )
            .with_source(e)
        })?;
        Ok(file.into())
    }

    fn check_format(&self) -> Result<()> {
        let path = self.root.join("format");
        match fs::read(&path) {
            Ok(bytes) => {
                let found: Format = serde_json::from_slice(&bytes).map_err(|e| {
                    Error::new(ErrorKind::Unusable, format!("{} is damaged: {e}", path.display()))
                })?;
                if found.format > FORMAT {
                    return Err(Error::new(
                        ErrorKind::Unusable,
                        format!(
                            "the image store {} has format {}, this version reads up to {FORMAT}: use the newer bryo again, or another data root",
                            self.root.display(),
                            found.format
                        ),
                    ));
                }
                Ok(())
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                write_record(&path, &Format { format: FORMAT })
            }
            Err(e) => Err(Error::io("read", &path, e)),
        }
    }

    /// The store's folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A complete, verified blob.
    pub fn blob(&self, digest: Digest) -> PathBuf {
        self.root.join("blobs/sha256").join(digest.hex())
    }

    /// A download that is not complete.
    pub fn partial(&self, digest: Digest) -> PathBuf {
        self.root.join("partial").join(digest.hex())
    }

    /// The folder of a layer: `fs` and its record.
    pub fn layer(&self, chain_id: Digest) -> PathBuf {
        let mut name = chain_id.hex();
        name.truncate(LAYER_NAME);
        self.root.join("layers").join(name)
    }

    /// The folder of all layers.
    pub fn layers(&self) -> PathBuf {
        self.root.join("layers")
    }

    /// A fresh folder for a layer being unpacked.
    pub(crate) fn new_layer(&self) -> Result<PathBuf> {
        let path = self.layers().join(".new").join(format!("{:016x}", rand::random::<u64>()));
        make_dir(&path)?;
        Ok(path)
    }

    /// A fresh name for a blob being written.
    pub(crate) fn new_blob(&self) -> PathBuf {
        self.root.join("partial").join(format!("new-{:016x}", rand::random::<u64>()))
    }

    /// An image's record.
    pub fn image(&self, id: Digest) -> PathBuf {
        self.root.join("images").join(format!("{}.json", id.hex()))
    }

    /// The names of images.
    pub fn references(&self) -> PathBuf {
        self.root.join("references.json")
    }

    /// What a container writes.
    pub fn writable(&self, container: &str) -> PathBuf {
        self.root.join("writable").join(container)
    }
}

/// `mkdir -m 700`, content if it exists.
pub(crate) fn make_dir(path: &Path) -> Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).at("make the folder", path)
}

/// Writes a record so that a reader sees the old one or the new one.
pub(crate) fn write_record(path: &Path, record: &impl Serialize) -> Result<()> {
    let text = serde_json::to_vec_pretty(record)
        .map_err(|e| Error::new(ErrorKind::Io, format!("cannot write {}: {e}", path.display())))?;
    let temporary = path.with_extension(format!("tmp-{:08x}", rand::random::<u32>()));
    let write = || -> std::io::Result<()> {
        let mut file =
            fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(&temporary)?;
        file.write_all(&text)?;
        fs::rename(&temporary, path)
    };
    write().inspect_err(|_| drop(fs::remove_file(&temporary))).at("write", path)
}

/// Writes a record of a new folder, without waiting for the disk: a power cut may take it away, so its owner syncs it later,
/// before whatever refers to it. Two `fsync`s would be most of a container's creation.
pub(crate) fn write_new_record(path: &Path, record: &impl Serialize) -> Result<()> {
    let text = serde_json::to_vec(record)
        .map_err(|e| Error::new(ErrorKind::Io, format!("cannot write {}: {e}", path.display())))?;
    fs::write(path, text).at("write", path)
}

/// Reads a record; `None` if there is none.
pub(crate) fn read_record<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<Option<T>> {
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|e| {
            Error::new(
                ErrorKind::Unusable,
                format!("the record {} is damaged: {e}", path.display()),
            )
        }),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io("read", path, e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_opener_and_a_newer_format_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (layout, lock) = Layout::open(dir.path()).unwrap();
        let second = Layout::open(dir.path()).unwrap_err();
        assert!(second.message().contains("in use by another process"), "{second}");
        drop(lock);
        fs::write(dir.path().join("format"), r#"{"format":9}"#).unwrap();
        let newer = layout.check_format().unwrap_err();
        assert!(newer.message().contains("format 9"), "{newer}");
        assert_eq!(newer.kind(), ErrorKind::Unusable);
        assert!(layout.layer(Digest::of(b"")).ends_with("layers/e3b0c44298fc1c149afbf4c8"));
    }
}
