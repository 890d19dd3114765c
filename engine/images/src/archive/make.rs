//! Images made here: from a root filesystem (`import`) and from what a container wrote (`commit`).
//!
//! Layers that come uncompressed are kept gzip-compressed at its fastest level, which every registry
//! and every engine can read; those that come compressed are kept as they are.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use flate2::write::GzEncoder;
use sha2::{Digest as _, Sha256};

use super::changes;
use crate::digest::Digest;
use crate::error::{At, Error, ErrorKind, Result};
use crate::image::{ConfigDocument, HistoryStep, Image, RootFs, now_text};
use crate::layout::make_dir;
use crate::manifest::{Descriptor, Manifest, OCI_CONFIG, OCI_LAYER, OCI_MANIFEST};
use crate::platform::Platform;
use crate::pull::job::{Unfinished, place};
use crate::reference::Reference;
use crate::store::{CommitOptions, ImageRecord, ImportOptions, LayerRecord, Lease, Store, now_ns};
use crate::unpack::inflate::{self, Compression, Digests};
use crate::unpack::{Applied, ApplyOptions, Limits};

/// See [`Store::import`].
pub(crate) fn import(
    store: &Store,
    options: &ImportOptions,
    archive: impl Read + Send,
) -> Result<Image> {
    let platform = match options.platform.as_deref() {
        None | Some("") => Platform::host(),
        Some(text) => Platform::parse(text)?,
    };
    let mut config = crate::image::ImageConfig::default();
    changes::apply(&mut config, &options.changes)?;
    let lease = Lease::new(store);
    let layer = NewLayer::from_stream(store, &lease, archive, &[])?;
    let message = match options.message.as_str() {
        "" => "Imported from -",
        message => message,
    };
    let step = HistoryStep {
        created: Some(now_text()),
        comment: message.to_owned(),
        ..HistoryStep::default()
    };
    let document = ConfigDocument {
        created: step.created.clone(),
        architecture: platform.architecture,
        variant: platform.variant,
        os: platform.os,
        config,
        rootfs: RootFs { diff_ids: vec![layer.record.diff_id], ..RootFs::default() },
        history: vec![step],
        comment: message.to_owned(),
        ..ConfigDocument::default()
    };
    let image = NewImage {
        config: NewImage::document(&document)?,
        layers: vec![layer.record],
        manifest: None,
        names: options.reference.iter().cloned().collect(),
        parent: None,
    }
    .store(store, &lease)?;
    store.sync_soon();
    Ok(image)
}

/// See [`Store::commit`].
pub(crate) fn commit(store: &Store, container: &str, options: &CommitOptions) -> Result<Image> {
    let (base, below, copied) = store.below(container)?;
    let record = store.record(base).map_err(|_| {
        Error::new(
            ErrorKind::NotFound,
            format!("the image {base} of the container was removed; pull it again to commit"),
        )
    })?;
    let path = store.layout().blob(base);
    let mut document = ConfigDocument::parse(&std::fs::read(&path).at("read", &path)?)?;
    let mut layers = record.layers;
    if copied {
        // The container has a whole copy, so the new image is one layer.
        layers.clear();
        document.history.clear();
        document.rootfs.diff_ids.clear();
    }
    let below = if copied { Vec::new() } else { below };
    let upper = store.layout().writable(container).join("upper");
    let lease = Lease::new(store);
    lease.hold([base]);
    lease.hold(layers.iter().map(|l| l.blob.digest));
    lease.hold(below.iter().copied());
    let layer = piped(
        |out| crate::diff::write_layer(&upper, out),
        |archive| NewLayer::from_stream(store, &lease, archive, &below),
    )?;
    document.config = options.config.clone();
    changes::apply(&mut document.config, &options.changes)?;
    document.created = Some(now_text());
    document.author.clone_from(&options.author);
    document.comment.clone_from(&options.comment);
    document.rootfs.diff_ids.push(layer.record.diff_id);
    document.history.push(HistoryStep {
        created: document.created.clone(),
        created_by: options.created_by.clone(),
        author: options.author.clone(),
        comment: options.comment.clone(),
        empty_layer: false,
    });
    layers.push(layer.record);
    let image = NewImage {
        config: NewImage::document(&document)?,
        layers,
        manifest: None,
        names: options.reference.iter().cloned().collect(),
        parent: Some(base),
    }
    .store(store, &lease)?;
    store.sync_soon();
    Ok(image)
}

