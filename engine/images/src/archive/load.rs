//! `load`: docker-archives (of any age since 1.10) and OCI layouts, compressed or not.
//!
//! The table of contents may come last, so the archive's files are first put into a folder of the
//! store under names of our own choosing; names in the archive are only keys of a map. Layers are
//! then unpacked from there and their files moved among the blobs.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, Read, Write};
use std::path::{Path, PathBuf};

use super::make::{NewImage, NewLayer};
use super::{ArchiveEntry, IMAGE_NAME, REF_NAME};
use crate::digest::Digest;
use crate::error::{At, Error, Result};
use crate::image::ConfigDocument;
use crate::manifest::{Document, Index, Manifest};
use crate::platform::Platform;
use crate::pull::job::Unfinished;
use crate::reference::Reference;
use crate::store::{Lease, Loaded, Store};
use crate::tar::{Kind, Reader};
use crate::unpack::folders::{name_of, split};
use crate::unpack::inflate::pipeline;

/// Bytes of a JSON document in an archive, at most.
const MAX_DOCUMENT: u64 = 8 << 20;

/// Files of an archive, at most.
const MAX_FILES: usize = 100_000;

/// Links followed from a name to a file.
const MAX_LINKS: usize = 8;

/// See [`Store::load`].
pub(crate) fn load(store: &Store, archive: impl Read + Send) -> Result<Vec<Loaded>> {
    let folder = Unfinished(store.layout().new_layer()?);
    let (contents, _) = pipeline(archive, |chunks| Contents::spool(chunks, &folder.0))?;
    let loaded = match contents.read("manifest.json")? {
        Some(table) => from_table(store, &contents, &table),
        None => from_layout(store, &contents),
    };
    store.sync_soon();
    loaded
}

/// The files of an archive.
struct Contents {
    files: HashMap<String, PathBuf>,
    /// Symlinks and hard links: old archives write a layer once and link to it.
    links: HashMap<String, String>,
}

impl Contents {
    fn spool(input: impl BufRead, folder: &Path) -> Result<Contents> {
        let mut reader = Reader::new(input);
        let mut contents = Contents { files: HashMap::new(), links: HashMap::new() };
        while let Some(entry) = reader.next()? {
            let name = name_of(&split(&entry.path)?.join(&b'/'));
            match entry.kind {
                Kind::File => {
                    let path = folder.join(format!("{}", contents.files.len()));
                    let mut file = File::create_new(&path).at("make the file", &path)?;
                    reader.copy_data(|part| file.write_all(part).at("write", &path))?;
                    contents.files.insert(name, path);
                }
                Kind::Symlink => {
                    let parent = name.rsplit_once('/').map_or("", |(parent, _)| parent);
                    let target = String::from_utf8_lossy(&entry.link).into_owned();
                    contents.links.insert(name.clone(), join(parent, &target));
                }
                Kind::HardLink => {
                    let target = String::from_utf8_lossy(&entry.link).into_owned();
                    contents.links.insert(name, join("", &target));
                }
                _ => {}
            }
            if contents.files.len() + contents.links.len() > MAX_FILES {
                return Err(Error::bad_archive(format!(
                    "the archive has more than {MAX_FILES} files"
                )));
            }
        }
        reader.finish()?;
        Ok(contents)
    }

    fn path(&self, name: &str) -> Option<&PathBuf> {
        let mut name = join("", name);
        for _ in 0..MAX_LINKS {
            if let Some(path) = self.files.get(&name) {
                return Some(path);
            }
            name = self.links.get(&name)?.clone();
        }
        None
    }

    fn required(&self, name: &str) -> Result<&PathBuf> {
        self.path(name).ok_or_else(|| {
            Error::bad_archive(format!("the archive lacks {name:?}, which it says it has"))
        })
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let Some(path) = self.path(name) else { return Ok(None) };
        let length = std::fs::metadata(path).at("look at", path)?.len();
        if length > MAX_DOCUMENT {
            return Err(Error::bad_archive(format!("{name} in the archive is too large")));
        }
        std::fs::read(path).at("read", path).map(Some)
    }

    fn document(&self, name: &str) -> Result<Vec<u8>> {
        self.required(name)?;
        Ok(self.read(name)?.unwrap_or_default())
    }

    /// A blob of the OCI layout, its digest checked.
    fn blob(&self, digest: Digest) -> Result<Vec<u8>> {
        let bytes = self.document(&blob_name(digest))?;
        if Digest::of(&bytes) == digest {
            return Ok(bytes);
        }
        Err(Error::bad_archive(format!("the blob {digest} in the archive is damaged")))
    }
}

