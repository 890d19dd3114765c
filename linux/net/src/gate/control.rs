//! The gate's conversations with engines; see `messages.rs`.
//!
//! Any number of engines may be connected (an old and a new one during an upgrade); each request is carried out at once
//! and answered on its own channel. A channel that ends is forgotten and nothing else happens.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use bryo_sys::channel::{Channel, Listener};
use rustix::net::SocketFlags;

use super::poll::{Kind, READ, Token};
use super::slab::{Key, Slab};
use super::{Gate, setup};
use crate::error::Error;
use crate::messages::{Network, Reply, Request, VERSION};

/// The engines that are connected.
#[derive(Debug)]
pub struct Engines {
    listener: Listener,
    channels: Slab<Channel>,
    ready: Reply,
}

impl Engines {
    /// Listens for engines; `path` names the data path and `reason` why it is a lesser one.
    pub fn new(listener: Listener, path: &str, reason: Option<String>) -> Engines {
        let ready = Reply::Ready { version: VERSION, path: path.to_owned(), reason };
        Engines { listener, channels: Slab::new(), ready }
    }
}

/// Sends a reply. An engine that is gone does not get it.
pub fn send(channel: &Channel, reply: &Reply) {
    if let Ok(bytes) = serde_json::to_vec(reply) {
        let _ = channel.send(&bytes, &[]);
    }
}

impl Gate {
    /// Starts to listen for engines and to serve `first`.
    pub(super) fn open_control(&mut self, first: Channel) -> io::Result<()> {
        let token = Token::numbered(Kind::EngineListener, 0);
        self.shared.poll.add(&self.engines.listener, token, READ)?;
        self.add_engine(first)
    }

    fn add_engine(&mut self, channel: Channel) -> io::Result<()> {
        channel.set_nonblocking(true)?;
        send(&channel, &self.engines.ready);
        let key = self.engines.channels.insert(channel);
        match self.engines.channels.get(key) {
            Some(channel) => self.shared.poll.add(channel, Token::new(Kind::Engine, key), READ),
            None => Ok(()),
        }
    }

    /// Takes an engine that connected.
    pub(super) fn accept_engine(&mut self) {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        if let Ok(fd) = rustix::net::accept_with(&self.engines.listener, flags) {
            // A channel that cannot be served is closed, which the engine sees.
            let _ = self.add_engine(Channel::from_fd(fd));
        }
    }

    /// Handles a request of an engine. `false`: the gate shall end.
    pub(super) fn handle_engine(&mut self, key: Key) -> bool {
        let Some(channel) = self.engines.channels.get(key) else { return true };
        let message = match channel.recv() {
            Ok(message) => message,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return true,
            Err(_) => {
                self.engines.channels.remove(key);
                return true;
            }
        };
        let request = serde_json::from_slice::<Request>(&message.data);
        let quit = matches!(request, Ok(Request::Quit));
        let reply = match request {
            // The resolver's thread answers itself.
            Ok(Request::Name(known)) => match self.answers_itself(key) {
                Ok(reply) => {
                    self.names.name(key, known, message.fds, reply);
                    return true;
                }
                Err(e) => Reply::Failed { message: format!("pass names on: {e}") },
            },
            Ok(Request::Settle) => {
                self.names.settle(key);
                Reply::Ok
            }
            Ok(request) => self.carry_out(request, message.fds),
            Err(e) => Reply::Failed { message: format!("a request that cannot be read: {e}") },
        };
        if let Some(channel) = self.engines.channels.get(key) {
            send(channel, &reply);
        }
        !quit
    }

    /// A second descriptor of an engine's channel.
    fn answers_itself(&self, key: Key) -> io::Result<Channel> {
        let channel = self.engines.channels.get(key).ok_or(io::ErrorKind::NotConnected)?;
        Ok(Channel::from_fd(channel.as_fd().try_clone_to_owned()?))
    }

    fn carry_out(&mut self, request: Request, fds: Vec<OwnedFd>) -> Reply {
        match request {
            Request::Describe => Reply::State {
                networks: self.shared.policy.networks().to_vec(),
                publications: self.ports.publications(),
                detours: self.shared.homes.detours(),
                flows: u64::try_from(self.streams.len() + self.datagrams.len()).unwrap_or(0),
            },
            Request::AddNetwork(network) => done(self.add_network(network)),
            Request::RemoveNetwork { bridge } => done(self.remove_network(&bridge)),
            Request::KeepOnly { bridges } => done(self.keep_only(&bridges)),
            Request::Publish(publication) => {
                match self.ports.publish(&mut self.shared, publication) {
                    Ok(host_port) => Reply::Published { host_port },
                    Err(refusal) => Reply::Refused(refusal),
                }
            }
            Request::Enter { container } => match fds.into_iter().next() {
                Some(netns) => {
                    self.ports.enter(&mut self.shared, container, netns);
                    Reply::Ok
                }
                None => Reply::Failed { message: "a network namespace did not come".to_owned() },
            },
            Request::Unpublish { container } => {
                self.ports.unpublish(&mut self.shared, &mut self.datagrams, &container);
                self.shared.homes.leave(&container);
                self.streams.end_left();
                Reply::Ok
            }
            Request::Close { addresses } => {
                self.shared.policy.close(addresses);
                Reply::Ok
            }
            Request::Unname { container } => {
                self.names.unname(container);
                Reply::Ok
            }
            // These are handled where the channel is known.
            Request::Name(_) | Request::Settle | Request::Quit => Reply::Ok,
        }
    }

    fn add_network(&mut self, network: Network) -> Result<(), Error> {
        if self.shared.policy.networks().contains(&network) {
            return Ok(());
        }
        let mut networks = self.shared.policy.networks().to_vec();
        networks.retain(|n| n.bridge != network.bridge);
        networks.push(network.clone());
        self.removals.settle(&network.bridge);
        let old =
            self.shared.policy.networks().iter().find(|n| n.bridge == network.bridge).cloned();
        let (listeners, new) = (self.listeners, network.clone());
        self.inside(move || {
            // The rules come first: nothing on the bridge is ever without them.
            setup::set_rules(&networks, listeners)?;
            if let Some(old) = old {
                setup::silence_bridge(&old)?;
            }
            setup::add_bridge(&new)
        })?;
        self.shared.policy.add_network(network);
        Ok(())
    }

    fn remove_network(&mut self, bridge: &str) -> Result<(), Error> {
        let mut networks = self.shared.policy.networks().to_vec();
        let gone = networks.iter().position(|n| n.bridge == bridge).map(|at| networks.remove(at));
        let listeners = self.listeners;
        self.inside(move || {
            if let Some(network) = gone {
                setup::silence_bridge(&network)?;
            }
            setup::set_rules(&networks, listeners)
        })?;
        self.shared.policy.remove_network(bridge);
        self.removals.begin(bridge.to_owned());
        Ok(())
    }

    /// Takes bridges away that an earlier gate made and no engine knows any more.
    fn keep_only(&mut self, bridges: &[String]) -> Result<(), Error> {
        let existing = self.inside(setup::bridges)?;
        for bridge in self.removals.stray(bridges, existing) {
            self.remove_network(&bridge)?;
        }
        Ok(())
    }

    fn inside<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.shared
            .servant
            .run(job)
            .map_err(|source| Error { what: "ask the servant".to_owned(), source })?
    }
}

fn done(result: Result<(), Error>) -> Reply {
    match result {
        Ok(()) => Reply::Ok,
        Err(e) => Reply::Failed { message: e.to_string() },
    }
}
