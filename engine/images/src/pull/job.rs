//! One layer on its way into the store, shared by all pulls that need it.
//!
//! ```text
//! Waiting → Downloading → Downloaded → Done
//! ```
//! Unpacking runs along from the first byte on. A job ends when it is done, fails, or when the last
//! pull that waits for it goes away; then the partial file stays and everything else is removed.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use super::download::{download, open_partial};
use super::growth::{Follower, Growth};
use crate::digest::Digest;
use crate::error::{At, Error, ErrorKind, Result};
use crate::manifest::Descriptor;
use crate::registry::Registry;
use crate::store::{LayerFile, Store};
use crate::unpack::inflate::{self, Digests};
use crate::unpack::{Applied, ApplyOptions, Limits, settle};

/// Where a job is.
#[derive(Debug, Clone)]
pub(crate) enum Stage {
    /// Others download.
    Waiting,
    /// Bytes that are there.
    Downloading(u64),
    /// All bytes are there; bytes that are unpacked.
    Downloaded(u64),
    /// It ended.
    Done(Result<()>),
}

/// What makes a layer.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// The layer's name.
    pub chain_id: Digest,
    /// Of the uncompressed bytes.
    pub diff_id: Digest,
    /// The layers below, lowest first.
    pub below: Vec<Digest>,
    /// Where its bytes are.
    pub blob: Descriptor,
}

/// A running job; dropping the last handle cancels it.
#[derive(Debug)]
pub(crate) struct Job {
    stage: watch::Receiver<Stage>,
    cancel: CancellationToken,
}

impl Drop for Job {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

impl Job {
    /// A receiver of the stages.
    pub fn stages(&self) -> watch::Receiver<Stage> {
        self.stage.clone()
    }

    /// Waits for the end.
    pub async fn done(&self) -> Result<()> {
        let mut stage = self.stage.clone();
        let done = stage.wait_for(|s| matches!(s, Stage::Done(_))).await;
        match done.as_deref() {
            Ok(Stage::Done(outcome)) => outcome.clone(),
            _ => Err(Error::cancelled()),
        }
    }
}

/// The running jobs and what they share.
#[derive(Debug)]
pub(crate) struct Jobs {
    running: Mutex<HashMap<Digest, Weak<Job>>>,
    /// One writer for each partial file.
    blobs: Mutex<HashMap<Digest, Weak<tokio::sync::Mutex<()>>>>,
    downloads: Arc<Semaphore>,
    unpacks: Arc<Semaphore>,
}

impl Jobs {
    /// With bounds on what runs at the same time.
    pub fn new(downloads: usize) -> Jobs {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Jobs {
            running: Mutex::default(),
            blobs: Mutex::default(),
            downloads: Arc::new(Semaphore::new(downloads)),
            unpacks: Arc::new(Semaphore::new(cores.clamp(2, 8))),
        }
    }

    /// Joins the job for a layer, or starts it. `parent` is the job of the layer below, if that one
    /// is not there yet.
    pub fn start(
        &self,
        store: &Store,
        registry: &Arc<Registry>,
        request: Request,
        parent: Option<Arc<Job>>,
    ) -> Arc<Job> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.retain(|_, job| job.strong_count() > 0);
        if let Some(job) = running.get(&request.chain_id).and_then(Weak::upgrade)
            && !matches!(&*job.stage.borrow(), Stage::Done(Err(_)))
        {
            return job;
        }
        let (sender, stage) = watch::channel(Stage::Waiting);
        let cancel = CancellationToken::new();
        let job = Arc::new(Job { stage, cancel: cancel.clone() });
        running.insert(request.chain_id, Arc::downgrade(&job));
        let work = Work {
            store: store.clone(),
            registry: Arc::clone(registry),
            request,
            growth: Growth::default(),
            stage: sender,
        };
        tokio::spawn(work.run(parent, cancel));
        job
    }

