//! Images where containers or events matter; everything else is asked of the image store itself.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::pin::pin;

use bryo_images::{Digest, Image, ImageFilter, Reference, Store};
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::engine::{Engine, Inner};
use crate::model::{EventKind, Filters, ImageView};
use crate::networks::check_filters;
use crate::requests::{Auth, ByteStream, ImportOptions, Progress, ProgressStream, Removed};
use crate::{Error, ErrorKind, Result};

/// Lines of progress that may wait for a slow client; more are dropped.
const LINES: usize = 256;

/// Chunks of an archive on their way.
const CHUNKS: usize = 16;

impl From<bryo_images::Error> for Error {
    fn from(e: bryo_images::Error) -> Error {
        use bryo_images::ErrorKind as K;
        let kind = match e.kind() {
            K::InvalidReference | K::InvalidRequest => ErrorKind::InvalidParameter,
            K::NotFound => ErrorKind::NotFound,
            K::Unauthorized => ErrorKind::Unauthorized,
            // A registry that hides whether a repository exists: Docker answers 404.
            K::Denied => ErrorKind::NotFound,
            K::Conflict => ErrorKind::Conflict,
            K::Unavailable
            | K::BadArchive
            | K::OutsideIdMap
            | K::NoSpace
            | K::Cancelled
            | K::Unusable
            | K::Io => ErrorKind::Internal,
        };
        let message = e.message().to_string();
        Error::new(kind, message).with_source(e)
    }
}

fn event(inner: &Inner, action: &str, id: &str, name: &str, labels: &BTreeMap<String, String>) {
    let mut attributes = labels.clone();
    attributes.insert("name".into(), name.into());
    inner.events.emit(EventKind::Image, action, id, attributes);
}

impl Engine {
    /// Pulls `name[:tag|@digest]`, or `name` with a separate tag or digest. What fails before the first line is this call's error.
    pub async fn pull(
        &self,
        reference: &str,
        tag: Option<&str>,
        platform: Option<&str>,
        auth: Option<Auth>,
    ) -> Result<ProgressStream> {
        let reference = Reference::with_tag(reference, tag)?;
        let (lines, mut progress) = mpsc::channel(LINES);
        let (inner, platform) = (self.inner().clone(), platform.map(str::to_string));
        let auth = auth.map(|a| bryo_images::Auth {
            username: a.username,
            password: a.password,
            identity_token: a.identity_token,
            registry_token: a.registry_token,
        });
        let mut pull = Box::pin(async move {
            let image = inner.images.pull(&reference, platform.as_deref(), auth, lines).await?;
            let name = reference.familiar();
            event(&inner, "pull", &name, &reference.familiar_repository(), &image.config.labels);
            Ok::<(), Error>(())
        });
        // Until there is a line, a failure is the call's own: Docker's 404 before any stream.
        let mut finished = None;
        let first = tokio::select! {
            biased;
            line = progress.recv() => line,
            done = &mut pull => { finished = Some(done); None }
        };
        if let Some(done) = finished.take() {
            done?;
            finished = Some(Ok(()));
        }
        let state = Pulling { pull, progress, first, finished };
        Ok(Box::pin(futures_util::stream::unfold(state, |mut s| async move {
            s.next().await.map(|line| (line, s))
        })))
    }

    /// Removes a reference, and the image with its last one.
    pub async fn image_remove(&self, r: &str, force: bool, no_prune: bool) -> Result<Vec<Removed>> {
        let _ = no_prune;
        let r = r.to_string();
        self.blocking(move |inner| {
            let (image, deletes) = inner.images.removal(&r, force)?;
            if deletes {
                check_unused(inner, &image, &r, force)?;
            }
            let removed = inner.images.remove(&r, force)?;
            Ok(report(inner, &image, removed))
        })
        .await
    }

    /// Removes images that nothing uses; the result also tells the bytes.
    pub async fn prune_images(&self, filters: &Filters) -> Result<(Vec<Removed>, u64)> {
        check_filters(filters, &["dangling", "label", "label!", "until"])?;
        let all = filters.get("dangling").iter().any(|v| matches!(v.as_str(), "false" | "0"));
        let filter = image_filter(filters)?;
        self.blocking(move |inner| {
            let used: BTreeSet<String> =
                inner.registry.all().iter().map(|c| c.snapshot().record.image_id.clone()).collect();
            let in_use = |id: Digest| used.contains(&id.to_string());
            let (removed, bytes) = inner.images.prune(&filter, all, &in_use)?;
            let attributes = BTreeMap::from([("reclaimed".to_string(), bytes.to_string())]);
            inner.events.emit(EventKind::Image, "prune", "", attributes);
            let removed = removed.into_iter().map(|r| one(inner, r, &BTreeMap::new())).collect();
            Ok((removed, bytes))
        })
        .await
    }

