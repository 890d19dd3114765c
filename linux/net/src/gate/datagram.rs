//! UDP flows, outbound and published.
//!
//! ```text
//! outbound   first datagram ─▶ wildcard socket (with its original destination) ─▶ policy ─▶ a flow: a transparent
//!            socket inside, bound to the destination and connected to the container, and a connected one outside.
//!            From then on the kernel gives the container's datagrams to the flow's own socket.
//! published  datagram at the port ─▶ a flow: a transparent socket inside, bound to the client and connected to the
//!            container; answers go out by the port's socket from the address the client used.
//! ```
//!
//! Datagrams are moved many at a time; runs of equal ones travel as one message (`batch.rs`).
//!
//! A flow ends when nothing came for [`UNANSWERED`], or [`ANSWERED`] once it went both ways for a while, as conntrack
//! does it; with its port; or when its container needs descriptors for a newer one. Errors of the outer socket (port
//! unreachable …) are told to the container as ICMP.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bryo_sys::datagram::{Receiver, Sending};
use rustix::io::Errno;

use super::batch;
use super::outward::{self, version};
use super::packet::{self, Packet, Unreachable};
use super::policy::{Closed, Destination};
use super::poll::{Event, Kind, READ, Token};
use super::port::shown_as;
use super::quota::Lease;
use super::shared::{Shared, unreachable_for};
use super::slab::{Key, Slab};
use crate::messages::{Protocol, Publication};

/// Idle time of a flow that was not (or only once) answered.
const UNANSWERED: Duration = Duration::from_secs(30);
/// Idle time of a conversation.
const ANSWERED: Duration = Duration::from_secs(120);
/// A flow answered after this time is a conversation.
const CONVERSATION: Duration = Duration::from_secs(2);
/// Datagrams taken in one system call.
const SLOTS: usize = 32;
/// When a container has no descriptors left, this part of its flows, the longest idle, makes room.
const EVICT: usize = 8;

/// What tells flows apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Pair {
    /// The container's end and the destination it asked for.
    Out(SocketAddr, SocketAddr),
    /// The port, the client, and the address it used.
    In(Key, SocketAddr, IpAddr),
    /// A published flow as the tun device sees its answers: the container's end and the one it answers to.
    Answer(SocketAddr, SocketAddr),
}

#[derive(Debug)]
enum Outer {
    /// A socket of its own, connected.
    Socket(OwnedFd),
    /// The published port's, with the client and the address to answer from.
    Port(Rc<OwnedFd>, SocketAddr, IpAddr),
}

#[derive(Debug)]
struct Flow {
    pair: Pair,
    inner: OwnedFd,
    outer: Outer,
    since: Instant,
    used: Instant,
    conversation: bool,
    /// A second name in `by_pair`.
    alias: Option<Pair>,
    lease: Lease,
}

/// All UDP flows.
#[derive(Debug)]
pub struct Datagrams {
    slab: Slab<Flow>,
    by_pair: HashMap<Pair, Key>,
    receiver: Receiver,
    /// Containers' datagrams come to the flows' own sockets; else by the tun device.
    tproxy: bool,
}

impl Datagrams {
    /// None. `tproxy`: the kernel gives containers' datagrams to the flows' own sockets.
    pub fn new(tproxy: bool) -> Datagrams {
        let receiver = Receiver::new(SLOTS);
        Datagrams { slab: Slab::new(), by_pair: HashMap::new(), receiver, tproxy }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.slab.len()
    }

    /// Handles first datagrams that came to a wildcard socket inside.
    pub fn at_wildcard(&mut self, shared: &mut Shared, socket: &OwnedFd) {
        let mut receiver = std::mem::replace(&mut self.receiver, Receiver::new(0));
        if receiver.receive(socket).is_ok() {
            for (slot, received) in receiver.received().iter().enumerate() {
                let (Some(from), Some(to)) = (received.from, received.to) else { continue };
                if let Some(key) = self.outbound(shared, from, to) {
                    self.forward_one(shared, key, receiver.data(slot));
                }
            }
        }
        self.receiver = receiver;
    }

    /// Handles a datagram that a container sent, where they all come by the tun device.
    pub fn at_tun(&mut self, shared: &mut Shared, packet: &Packet<'_>) {
        let Some((from, to)) = packet.ends() else { return };
        let Some(data) = packet.payload.get(8..) else { return };
        if let Some(key) = self.by_pair.get(&Pair::Answer(from, to)).copied() {
            self.answer_one(shared, key, data);
        } else if let Some(key) = self.outbound(shared, from, to) {
            self.forward_one(shared, key, data);
        }
    }

    /// Sends a published container's datagram to its client: outside, or another container.
    fn answer_one(&mut self, shared: &Shared, key: Key, data: &[u8]) {
        let Some(flow) = self.slab.get_mut(key) else { return };
        flow.used = shared.now;
        // A client that is gone loses datagrams.
        let _ = match &flow.outer {
            Outer::Socket(_) => batch::send(&flow.inner, data, None, Sending::default()),
            Outer::Port(port, client, used) => {
                let how = Sending { to: Some(*client), from: Some(*used), segment: None };
                batch::send(port.as_ref(), data, None, how)
            }
        };
    }

