//! The engine's side of `holder.sock`: blocking, one request at a time.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bryo_sys::channel::Channel;
use bryo_sys::pidfd;

use crate::messages::{Reply, Request, VERSION};

/// A connection to the holder; clones share it. Every call blocks for a fork at most (well under a millisecond).
#[derive(Debug, Clone)]
pub struct HolderClient {
    channel: Arc<Mutex<Channel>>,
    path: PathBuf,
    pid: u32,
    program: String,
    single_id: bool,
}

/// What the holder handed over in its greeting.
pub(crate) struct Greeting {
    pub client: HolderClient,
    pub user_ns: OwnedFd,
    pub mount_ns: OwnedFd,
}

/// Where the holder of an exec root listens.
pub(crate) fn socket_path(exec_root: &Path) -> PathBuf {
    exec_root.join("holder.sock")
}

impl HolderClient {
    /// Connects and says hello; none if no holder listens there.
    pub(crate) fn connect(exec_root: &Path) -> io::Result<Option<Greeting>> {
        let path = socket_path(exec_root);
        let channel = match Channel::connect(&path) {
            Ok(channel) => channel,
            Err(e) if gone(&e) => return Ok(None),
            Err(e) => return Err(e),
        };
        let (reply, mut fds) = ask(&channel, &Request::Hello { version: VERSION }, &[])?;
        let Reply::Holding { version, pid, program, single_id } = reply else {
            return Err(unexpected("Hello", &reply));
        };
        if version != VERSION {
            return Err(io::Error::other(format!(
                "the holder (pid {pid}, of bryo {program}) speaks version {version} of the protocol, this bryo speaks \
                 {VERSION}: stop the containers with the bryo that started them, then `kill -9 {pid}`"
            )));
        }
        let (Some(mount_ns), Some(user_ns)) = (fds.pop(), fds.pop()) else {
            return Err(io::Error::other("the holder did not send its namespaces"));
        };
        let channel = Arc::new(Mutex::new(channel));
        let client = HolderClient { channel, path, pid, program, single_id };
        Ok(Some(Greeting { client, user_ns, mount_ns }))
    }

    /// The holder's pid in the host's pid namespace.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The version of the program that the holder was forked from; the monitors are that program too.
    pub fn program(&self) -> &str {
        &self.program
    }

    /// No subordinate ids are mapped.
    pub fn single_id(&self) -> bool {
        self.single_id
    }

    /// Forks a monitor for the container; the engine's end of its channel, and its pid.
    pub fn spawn_monitor(&self, container: &str, bundle: &Path) -> io::Result<(Channel, u32)> {
        let bundle = bundle.to_str().ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, format!("{bundle:?} is not UTF-8"))
        })?;
        self.spawn(&Request::SpawnMonitor { container: container.into(), bundle: bundle.into() })
    }

    /// Forks the gate; `config` is JSON of bryo-net's `GateConfig`. Fails if one runs: connect to its socket instead.
    pub fn spawn_gate(&self, config: &str) -> io::Result<(Channel, u32)> {
        self.spawn(&Request::SpawnGate { config: config.into() })
    }

    /// Ends the holder and everything it still runs; returns when it is gone.
    pub fn quit(&self) -> io::Result<()> {
        let process = pidfd::open(self.pid);
        match self.call(&Request::Quit, &[])? {
            Reply::Bye => {}
            other => return Err(unexpected("Quit", &other)),
        }
        let ended = process.and_then(|p| pidfd::wait(p, Some(Duration::from_secs(5))))?;
        if ended { Ok(()) } else { Err(io::Error::other("the holder said Bye and stays")) }
    }

    fn spawn(&self, request: &Request) -> io::Result<(Channel, u32)> {
        let (ours, theirs) = Channel::pair()?;
        match self.call(request, &[theirs.as_fd()])? {
            Reply::Spawned { pid } => Ok((ours, pid)),
            other => Err(unexpected("spawn", &other)),
        }
    }

    fn call(&self, request: &Request, fds: &[BorrowedFd<'_>]) -> io::Result<Reply> {
        let channel = self.channel.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = ask(&channel, request, fds).map_err(|e| {
            io::Error::new(
                e.kind(),
                format!(
                    "the holder (pid {}, {}) does not answer: {e}; restart the daemon: it starts a new one in the same \
                     namespaces",
                    self.pid,
                    self.path.display()
                ),
            )
        })?;
        match answer.0 {
            Reply::Failed { message } => Err(io::Error::other(message)),
            reply => Ok(reply),
        }
    }
}

/// One request and its reply with the descriptors.
fn ask(
    channel: &Channel,
    request: &Request,
    fds: &[BorrowedFd<'_>],
) -> io::Result<(Reply, Vec<OwnedFd>)> {
    channel.send(&serde_json::to_vec(request)?, fds)?;
    let answer = channel.recv()?;
    Ok((serde_json::from_slice(&answer.data)?, answer.fds))
}

/// Nobody listens: the file is missing, or left over from a holder that was killed.
fn gone(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

fn unexpected(request: &str, reply: &Reply) -> io::Error {
    io::Error::other(format!("the holder answered {request} with {reply:?}"))
}
