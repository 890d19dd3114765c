//! Stands where bryo-api will: listens, and answers every request with 503 and a sentence.

use std::io::{Read, Write};

use bryo_core::Engine;
use tokio_util::sync::CancellationToken;

/// A socket to serve, bound and listening already.
pub enum Listener {
    /// A unix socket.
    Unix(std::os::unix::net::UnixListener),
    /// TCP in the clear.
    Tcp(std::net::TcpListener),
}

/// How to serve.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Cancelled: accept no more.
    pub stop: CancellationToken,
}

/// Serves until `options.stop`.
pub async fn serve(_: Engine, listeners: Vec<Listener>, options: Options) -> std::io::Result<()> {
    for listener in listeners {
        std::thread::spawn(move || {
            loop {
                let done = match &listener {
                    Listener::Unix(l) => l.accept().and_then(|(mut s, _)| answer(&mut s)),
                    Listener::Tcp(l) => l.accept().and_then(|(mut s, _)| answer(&mut s)),
                };
                if let Err(e) = done {
                    tracing::debug!("connection: {e}");
                }
            }
        });
    }
    options.stop.cancelled().await;
    Ok(())
}

fn answer(stream: &mut (impl Read + Write)) -> std::io::Result<()> {
    let body = "{\"message\":\"the API is not part of this build yet\"}\n";
    let mut request = [0u8; 4096];
    let _ = stream.read(&mut request)?;
    write!(
        stream,
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}
