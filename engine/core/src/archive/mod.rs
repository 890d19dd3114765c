//! Files of containers from outside: copy in and out, export, changes, and images made from them.
//!
//! A running container's files are seen through `/proc/PID/root`, with its mounts, volumes and tmpfs; a stopped one's are put
//! together for the moment (see [`bryo_runtime::offline`]). Either way every path is resolved by the kernel inside that root,
//! so the container's own symlinks lead nowhere else. Work is blocking and runs on threads for that; archives are streamed.

mod commit;
mod files;

use std::collections::BTreeMap;
use std::sync::Arc;

use bryo_images::tree::{self, ExtractOptions};
use tokio::sync::oneshot;

use crate::containers::record::Snapshot;
use crate::engine::{Engine, Inner};
use crate::images::{reader, writing};
use crate::model::EventKind;
use crate::requests::{ByteStream, Change, ChangeKind, PathStat, PutOptions};
use crate::{Error, ErrorKind, Result};
use files::{Shown, show};

impl Engine {
    /// What differs from the image.
    pub async fn changes(&self, r: &str) -> Result<Vec<Change>> {
        let snapshot = self.inner().registry.find(r)?.snapshot();
        let began = std::time::Instant::now();
        let changes = self.blocking(move |inner| changes(inner, &snapshot)).await?;
        self.inner().metrics.action("changes", began);
        Ok(changes)
    }

    /// The whole filesystem as a tar, without what is mounted on it.
    pub async fn export(&self, r: &str) -> Result<ByteStream> {
        let snapshot = self.inner().registry.find(r)?.snapshot();
        let inner = self.inner().clone();
        event(&inner, "export", &snapshot, BTreeMap::new());
        Ok(writing(move |out| {
            files::rootfs_only(&inner, &snapshot, |root| tree::export(root, out))?
                .map_err(Error::from)
        }))
    }

    /// About a path in it.
    pub async fn archive_stat(&self, r: &str, path: &str) -> Result<PathStat> {
        let snapshot = self.inner().registry.find(r)?.snapshot();
        let (r, path) = (r.to_owned(), path.to_owned());
        self.blocking(move |inner| {
            let stat = show(inner, &snapshot, Shown::Looking, |root| tree::stat(root, &path))?;
            stat.map(view).map_err(|e| explain(e, &r, &path))
        })
        .await
    }

    /// A path in it as a tar.
    pub async fn archive_get(&self, r: &str, path: &str) -> Result<(PathStat, ByteStream)> {
        let snapshot = self.inner().registry.find(r)?.snapshot();
        let inner = self.inner().clone();
        let (r, path) = (r.to_owned(), path.to_owned());
        let (say, said) = oneshot::channel();
        event(&inner, "archive-path", &snapshot, BTreeMap::new());
        // One view for both: what was looked at is what is archived. An error before the stat is the call's.
        let tar = writing(move |out| {
            let seen =
                show(&inner, &snapshot, Shown::Looking, |root| match tree::stat(root, &path) {
                    Ok(stat) => {
                        let _ = say.send(Ok(view(stat)));
                        tree::write_tar(root, &path, out).map_err(Error::from)
                    }
                    Err(e) => {
                        let _ = say.send(Err(explain(e, &r, &path)));
                        Ok(())
                    }
                });
            seen?
        });
        match said.await {
            Ok(stat) => Ok((stat?, tar)),
            Err(_) => Err(first_error(tar).await),
        }
    }

    /// Unpacks a tar (plain or compressed) into a folder in it.
    pub async fn archive_put(
        &self,
        r: &str,
        path: &str,
        options: PutOptions,
        body: ByteStream,
    ) -> Result<()> {
        let snapshot = self.inner().registry.find(r)?.snapshot();
        let (r, path) = (r.to_owned(), path.to_owned());
        let body = reader(body);
        self.blocking(move |inner| {
            writable(&snapshot, &path)?;
            let owner = match options.copy_uid_gid {
                true => Some(files::user(inner, &snapshot)?),
                false => None,
            };
            let extract = ExtractOptions {
                no_overwrite_dir_non_dir: options.no_overwrite_dir_non_dir,
                owner,
                ids: inner.id_map(),
            };
            let done = show(inner, &snapshot, Shown::Changing, |root| {
                tree::stat(root, &folder(&path))?;
                tree::extract(body, root, &path, &extract)
            })?;
            done.map_err(|e| explain(e, &r, &path))?;
            event(inner, "extract-to-dir", &snapshot, BTreeMap::new());
            Ok(())
        })
        .await
    }
}

/// The stream ended before anything was written into it.
async fn first_error(mut stream: ByteStream) -> Error {
    match futures_util::StreamExt::next(&mut stream).await {
        Some(Err(e)) => e,
        _ => Error::internal("the archive ended before it began"),
    }
}

