//! Registries for tests: Debian's docker-registry, and one in memory that fails on purpose.

use std::collections::HashMap;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::image::TestImage;
use crate::digest::Digest;

/// A real registry on a free port, gone with its folder when dropped.
pub struct RealRegistry {
    child: Child,
    pub host: String,
    _folder: tempfile::TempDir,
}

impl RealRegistry {
    /// None (with a word why) if there is no docker-registry.
    pub async fn start() -> Option<RealRegistry> {
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let host = format!("127.0.0.1:{port}");
        let config = format!(
            "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: {host}\n",
            folder.path().display()
        );
        let path = folder.path().join("config.yml");
        std::fs::write(&path, config).unwrap();
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(&path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let child = match child {
            Ok(child) => child,
            Err(e) => {
                println!("SKIPPED: docker-registry cannot be run: {e}");
                return None;
            }
        };
        let registry = RealRegistry { child, host, _folder: folder };
        for _ in 0..500 {
            if reqwest::get(format!("http://{}/v2/", registry.host)).await.is_ok() {
                return Some(registry);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("docker-registry does not answer on {}", registry.host);
    }

    /// Uploads blobs and the manifest by plain PUTs.
    pub async fn push(&self, repository: &str, tag: &str, image: &TestImage) {
        let http = reqwest::Client::new();
        let base = format!("http://{}/v2/{repository}", self.host);
        for blob in image.blobs() {
            let begun = http.post(format!("{base}/blobs/uploads/")).send().await.unwrap();
            let location = begun.headers()["location"].to_str().unwrap().to_owned();
            let digest = Digest::of(&blob).to_string();
            let put = http.put(location).query(&[("digest", &digest)]).body(blob);
            assert!(put.send().await.unwrap().status().is_success());
        }
        let put = http
            .put(format!("{base}/manifests/{tag}"))
            .header("content-type", &image.media_type)
            .body(image.manifest.clone());
        assert!(put.send().await.unwrap().status().is_success());
    }
}

impl Drop for RealRegistry {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// How the registry in memory misbehaves.
#[derive(Debug, Default)]
pub struct Faults {
    /// Bytes of a blob after which each connection is cut; 0: never.
    pub cut_after: usize,
    /// Ranges are ignored.
    pub no_ranges: bool,
    /// One byte of each blob is wrong.
    pub corrupt: bool,
    /// Pause between pieces of a blob.
    pub slow: Option<Duration>,
    /// Requests want a bearer token, which is given to user `u`, password `p`.
    pub token: bool,
    /// That many answers are 503 first.
    pub unavailable: usize,
}

/// A registry in memory.
pub struct FaultyRegistry {
    pub host: String,
    pub shared: Arc<Shared>,
}

/// What the connections share.
#[derive(Default)]
pub struct Shared {
    documents: Mutex<HashMap<String, (String, Vec<u8>)>>,
    pub faults: Mutex<Faults>,
    /// Paths asked for, with the range.
    pub asked: Mutex<Vec<String>>,
    /// Bytes of blobs sent.
    pub sent: std::sync::atomic::AtomicUsize,
}

impl FaultyRegistry {
    pub async fn start(faults: Faults) -> FaultyRegistry {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let shared = Arc::new(Shared { faults: Mutex::new(faults), ..Shared::default() });
        let (all, own_host) = (Arc::clone(&shared), host.clone());
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serve(socket, Arc::clone(&all), own_host.clone()));
            }
        });
        FaultyRegistry { host, shared }
    }

    pub fn put(&self, repository: &str, tag: &str, image: &TestImage) {
        let mut documents = self.shared.documents.lock().unwrap();
        let manifest = (image.media_type.clone(), image.manifest.clone());
        for name in [tag.to_owned(), Digest::of(&image.manifest).to_string()] {
            documents.insert(format!("/v2/{repository}/manifests/{name}"), manifest.clone());
        }
        for blob in image.blobs() {
            let path = format!("/v2/{repository}/blobs/{}", Digest::of(&blob));
            documents.insert(path, ("application/octet-stream".to_owned(), blob));
        }
    }

