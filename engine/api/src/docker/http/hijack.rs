//! Attach and exec: the connection stops being HTTP and its socket goes to the engine.
//!
//! ```text
//!  client                    connection task                 handler
//!    │ POST …/attach  ─────────▶ hyper ──────────────────────▶ checks, gets an Attachment
//!    │                              ◀── Takeover ───────────── Hijacker::take (then never answers)
//!    │ ◀── 101 UPGRADED (or 200 OK) ┤ leaves hyper, keeps what it had read beyond the request
//!    │ ◀══════ raw bytes ══════▶ Attachment::run(socket, bytes read early)
//! ```
//!
//! hyper can only hand a connection over after a 101 of its own wording, and not after a 200, which old clients get; so the
//! head is written here and the parser is dropped. If the client has gone meanwhile the session ends at its first write.

use std::future::Future;
use std::os::fd::OwnedFd;
use std::pin::Pin;

use bytes::Bytes;
use http::HeaderMap;
use tokio::sync::mpsc;

use super::super::error::Result;
use super::super::reply::{self, Reply};
use super::super::version::Version;

/// Docker's content type for the bytes of a terminal, and for everything below API 1.42.
pub const RAW_STREAM: &str = "application/vnd.docker.raw-stream";
/// Docker's content type for framed stdout and stderr.
pub const MULTIPLEXED_STREAM: &str = "application/vnd.docker.multiplexed-stream";

/// Runs a session on a client's socket, given what the client had sent already.
pub type Session =
    Box<dyn FnOnce(OwnedFd, Vec<u8>) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// A request to leave HTTP.
pub struct Takeover {
    /// The head of the answer, as it goes over the wire.
    pub head: Bytes,
    /// What comes then.
    pub session: Session,
}

/// A handler's way to take its connection over.
#[derive(Clone)]
pub struct Hijacker {
    sender: mpsc::Sender<Takeover>,
}

impl Hijacker {
    /// A hijacker and where its connection hears of it.
    pub fn new() -> (Hijacker, mpsc::Receiver<Takeover>) {
        let (sender, receiver) = mpsc::channel(1);
        (Hijacker { sender }, receiver)
    }

    /// Leaves HTTP: the connection answers with `head`, then runs the session. Does not return; the connection's task
    /// drops the handler.
    pub async fn take(self, head: Bytes, session: Session) -> Result<Reply> {
        if self.sender.send(Takeover { head, session }).await.is_err() {
            // The connection has ended; nobody reads this.
            return Ok(reply::no_content());
        }
        std::future::pending().await
    }
}

/// The content type of a session: frames unless there is a terminal, and raw for clients that know no other.
pub fn content_type(version: Version, tty: bool) -> &'static str {
    if tty || !version.since(42) { RAW_STREAM } else { MULTIPLEXED_STREAM }
}

/// The head of a session's answer: `101 UPGRADED` for those who ask for an upgrade, else `200 OK`.
pub fn head(request: &HeaderMap, version: Version, tty: bool) -> Bytes {
    let start = if request.contains_key(http::header::UPGRADE) {
        format!(
            "HTTP/1.1 101 UPGRADED\r\nContent-Type: {}\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n",
            content_type(version, tty)
        )
    } else {
        format!("HTTP/1.1 200 OK\r\nContent-Type: {RAW_STREAM}\r\n")
    };
    format!(
        "{start}Api-Version: {}\r\nDocker-Experimental: false\r\nOstype: linux\r\nServer: {}\r\n\r\n",
        Version::NEWEST,
        reply::SERVER
    )
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_exact() {
        let mut headers = HeaderMap::new();
        let plain = String::from_utf8(head(&headers, Version(56), false).to_vec()).unwrap();
        assert!(
            plain.starts_with(
                "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n"
            )
        );
        headers.insert("upgrade", "tcp".parse().unwrap());
        let upgraded = String::from_utf8(head(&headers, Version(56), false).to_vec()).unwrap();
        assert!(upgraded.starts_with(
            "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.multiplexed-stream\r\n\
             Connection: Upgrade\r\nUpgrade: tcp\r\n"
        ));
        assert!(upgraded.ends_with("\r\n\r\n"));
        assert_eq!(content_type(Version(41), false), RAW_STREAM);
        assert_eq!(content_type(Version(56), true), RAW_STREAM);
    }
}