fn changes(inner: &Inner, snapshot: &Snapshot) -> Result<Vec<Change>> {
    let layer = inner.images.writable(snapshot.id())?;
    if layer.lowers.is_empty() {
        return Err(Error::new(
            ErrorKind::NotImplemented,
            "with the storage driver copy, what a container changed is not known: use one with overlayfs",
        ));
    }
    let lowers: Vec<_> = std::iter::once(inner.paths.init_layer()).chain(layer.lowers).collect();
    let found = bryo_images::diff::changes(&layer.upper, &lowers)?;
    let kind = |k| match k {
        bryo_images::diff::ChangeKind::Modified => ChangeKind::Modified,
        bryo_images::diff::ChangeKind::Added => ChangeKind::Added,
        bryo_images::diff::ChangeKind::Deleted => ChangeKind::Deleted,
    };
    Ok(found
        .into_iter()
        .map(|c| Change { path: c.path.to_string_lossy().into_owned(), kind: kind(c.kind) })
        .collect())
}

/// Refuses what would land on something read-only, before anything is unpacked.
fn writable(snapshot: &Snapshot, path: &str) -> Result<()> {
    let forbidden = |text: &str| Err(Error::new(ErrorKind::Forbidden, text));
    let path = format!("/{}/", path.trim_matches('/'));
    let below = |mount: &str| {
        let mount = format!("/{}/", mount.trim_matches('/'));
        path.starts_with(&mount).then_some(mount.len())
    };
    let mounts = snapshot.record.mounts.iter().map(|m| (m.point.destination.as_str(), m.point.rw));
    let tmpfs = snapshot.record.spec.tmpfs.keys().map(|t| (t.as_str(), true));
    let innermost = mounts
        .chain(tmpfs)
        .filter_map(|(mount, rw)| Some((below(mount)?, rw)))
        .max_by_key(|(length, _)| *length);
    match innermost {
        Some((_, false)) => forbidden("mounted volume is marked read-only"),
        None if snapshot.record.spec.read_only => forbidden("container rootfs is marked read-only"),
        _ => Ok(()),
    }
}

/// The path as that of a folder: a symlink at its end is followed.
fn folder(path: &str) -> String {
    format!("{}/.", path.trim_end_matches('/'))
}

fn explain(e: bryo_images::Error, r: &str, path: &str) -> Error {
    match e.kind() {
        bryo_images::ErrorKind::NotFound => {
            Error::not_found(format!("Could not find the file {path} in container {r}"))
        }
        _ => e.into(),
    }
}

fn view(stat: tree::PathStat) -> PathStat {
    PathStat {
        name: stat.name,
        size: stat.size,
        mode: go_mode(stat.mode),
        mtime: stat.mtime,
        link_target: stat.link_target,
    }
}

/// `st_mode` as Go's `os.FileMode`, which has bits of its own for types and for set-id and sticky.
fn go_mode(mode: u32) -> u32 {
    let kind = match mode & 0o170_000 {
        0o040_000 => 1 << 31,
        0o120_000 => 1 << 27,
        0o060_000 => 1 << 26,
        0o020_000 => (1 << 26) | (1 << 21),
        0o010_000 => 1 << 25,
        0o140_000 => 1 << 24,
        _ => 0,
    };
    let bit = |from: u32, to: u32| if mode & from != 0 { to } else { 0 };
    kind | bit(0o4000, 1 << 23) | bit(0o2000, 1 << 22) | bit(0o1000, 1 << 20) | (mode & 0o777)
}

/// An event about a container that its owner has no part in.
fn event(inner: &Inner, action: &str, snapshot: &Arc<Snapshot>, more: BTreeMap<String, String>) {
    let record = &snapshot.record;
    let mut attributes = record.spec.labels.clone();
    attributes.insert("image".into(), record.spec.image.clone());
    attributes.insert("name".into(), record.name.clone());
    attributes.extend(more);
    inner.events.emit(EventKind::Container, action, record.id.clone(), attributes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_gos() {
        assert_eq!(go_mode(0o100_644), 0o644);
        assert_eq!(go_mode(0o040_755), (1 << 31) | 0o755);
        assert_eq!(go_mode(0o041_777), (1 << 31) | (1 << 20) | 0o777);
        assert_eq!(go_mode(0o120_777), (1 << 27) | 0o777);
        assert_eq!(go_mode(0o104_755), (1 << 23) | 0o755);
        assert_eq!(go_mode(0o020_666), (1 << 26) | (1 << 21) | 0o666);
    }

    #[test]
    fn a_folder_keeps_its_name() {
        assert_eq!(folder("/a/b"), "/a/b/.");
        assert_eq!(folder("/"), "/.");
    }
}
