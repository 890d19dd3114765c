//! `cp`: between a container and files, or an archive on standard input or output.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bryo_images::IdMap;
use bryo_images::tree::{self, ExtractOptions};
use bryo_sys::rooted::Root;
use bytes::Bytes;
use futures_util::StreamExt;
use http::Method;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use serde::Deserialize;
use tokio::sync::mpsc;

use super::super::client::{self, Body, chunks, query, request, segment};
use super::super::context::Context;
use super::super::error::{CliError, Result};
use super::super::flags::{Flag, Parsed, switch};
use super::super::retar::Renamed;
use super::super::stdio;
use super::transfer::upload;

/// Its flags.
pub const FLAGS: &[Flag] = &[
    switch("archive", Some('a'), "Archive mode (copy all uid/gid information)"),
    switch("follow-link", Some('L'), "Always follow symbol link in SRC_PATH"),
    switch(
        "quiet",
        Some('q'),
        "Suppress progress output during copy. Progress output is automatically suppressed if no terminal is attached",
    ),
];

/// Copies one way or the other.
pub async fn cp(context: Context, p: Parsed) -> Result<u8> {
    let [source, target] = p.args.as_slice() else { return Ok(0) };
    match (split(source), split(target)) {
        (Some((container, path)), None) => {
            out(&context, container, path, target, p.is("follow-link")).await.map(|()| 0)
        }
        (None, Some((container, path))) => {
            into(&context, source, container, path, &p).await.map(|()| 0)
        }
        (Some(_), Some(_)) => Err(CliError::new("copying between containers is not supported")),
        (None, None) => Err(CliError::new("must specify at least one container source")),
    }
}

/// `container:path`; a path of this machine begins with `/` or `.`.
fn split(text: &str) -> Option<(&str, &str)> {
    if text.starts_with('/') || text.starts_with('.') {
        return None;
    }
    text.split_once(':').filter(|(container, _)| !container.is_empty())
}

/// What the daemon tells of a path in a container.
#[derive(Debug, Clone, Default, Deserialize)]
struct Stat {
    name: String,
    /// Bits of Go's `os.FileMode`.
    mode: u32,
    #[serde(rename = "linkTarget")]
    link_target: String,
}

impl Stat {
    fn is_dir(&self) -> bool {
        self.mode & (1 << 31) != 0
    }

    fn is_symlink(&self) -> bool {
        self.mode & (1 << 27) != 0
    }

    fn of(headers: &http::HeaderMap) -> Result<Stat> {
        let value = headers.get("x-docker-container-path-stat").and_then(|v| v.to_str().ok());
        value
            .and_then(|text| STANDARD.decode(text).ok())
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .ok_or_else(|| CliError::new("the daemon's answer does not say what the path is"))
    }
}

fn archive_path(container: &str, pairs: &[(&str, String)]) -> String {
    format!("/containers/{}/archive{}", segment(container), query(pairs))
}

/// A path in a container, or `None` when it is not there.
async fn stat(context: &Context, container: &str, path: &str) -> Result<Option<Stat>> {
    let url = archive_path(container, &[("path", path.to_owned())]);
    let response = context.client.send(request(Method::HEAD, &url, client::empty())?).await?;
    match response.status().as_u16() {
        200 => Stat::of(response.headers()).map(Some),
        404 => Ok(None),
        other => {
            Err(CliError::new(format!("cannot look at {path} in {container}: status {other}")))
        }
    }
}

async fn out(
    context: &Context,
    container: &str,
    path: &str,
    target: &str,
    follow: bool,
) -> Result<()> {
    let mut path = path.to_owned();
    if follow {
        let found = stat(context, container, &path).await?;
        if let Some(link) = found.filter(|s| s.is_symlink()) {
            path = link.link_target;
        }
    }
    let url = archive_path(container, &[("path", path.clone())]);
    let response = context.client.call(request(Method::GET, &url, client::empty())?).await?;
    let stat = Stat::of(response.headers())?;
    let mut bytes = chunks(response);
    if target == "-" {
        let mut stdout = std::io::stdout().lock();
        while let Some(chunk) = bytes.next().await {
            stdout.write_all(&chunk?)?;
        }
        return Ok(stdout.flush()?);
    }
    let placement = place(&path, &stat, Path::new(target))?;
    let (sender, receiver) = mpsc::channel(16);
    let unpacking = tokio::task::spawn_blocking(move || unpack(Chunks::new(receiver), &placement));
    while let Some(chunk) = bytes.next().await {
        if sender.send(chunk?).await.is_err() {
            break;
        }
    }
    drop(sender);
    unpacking.await.map_err(|e| CliError::new(e.to_string()))?
}