/// Runs a writer and a reader on both ends of a pipe. The writer's error counts first: the reader's
/// is often only its consequence.
pub(crate) fn piped<T>(
    write: impl FnOnce(BufWriter<File>) -> Result<()> + Send,
    read: impl FnOnce(File) -> Result<T>,
) -> Result<T> {
    let (out, input) = {
        let (read, write) =
            rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).at("make", "a pipe")?;
        (File::from(write), File::from(read))
    };
    std::thread::scope(|scope| {
        let writer = scope.spawn(move || write(BufWriter::with_capacity(256 << 10, out)));
        let made = read(input);
        let written = writer
            .join()
            .unwrap_or_else(|_| Err(Error::new(ErrorKind::Io, "a thread of the archiving failed")));
        match (written, made) {
            (Err(e), Err(other)) if is_pipe(&e) => Err(other),
            (Err(e), _) => Err(e),
            (Ok(()), made) => made,
        }
    })
}

/// Whether the reader went away first.
fn is_pipe(e: &Error) -> bool {
    let source = std::error::Error::source(e).and_then(|s| s.downcast_ref::<io::Error>());
    source.is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
}

/// A layer that has its place.
pub(crate) struct NewLayer {
    pub record: LayerRecord,
    pub chain_id: Digest,
}

impl NewLayer {
    /// From a file of the store's own filesystem, which is moved among the blobs.
    pub fn from_file(
        store: &Store,
        lease: &Lease,
        file: &Path,
        below: &[Digest],
        diff_id: Digest,
    ) -> Result<NewLayer> {
        let chain_id = Digest::chain(below.last().copied(), diff_id);
        lease.hold([chain_id]);
        // The same file can be a layer twice over: then it is among the blobs already.
        let source = || File::open(file).at("open", file);
        let (digests, unpacked) = if store.state().layers.contains_key(&chain_id) {
            let drain = |chunks: &mut inflate::Chunks| {
                io::copy(chunks, &mut io::sink()).map(drop).map_err(Error::from_read)
            };
            (inflate::pipeline(source()?, drain)?.1, None)
        } else {
            let (folder, applied, digests) = unpack(store, source()?)?;
            (digests, Some((folder, applied)))
        };
        if digests.diff_id != diff_id {
            return Err(Error::bad_archive(format!(
                "invalid diffID for layer: expected {diff_id}, got {}",
                digests.diff_id
            )));
        }
        lease.hold([digests.blob]);
        let blob = store.layout().blob(digests.blob);
        if !blob.exists() {
            std::fs::hard_link(file, &blob).at("move to its place", &blob)?;
        }
        NewLayer::placed(store, lease, digests.blob, digests.blob_size, &digests, below, unpacked)
    }

    /// From a stream, compressed or not.
    pub fn from_stream(
        store: &Store,
        lease: &Lease,
        archive: impl Read + Send,
        below: &[Digest],
    ) -> Result<NewLayer> {
        let path = TemporaryFile(store.layout().new_blob());
        let file = File::create_new(&path.0).at("make the file", &path.0)?;
        let mut keeper = Keeper::Undecided(file);
        let (folder, applied, mut digests) = unpack(store, Tee { archive, keeper: &mut keeper })?;
        let (digest, size) = keeper.finish().at("write", &path.0)?;
        if digests.compression == Compression::None {
            digests.compression = Compression::Gzip;
        }
        lease.hold([digest, Digest::chain(below.last().copied(), digests.diff_id)]);
        let blob = store.layout().blob(digest);
        std::fs::rename(&path.0, &blob).at("move to its place", &blob)?;
        let unpacked = Some((folder, applied));
        NewLayer::placed(store, lease, digest, size, &digests, below, unpacked)
    }

    fn placed(
        store: &Store,
        lease: &Lease,
        blob: Digest,
        size: u64,
        digests: &Digests,
        below: &[Digest],
        unpacked: Option<(Unfinished, Applied)>,
    ) -> Result<NewLayer> {
        let chain_id = Digest::chain(below.last().copied(), digests.diff_id);
        lease.hold([chain_id]);
        if let Some((folder, applied)) = unpacked {
            place(store, folder, &applied, below, chain_id, digests.diff_id)?;
        }
        let suffix = match digests.compression {
            Compression::None => "",
            Compression::Gzip => "+gzip",
            Compression::Zstd => "+zstd",
        };
        let blob = Descriptor::new(format!("{OCI_LAYER}{suffix}"), blob, size);
        Ok(NewLayer { record: LayerRecord { diff_id: digests.diff_id, blob }, chain_id })
    }
}

fn unpack(store: &Store, source: impl Read + Send) -> Result<(Unfinished, Applied, Digests)> {
    let folder = Unfinished(store.layout().new_layer()?);
    let fs = folder.0.join("fs");
    make_dir(&fs)?;
    let options = ApplyOptions {
        ids: store.settings().ids.clone(),
        limits: Limits::default(),
        umask_is_zero: false,
    };
    let (applied, digests) = inflate::unpack(source, &fs, &options)?;
    Ok((folder, applied, digests))
}

