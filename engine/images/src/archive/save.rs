//! `save`: one archive that is an OCI layout and a docker-archive at once, as Docker writes it since
//! version 25. Blobs are the registry's own bytes, so digests survive.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write;

use super::{ArchiveEntry, IMAGE_NAME, REF_NAME};
use crate::digest::Digest;
use crate::error::{At, Error, ErrorKind, Result};
use crate::image::Image;
use crate::manifest::{Descriptor, Index, OCI_INDEX};
use crate::reference::Reference;
use crate::store::{ImageFilter, ImageRecord, Lease, Store};
use crate::tar::{Entry, Kind, Writer};

/// An image and the names under which it is saved.
struct Chosen {
    record: ImageRecord,
    created: i64,
    names: BTreeSet<Reference>,
}

/// See [`Store::save`].
pub(crate) fn save(store: &Store, names: &[String], out: impl Write) -> Result<()> {
    let chosen = choose(store, names)?;
    // Whatever is removed meanwhile, its bytes stay until they are written.
    let lease = Lease::new(store);
    for Chosen { record, .. } in chosen.values() {
        lease.hold([record.id, record.manifest]);
        lease.hold(record.layers.iter().map(|l| l.blob.digest));
    }
    let mut archive = Writer::new(out);
    for name in ["blobs/", "blobs/sha256/"] {
        let mut entry = Entry::new(name.as_bytes().to_vec(), Kind::Folder);
        entry.mode = 0o755;
        archive.entry(&entry)?;
    }
    let mut written = BTreeSet::new();
    for Chosen { record, created, .. } in chosen.values() {
        let layers = record.layers.iter().map(|l| l.blob.digest);
        for digest in layers.chain([record.id, record.manifest]) {
            if written.insert(digest) {
                blob(store, &mut archive, digest, *created)?;
            }
        }
    }
    let index = serde_json::to_vec(&index(&chosen)).map_err(unwritable)?;
    archive.file("index.json", 0o644, 0, &index)?;
    let table = serde_json::to_vec(&table(&chosen)).map_err(unwritable)?;
    archive.file("manifest.json", 0o644, 0, &table)?;
    archive.file("oci-layout", 0o444, 0, br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    let repositories = repositories(&chosen);
    if !repositories.is_empty() {
        let repositories = serde_json::to_vec(&repositories).map_err(unwritable)?;
        archive.file("repositories", 0o644, 0, &repositories)?;
    }
    archive.finish().map(drop)
}

fn choose(store: &Store, names: &[String]) -> Result<BTreeMap<Digest, Chosen>> {
    if names.is_empty() {
        return Err(Error::new(ErrorKind::InvalidRequest, "no image to save was named"));
    }
    let mut chosen: BTreeMap<Digest, Chosen> = BTreeMap::new();
    for name in names {
        let bare = Reference::parse_bare(name).ok();
        let repository = bare.filter(|r| r.tag().is_none() && r.digest().is_none());
        if let Some(repository) = repository {
            let filter = ImageFilter {
                references: vec![repository.familiar_repository()],
                ..ImageFilter::default()
            };
            let images = store.list(&filter)?;
            let tagged: Vec<&Image> = images.iter().filter(|i| !i.repo_tags.is_empty()).collect();
            if !tagged.is_empty() {
                for image in tagged {
                    let tags: Result<BTreeSet<_>> =
                        image.repo_tags.iter().map(|t| Reference::parse(t)).collect();
                    add(store, &mut chosen, image, tags?)?;
                }
                continue;
            }
        }
        let image = store.resolve(name, None)?;
        let named = Reference::parse(name)
            .ok()
            .filter(|r| r.digest().is_none() && image.repo_tags.contains(&r.familiar()));
        add(store, &mut chosen, &image, named.into_iter().collect())?;
    }
    Ok(chosen)
}

fn add(
    store: &Store,
    chosen: &mut BTreeMap<Digest, Chosen>,
    image: &Image,
    names: BTreeSet<Reference>,
) -> Result<()> {
    if let Some(there) = chosen.get_mut(&image.id) {
        there.names.extend(names);
        return Ok(());
    }
    let created = image.created.unwrap_or(0) / 1_000_000_000;
    let created = i64::try_from(created).unwrap_or(0).max(0);
    let record = store.record(image.id)?;
    chosen.insert(image.id, Chosen { record, created, names });
    Ok(())
}

fn blob(store: &Store, archive: &mut Writer<impl Write>, digest: Digest, time: i64) -> Result<()> {
    let path = store.layout().blob(digest);
    let file = File::open(&path).at("open", &path)?;
    let mut entry = Entry::new(format!("blobs/sha256/{}", digest.hex()).into_bytes(), Kind::File);
    entry.mode = 0o444;
    entry.mtime = (time, 0);
    entry.size = file.metadata().at("look at", &path)?.len();
    archive.entry(&entry)?;
    archive.data_from(file)
}

fn index(chosen: &BTreeMap<Digest, Chosen>) -> Index {
    let mut manifests = Vec::new();
    for Chosen { record, names, .. } in chosen.values() {
        let plain = Descriptor::new(&record.manifest_type, record.manifest, record.manifest_size);
        if names.is_empty() {
            manifests.push(plain.clone());
        }
        for name in names {
            let mut named = plain.clone();
            named.annotations.insert(IMAGE_NAME.to_owned(), name.to_string());
            let tag = name.tag().unwrap_or_default();
            named.annotations.insert(REF_NAME.to_owned(), tag.to_owned());
            manifests.push(named);
        }
    }
    Index { schema_version: 2, media_type: OCI_INDEX.to_owned(), manifests }
}

fn table(chosen: &BTreeMap<Digest, Chosen>) -> Vec<ArchiveEntry> {
    let path = |digest: Digest| format!("blobs/sha256/{}", digest.hex());
    chosen
        .values()
        .map(|Chosen { record, names, .. }| ArchiveEntry {
            config: path(record.id),
            repo_tags: (!names.is_empty()).then(|| names.iter().map(Reference::familiar).collect()),
            layers: Some(record.layers.iter().map(|l| path(l.blob.digest)).collect()),
        })
        .collect()
}

/// `repositories`, for readers from before 2015: repository → tag → topmost layer.
fn repositories(chosen: &BTreeMap<Digest, Chosen>) -> BTreeMap<String, BTreeMap<String, String>> {
    let mut repositories: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for Chosen { record, names, .. } in chosen.values() {
        let top = record.layers.last().map_or(record.id, |l| l.blob.digest).hex();
        for name in names {
            let tag = name.tag().unwrap_or_default().to_owned();
            let tags = repositories.entry(name.familiar_repository()).or_default();
            tags.insert(tag, top.clone());
        }
    }
    repositories
}

fn unwritable(e: serde_json::Error) -> Error {
    Error::new(ErrorKind::Io, format!("cannot write the archive's table of contents: {e}"))
}
