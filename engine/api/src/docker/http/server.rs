//! Listeners: accept, one task per connection, an orderly stop.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_util::sync::CancellationToken;

use super::connection::{self, Answers};
use super::io::Socket;

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// The pause after an accept that failed for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A socket to serve, bound and listening already.
pub enum Listener {
    /// A unix socket.
    Unix(std::os::unix::net::UnixListener),
    /// TCP in the clear.
    Tcp(std::net::TcpListener),
    /// TCP with TLS; see [`super::tls::server_config`].
    Tls(std::net::TcpListener, Arc<ServerConfig>),
}

/// How to serve.
#[derive(Debug, Clone)]
pub struct Options {
    /// Cancelled: accept no more, let the answers in progress end.
    pub stop: CancellationToken,
    /// How long these may take; then they are cut (an event stream never ends by itself).
    pub grace: Duration,
}

impl Default for Options {
    fn default() -> Options {
        Options { stop: CancellationToken::new(), grace: Duration::from_secs(2) }
    }
}

enum Acceptor {
    Unix(UnixListener),
    Tcp(TcpListener),
    Tls(TcpListener, TlsAcceptor),
}

/// Serves until `options.stop`.
pub async fn run<A: Answers>(
    door: Arc<A>,
    listeners: Vec<Listener>,
    options: Options,
) -> io::Result<()> {
    let acceptors = listeners.into_iter().map(acceptor).collect::<io::Result<Vec<_>>>()?;
    let cut = CancellationToken::new();
    let mut tasks = JoinSet::new();
    for acceptor in acceptors {
        tasks.spawn(accept_loop(acceptor, door.clone(), options.stop.clone(), cut.clone()));
    }
    drop(door);
    options.stop.cancelled().await;
    let all = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(options.grace, all).await.is_err() {
        cut.cancel();
        while tasks.join_next().await.is_some() {}
    }
    Ok(())
}

fn acceptor(listener: Listener) -> io::Result<Acceptor> {
    Ok(match listener {
        Listener::Unix(l) => {
            l.set_nonblocking(true)?;
            Acceptor::Unix(UnixListener::from_std(l)?)
        }
        Listener::Tcp(l) => {
            l.set_nonblocking(true)?;
            Acceptor::Tcp(TcpListener::from_std(l)?)
        }
        Listener::Tls(l, config) => {
            l.set_nonblocking(true)?;
            Acceptor::Tls(TcpListener::from_std(l)?, TlsAcceptor::from(config))
        }
    })
}

async fn accept_loop<A: Answers>(
    acceptor: Acceptor,
    door: Arc<A>,
    stop: CancellationToken,
    cut: CancellationToken,
) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = acceptor.accept() => accepted,
            Some(_) = connections.join_next() => continue,
            () = stop.cancelled() => break,
        };
        match accepted {
            Ok(pending) => {
                let (door, stop, cut) = (door.clone(), stop.clone(), cut.clone());
                connections.spawn(async move {
                    if let Some(socket) = pending.ready().await {
                        connection::serve(door, socket, stop, cut).await;
                    }
                });
            }
            Err(e) => {
                tracing::warn!("cannot accept an API connection: {e}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(acceptor);
    while connections.join_next().await.is_some() {}
}

/// A connection that may still have its handshake before it.
enum Pending {
    Ready(Socket),
    Handshake(TcpStream, TlsAcceptor),
}

impl Acceptor {
    async fn accept(&self) -> io::Result<Pending> {
        Ok(match self {
            Acceptor::Unix(l) => Pending::Ready(Socket::Unix(Arc::new(l.accept().await?.0))),
            Acceptor::Tcp(l) => {
                let stream = l.accept().await?.0;
                stream.set_nodelay(true)?;
                Pending::Ready(Socket::Tcp(Arc::new(stream)))
            }
            Acceptor::Tls(l, tls) => {
                let stream = l.accept().await?.0;
                stream.set_nodelay(true)?;
                Pending::Handshake(stream, tls.clone())
            }
        })
    }
}

impl Pending {
    async fn ready(self) -> Option<Socket> {
        match self {
            Pending::Ready(socket) => Some(socket),
            Pending::Handshake(stream, tls) => {
                match tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await {
                    Ok(Ok(stream)) => Some(Socket::Tls(Box::new(TokioIo::new(stream)))),
                    Ok(Err(e)) => {
                        tracing::info!("TLS handshake failed: {e}");
                        None
                    }
                    Err(_) => {
                        tracing::info!("TLS handshake took longer than {HANDSHAKE:?}");
                        None
                    }
                }
            }
        }
    }
}
