//! The engine's end of the conversation with the gate; see `messages.rs`. Blocking: one request, one reply.
//!
//! On failure: an answer of "no" is [`Reply::Refused`] or [`Reply::Failed`] and comes back as a [`GateError`]; a gate
//! that died is `UnexpectedEof` in [`GateError::Broken`], after which the client is of no more use: start a new gate,
//! add the networks and publish the ports again.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use bryo_sys::channel::Channel;
use serde::de::DeserializeOwned;

use crate::messages::{Names, Network, Publication, Refusal, Reply, Request, VERSION};

/// What the gate said about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ready {
    /// The data path in use (`tproxy` …).
    pub path: String,
    /// Why a lesser one is in use, if it is.
    pub reason: Option<String>,
}

/// What the gate holds.
#[derive(Debug, Clone)]
pub struct State {
    /// Networks that exist.
    pub networks: Vec<Network>,
    /// Ports that are listened on.
    pub publications: Vec<Publication>,
    /// Flows that are open.
    pub flows: u64,
    /// Containers whose network namespace could not be used, and why.
    pub detours: Vec<(String, String)>,
}

/// Why a request was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// A port could not be opened.
    #[error("the port cannot be published")]
    Refused(Refusal),
    /// The gate tried and failed; its words.
    #[error("{0}")]
    Failed(String),
    /// The conversation broke.
    #[error("talk to the gate: {0}")]
    Broken(#[source] io::Error),
}

/// A connection to a gate.
#[derive(Debug)]
pub struct GateClient {
    channel: Channel,
    ready: Ready,
}

impl GateClient {
    /// Speaks over the channel that a gate was started with; waits until its data path is set up.
    pub fn new(channel: Channel) -> Result<GateClient, GateError> {
        match receive(&channel)? {
            Reply::Ready { version: VERSION, path, reason } => {
                Ok(GateClient { channel, ready: Ready { path, reason } })
            }
            Reply::Ready { version, .. } => Err(GateError::Failed(format!(
                "the gate speaks version {version}, this engine {VERSION}"
            ))),
            Reply::Failed { message } => Err(GateError::Failed(message)),
            other => Err(unexpected(&other)),
        }
    }

    /// Connects to a running gate's socket.
    pub fn connect(path: &Path) -> Result<GateClient, GateError> {
        GateClient::new(Channel::connect(path).map_err(GateError::Broken)?)
    }

    /// The data path in use.
    pub fn ready(&self) -> &Ready {
        &self.ready
    }

    /// What the gate holds.
    pub fn describe(&self) -> Result<State, GateError> {
        match self.ask(&Request::Describe)? {
            Reply::State { networks, publications, flows, detours } => {
                Ok(State { networks, publications, flows, detours })
            }
            other => Err(unexpected(&other)),
        }
    }

    /// Makes a bridge and its rules; the same one again is no error.
    pub fn add_network(&self, network: &Network) -> Result<(), GateError> {
        self.expect_ok(&Request::AddNetwork(network.clone()))
    }

    /// Takes a bridge away.
    pub fn remove_network(&self, bridge: &str) -> Result<(), GateError> {
        self.expect_ok(&Request::RemoveNetwork { bridge: bridge.to_owned() })
    }

    /// Opens a port on the host; returns the real one.
    pub fn publish(&self, publication: &Publication) -> Result<u16, GateError> {
        match self.ask(&Request::Publish(publication.clone()))? {
            Reply::Published { host_port } => Ok(host_port),
            other => Err(unexpected(&other)),
        }
    }

    /// Gives a running container's network namespace.
    pub fn enter(&self, container: &str, netns: BorrowedFd<'_>) -> Result<(), GateError> {
        match self.ask_with(&Request::Enter { container: container.to_owned() }, &[netns])? {
            Reply::Ok => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// Tells the resolver of a container; with its network namespace, and the sockets of `resolver_sockets` if they were
    /// made, where it is to be served and was not yet.
    pub fn name(&self, names: &Names, fds: &[BorrowedFd<'_>]) -> Result<(), GateError> {
        match self.ask_with(&Request::Name(names.clone()), fds)? {
            Reply::Ok => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// Forgets a container's names.
    pub fn unname(&self, container: &str) -> Result<(), GateError> {
        self.expect_ok(&Request::Unname { container: container.to_owned() })
    }

    /// Forgets the names that were given over other connections only.
    pub fn settle(&self) -> Result<(), GateError> {
        self.expect_ok(&Request::Settle)
    }

    /// Closes a container's ports; its open flows go on.
    pub fn unpublish(&self, container: &str) -> Result<(), GateError> {
        self.expect_ok(&Request::Unpublish { container: container.to_owned() })
    }

    /// Sets the TCP addresses of the host that no container may reach; replaces what was set before.
    pub fn close(&self, addresses: &[SocketAddr]) -> Result<(), GateError> {
        self.expect_ok(&Request::Close { addresses: addresses.to_vec() })
    }

    /// Ends the gate.
    pub fn quit(&self) -> Result<(), GateError> {
        self.expect_ok(&Request::Quit)
    }

    fn expect_ok(&self, request: &Request) -> Result<(), GateError> {
        match self.ask(request)? {
            Reply::Ok => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    fn ask(&self, request: &Request) -> Result<Reply, GateError> {
        self.ask_with(request, &[])
    }

    fn ask_with(&self, request: &Request, fds: &[BorrowedFd<'_>]) -> Result<Reply, GateError> {
        let bytes = serde_json::to_vec(request).map_err(|e| GateError::Broken(e.into()))?;
        self.channel.send(&bytes, fds).map_err(GateError::Broken)?;
        match receive(&self.channel)? {
            Reply::Refused(refusal) => Err(GateError::Refused(refusal)),
            Reply::Failed { message } => Err(GateError::Failed(message)),
            reply => Ok(reply),
        }
    }
}

impl AsFd for GateClient {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }
}

fn receive<T: DeserializeOwned>(channel: &Channel) -> Result<T, GateError> {
    let message = channel.recv().map_err(GateError::Broken)?;
    serde_json::from_slice(&message.data).map_err(|e| GateError::Broken(e.into()))
}

fn unexpected(reply: &Reply) -> GateError {
    GateError::Failed(format!("the gate gave an answer that does not fit: {reply:?}"))
}
