//! A pull: from a name to an image.
//!
//! 1. The manifest, through the index if there is one, and the configuration document.
//! 2. A [`job`] for each layer that is missing; layers that other pulls are fetching are shared.
//! 3. When all layers are there: the image's record and its names.
//!
//! Everything that is being fetched is leased, so that a collection meanwhile leaves it alone.

mod download;
mod growth;
pub(crate) mod job;
mod progress;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use futures_util::future::join_all;
use tokio::sync::mpsc;

use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::image::{ConfigDocument, Image};
use crate::manifest::{Document, Manifest};
use crate::platform::Platform;
use crate::reference::Reference;
use crate::registry::{Fetched, Registry};
use crate::settings::{Auth, Progress};
use crate::store::{ImageRecord, LayerRecord, Lease, Store, now_ns};
use job::{Job, Request};
use progress::Lines;

/// See [`Store::pull`].
pub(crate) async fn pull(
    store: &Store,
    reference: &Reference,
    platform: Option<&str>,
    auth: Option<Auth>,
    progress: mpsc::Sender<Progress>,
) -> Result<Image> {
    let asked = platform.filter(|p| !p.is_empty()).map(Platform::parse).transpose()?;
    let lines = Lines::new(progress);
    let registries = store.registries();
    let (registry, top) = Registry::find(store.http(), &registries, reference, auth).await?;
    lines.first(reference).await;

    let (manifest, fetched) = choose(&registry, &top, asked.as_ref()).await?;
    let lease = Lease::new(store);
    lease.hold([top.digest, fetched.digest, manifest.config.digest]);
    lease.hold(manifest.layers.iter().map(|l| l.digest));
    let config = configuration(store, &registry, &manifest).await?;
    let document = ConfigDocument::parse(&config)?;
    check(&manifest, &document, reference, asked.as_ref())?;

    layers(store, &registry, &manifest, &document, &lease, &lines).await?;

    let record = ImageRecord {
        id: manifest.config.digest,
        manifest: fetched.digest,
        manifest_type: fetched.media_type.clone(),
        manifest_size: fetched.bytes.len() as u64,
        layers: LayerRecord::zip(&manifest.layers, &document.rootfs.diff_ids),
        added: now_ns(),
        last_tagged: now_ns(),
        parent: None,
    };
    let finish = {
        let (store, reference, top) = (store.clone(), reference.clone(), top.digest);
        move || finish(&store, record, &fetched, &config, &reference, top)
    };
    let work = tokio::task::spawn_blocking(finish).await;
    let (image, new) = work.map_err(|_| Error::new(ErrorKind::Io, "storing an image failed"))??;
    store.sync_soon();
    lines.last(reference, top.digest, new).await;
    Ok(image)
}

/// Follows indexes to the manifest of the platform.
async fn choose(
    registry: &Registry,
    top: &Fetched,
    asked: Option<&Platform>,
) -> Result<(Manifest, Fetched)> {
    let platform = asked.cloned().unwrap_or_else(Platform::host);
    let mut fetched = top.clone();
    // An index of indexes is legal; a longer chain is nobody's intention.
    for _ in 0..3 {
        match Document::parse(&fetched.media_type, &fetched.bytes)? {
            Document::Manifest(manifest) => {
                if !manifest.media_type.is_empty() {
                    fetched.media_type.clone_from(&manifest.media_type);
                }
                return Ok((manifest, fetched));
            }
            Document::Index(index) => {
                let chosen = index.choose(&platform)?;
                fetched = registry.manifest(chosen.digest).await?;
                if !chosen.media_type.is_empty() {
                    fetched.media_type.clone_from(&chosen.media_type);
                }
            }
        }
    }
    Err(Error::bad_archive("the image's index leads from index to index"))
}

/// The configuration document, from the store if it is there.
async fn configuration(store: &Store, registry: &Registry, manifest: &Manifest) -> Result<Vec<u8>> {
    let digest = manifest.config.digest;
    if let Ok(bytes) = std::fs::read(store.layout().blob(digest))
        && Digest::of(&bytes) == digest
    {
        return Ok(bytes);
    }
    registry.small_blob(digest).await
}

