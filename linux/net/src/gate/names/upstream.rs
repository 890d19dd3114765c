//! Questions about names that are not a container's networks': passed on, byte for byte, and so are the answers.
//!
//! The host's servers (of its resolv.conf, followed when it changes, also on its loopback) are asked from the host's
//! network namespace; servers that a container named itself from the container's own, so that they may be other
//! containers and are bound by the same policy as everything the container sends. Each question has a socket and thereby
//! a port of its own. A server that refuses, or is silent for [`PATIENCE`], is followed by the next; who asked gets
//! SERVFAIL when none is left.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use super::server::{Server, Surroundings};
use super::wire::{self, Transport};
use crate::gate::policy::DNS;
use crate::gate::poll::{CONNECT, Event, Kind, READ, Token};
use crate::gate::resolver::Resolvers;
use crate::gate::slab::{Key, Slab};

/// Questions that one container may have under way.
const UNDER_WAY: usize = 128;
/// How long a server may be silent while there is another.
const PATIENCE: Duration = Duration::from_millis(1500);
/// How long the last one may.
const LAST: Duration = Duration::from_secs(5);

/// Who asked.
#[derive(Clone)]
pub enum Asker {
    /// By datagram, to a container's socket, from an address.
    Udp { socket: Rc<OwnedFd>, from: SocketAddr },
    /// On a connection.
    Tcp { stream: Key },
}

/// A question under way.
struct Query {
    container: Rc<str>,
    asker: Asker,
    packet: Vec<u8>,
    /// Servers to ask yet, the next one last.
    servers: Vec<IpAddr>,
    /// They are asked from the container's network namespace.
    inside: bool,
    socket: Option<OwnedFd>,
    /// What came by TCP so far.
    read: Vec<u8>,
    due: Instant,
    /// A refusal to be told if nobody does better.
    refusal: Option<Vec<u8>>,
}

/// All of them.
pub struct Queries {
    slab: Slab<Query>,
    resolvers: Resolvers,
    space: Vec<u8>,
}

impl Queries {
    /// None; the host's servers are what `resolvers` says.
    pub fn new(resolvers: Resolvers) -> Queries {
        Queries { slab: Slab::new(), resolvers, space: vec![0; usize::from(u16::MAX)] }
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.slab.len()
    }

    /// Drops a container's.
    pub fn forget(&mut self, container: &str) {
        for key in self.slab.keys(|q| *q.container == *container) {
            self.slab.remove(key);
        }
    }
}

/// What came of looking at a question's socket.
enum Outcome {
    Wait,
    Answer(Vec<u8>),
    Failed,
}

impl Server {
    /// Passes a question on.
    pub(super) fn pass_on(&mut self, container: &Rc<str>, packet: &[u8], asker: Asker) {
        let (servers, outward) = match self.table.get(container) {
            Some(names) => (names.servers.clone(), names.outward),
            None => return self.drop_question(&asker),
        };
        let inside = !servers.is_empty();
        let mut servers = match (inside, outward) {
            (true, _) => servers,
            (false, true) => self.queries.resolvers.current().to_vec(),
            (false, false) => Vec::new(),
        };
        let total = self.streams.len() + self.queries.len();
        let full = u64::try_from(total).is_ok_and(|n| n >= self.around.descriptors);
        let Some(home) = self.homes.get_mut(container) else { return };
        if home.under_way >= UNDER_WAY || full {
            return self.drop_question(&asker);
        }
        home.under_way += 1;
        servers.reverse();
        let key = self.queries.slab.insert(Query {
            container: Rc::clone(container),
            asker,
            packet: packet.to_vec(),
            servers,
            inside,
            socket: None,
            read: Vec::new(),
            due: self.now,
            refusal: None,
        });
        if !self.ask_next(key) {
            if let Some((asker, bytes)) = self.given_up(key) {
                self.answer(&asker, &bytes);
            }
        }
    }

    /// A question that is not answered at all. A connection ends with it.
    pub(super) fn drop_question(&mut self, asker: &Asker) {
        if let Asker::Tcp { stream } = asker {
            self.end_stream(*stream);
        }
    }

    /// Asks the next server that can be asked; false: there is none.
    fn ask_next(&mut self, key: Key) -> bool {
        while let Some(query) = self.queries.slab.get_mut(key) {
            let Some(server) = query.servers.pop() else { return false };
            query.socket = None;
            query.read.clear();
            let patience = if query.servers.is_empty() { LAST } else { PATIENCE };
            query.due = self.now + patience;
            let netns = self.homes.get(&query.container).and_then(|home| home.netns.as_ref());
            let from = match (query.inside, netns) {
                (false, _) => From::Host,
                (true, Some(netns)) => From::Container(&self.around, netns),
                (true, None) => return false,
            };
            let transport = query.asker.transport();
            let Ok(socket) = begin(from, SocketAddr::new(server, DNS), transport, &query.packet)
            else {
                continue;
            };
            let flags = if transport == Transport::Udp { READ } else { CONNECT };
            let token = Token::new(Kind::NamesUpstream, key);
            if self.poll.add(&socket, token, flags).is_ok() {
                query.socket = Some(socket);
                return true;
            }
        }
        false
    }