    fn blob_lock(&self, digest: Digest) -> Arc<tokio::sync::Mutex<()>> {
        let mut blobs = self.blobs.lock().unwrap_or_else(PoisonError::into_inner);
        blobs.retain(|_, lock| lock.strong_count() > 0);
        if let Some(lock) = blobs.get(&digest).and_then(Weak::upgrade) {
            return lock;
        }
        let lock = Arc::default();
        blobs.insert(digest, Arc::downgrade(&lock));
        lock
    }
}

/// What a job's task owns.
struct Work {
    store: Store,
    registry: Arc<Registry>,
    request: Request,
    growth: Growth,
    stage: watch::Sender<Stage>,
}

impl Work {
    async fn run(self, parent: Option<Arc<Job>>, cancel: CancellationToken) {
        let growth = self.growth.clone();
        // The canceller only stops the reader and the download; the work itself runs to its end, so
        // that what it had begun is cleaned up by the one who began it.
        let canceller = tokio::spawn({
            let cancel = cancel.clone();
            async move {
                cancel.cancelled().await;
                growth.cancel();
            }
        });
        let outcome = self.work(parent, &cancel).await;
        canceller.abort();
        self.stage.send_replace(Stage::Done(outcome));
    }

    async fn work(&self, parent: Option<Arc<Job>>, cancel: &CancellationToken) -> Result<()> {
        let lock = self.store.jobs().blob_lock(self.request.blob.digest);
        let blob_guard = tokio::select! {
            guard = lock.lock() => guard,
            () = cancel.cancelled() => return Err(Error::cancelled()),
        };
        let digest = self.request.blob.digest;
        let blob_path = self.store.layout().blob(digest);
        let partial_path = self.store.layout().partial(digest);
        let have = std::fs::metadata(&blob_path).is_ok_and(|m| m.len() == self.request.blob.size);
        let (source, start) = if have {
            (blob_path.clone(), None)
        } else {
            let start = open_partial(&partial_path, self.request.blob.size)?;
            (partial_path.clone(), Some(start))
        };
        let fetch = async {
            let outcome = match start {
                None => {
                    self.growth.set(self.request.blob.size);
                    Ok(())
                }
                Some(start) => self.fetch(start, &partial_path, cancel).await,
            };
            self.stage.send_replace(Stage::Downloaded(self.growth.read_so_far()));
            self.growth.end(outcome.clone());
            outcome
        };
        let (fetched, unpacked) = tokio::join!(fetch, self.unpack(source, cancel));
        fetched?;
        let (folder, applied, digests) = match unpacked {
            Ok(unpacked) => unpacked,
            Err(e) => {
                // Bytes that cannot be unpacked must not be tried again.
                if matches!(e.kind(), ErrorKind::BadArchive) && !have {
                    drop(std::fs::remove_file(&partial_path));
                }
                return Err(e);
            }
        };
        if let Err(e) = self.verify(&digests) {
            drop(std::fs::remove_file(if have { &blob_path } else { &partial_path }));
            return Err(e);
        }
        if !have {
            std::fs::rename(&partial_path, &blob_path).at("move to its place", &blob_path)?;
        }
        drop(blob_guard);
        if let Some(parent) = parent {
            tokio::select! {
                done = parent.done() => done?,
                () = cancel.cancelled() => return Err(Error::cancelled()),
            }
        }
        self.place(folder, applied).await
    }

    /// Downloads what is missing.
    async fn fetch(
        &self,
        start: (std::fs::File, u64),
        path: &Path,
        cancel: &CancellationToken,
    ) -> Result<()> {
        let jobs = self.store.jobs();
        // What is there already can be unpacked before it is this layer's turn to download.
        self.growth.set(start.1);
        let work = async {
            let _turn = jobs.downloads.acquire().await;
            self.stage.send_replace(Stage::Downloading(start.1));
            let progress = |bytes| drop(self.stage.send_replace(Stage::Downloading(bytes)));
            let blob = &self.request.blob;
            download(&self.registry, blob, path, start, &self.growth, &progress).await
        };
        tokio::select! {
            outcome = work => outcome,
            () = cancel.cancelled() => Err(Error::cancelled()),
        }
    }