    pub fn put_document(&self, repository: &str, tag: &str, media_type: &str, bytes: &[u8]) {
        let path = format!("/v2/{repository}/manifests/{tag}");
        let document = (media_type.to_owned(), bytes.to_vec());
        self.shared.documents.lock().unwrap().insert(path, document);
    }

    /// How often blobs were asked for.
    pub fn blob_requests(&self) -> usize {
        self.shared.asked.lock().unwrap().iter().filter(|p| p.contains("/blobs/")).count()
    }
}

async fn serve(mut socket: tokio::net::TcpStream, shared: Arc<Shared>, host: String) {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0; 1];
            match socket.read(&mut byte).await {
                Ok(1) if byte[0] != 0x16 || !head.is_empty() => head.push(byte[0]),
                // The end, or a TLS greeting: not spoken here.
                _ => return,
            }
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        let header = |name: &str| {
            let line = head.lines().find(|l| l.to_lowercase().starts_with(&format!("{name}: ")));
            line.map(|l| l[name.len() + 2..].to_owned())
        };
        let range = header("range");
        shared.asked.lock().unwrap().push(format!("{path} {}", range.clone().unwrap_or_default()));
        let answer = answer(&shared, &host, &path, header("authorization"), range.as_deref());
        if socket.write_all(answer.head.as_bytes()).await.is_err() {
            return;
        }
        let (cut, slow) = {
            let faults = shared.faults.lock().unwrap();
            (faults.cut_after, faults.slow)
        };
        let mut sent = 0;
        for piece in answer.body.chunks(16 << 10) {
            if socket.write_all(piece).await.is_err() {
                return;
            }
            sent += piece.len();
            if answer.is_blob {
                shared.sent.fetch_add(piece.len(), std::sync::atomic::Ordering::Relaxed);
                if cut > 0 && sent >= cut {
                    return;
                }
                if let Some(pause) = slow {
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }
}

struct Answer {
    head: String,
    body: Vec<u8>,
    is_blob: bool,
}

fn answer(
    shared: &Shared,
    host: &str,
    path: &str,
    authorization: Option<String>,
    range: Option<&str>,
) -> Answer {
    let make = |status: &str, extra: &str, body: Vec<u8>| Answer {
        head: format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{extra}\r\n", body.len()),
        body,
        is_blob: false,
    };
    let mut faults = shared.faults.lock().unwrap();
    if faults.unavailable > 0 {
        faults.unavailable -= 1;
        return make("503 Service Unavailable", "", Vec::new());
    }
    if let Some(query) = path.strip_prefix("/token?") {
        assert!(query.contains("scope=repository"), "{query}");
        // "u:p" in base64.
        if authorization.as_deref() == Some("Basic dTpw") {
            return make("200 OK", "", br#"{"token":"good"}"#.to_vec());
        }
        return make("200 OK", "", br#"{"token":"anonymous"}"#.to_vec());
    }
    if faults.token && authorization.as_deref() != Some("Bearer good") {
        let extra = format!(
            "WWW-Authenticate: Bearer realm=\"http://{host}/token\",service=\"test\",scope=\"repository:x:pull\"\r\n"
        );
        let body = br#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#;
        return make("401 Unauthorized", &extra, body.to_vec());
    }
    let documents = shared.documents.lock().unwrap();
    let Some((media_type, bytes)) = documents.get(path) else {
        let body = br#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#;
        return make("404 Not Found", "", body.to_vec());
    };
    let mut bytes = bytes.clone();
    let is_blob = media_type == "application/octet-stream" && bytes.first() != Some(&b'{');
    if is_blob && faults.corrupt {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    }
    let start: usize = range
        .filter(|_| !faults.no_ranges)
        .and_then(|r| r.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok())
        .unwrap_or(0);
    let status = if start > 0 { "206 Partial Content" } else { "200 OK" };
    let extra = format!("Content-Type: {media_type}\r\n");
    Answer { is_blob, ..make(status, &extra, bytes.split_off(start)) }
}
