//! The daemon's listening sockets: opened early, so that a client that comes while the engine starts waits instead of failing,
//! and so that a socket that another daemon serves is found before anything is touched.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use bryo_api::Listener;
use bryo_api::docker::tls;
use bryo_rootless::SetupError;
use bryo_sys::listening::{Inherited, inherited};

use super::config::{Config, Host, Tls};

/// The sockets, and the files to remove at the end.
pub struct Sockets {
    /// For the API, in the order of the hosts.
    pub listeners: Vec<Listener>,
    /// For metrics, if they are on.
    pub metrics: Option<TcpListener>,
    /// Socket files that are ours.
    pub files: SocketFiles,
}

impl Sockets {
    /// Where the API is served over TCP.
    pub fn tcp_addresses(&self) -> Vec<SocketAddr> {
        let address = |listener: &Listener| match listener {
            Listener::Unix(_) => None,
            Listener::Tcp(l) | Listener::Tls(l, _) => l.local_addr().ok(),
        };
        self.listeners.iter().filter_map(address).collect()
    }
}

/// Removes its socket files when dropped, each only if it is still the file that was made.
#[derive(Debug, Default)]
pub struct SocketFiles {
    ours: Vec<(PathBuf, (u64, u64))>,
    /// A service manager's, which stays.
    inherited: Option<PathBuf>,
}

impl SocketFiles {
    fn add(&mut self, path: &Path) {
        if let Ok(m) = std::fs::symlink_metadata(path) {
            self.ours.push((path.to_owned(), (m.dev(), m.ino())));
        }
    }

    /// The first unix socket: what containers get for /var/run/docker.sock.
    pub fn first(&self) -> Option<PathBuf> {
        self.ours.first().map(|(path, _)| path.clone()).or_else(|| self.inherited.clone())
    }
}

impl Drop for SocketFiles {
    fn drop(&mut self) {
        for (path, id) in &self.ours {
            if std::fs::symlink_metadata(path).is_ok_and(|m| (m.dev(), m.ino()) == *id) {
                let _ = std::fs::remove_file(path);
            }
        }
    }
}

/// Opens everything that the configuration names.
pub fn open(config: &Config) -> Result<Sockets, SetupError> {
    let metrics = config.metrics_addr.map(metrics).transpose()?;
    let mut sockets = Sockets { listeners: Vec::new(), metrics, files: SocketFiles::default() };
    for host in &config.hosts {
        match host {
            Host::Unix(path) => {
                sockets.listeners.push(Listener::Unix(unix(path)?));
                sockets.files.add(path);
            }
            Host::Tcp(address) => {
                let listener = TcpListener::bind(address).map_err(|e| {
                    refused(
                        &format!("tcp://{address}"),
                        &e,
                        &format!("ss -ltnp 'sport = :{}'", address.port()),
                    )
                })?;
                sockets.listeners.push(match &config.tls {
                    Some(tls) => with_tls(listener, tls)?,
                    None => {
                        tracing::warn!(
                            "tcp://{address} is served without TLS: every user of this machine can do what you can do"
                        );
                        Listener::Tcp(listener)
                    }
                });
            }
            Host::Inherited => {
                let listeners = from_service_manager()?;
                sockets.files.inherited = listeners.iter().find_map(path_of);
                sockets.listeners.extend(listeners);
            }
        }
    }
    Ok(sockets)
}

/// A listener that only tells figures.
fn metrics(address: SocketAddr) -> Result<TcpListener, SetupError> {
    if !address.ip().is_loopback() {
        tracing::warn!("metrics are served on {address}: everybody who reaches it may read them");
    }
    TcpListener::bind(address).map_err(|e| {
        let mend = format!("ss -ltnp 'sport = :{}'", address.port());
        refused(&format!("the metrics address {address}"), &e, &mend)
    })
}

fn with_tls(listener: TcpListener, files: &Tls) -> Result<Listener, SetupError> {
    let files = tls::TlsFiles {
        cert: files.cert.clone(),
        key: files.key.clone(),
        client_ca: files.ca.clone(),
    };
    let config = tls::server_config(&files).map_err(|e| {
        SetupError::new(
            "could not set up TLS",
            e.to_string(),
            "give PEM files with --tlscert, --tlskey and --tlscacert",
        )
    })?;
    Ok(Listener::Tls(listener, config))
}