/// Refuses what is not an image for this platform.
fn check(
    manifest: &Manifest,
    document: &ConfigDocument,
    reference: &Reference,
    asked: Option<&Platform>,
) -> Result<()> {
    if document.rootfs.diff_ids.len() != manifest.layers.len() {
        return Err(Error::new(
            ErrorKind::BadArchive,
            format!(
                "invalid rootfs in image configuration of {}: {} layers in the manifest, {} in the configuration",
                reference.familiar(),
                manifest.layers.len(),
                document.rootfs.diff_ids.len()
            ),
        ));
    }
    let made_for = Platform {
        os: document.os.clone(),
        architecture: document.architecture.clone(),
        variant: document.variant.clone(),
    };
    match asked {
        Some(asked) if asked.rank(&made_for).is_none() => Err(Error::new(
            ErrorKind::NotFound,
            format!(
                "image with reference {} was found but does not match the specified platform: wanted {asked}, actual: {made_for}",
                reference.familiar()
            ),
        )),
        _ if document.os == "windows" => Err(Error::new(
            ErrorKind::InvalidRequest,
            "image operating system \"windows\" cannot be used on this platform: operating system is not supported",
        )),
        _ => Ok(()),
    }
}

/// Brings all missing layers.
async fn layers(
    store: &Store,
    registry: &Arc<Registry>,
    manifest: &Manifest,
    document: &ConfigDocument,
    lease: &Lease,
    lines: &Lines,
) -> Result<()> {
    let mut below: Vec<Digest> = Vec::new();
    let mut parent: Option<Arc<Job>> = None;
    let mut jobs = Vec::new();
    for (blob, diff_id) in manifest.layers.iter().zip(&document.rootfs.diff_ids) {
        let chain_id = Digest::chain(below.last().copied(), *diff_id);
        lease.hold([chain_id]);
        if store.has_layer(chain_id, blob) {
            // Then those below it are there, too, even if one of their archives is being fetched.
            parent = None;
            lines.exists(blob).await;
        } else {
            let request =
                Request { chain_id, diff_id: *diff_id, below: below.clone(), blob: blob.clone() };
            let job = store.jobs().start(store, registry, request, parent.take());
            lines.begun(blob).await;
            parent = Some(Arc::clone(&job));
            jobs.push((job, blob));
        }
        below.push(chain_id);
    }
    let followed = jobs.iter().map(|(job, blob)| lines.follow(job, blob));
    // The first failure decides, but all jobs are let go of only when all have been looked at.
    let outcomes = tokio::select! {
        outcomes = join_all(followed) => outcomes,
        Err(e) = first_failure(&jobs) => return Err(e),
    };
    outcomes.into_iter().collect()
}

/// Resolves when a job fails; never if none does.
async fn first_failure(jobs: &[(Arc<Job>, &crate::manifest::Descriptor)]) -> Result<()> {
    let waits = jobs.iter().map(|(job, _)| {
        Box::pin(async move {
            match job.done().await {
                // A layer above a failed one is cancelled with it; the cause is the one below.
                Err(e) if e.kind() != ErrorKind::Cancelled => Err::<(), _>(e),
                _ => std::future::pending().await,
            }
        })
    });
    let mut waits: Vec<_> = waits.collect();
    if waits.is_empty() {
        return std::future::pending().await;
    }
    loop {
        let (outcome, _, rest) = futures_util::future::select_all(waits).await;
        if outcome.is_err() || rest.is_empty() {
            return outcome;
        }
        waits = rest;
    }
}

/// Writes documents, record and names; whether anything is new.
fn finish(
    store: &Store,
    record: ImageRecord,
    manifest: &Fetched,
    config: &[u8],
    reference: &Reference,
    top: Digest,
) -> Result<(Image, bool)> {
    store.add_blob(record.id, config)?;
    store.add_blob(manifest.digest, &manifest.bytes)?;
    let id = record.id;
    let known = store.name_of_digest(reference, top) == Some(id);
    store.add_image(record)?;
    let mut names = vec![reference.at_digest(top)];
    if reference.digest().is_none() {
        names.push(reference.clone());
    }
    let renamed = store.set_names(id, &names)?;
    Ok((store.image(id)?, renamed || !known))
}