fn blob_name(digest: Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// A path without `.` and `..`; climbing ends at the archive's root.
fn join(parent: &str, name: &str) -> String {
    let mut names: Vec<&str> = Vec::new();
    let parent = if name.starts_with('/') { "" } else { parent };
    for part in parent.split('/').chain(name.split('/')) {
        match part {
            "" | "." => {}
            ".." => drop(names.pop()),
            part => names.push(part),
        }
    }
    names.join("/")
}

/// A docker-archive; newer ones are OCI layouts, too, and then keep their manifests.
fn from_table(store: &Store, contents: &Contents, table: &[u8]) -> Result<Vec<Loaded>> {
    let entries: Vec<ArchiveEntry> = serde_json::from_slice(table).map_err(|e| {
        Error::bad_archive(format!("manifest.json in the archive is not valid: {e}"))
    })?;
    let manifests = match contents.read("index.json")? {
        Some(index) => manifests(contents, &index, false).unwrap_or_default(),
        None => Vec::new(),
    };
    let mut loaded = Vec::new();
    for entry in entries {
        let config = contents.document(&entry.config)?;
        let id = Digest::of(&config);
        let layers = entry.layers.unwrap_or_default();
        let mut files = Vec::new();
        for name in &layers {
            files.push(contents.required(name)?.clone());
        }
        let names = parse_names(entry.repo_tags.unwrap_or_default().iter().map(String::as_str))?;
        let manifest = manifests.iter().find(|m| m.manifest.config.digest == id);
        loaded.push(one(store, &config, &files, manifest, &names)?);
    }
    Ok(loaded)
}

/// An OCI layout.
fn from_layout(store: &Store, contents: &Contents) -> Result<Vec<Loaded>> {
    let Some(index) = contents.read("index.json")? else {
        return Err(Error::bad_archive(
            "the archive is neither a docker-archive nor an OCI layout: it has no manifest.json and no index.json",
        ));
    };
    let mut loaded: Vec<Loaded> = Vec::new();
    for found in manifests(contents, &index, true)? {
        let config = contents.blob(found.manifest.config.digest)?;
        let mut files = Vec::new();
        for layer in &found.manifest.layers {
            files.push(contents.required(&blob_name(layer.digest))?.clone());
        }
        let image = one(store, &config, &files, Some(&found), &found.names)?;
        match loaded.iter_mut().find(|l| l.image.id == image.image.id) {
            Some(same) => same.names.extend(image.names),
            None => loaded.push(image),
        }
    }
    Ok(loaded)
}

/// A manifest of an OCI layout.
struct Found {
    manifest: Manifest,
    media_type: String,
    bytes: Vec<u8>,
    names: Vec<Reference>,
}

/// All manifests of a layout's index, those of this platform out of nested ones. Unless `strict`,
/// entries whose blobs are missing are passed over.
fn manifests(contents: &Contents, index: &[u8], strict: bool) -> Result<Vec<Found>> {
    let Document::Index(index) = Document::parse(crate::manifest::OCI_INDEX, index)? else {
        return Err(Error::bad_archive("index.json in the archive is no index"));
    };
    let mut found = Vec::new();
    for entry in &index.manifests {
        match follow(contents, &index, entry) {
            Ok(one) => found.push(one),
            Err(e) if strict => return Err(e),
            Err(_) => {}
        }
    }
    Ok(found)
}

fn follow(
    contents: &Contents,
    _index: &Index,
    entry: &crate::manifest::Descriptor,
) -> Result<Found> {
    let annotation = |key| entry.annotations.get(key).map(String::as_str);
    // A bare tag says nothing without the repository.
    let name =
        annotation(IMAGE_NAME).or_else(|| annotation(REF_NAME).filter(|n| n.contains(['/', ':'])));
    let names = parse_names(name.into_iter()).unwrap_or_default();
    let mut entry = entry.clone();
    for _ in 0..3 {
        let bytes = contents.blob(entry.digest)?;
        match Document::parse(&entry.media_type, &bytes)? {
            Document::Manifest(manifest) => {
                return Ok(Found { manifest, media_type: entry.media_type, bytes, names });
            }
            Document::Index(inner) => entry = inner.choose(&Platform::host())?.clone(),
        }
    }
    Err(Error::bad_archive("the archive's index leads from index to index"))
}

fn parse_names<'a>(names: impl Iterator<Item = &'a str>) -> Result<Vec<Reference>> {
    names.map(Reference::parse).collect()
}

/// One image: its layers that are missing, its documents, its names.
fn one(
    store: &Store,
    config: &[u8],
    files: &[PathBuf],
    found: Option<&Found>,
    names: &[Reference],
) -> Result<Loaded> {
    let document = ConfigDocument::parse(config)?;
    if document.rootfs.diff_ids.len() != files.len() {
        return Err(Error::bad_archive(format!(
            "invalid rootfs in image configuration: {} layers in the archive, {} in the configuration",
            files.len(),
            document.rootfs.diff_ids.len()
        )));
    }
    let lease = Lease::new(store);
    let mut below = Vec::new();
    let mut layers = Vec::new();
    for (file, diff_id) in files.iter().zip(&document.rootfs.diff_ids) {
        let layer = NewLayer::from_file(store, &lease, file, &below, *diff_id)?;
        below.push(layer.chain_id);
        layers.push(layer);
    }
    if let Some(found) = found {
        for (layer, wanted) in layers.iter_mut().zip(&found.manifest.layers) {
            if layer.record.blob.digest != wanted.digest {
                return Err(Error::bad_archive(format!(
                    "layer verification failed: the archive's {} has the digest {}",
                    wanted.digest, layer.record.blob.digest
                )));
            }
            layer.record.blob = wanted.clone();
        }
    }
    let image = NewImage {
        config: config.to_vec(),
        layers: layers.into_iter().map(|l| l.record).collect(),
        manifest: found.map(|f| (f.media_type.clone(), f.bytes.clone())),
        names: names.to_vec(),
        parent: None,
    }
    .store(store, &lease)?;
    Ok(Loaded { image, names: names.iter().map(Reference::familiar).collect() })
}