    /// Handles datagrams that came to a published port.
    pub fn at_port(
        &mut self,
        shared: &mut Shared,
        port: Key,
        socket: &Rc<OwnedFd>,
        publication: &Publication,
    ) {
        let mut receiver = std::mem::replace(&mut self.receiver, Receiver::new(0));
        if receiver.receive(socket.as_ref()).is_ok() {
            for (slot, received) in receiver.received().iter().enumerate() {
                let (Some(client), Some(used)) = (received.from, received.to) else { continue };
                let pair = Pair::In(port, client, used.ip());
                let Some(key) = self.inbound(shared, pair, socket, publication) else { continue };
                let Some(flow) = self.slab.get_mut(key) else { continue };
                flow.used = shared.now;
                let data = receiver.data(slot);
                // A container that is not there loses datagrams, as a network does.
                let _ = batch::send(&flow.inner, data, received.segment, Sending::default());
            }
        }
        self.receiver = receiver;
    }

    /// Handles what came on a flow's own sockets.
    pub fn handle(&mut self, shared: &mut Shared, event: &Event) {
        let key = event.token.key;
        let Some(flow) = self.slab.get_mut(key) else { return };
        flow.used = shared.now;
        let outward = event.token.kind == Kind::DatagramInner;
        let result = match (&flow.outer, outward) {
            (Outer::Socket(outer), true) => {
                batch::relay(&mut self.receiver, &flow.inner, outer, Sending::default())
            }
            (Outer::Socket(outer), false) => {
                batch::relay(&mut self.receiver, outer, &flow.inner, Sending::default())
            }
            (Outer::Port(port, client, used), _) => {
                let to = Sending { to: Some(*client), from: Some(*used), segment: None };
                batch::relay(&mut self.receiver, &flow.inner, port, to)
            }
        };
        let answer = outward == matches!(flow.pair, Pair::In(..));
        if answer && shared.now.duration_since(flow.since) > CONVERSATION {
            flow.conversation = true;
        }
        if let Err(error) = result {
            self.failed(shared, key, &error);
        }
    }

    /// Sends one datagram of a flow outwards.
    fn forward_one(&mut self, shared: &Shared, key: Key, data: &[u8]) {
        let Some(flow) = self.slab.get_mut(key) else { return };
        flow.used = shared.now;
        if let Outer::Socket(outer) = &flow.outer {
            if let Err(error) = batch::send(outer, data, None, Sending::default()) {
                self.failed(shared, key, &error);
            }
        }
    }

    /// Tells the container why its datagram did not arrive.
    fn failed(&mut self, shared: &Shared, key: Key, error: &io::Error) {
        let Some(Flow { pair: Pair::Out(from, to), .. }) = self.slab.get(key) else { return };
        let why = match Errno::from_io_error(error) {
            Some(Errno::CONNREFUSED) => Some(Unreachable::Port),
            other => unreachable_for(other),
        };
        if let Some(why) = why {
            shared.refuse_packet(&packet::udp_head(*from, *to), why);
        }
    }

    /// The flow of an outbound datagram, made if it is the first.
    fn outbound(&mut self, shared: &mut Shared, from: SocketAddr, to: SocketAddr) -> Option<Key> {
        let pair = Pair::Out(from, to);
        if let Some(key) = self.by_pair.get(&pair) {
            return Some(*key);
        }
        let destination = shared.policy.judge(Protocol::Udp, from.ip(), to);
        if let Destination::Closed(closed) = destination {
            let why = match closed {
                Closed::Unknown => return None,
                Closed::Refused => Unreachable::Port,
                Closed::Unreachable => Unreachable::Network,
            };
            shared.refuse_packet(&packet::udp_head(from, to), why);
            return None;
        }
        let lease = self.lease(shared, from.ip(), 2)?;
        let made = outer_socket(shared, destination)
            .and_then(|outer| Ok((outer, inside(shared, to, from)?)));
        match made {
            Ok((outer, inner)) => self.add(shared, pair, inner, Outer::Socket(outer), lease),
            Err(error) => {
                if let Some(why) = unreachable_for(Errno::from_io_error(&error)) {
                    shared.refuse_packet(&packet::udp_head(from, to), why);
                }
                None
            }
        }
    }

