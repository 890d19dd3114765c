//! Where the daemon is: `unix://…` or `tcp://…`, from `--host`, `DOCKER_HOST` or the default.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use super::super::error::{CliError, Result};

/// A daemon's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// A unix socket.
    Unix(PathBuf),
    /// `host:port`, in the clear.
    Tcp(String),
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Unix(path) => write!(f, "unix://{}", path.display()),
            Host::Tcp(address) => write!(f, "tcp://{address}"),
        }
    }
}

impl Host {
    /// Parses an address as `--host` takes it.
    pub fn parse(text: &str) -> Result<Host> {
        match text.split_once("://") {
            Some(("unix", path)) => Ok(Host::Unix(path.into())),
            Some(("tcp" | "http", address)) => {
                let address = address.trim_end_matches('/');
                let has_port =
                    address.rsplit_once(':').is_some_and(|(_, p)| p.parse::<u16>().is_ok());
                Ok(Host::Tcp(if has_port { address.to_owned() } else { format!("{address}:2375") }))
            }
            Some((scheme, _)) => Err(CliError::new(format!(
                "unable to reach {text}: addresses of the kind {scheme}:// are not supported by this \
                 version; use unix:// or tcp://"
            ))),
            None if text.starts_with('/') => Ok(Host::Unix(text.into())),
            None => Host::parse(&format!("tcp://{text}")),
        }
    }

    /// The socket that `bryo daemon` serves when nothing else is said; else the system's.
    pub fn default_of(runtime_dir: Option<&Path>) -> Host {
        let own = runtime_dir.map(|dir| dir.join("docker.sock"));
        let system = PathBuf::from("/var/run/docker.sock");
        match own {
            Some(own) if own.exists() || !system.exists() => Host::Unix(own),
            _ => Host::Unix(system),
        }
    }

    /// Connects.
    pub async fn connect(&self) -> Result<Stream> {
        let connected = match self {
            Host::Unix(path) => UnixStream::connect(path).await.map(Stream::Unix),
            Host::Tcp(address) => match TcpStream::connect(address).await {
                Ok(stream) => stream.set_nodelay(true).map(|()| Stream::Tcp(stream)),
                Err(e) => Err(e),
            },
        };
        connected.map_err(|e| self.refused(&e))
    }

    fn refused(&self, e: &io::Error) -> CliError {
        if e.kind() == io::ErrorKind::PermissionDenied {
            return CliError::new(format!(
                "permission denied while trying to connect to the docker API at {self}: it belongs \
                 to another user; start your own daemon with \"bryo daemon\""
            ));
        }
        CliError::new(format!(
            "Cannot connect to the Docker daemon at {self}. Is the docker daemon running?\n\
             Start it with \"bryo daemon\" (in another terminal, or in the background with \
             \"bryo daemon &\"), or say where it is with --host or DOCKER_HOST."
        ))
    }
}

/// A connection to the daemon.
pub enum Stream {
    /// Over a unix socket.
    Unix(UnixStream),
    /// Over TCP.
    Tcp(TcpStream),
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Unix(s) => Pin::new(s).poll_read(cx, buf),
            Stream::Tcp(s) => Pin::new(s).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Unix(s) => Pin::new(s).poll_write(cx, buf),
            Stream::Tcp(s) => Pin::new(s).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Unix(s) => Pin::new(s).poll_flush(cx),
            Stream::Tcp(s) => Pin::new(s).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Unix(s) => Pin::new(s).poll_shutdown(cx),
            Stream::Tcp(s) => Pin::new(s).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_parsed() {
        assert_eq!(Host::parse("unix:///run/x").unwrap(), Host::Unix("/run/x".into()));
        assert_eq!(Host::parse("tcp://h:1").unwrap(), Host::Tcp("h:1".into()));
        assert_eq!(Host::parse("tcp://h").unwrap(), Host::Tcp("h:2375".into()));
        assert_eq!(Host::parse("h:1").unwrap(), Host::Tcp("h:1".into()));
        assert!(Host::parse("ssh://h").is_err());
    }
}