    /// Images, newest first.
    pub async fn image_list(&self, all: bool, filters: &Filters) -> Result<Vec<ImageView>> {
        let _ = all;
        check_filters(
            filters,
            &["before", "dangling", "label", "label!", "reference", "since", "until"],
        )?;
        let filter = image_filter(filters)?;
        self.blocking(move |inner| {
            let images = inner.images.list(&filter)?;
            let containers = inner.registry.all();
            let used: Vec<String> =
                containers.iter().map(|c| c.snapshot().record.image_id.clone()).collect();
            Ok(images.iter().map(|image| view(image, &used)).collect())
        })
        .await
    }

    /// Makes an image of a filesystem archive.
    pub async fn import(&self, options: ImportOptions, body: ByteStream) -> Result<ProgressStream> {
        let reference = match options.repo.as_str() {
            "" => None,
            repo => Some(Reference::with_tag(repo, Some(options.tag.as_str()))?),
        };
        let wanted = bryo_images::ImportOptions {
            reference: reference.clone(),
            message: options.message,
            changes: options.changes,
            platform: options.platform,
        };
        let reader = reader(body);
        let image = self.blocking(move |inner| Ok(inner.images.import(&wanted, reader)?)).await?;
        let id = image.id.to_string();
        let name = reference.map(|r| r.familiar()).unwrap_or_default();
        event(
            self.inner(),
            "import",
            &id,
            if name.is_empty() { &id } else { &name },
            &BTreeMap::new(),
        );
        let line = Progress { status: id, ..Progress::default() };
        Ok(Box::pin(futures_util::stream::iter([Ok(line)])))
    }

    /// Reads images from an archive of docker-archive or OCI layout form.
    pub async fn load(&self, body: ByteStream) -> Result<ProgressStream> {
        let reader = reader(body);
        let loaded = self.blocking(move |inner| Ok(inner.images.load(reader)?)).await?;
        let mut lines = Vec::new();
        for bryo_images::Loaded { image, names } in loaded {
            let id = image.id.to_string();
            event(self.inner(), "load", &id, names.first().unwrap_or(&id), &image.config.labels);
            let line =
                |status: String| Ok(Progress { status, stream: true, ..Progress::default() });
            if names.is_empty() {
                lines.push(line(format!("Loaded image ID: {id}\n")));
            }
            lines.extend(names.into_iter().map(|name| line(format!("Loaded image: {name}\n"))));
        }
        Ok(Box::pin(futures_util::stream::iter(lines)))
    }

    /// Writes images as an archive of both forms.
    pub async fn save(&self, names: &[String]) -> Result<ByteStream> {
        let names = names.to_vec();
        let (images, asked) = (self.images().clone(), names.clone());
        let found = self.blocking(move |inner| {
            for name in &asked {
                let image = inner.images.resolve(name, None)?;
                event(inner, "save", &image.id.to_string(), name, &image.config.labels);
            }
            Ok(())
        });
        found.await?;
        Ok(writing(move |out| Ok(Store::save(&images, &names, out)?)))
    }

    /// Gives an image a further reference (empty tag: latest).
    pub async fn image_tag(&self, r: &str, repo: &str, tag: &str) -> Result<()> {
        let reference = Reference::with_tag(repo, Some(tag))?;
        let r = r.to_string();
        self.blocking(move |inner| {
            let image = inner.images.resolve(&r, None)?;
            inner.images.tag(image.id, &reference)?;
            event(inner, "tag", &image.id.to_string(), &reference.familiar(), &image.config.labels);
            Ok(())
        })
        .await
    }
}

type Pull = std::pin::Pin<Box<dyn Future<Output = Result<()>> + Send>>;

/// A pull under way, as a stream of its lines.
struct Pulling {
    pull: Pull,
    progress: mpsc::Receiver<bryo_images::Progress>,
    first: Option<bryo_images::Progress>,
    finished: Option<Result<()>>,
}

impl Pulling {
    async fn next(&mut self) -> Option<Result<Progress>> {
        if let Some(line) = self.first.take() {
            return Some(Ok(line.into()));
        }
        loop {
            if self.finished.is_none() {
                tokio::select! {
                    biased;
                    line = self.progress.recv() => if let Some(line) = line {
                        return Some(Ok(line.into()));
                    } else {
                        self.finished = Some((&mut self.pull).await);
                    },
                    done = &mut self.pull => self.finished = Some(done),
                }
                continue;
            }
            if let Some(line) = self.progress.recv().await {
                return Some(Ok(line.into()));
            }
            return match self.finished.replace(Ok(())) {
                Some(Err(e)) => Some(Err(e)),
                _ => None,
            };
        }
    }
}

impl From<bryo_images::Progress> for Progress {
    fn from(p: bryo_images::Progress) -> Progress {
        let bryo_images::Progress { id, status, current, total, .. } = p;
        Progress { id, status, current, total, stream: false }
    }
}