/// Everything that makes an image whose layers have their places.
pub(crate) struct NewImage {
    /// The configuration document.
    pub config: Vec<u8>,
    /// Lowest first.
    pub layers: Vec<LayerRecord>,
    /// Media type and bytes; none: one is made.
    pub manifest: Option<(String, Vec<u8>)>,
    /// Names that it gets.
    pub names: Vec<Reference>,
    /// What it was made from.
    pub parent: Option<Digest>,
}

impl NewImage {
    /// A configuration document as bytes.
    pub fn document(document: &ConfigDocument) -> Result<Vec<u8>> {
        serde_json::to_vec(document).map_err(unwritable)
    }

    /// Writes documents, record and names.
    pub fn store(self, store: &Store, lease: &Lease) -> Result<Image> {
        let id = Digest::of(&self.config);
        let (manifest_type, manifest) = match self.manifest {
            Some(manifest) => manifest,
            None => {
                let config = Descriptor::new(OCI_CONFIG, id, self.config.len() as u64);
                let layers = self.layers.iter().map(|l| l.blob.clone()).collect();
                let manifest = serde_json::to_vec(&Manifest::new(config, layers));
                (OCI_MANIFEST.to_owned(), manifest.map_err(unwritable)?)
            }
        };
        let digest = Digest::of(&manifest);
        lease.hold([id, digest]);
        store.add_blob(id, &self.config)?;
        store.add_blob(digest, &manifest)?;
        store.add_image(ImageRecord {
            id,
            manifest: digest,
            manifest_type,
            manifest_size: manifest.len() as u64,
            layers: self.layers,
            added: now_ns(),
            last_tagged: now_ns(),
            parent: self.parent,
        })?;
        store.set_names(id, &self.names)?;
        store.image(id)
    }
}

fn unwritable(e: serde_json::Error) -> Error {
    Error::new(ErrorKind::Io, format!("cannot write an image's document: {e}"))
}

/// A file that is removed unless it was moved away.
struct TemporaryFile(PathBuf);

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

/// Passes bytes on and keeps them.
struct Tee<'a, R> {
    archive: R,
    keeper: &'a mut Keeper,
}

impl<R: Read> Read for Tee<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.archive.read(buffer)?;
        self.keeper.write(buffer.get(..length).unwrap_or_default())?;
        Ok(length)
    }
}

/// Keeps bytes in a file: as they are if they are compressed, else compressed.
enum Keeper {
    Undecided(File),
    Plain(Hashed),
    Gzip(Box<GzEncoder<Hashed>>),
    Finished,
}

impl Keeper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        if let Keeper::Undecided(_) = self {
            if let Keeper::Undecided(file) = std::mem::replace(self, Keeper::Finished) {
                *self = Keeper::decide(file, bytes);
            }
        }
        match self {
            Keeper::Plain(out) => out.write_all(bytes),
            Keeper::Gzip(out) => out.write_all(bytes),
            Keeper::Undecided(_) | Keeper::Finished => Ok(()),
        }
    }

    /// By the first bytes. Enough to tell: gzip and zstd begin with a byte that no tar header begins with, but a name
    /// might; the unpacking decides by more bytes and fails if this was wrong.
    fn decide(file: File, bytes: &[u8]) -> Keeper {
        let out = BufWriter::with_capacity(256 << 10, file);
        let hashed = Hashed { out, hasher: Sha256::new(), bytes: 0 };
        let compressed = bytes.starts_with(&[0x1f, 0x8b])
            || bytes.starts_with(&[0x28, 0xb5, 0x2f, 0xfd])
            || bytes.len() < 4 && matches!(bytes.first(), Some(0x1f));
        if compressed {
            return Keeper::Plain(hashed);
        }
        let level = flate2::Compression::fast();
        Keeper::Gzip(Box::new(GzEncoder::new(hashed, level)))
    }

    fn finish(self) -> io::Result<(Digest, u64)> {
        let mut hashed = match self {
            Keeper::Plain(hashed) => hashed,
            Keeper::Gzip(encoder) => encoder.finish()?,
            Keeper::Undecided(_) | Keeper::Finished => {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the archive is empty"));
            }
        };
        hashed.out.flush()?;
        Ok((Digest::finish(hashed.hasher), hashed.bytes))
    }
}

/// A file that hashes what is written.
struct Hashed {
    out: BufWriter<File>,
    hasher: Sha256,
    bytes: u64,
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = self.out.write(bytes)?;
        self.hasher.update(bytes.get(..length).unwrap_or_default());
        self.bytes += length as u64;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