    /// Handles what a server said.
    pub(super) fn handle_upstream(&mut self, key: Key, event: &Event) {
        let Some(query) = self.queries.slab.get_mut(key) else { return };
        let Some(socket) = &query.socket else { return };
        let space = self.queries.space.as_mut_slice();
        let outcome = match query.asker.transport() {
            Transport::Udp => receive(socket, &query.packet, space),
            Transport::Tcp if event.readable && !event.writable => {
                let step = read(socket, &mut query.read, space);
                step.unwrap_or(Outcome::Failed)
            }
            Transport::Tcp => match send_framed(socket, &query.packet) {
                Ok(()) if self.poll.modify(socket, event.token, READ).is_ok() => Outcome::Wait,
                _ => Outcome::Failed,
            },
        };
        match outcome {
            Outcome::Wait => {}
            Outcome::Answer(bytes) if wire::is_refusal(&bytes) => {
                query.refusal = Some(bytes);
                self.next_or_give_up(key);
            }
            Outcome::Answer(bytes) => {
                if let Some(query) = self.end_query(key) {
                    self.answer_later(&query.asker, &bytes);
                }
            }
            Outcome::Failed => self.next_or_give_up(key),
        }
    }

    fn next_or_give_up(&mut self, key: Key) {
        if !self.ask_next(key) {
            if let Some((asker, bytes)) = self.given_up(key) {
                self.answer_later(&asker, &bytes);
            }
        }
    }

    /// Ends a question that no server answers; who is to be told what.
    fn given_up(&mut self, key: Key) -> Option<(Asker, Vec<u8>)> {
        let query = self.end_query(key)?;
        let bytes = query.refusal.or_else(|| wire::no_server(&query.packet))?;
        Some((query.asker, bytes))
    }

    fn end_query(&mut self, key: Key) -> Option<Query> {
        let query = self.queries.slab.remove(key)?;
        if let Some(home) = self.homes.get_mut(&query.container) {
            home.under_way = home.under_way.saturating_sub(1);
        }
        Some(query)
    }

    /// Goes on to the next server where one was silent for too long.
    pub(super) fn sweep_queries(&mut self) {
        let now = self.now;
        for key in self.queries.slab.keys(|q| q.due <= now) {
            self.next_or_give_up(key);
        }
    }
}

/// Where a question to a server comes from.
enum From<'a> {
    Host,
    Container(&'a Surroundings, &'a std::sync::Arc<OwnedFd>),
}

/// A connected socket; by UDP the question is on its way.
fn begin(
    from: From<'_>,
    server: SocketAddr,
    transport: Transport,
    packet: &[u8],
) -> io::Result<OwnedFd> {
    let family = if server.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let kind = match transport {
        Transport::Udp => SocketType::DGRAM,
        Transport::Tcp => SocketType::STREAM,
    };
    let make = move || {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        Ok(rustix::net::socket_with(family, kind, flags, None)?)
    };
    let socket = match from {
        From::Host => make()?,
        From::Container(Surroundings { usher, bridges, .. }, netns) => {
            super::inside(usher, bridges, netns, make)?
        }
    };
    match rustix::net::connect(&socket, &server) {
        Ok(()) | Err(Errno::INPROGRESS) => {}
        Err(e) => return Err(e.into()),
    }
    if transport == Transport::Udp {
        rustix::net::send(&socket, packet, SendFlags::NOSIGNAL)?;
    }
    Ok(socket)
}

/// Takes what came by UDP; what does not belong to the question is not looked at.
fn receive(socket: &OwnedFd, question: &[u8], space: &mut [u8]) -> Outcome {
    loop {
        match rustix::net::recv(socket, &mut *space, RecvFlags::DONTWAIT) {
            Ok((length, _)) => {
                let bytes = space.get(..length).unwrap_or(&[]);
                if wire::belongs(bytes, question) {
                    return Outcome::Answer(bytes.to_vec());
                }
            }
            Err(Errno::AGAIN) => return Outcome::Wait,
            Err(Errno::INTR) => {}
            Err(_) => return Outcome::Failed,
        }
    }
}

/// Sends a question behind its length. A new connection has room for it.
fn send_framed(socket: &OwnedFd, packet: &[u8]) -> io::Result<()> {
    let length = u16::try_from(packet.len()).map_err(io::Error::other)?;
    let framed = [&length.to_be_bytes(), packet].concat();
    let sent = rustix::net::send(socket, &framed, SendFlags::NOSIGNAL)?;
    if sent == framed.len() { Ok(()) } else { Err(Errno::NOBUFS.into()) }
}

/// Takes what came by TCP.
fn read(socket: &OwnedFd, got: &mut Vec<u8>, space: &mut [u8]) -> io::Result<Outcome> {
    match rustix::io::read(socket, &mut *space) {
        Ok(0) => return Ok(Outcome::Failed),
        Ok(length) => got.extend_from_slice(space.get(..length).unwrap_or(&[])),
        Err(Errno::AGAIN | Errno::INTR) => return Ok(Outcome::Wait),
        Err(e) => return Err(e.into()),
    }
    let Some(&[a, b]) = got.first_chunk::<2>() else { return Ok(Outcome::Wait) };
    let end = 2 + usize::from(u16::from_be_bytes([a, b]));
    Ok(match got.get(2..end) {
        Some(whole) => Outcome::Answer(whole.to_vec()),
        None => Outcome::Wait,
    })
}