/// An image that containers use stays, unless it is forced and none of them runs.
fn check_unused(inner: &Inner, image: &Image, asked: &str, force: bool) -> Result<()> {
    let id = image.id.to_string();
    let short_image =
        id.strip_prefix("sha256:").unwrap_or(&id).get(..12).unwrap_or_default().to_string();
    for container in inner.registry.all() {
        let c = container.snapshot();
        if c.record.image_id != id {
            continue;
        }
        let name = crate::util::short(c.id()).to_string();
        let by_id = id.contains(asked);
        let (can, must) =
            if by_id { ("delete", "be forced") } else { ("remove repository reference", "force") };
        let what = if by_id { short_image.clone() } else { format!("\"{asked}\"") };
        if c.is_running() && (by_id || force) {
            return Err(Error::conflict(format!(
                "conflict: unable to {can} {what} (cannot be forced) - image is being used by running container {name}"
            )));
        }
        if !force {
            let state = if c.is_running() { "running" } else { "stopped" };
            return Err(Error::conflict(if by_id {
                format!(
                    "conflict: unable to {can} {what} (must {must}) - image is being used by {state} container {name}"
                )
            } else {
                format!(
                    "conflict: unable to {can} {what} (must {must}) - container {name} is using its referenced image {short_image}"
                )
            }));
        }
    }
    Ok(())
}

fn report(inner: &Inner, image: &Image, removed: Vec<bryo_images::Removed>) -> Vec<Removed> {
    removed.into_iter().map(|r| one(inner, r, &image.config.labels)).collect()
}

fn one(inner: &Inner, removed: bryo_images::Removed, labels: &BTreeMap<String, String>) -> Removed {
    match removed {
        bryo_images::Removed::Untagged(name) => {
            event(inner, "untag", &name, &name, labels);
            Removed::Untagged(name)
        }
        bryo_images::Removed::Deleted(id) => {
            event(inner, "delete", &id, &id, labels);
            Removed::Deleted(id)
        }
    }
}

fn image_filter(filters: &Filters) -> Result<ImageFilter> {
    let list = |key: &str| filters.get(key).to_vec();
    let dangling = match filters.get("dangling").first().map(String::as_str) {
        None => None,
        Some("true" | "1") => Some(true),
        Some("false" | "0") => Some(false),
        Some(other) => return Err(Error::invalid(format!("invalid filter 'dangling=[{other}]'"))),
    };
    let until = filters.get("until").first().map(|t| crate::containers::filters::time(t));
    Ok(ImageFilter {
        dangling,
        labels: list("label"),
        labels_not: list("label!"),
        references: list("reference"),
        before: list("before"),
        since: list("since"),
        until: until.transpose()?,
    })
}

pub(crate) fn view(image: &Image, used: &[String]) -> ImageView {
    let id = image.id.to_string();
    let containers = used.iter().filter(|u| **u == id).count() as u64;
    ImageView {
        parent: image.parent.map(|p| p.to_string()).unwrap_or_default(),
        repo_tags: image.repo_tags.clone(),
        repo_digests: image.repo_digests.clone(),
        created: image.created.unwrap_or(0),
        size: image.size,
        shared_size: None,
        labels: image.config.labels.clone(),
        containers,
        manifest: Some((
            image.manifest_digest.to_string(),
            image.manifest_type.clone(),
            image.manifest_size,
        )),
        id,
    }
}

/// A stream of bytes as a blocking reader, for a thread that may block.
pub(crate) fn reader(body: ByteStream) -> impl Read + Send {
    let (sender, receiver) = mpsc::channel::<io::Result<Bytes>>(CHUNKS);
    tokio::spawn(async move {
        let mut body = pin!(body);
        while let Some(chunk) = body.next().await {
            if sender.send(chunk.map_err(io::Error::other)).await.is_err() {
                return;
            }
        }
    });
    Chunks { receiver, rest: Bytes::new() }
}

struct Chunks {
    receiver: mpsc::Receiver<io::Result<Bytes>>,
    rest: Bytes,
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            match self.receiver.blocking_recv() {
                Some(chunk) => self.rest = chunk?,
                None => return Ok(0),
            }
        }
        let n = buffer.len().min(self.rest.len());
        let taken = self.rest.split_to(n);
        if let Some(place) = buffer.get_mut(..n) {
            place.copy_from_slice(&taken);
        }
        Ok(n)
    }
}

/// What blocking work writes, as a stream of bytes; its error is the stream's last item.
pub(crate) fn writing(
    work: impl FnOnce(&mut (dyn Write + Send)) -> Result<()> + Send + 'static,
) -> ByteStream {
    let (sender, receiver) = mpsc::channel::<Result<Bytes>>(CHUNKS);
    tokio::task::spawn_blocking(move || {
        let mut out = io::BufWriter::with_capacity(64 * 1024, Pipe { sender: sender.clone() });
        let outcome = work(&mut out).and_then(|()| {
            out.flush().map_err(|e| Error::internal(format!("send the archive: {e}")))
        });
        if let Err(e) = outcome {
            let _ = sender.blocking_send(Err(e));
        }
    });
    Box::pin(ReceiverStream::new(receiver))
}

struct Pipe {
    sender: mpsc::Sender<Result<Bytes>>,
}

impl Write for Pipe {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let gone = |_| io::Error::new(io::ErrorKind::BrokenPipe, "the client went away");
        self.sender.blocking_send(Ok(Bytes::copy_from_slice(data))).map_err(gone)?;
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