    /// Unpacks what has arrived, and then what arrives.
    async fn unpack(
        &self,
        source: PathBuf,
        cancel: &CancellationToken,
    ) -> Result<(Unfinished, Applied, Digests)> {
        let jobs = self.store.jobs();
        let _turn = tokio::select! {
            turn = jobs.unpacks.acquire() => turn,
            () = cancel.cancelled() => return Err(Error::cancelled()),
        };
        let (store, growth) = (self.store.clone(), self.growth.clone());
        let work = tokio::task::spawn_blocking(move || {
            let follower = Follower::open(&source, growth)?;
            let folder = Unfinished(store.layout().new_layer()?);
            let fs = folder.0.join("fs");
            crate::layout::make_dir(&fs)?;
            let options = ApplyOptions {
                ids: store.settings().ids.clone(),
                limits: Limits::default(),
                umask_is_zero: false,
            };
            let (applied, digests) = inflate::unpack(follower, &fs, &options)?;
            Ok((folder, applied, digests))
        });
        let watching = async {
            let mut tick = tokio::time::interval(std::time::Duration::from_millis(100));
            loop {
                tick.tick().await;
                let read = self.growth.read_so_far();
                self.stage.send_if_modified(|stage| match stage {
                    Stage::Downloaded(at) if *at != read => {
                        *at = read;
                        true
                    }
                    _ => false,
                });
            }
        };
        tokio::select! {
            done = work => done.map_err(|_| Error::new(ErrorKind::Io, "unpacking a layer failed"))?,
            () = watching => Err(Error::cancelled()),
        }
    }

    /// Every byte must be the one that the manifest and the configuration speak of.
    fn verify(&self, digests: &Digests) -> Result<()> {
        let Request { blob, diff_id, .. } = &self.request;
        if digests.blob != blob.digest {
            return Err(Error::bad_archive(format!(
                "layer verification failed for digest {}: the bytes received have {}",
                blob.digest, digests.blob
            )));
        }
        if digests.diff_id != *diff_id {
            return Err(Error::bad_archive(format!(
                "layer verification failed: {} unpacks to {}, but the image's configuration says {diff_id}",
                blob.digest, digests.diff_id
            )));
        }
        Ok(())
    }

    /// The layer takes its place on top of those below.
    async fn place(&self, folder: Unfinished, applied: Applied) -> Result<()> {
        let (store, request) = (self.store.clone(), self.request.clone());
        let work = tokio::task::spawn_blocking(move || {
            place(&store, folder, &applied, &request.below, request.chain_id, request.diff_id)
        });
        work.await.map_err(|_| Error::new(ErrorKind::Io, "storing a layer failed"))?
    }
}

/// Settles an unpacked layer on those below (lowest first) and makes it visible.
pub(crate) fn place(
    store: &Store,
    folder: Unfinished,
    applied: &Applied,
    below: &[Digest],
    chain_id: Digest,
    diff_id: Digest,
) -> Result<()> {
    let lowers: Vec<PathBuf> =
        below.iter().rev().map(|id| store.layout().layer(*id).join("fs")).collect();
    settle::settle(&folder.0.join("fs"), applied, &lowers)?;
    for note in &applied.notes {
        tracing::info!(layer = %diff_id.short(), "{note}");
    }
    let record = LayerFile {
        chain_id,
        diff_id,
        parent: below.last().copied(),
        size: applied.bytes,
        entries: applied.entries,
        notes: applied.notes.clone(),
        boot: crate::store::boot_id(),
    };
    store.add_layer(&folder.0, record)
}

/// A layer's folder until it has its place; removed when dropped before.
#[derive(Debug)]
pub(crate) struct Unfinished(pub PathBuf);

impl Drop for Unfinished {
    fn drop(&mut self) {
        // Renamed away, there is nothing left to remove.
        if let Err(e) = crate::tree::remove(&self.0) {
            tracing::warn!(error = %e, "an unfinished layer stays until the next start");
        }
    }
}