/// Where an archive goes: a folder, and the name of its tree there (none: the folder takes its contents).
#[derive(Debug, PartialEq, Eq)]
struct Placement {
    folder: PathBuf,
    name: String,
}

/// docker's rules: into a folder that is there, else under the target's own name; `/.` means the contents.
fn place(source: &str, stat: &Stat, target: &Path) -> Result<Placement> {
    let exists = target.is_dir();
    if source.ends_with("/.") && stat.is_dir() {
        if !exists {
            std::fs::create_dir(target).map_err(|e| no_folder(target, &e))?;
        }
        return Ok(Placement { folder: target.to_owned(), name: ".".to_owned() });
    }
    if exists {
        return Ok(Placement { folder: target.to_owned(), name: stat.name.clone() });
    }
    let name = target.file_name().map(|n| n.to_string_lossy().into_owned());
    let ends_in_slash = target.as_os_str().to_string_lossy().ends_with('/');
    match (name, target.parent()) {
        (Some(_), _) if ends_in_slash && !stat.is_dir() => Err(CliError::new(format!(
            "the destination directory must exist: {}",
            target.display()
        ))),
        (Some(name), Some(parent)) => {
            let folder = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
            if stat.is_dir() && target.exists() {
                return Err(CliError::new("cannot copy a directory to a file"));
            }
            Ok(Placement { folder: folder.to_owned(), name })
        }
        _ => Err(CliError::new(format!("cannot copy to {}", target.display()))),
    }
}

fn no_folder(path: &Path, e: &std::io::Error) -> CliError {
    CliError::new(format!("cannot make the folder {}: {e}", path.display()))
}

/// Unpacks as the user: every file becomes the user's own.
fn unpack(archive: Chunks, to: &Placement) -> Result<()> {
    let root = Root::open(&to.folder).map_err(|e| no_folder(&to.folder, &e))?;
    let owner = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    let options = ExtractOptions {
        no_overwrite_dir_non_dir: true,
        owner: Some(owner),
        ids: IdMap {
            uids: u32::MAX,
            gids: u32::MAX,
            single: false,
            user: String::new(),
            host_uid: owner.0,
        },
    };
    let renamed = Renamed::new(archive, &to.name);
    tree::extract(renamed, &root, "/", &options).map_err(|e| CliError::new(e.to_string()))
}

/// Chunks that come over a channel, as a reader for a thread.
struct Chunks {
    receiver: mpsc::Receiver<Bytes>,
    current: Bytes,
}

impl Chunks {
    fn new(receiver: mpsc::Receiver<Bytes>) -> Chunks {
        Chunks { receiver, current: Bytes::new() }
    }
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while self.current.is_empty() {
            match self.receiver.blocking_recv() {
                Some(chunk) => self.current = chunk,
                None => return Ok(0),
            }
        }
        let n = buffer.len().min(self.current.len());
        let part = self.current.split_to(n);
        buffer.iter_mut().zip(part).for_each(|(to, from)| *to = from);
        Ok(n)
    }
}