/// A unix socket of mode 0660. A file that nobody serves any more is replaced.
fn unix(path: &Path) -> Result<UnixListener, SetupError> {
    let name = format!("unix://{}", path.display());
    if let Ok(found) = std::fs::symlink_metadata(path) {
        if !found.file_type().is_socket() {
            let e =
                io::Error::new(io::ErrorKind::AlreadyExists, "a file that is no socket is there");
            return Err(refused(&name, &e, &format!("rm -r {}", path.display())));
        }
        match UnixStream::connect(path) {
            Ok(stream) => return Err(served(&name, &stream)),
            Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => {
                std::fs::remove_file(path).map_err(|e| refused(&name, &e, ""))?;
            }
            Err(e) => return Err(refused(&name, &e, "")),
        }
    }
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(|e| refused(&name, &e, ""))?;
    }
    // The mode must be right from the first moment. There is one thread, so the umask is nobody else's.
    let old = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o117));
    let listener = UnixListener::bind(path);
    rustix::process::umask(old);
    listener.map_err(|e| refused(&name, &e, ""))
}

/// The socket answers: who serves it?
fn served(name: &str, stream: &UnixStream) -> SetupError {
    let pid = rustix::net::sockopt::socket_peercred(stream).map(|c| c.pid.as_raw_nonzero().get());
    let pid = pid.map_or_else(|_| "unknown".to_owned(), |p| p.to_string());
    let comm = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    SetupError::new(
        "the socket is already served by another daemon",
        format!("{name} answers: pid {pid} {}", comm.trim()),
        format!("kill {pid}\nor give another socket with --host unix://PATH"),
    )
}

fn refused(name: &str, e: &io::Error, mend: &str) -> SetupError {
    let other = "give another socket with --host";
    let mend = if mend.is_empty() { other.to_owned() } else { format!("{mend}\nor {other}") };
    SetupError::new(format!("could not listen on {name}"), e.to_string(), mend)
}

/// Sockets of systemd's socket activation.
fn from_service_manager() -> Result<Vec<Listener>, SetupError> {
    let variable = |name: &str| std::env::var(name).ok();
    let sockets = inherited(variable("LISTEN_PID").as_deref(), variable("LISTEN_FDS").as_deref());
    let sockets = sockets.map_err(|e| refused("fd://", &e, ""))?;
    if sockets.is_empty() {
        return Err(SetupError::new(
            "no sockets found via socket activation: make sure the service was started by systemd",
            "fd:// with LISTEN_FDS and LISTEN_PID not set for this process",
            "give --host unix://PATH instead of fd://",
        ));
    }
    let listener = |socket| match socket {
        Inherited::Unix(listener) => Listener::Unix(listener),
        Inherited::Tcp(listener) => Listener::Tcp(listener),
    };
    Ok(sockets.into_iter().map(listener).collect())
}

/// Where a unix listener's file is.
fn path_of(listener: &Listener) -> Option<PathBuf> {
    let Listener::Unix(listener) = listener else { return None };
    listener.local_addr().ok()?.as_pathname().map(Path::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_served_socket_is_refused_and_a_stale_one_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run/docker.sock");
        let first = unix(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        let e = unix(&path).unwrap_err();
        assert!(e.cause.contains("already served by another daemon"), "{e}");
        assert!(e.mend.contains(&format!("kill {}", std::process::id())), "{e}");
        drop(first);
        drop(unix(&path).unwrap());
        let file = dir.path().join("plain");
        std::fs::write(&file, "x").unwrap();
        assert!(unix(&file).unwrap_err().seen.contains("no socket"));
    }

    #[test]
    fn only_our_own_file_is_removed_at_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let mut files = SocketFiles::default();
        let listener = unix(&path).unwrap();
        files.add(&path);
        std::fs::rename(&path, dir.path().join("old")).unwrap();
        let other = UnixListener::bind(&path).unwrap();
        drop(files);
        assert!(path.exists());
        drop((listener, other));
    }
}