    /// The flow of a published port's datagram, made if it is the first.
    fn inbound(
        &mut self,
        shared: &mut Shared,
        pair: Pair,
        socket: &Rc<OwnedFd>,
        publication: &Publication,
    ) -> Option<Key> {
        if let Some(key) = self.by_pair.get(&pair) {
            return Some(*key);
        }
        let Pair::In(_, client, used) = pair else { return None };
        let to = SocketAddr::new(publication.container_ip, publication.container_port);
        let shown = shown_as(shared, client.ip(), to.ip()).ok()?;
        let lease = self.lease(shared, to.ip(), 1)?;
        let inner = inside(shared, SocketAddr::new(shown, client.port()), to)
            .or_else(|_| inside(shared, SocketAddr::new(shown, 0), to))
            .ok()?;
        self.add(shared, pair, inner, Outer::Port(Rc::clone(socket), client, used), lease)
    }

    fn add(
        &mut self,
        shared: &Shared,
        pair: Pair,
        inner: OwnedFd,
        outer: Outer,
        lease: Lease,
    ) -> Option<Key> {
        let (since, used) = (shared.now, shared.now);
        let answering = match &outer {
            _ if self.tproxy => None,
            Outer::Port(..) => ends_of(&inner),
            Outer::Socket(outer) => ends_of(outer),
        };
        let alias = answering
            .filter(|(container, _)| shared.policy.gateway_of(container.ip()).is_some())
            .map(|(container, client)| Pair::Answer(container, client));
        let flow = Flow { pair, inner, outer, since, used, conversation: false, alias, lease };
        let key = self.slab.insert(flow);
        self.by_pair.insert(pair, key);
        if let Some(alias) = alias {
            self.by_pair.insert(alias, key);
        }
        let flow = self.slab.get(key)?;
        let inner = shared.poll.add(&flow.inner, Token::new(Kind::DatagramInner, key), READ);
        let outer = match &flow.outer {
            Outer::Socket(fd) => shared.poll.add(fd, Token::new(Kind::DatagramOuter, key), READ),
            Outer::Port(..) => Ok(()),
        };
        if inner.and(outer).is_err() {
            self.remove(key);
            return None;
        }
        Some(key)
    }

    /// Books descriptors, at the expense of the container's own idle flows if need be.
    fn lease(&mut self, shared: &Shared, owner: IpAddr, descriptors: u32) -> Option<Lease> {
        if let Some(lease) = shared.quota.lease(owner, descriptors) {
            return Some(lease);
        }
        let mut own: Vec<(Instant, Key)> = self
            .slab
            .iter()
            .filter(|(_, flow)| flow.lease.owner() == owner)
            .map(|(key, flow)| (flow.used, key))
            .collect();
        own.sort_by_key(|(used, _)| *used);
        let count = own.len().div_ceil(EVICT);
        for (_, key) in own.into_iter().take(count) {
            self.remove(key);
        }
        shared.quota.lease(owner, descriptors)
    }

    /// Ends flows that were idle for too long.
    pub fn sweep(&mut self, now: Instant) {
        let old = |flow: &Flow| {
            let limit = if flow.conversation { ANSWERED } else { UNANSWERED };
            now.duration_since(flow.used) > limit
        };
        for key in self.slab.keys(old) {
            self.remove(key);
        }
    }

    /// Ends the flows of a port that is closed, so that it can be opened again at once.
    pub fn forget_port(&mut self, port: Key) {
        for key in self.slab.keys(|f| matches!(f.pair, Pair::In(p, ..) if p == port)) {
            self.remove(key);
        }
    }

    fn remove(&mut self, key: Key) {
        if let Some(flow) = self.slab.remove(key) {
            self.by_pair.remove(&flow.pair);
            if let Some(alias) = flow.alias {
                self.by_pair.remove(&alias);
            }
        }
    }
}

/// The ends of a socket: the other one and its own.
fn ends_of(socket: &OwnedFd) -> Option<(SocketAddr, SocketAddr)> {
    let own = SocketAddr::try_from(rustix::net::getsockname(socket).ok()?).ok()?;
    let other = SocketAddr::try_from(rustix::net::getpeername(socket).ok()??).ok()?;
    Some((other, own))
}

/// A socket inside, bound to `from` and connected to `to`.
fn inside(shared: &mut Shared, from: SocketAddr, to: SocketAddr) -> io::Result<OwnedFd> {
    let socket = shared.pools.datagram(version(to.ip()))?;
    bryo_sys::sockopt::set_udp_gro(&socket)?;
    rustix::net::bind(&socket, &from)?;
    rustix::net::connect(&socket, &to)?;
    Ok(socket)
}

/// The socket that leads to the destination, connected.
fn outer_socket(shared: &mut Shared, destination: Destination) -> io::Result<OwnedFd> {
    match destination {
        Destination::Host(addresses) => {
            let mut last = io::Error::from(Errno::NETUNREACH);
            for address in addresses {
                match outward::datagram(address) {
                    Ok(socket) => {
                        bryo_sys::sockopt::set_udp_gro(&socket)?;
                        return Ok(socket);
                    }
                    Err(e) => last = e,
                }
            }
            Err(last)
        }
        Destination::Container { to, from } => inside(shared, SocketAddr::new(from, 0), to),
        Destination::Closed(_) => Err(Errno::NETUNREACH.into()),
    }
}