async fn into(
    context: &Context,
    source: &str,
    container: &str,
    path: &str,
    p: &Parsed,
) -> Result<()> {
    let mut there = stat(context, container, path).await?;
    let mut path = path.to_owned();
    if let Some(link) = there.clone().filter(Stat::is_symlink) {
        path = link.link_target;
        there = stat(context, container, &path).await?;
    }
    let is_dir = there.as_ref().is_some_and(Stat::is_dir);
    if source == "-" {
        if !is_dir {
            return Err(CliError::new(format!(
                "destination \"{container}:{path}\" must be a directory"
            )));
        }
        let url = archive_path(container, &put_query(&path, p));
        return upload(context, Method::PUT, &url, Box::new(stdio::stdin()?)).await.map(drop);
    }
    let mut local = std::path::absolute(source)?;
    if p.is("follow-link") {
        local = std::fs::canonicalize(&local)?;
    }
    let metadata = std::fs::symlink_metadata(&local).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => {
            CliError::new(format!("lstat {}: no such file or directory", local.display()))
        }
        _ => CliError::new(format!("lstat {}: {e}", local.display())),
    })?;
    let contents = source.ends_with("/.") || source == ".";
    let (folder, name) = match (is_dir, contents && metadata.is_dir()) {
        (true, true) => (path, ".".to_owned()),
        (true, false) => (path, file_name(&local)),
        (false, _) => {
            if there.is_some() && metadata.is_dir() {
                return Err(CliError::new(format!(
                    "cannot copy a directory to a file: \"{container}:{path}\""
                )));
            }
            if path.ends_with('/') && !metadata.is_dir() {
                return Err(CliError::new(format!(
                    "destination directory \"{container}:{path}\" does not exist"
                )));
            }
            let (parent, name) =
                path.trim_end_matches('/').rsplit_once('/').unwrap_or((".", &path));
            (if parent.is_empty() { "/".to_owned() } else { parent.to_owned() }, name.to_owned())
        }
    };
    let url = archive_path(container, &put_query(&folder, p));
    send_tree(context, &url, &local, &name).await
}

fn put_query(path: &str, p: &Parsed) -> Vec<(&'static str, String)> {
    let mut pairs = vec![("noOverwriteDirNonDir", "true".to_owned()), ("path", path.to_owned())];
    if p.is("archive") {
        pairs.push(("copyUIDGID", "true".to_owned()));
    }
    pairs
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_else(|| ".".to_owned())
}

/// Archives a tree in a thread and sends it as it comes.
async fn send_tree(context: &Context, url: &str, local: &Path, name: &str) -> Result<()> {
    let (reader, writer) =
        rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(std::io::Error::from)?;
    let (reader, writer) = (std::fs::File::from(reader), std::fs::File::from(writer));
    let path = local.to_string_lossy().into_owned();
    let packing = tokio::task::spawn_blocking(move || {
        let root = Root::open("/").map_err(|e| CliError::new(e.to_string()))?;
        tree::write_tar(&root, &path, writer).map_err(|e| CliError::new(e.to_string()))
    });
    let (sender, receiver) = mpsc::channel::<std::io::Result<Bytes>>(4);
    let name = name.to_owned();
    tokio::task::spawn_blocking(move || {
        let mut renamed = Renamed::new(reader, &name);
        loop {
            let mut buffer = vec![0u8; 64 << 10];
            let piece = match renamed.read(&mut buffer) {
                Ok(0) => return,
                Ok(n) => {
                    buffer.truncate(n);
                    Ok(Bytes::from(buffer))
                }
                Err(e) => Err(e),
            };
            let failed = piece.is_err();
            if sender.blocking_send(piece).is_err() || failed {
                return;
            }
        }
    });
    let stream = futures_util::stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|piece| (piece.map(Frame::data), receiver))
    });
    let body: Body = BodyExt::boxed_unsync(StreamBody::new(stream));
    let sent = context.client.call(request(Method::PUT, url, body)?).await;
    match packing.await {
        Ok(Err(e)) if sent.is_ok() => Err(e),
        _ => sent.map(drop),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_are_told_from_files() {
        assert_eq!(split("web:/etc"), Some(("web", "/etc")));
        assert_eq!(split("./a:b"), None);
        assert_eq!(split("/a:b"), None);
        assert_eq!(split("file"), None);
    }

    #[test]
    fn places_follow_dockers_rules() {
        let dir = tempfile::tempdir().unwrap();
        let file = Stat { name: "f".into(), ..Default::default() };
        let folder = Stat { name: "d".into(), mode: 1 << 31, ..Default::default() };
        let here = dir.path();
        let placed = |folder: &Path, name: &str| Placement {
            folder: folder.to_owned(),
            name: name.to_owned(),
        };
        assert_eq!(place("/f", &file, here).unwrap(), placed(here, "f"));
        assert_eq!(place("/f", &file, &here.join("g")).unwrap(), placed(here, "g"));
        assert_eq!(place("/d/.", &folder, here).unwrap(), placed(here, "."));
        assert_eq!(place("/d", &folder, &here.join("n")).unwrap(), placed(here, "n"));
        assert!(place("/f", &file, &here.join("n/")).is_err());
    }
}
