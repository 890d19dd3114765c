//! Where the daemon is: `unix://…`, `tcp://…` (in the clear or with TLS) or `ssh://…`.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use tokio::net::{TcpStream, UnixStream};

use super::super::error::{CliError, Result};
use super::ssh::Remote;
use super::stream::Stream;
use super::tls::{self, TlsFiles};

/// A daemon's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// A unix socket.
    Unix(PathBuf),
    /// `host:port`, in the clear.
    Tcp(String),
    /// `host:port`, with TLS.
    Tls(String, TlsFiles),
    /// Through `ssh`.
    Ssh(Remote),
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Unix(path) => write!(f, "unix://{}", path.display()),
            Host::Tcp(address) | Host::Tls(address, _) => write!(f, "tcp://{address}"),
            Host::Ssh(remote) => write!(f, "{remote}"),
        }
    }
}

impl Host {
    /// Parses an address as `--host` takes it; `tls` says whether and how TCP is protected.
    pub fn parse(text: &str, tls: Option<TlsFiles>) -> Result<Host> {
        match text.split_once("://") {
            Some(("unix", path)) => Ok(Host::Unix(path.into())),
            Some(("tcp" | "http" | "https", address)) => {
                let address = address.trim_end_matches('/');
                let has_port =
                    address.rsplit_once(':').is_some_and(|(_, p)| p.parse::<u16>().is_ok());
                let port = if tls.is_some() { 2376 } else { 2375 };
                let address =
                    if has_port { address.to_owned() } else { format!("{address}:{port}") };
                Ok(tls
                    .map_or_else(|| Host::Tcp(address.clone()), |t| Host::Tls(address.clone(), t)))
            }
            Some(("ssh", rest)) => Remote::parse(rest).map(Host::Ssh),
            Some(_) => Err(CliError::new(format!("invalid bind address format: {text}"))),
            None if text.starts_with('/') => Ok(Host::Unix(text.into())),
            None => Host::parse(&format!("tcp://{text}"), tls),
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
            Host::Tcp(address) => dial(address).await.map(Stream::Tcp),
            Host::Tls(address, files) => match dial(address).await {
                Ok(stream) => return tls::client(stream, address, files).await,
                Err(e) => Err(e),
            },
            Host::Ssh(remote) => return remote.connect(),
        };
        connected.map_err(|e| self.refused(&e))
    }

    fn refused(&self, e: &io::Error) -> CliError {
        let socket = match self {
            Host::Unix(path) => Some(path),
            _ => None,
        };
        if e.kind() == io::ErrorKind::PermissionDenied {
            let whose = socket.and_then(|path| owner(path)).map_or_else(
                || "it belongs to another user".to_owned(),
                |uid| format!("the socket belongs to uid {uid} and you are uid {}", own_uid()),
            );
            return CliError::new(format!(
                "permission denied while trying to connect to the docker API at {self}: {whose}; \
                 start your own engine with \"bryo daemon\""
            ));
        }
        let why = match e.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => String::new(),
            _ => format!(" ({e})"),
        };
        CliError::new(format!(
            "Cannot connect to the Docker daemon at {self}. Is the docker daemon running?{why}\n\
             Start it with \"bryo daemon\" (in another terminal, or in the background with \
             \"bryo daemon &\"), or say where it is with --host or DOCKER_HOST."
        ))
    }
}

async fn dial(address: &str) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Whose socket it is, or whose the first folder is that cannot be entered.
fn owner(path: &Path) -> Option<u32> {
    use std::os::unix::fs::MetadataExt;
    path.ancestors().find_map(|p| std::fs::metadata(p).ok()).map(|m| m.uid())
}

fn own_uid() -> u32 {
    rustix::process::getuid().as_raw()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_parsed() {
        let parse = |text| Host::parse(text, None);
        assert_eq!(parse("unix:///run/x").unwrap(), Host::Unix("/run/x".into()));
        assert_eq!(parse("tcp://h:1").unwrap(), Host::Tcp("h:1".into()));
        assert_eq!(parse("tcp://h").unwrap(), Host::Tcp("h:2375".into()));
        assert_eq!(parse("h:1").unwrap(), Host::Tcp("h:1".into()));
        let files = TlsFiles::default();
        assert_eq!(
            Host::parse("tcp://h", Some(files.clone())).unwrap(),
            Host::Tls("h:2376".into(), files)
        );
        assert_eq!(parse("ssh://a@b:22/run/x").unwrap().to_string(), "ssh://a@b:22/run/x");
        assert!(parse("ftp://h").is_err());
    }
}
