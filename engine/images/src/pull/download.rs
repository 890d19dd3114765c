//! One blob is downloaded into its partial file, from where the last attempt stopped.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::growth::Growth;
use crate::error::{At, Error, ErrorKind, Result};
use crate::manifest::Descriptor;
use crate::registry::{ATTEMPTS, Registry, pause};

/// Bytes gathered before they are written.
const WRITE: usize = 1 << 20;

/// A partial file being written.
struct Partial {
    path: PathBuf,
    file: Option<File>,
    length: u64,
}

/// Opens the partial file (made if missing); a file longer than the blob is no prefix of it and
/// begins anew. The result is its length.
pub(crate) fn open_partial(path: &Path, size: u64) -> Result<(File, u64)> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600)
        .open(path)
        .at("open", path)?;
    let length = file.metadata().at("look at", path)?.len();
    if length > size {
        file.set_len(0).at("empty", path)?;
        return Ok((file, 0));
    }
    Ok((file, length))
}

/// Downloads what is missing of a blob; tells `growth` of every byte, and `progress` now and then.
/// The caller holds the blob's lock. `file` is the partial file with `length` bytes in it.
pub(crate) async fn download(
    registry: &Registry,
    blob: &Descriptor,
    path: &Path,
    (file, length): (File, u64),
    growth: &Growth,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<()> {
    let mut partial = Partial { path: path.to_owned(), file: Some(file), length };
    growth.set(length);
    let mut failures = 0;
    while partial.length < blob.size {
        let before = partial.length;
        let error = match continue_from(registry, blob, &mut partial, growth, progress).await {
            Ok(()) if partial.length == blob.size => break,
            // The connection was closed early, in order or not.
            Ok(()) => broken(blob, partial.length, "the connection was closed"),
            Err(e) if e.kind() == ErrorKind::Unavailable => e,
            Err(e) => return Err(e),
        };
        // Only attempts that bring nothing count; a line that breaks every minute still gets there.
        failures = if partial.length > before { 1 } else { failures + 1 };
        if failures >= ATTEMPTS {
            return Err(error);
        }
        tracing::debug!(digest = %blob.digest, at = partial.length, %error, "resuming a download");
        pause(failures, None).await;
    }
    Ok(())
}

/// One request, as far as it goes.
async fn continue_from(
    registry: &Registry,
    blob: &Descriptor,
    partial: &mut Partial,
    growth: &Growth,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<()> {
    let (mut response, start) = registry.blob(blob.digest, partial.length).await?;
    // A registry without ranges begins anew; what is there already is passed over.
    let mut skip = partial.length.saturating_sub(start);
    let (mut gathered, mut gathered_length): (Vec<Bytes>, usize) = (Vec::new(), 0);
    let outcome = loop {
        let mut chunk = match response.chunk().await {
            Ok(Some(chunk)) => chunk,
            Ok(None) => break Ok(()),
            Err(e) => break Err(broken(blob, partial.length, &e.to_string())),
        };
        let over = usize::try_from(skip).unwrap_or(usize::MAX).min(chunk.len());
        skip -= over as u64;
        drop(chunk.split_to(over));
        gathered_length += chunk.len();
        gathered.push(chunk);
        if partial.length + gathered_length as u64 > blob.size {
            return Err(Error::bad_archive(format!(
                "the registry sends more than the {} bytes of {}",
                blob.size, blob.digest
            )));
        }
        if gathered_length >= WRITE {
            partial.append(std::mem::take(&mut gathered)).await?;
            gathered_length = 0;
            growth.set(partial.length);
            progress(partial.length);
        }
    };
    partial.append(gathered).await?;
    growth.set(partial.length);
    progress(partial.length);
    outcome
}

fn broken(blob: &Descriptor, at: u64, why: &str) -> Error {
    Error::new(
        ErrorKind::Unavailable,
        format!(
            "the download of {} broke off after {at} of {} bytes: {why}",
            blob.digest, blob.size
        ),
    )
}

impl Partial {
    /// Writes chunks at the end, off the async threads.
    async fn append(&mut self, chunks: Vec<Bytes>) -> Result<()> {
        let lost = || Error::new(ErrorKind::Io, "the writing of a download was interrupted");
        let file = self.file.take().ok_or_else(lost)?;
        let (path, mut at) = (self.path.clone(), self.length);
        let written = tokio::task::spawn_blocking(move || {
            for chunk in chunks {
                file.write_all_at(&chunk, at).at("write", &path)?;
                at += chunk.len() as u64;
            }
            Ok::<_, Error>((file, at))
        });
        let (file, length) = written.await.map_err(|_| lost())??;
        (self.file, self.length) = (Some(file), length);
        Ok(())
    }
}
