//! Outbound TCP: a container's first SYN is held until the host's side of the connection stands, so that the
//! container's `connect` tells the truth.
//!
//! ```text
//! container ── SYN ──▶ tun ──▶ policy ──▶ connect on the host's side
//!                                           ├─ failed: RST, or ICMP unreachable, into the tun
//!                                           └─ done: the SYN goes back into the tun; tproxy hands it to the
//!                                              listener; accept() shows the same two ends; the sockets are joined
//! ```
//!
//! A SYN that is repeated while the connect runs is dropped; after that it is written back again. A connection that
//! the container does not take within [`UNTAKEN`] is closed, and a connect ends when the container stops to repeat its SYN.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::SocketFlags;

use super::outward;
use super::packet::Packet;
use super::policy::{Closed, Destination, HostAddress};
use super::poll::{CONNECT, Event, Kind, READ, Token};
use super::quota::Lease;
use super::shared::{Shared, errno_for};
use super::slab::{Key, Slab};
use super::stream::{Joint, Stage, Streams, reset_on_close};
use crate::messages::Protocol;

/// How long a connection waits for the container to take it.
const UNTAKEN: Duration = Duration::from_secs(10);
/// How long a container may take for its first repetition of a SYN: three times the usual second.
const PATIENCE: Duration = Duration::from_secs(3);
/// Connects under way that one container may have; more SYNs are dropped (and repeated by their sender).
const HALF_OPEN: u32 = 1024;

/// The container's end and the destination it asked for.
type Pair = (SocketAddr, SocketAddr);

#[derive(Debug)]
struct Dial {
    pair: Pair,
    socket: OwnedFd,
    /// Addresses to try when this one fails, last first.
    others: Vec<HostAddress>,
    connected: bool,
    syn: Vec<u8>,
    since: Instant,
    /// When the container last sent its SYN.
    repeated: Instant,
    lease: Lease,
}

impl Dial {
    /// The container has given up: TCP repeats a SYN at intervals that at most double.
    fn is_abandoned(&self, now: Instant) -> bool {
        let interval = self.repeated.duration_since(self.since);
        now.duration_since(self.repeated) > 2 * interval + PATIENCE
    }
}

/// A transparent listener at a destination, where tproxy cannot redirect to one listener for all.
#[derive(Debug)]
struct Place {
    address: SocketAddr,
    listener: OwnedFd,
    /// Connects that need it.
    uses: usize,
}

/// All connects under way.
#[derive(Debug)]
pub struct Dials {
    slab: Slab<Dial>,
    /// None: tproxy redirects.
    places: Option<Slab<Place>>,
    by_pair: HashMap<Pair, Key>,
    half_open: HashMap<IpAddr, u32>,
}

impl Dials {
    /// None. `tproxy`: held SYNs are redirected to a listener that is there.
    pub fn new(tproxy: bool) -> Dials {
        let places = (!tproxy).then(Slab::new);
        Dials { slab: Slab::new(), places, by_pair: HashMap::new(), half_open: HashMap::new() }
    }

    /// True when there is nothing to sweep.
    pub fn is_empty(&self) -> bool {
        self.slab.len() == 0
    }

    /// Handles a SYN from the tun device.
    pub fn syn(&mut self, shared: &mut Shared, packet: &Packet<'_>) {
        let Some(pair) = packet.ends() else { return };
        let known = self.by_pair.get(&pair).copied();
        if let Some(dial) = known.and_then(|key| self.slab.get_mut(key)) {
            dial.repeated = shared.now;
            if dial.connected {
                shared.inject(&dial.syn);
            }
            return;
        }
        match self.begin(shared, pair, packet.bytes) {
            Ok(()) => {}
            Err(Refusal::Silent) => {}
            Err(Refusal::Policy(closed)) => shared.refuse_syn(packet.bytes, errno_for(closed)),
            Err(Refusal::Failed(error)) => {
                shared.refuse_syn(packet.bytes, Errno::from_io_error(&error));
            }
        }
    }

    fn begin(&mut self, shared: &mut Shared, pair: Pair, syn: &[u8]) -> Result<(), Refusal> {
        let owner = pair.0.ip();
        let destination = shared.policy.judge(Protocol::Tcp, owner, pair.1);
        if let Destination::Closed(closed) = destination {
            return Err(match closed {
                Closed::Unknown => Refusal::Silent,
                other => Refusal::Policy(other),
            });
        }
        let half_open = self.half_open.get(&owner).copied().unwrap_or(0);
        if half_open >= HALF_OPEN {
            return Err(Refusal::Silent);
        }
        let lease = shared.quota.lease(owner, 2).ok_or(Refusal::Silent)?;
        let (socket, others) = connect(shared, destination)?;
        let dial = Dial {
            pair,
            socket,
            others,
            connected: false,
            syn: syn.to_vec(),
            since: shared.now,
            repeated: shared.now,
            lease,
        };
        let key = self.slab.insert(dial);
        self.by_pair.insert(pair, key);
        self.half_open.insert(owner, half_open + 1);
        self.watch(shared, key).inspect_err(|_| {
            self.remove(key);
        })?;
        Ok(())
    }

    fn watch(&self, shared: &Shared, key: Key) -> io::Result<()> {
        match self.slab.get(key) {
            Some(dial) => shared.poll.add(&dial.socket, Token::new(Kind::Dial, key), CONNECT),
            None => Ok(()),
        }
    }

    /// Handles the end of a connect.
    pub fn handle(&mut self, shared: &mut Shared, event: &Event) {
        let key = event.token.key;
        let Some(dial) = self.slab.get_mut(key) else { return };
        let outcome = if event.failed {
            rustix::net::sockopt::socket_error(&dial.socket).unwrap_or_else(Err)
        } else {
            Ok(())
        };
        match outcome {
            Ok(()) if dial.connected => {
                // The other side closed before the container took the connection; the flow will see it.
            }
            Ok(()) => {
                dial.connected = true;
                dial.since = shared.now;
                let (place, syn) = (dial.pair.1, dial.syn.clone());
                match self.listen_at(shared, place) {
                    Ok(()) => shared.inject(&syn),
                    Err(_) => self.failed(shared, key, Errno::CONNREFUSED),
                }
            }
            Err(error) => self.failed(shared, key, error),
        }
    }

    fn failed(&mut self, shared: &mut Shared, key: Key, error: Errno) {
        let Some(dial) = self.slab.get_mut(key) else { return };
        while let Some(next) = dial.others.pop() {
            if let Ok(socket) = outward::stream(next) {
                dial.socket = socket;
                if self.watch(shared, key).is_ok() {
                    return;
                }
                break;
            }
        }
        if let Some(dial) = self.remove(key) {
            shared.refuse_syn(&dial.syn, Some(error));
        }
    }

    /// Listens inside at a destination, if that is how held SYNs are taken.
    fn listen_at(&mut self, shared: &mut Shared, address: SocketAddr) -> io::Result<()> {
        let Some(places) = &mut self.places else { return Ok(()) };
        let known = places.iter().find(|(_, p)| p.address == address).map(|(key, _)| key);
        if let Some(place) = known.and_then(|key| places.get_mut(key)) {
            place.uses += 1;
            return Ok(());
        }
        let listener = shared.pools.stream(outward::version(address.ip()))?;
        rustix::net::bind(&listener, &address)?;
        rustix::net::listen(&listener, 1024)?;
        let key = places.insert(Place { address, listener, uses: 1 });
        match places.get(key) {
            Some(p) => shared.poll.add(&p.listener, Token::new(Kind::Destination, key), READ),
            None => Ok(()),
        }
    }

    /// Takes the connections that wait at a destination's listener.
    pub fn accept_at(&mut self, shared: &mut Shared, streams: &mut Streams, key: Key) {
        let listener =
            self.places.as_ref().and_then(|p| p.get(key)).map(|p| p.listener.try_clone());
        if let Some(Ok(listener)) = listener {
            self.accept(shared, streams, &listener);
        }
    }

    fn leave(&mut self, address: SocketAddr) {
        let Some(places) = &mut self.places else { return };
        let Some(key) = places.iter().find(|(_, p)| p.address == address).map(|(key, _)| key)
        else {
            return;
        };
        if let Some(place) = places.get_mut(key) {
            place.uses = place.uses.saturating_sub(1);
            if place.uses == 0 {
                places.remove(key);
            }
        }
    }

    fn remove(&mut self, key: Key) -> Option<Dial> {
        let dial = self.slab.remove(key)?;
        self.by_pair.remove(&dial.pair);
        if dial.connected {
            self.leave(dial.pair.1);
        }
        let owner = dial.lease.owner();
        if let Some(count) = self.half_open.get_mut(&owner) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.half_open.remove(&owner);
            }
        }
        Some(dial)
    }

    /// Takes a connection that a transparent listener has and joins it with its host side.
    pub fn accept(&mut self, shared: &mut Shared, streams: &mut Streams, listener: &OwnedFd) {
        // One at a time: a listener where more wait is announced again.
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let Ok((inner, Some(peer))) = rustix::net::acceptfrom_with(listener, flags) else { return };
        let asked = rustix::net::getsockname(&inner).and_then(SocketAddr::try_from);
        let (Ok(peer), Ok(asked)) = (SocketAddr::try_from(peer), asked) else { return };
        let key = self.by_pair.get(&(peer, asked)).copied();
        let connected = key.and_then(|k| self.slab.get(k)).is_some_and(|d| d.connected);
        let Some(dial) = key.filter(|_| connected).and_then(|k| self.remove(k)) else {
            reset_on_close(&inner);
            return;
        };
        // A failure drops both sockets, which is all that can be said to either side.
        let (outer, lease) = (dial.socket, dial.lease);
        let _ = streams.join(&shared.poll, Joint { inner, outer, lease, stage: Stage::Open });
    }

    /// Closes connections that no container took, and ends connects that nobody waits for any more.
    pub fn sweep(&mut self, shared: &Shared) {
        let old = |d: &Dial| match d.connected {
            true => shared.now.duration_since(d.since) > UNTAKEN,
            false => d.is_abandoned(shared.now),
        };
        for key in self.slab.keys(old) {
            if let Some(dial) = self.remove(key) {
                reset_on_close(&dial.socket);
            }
        }
    }
}

/// Why a SYN gets no connection.
enum Refusal {
    /// Nothing is said: the sender tries again, or has no right to an answer.
    Silent,
    /// By policy.
    Policy(Closed),
    /// The connect failed at once.
    Failed(io::Error),
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Refusal {
        Refusal::Failed(error)
    }
}

/// Begins the connect; on the host's side the addresses that are left to try come back, too.
fn connect(
    shared: &mut Shared,
    destination: Destination,
) -> Result<(OwnedFd, Vec<HostAddress>), Refusal> {
    match destination {
        Destination::Host(mut addresses) => {
            addresses.reverse();
            let mut last = io::Error::from(Errno::NETUNREACH);
            while let Some(address) = addresses.pop() {
                match outward::stream(address) {
                    Ok(socket) => return Ok((socket, addresses)),
                    Err(e) => last = e,
                }
            }
            Err(last.into())
        }
        Destination::Container { to, from } => {
            let socket = shared.pools.stream(outward::version(to.ip()))?;
            begin_inside(&socket, SocketAddr::new(from, 0), to)?;
            Ok((socket, Vec::new()))
        }
        Destination::Closed(closed) => Err(Refusal::Policy(closed)),
    }
}

/// Begins a connect inside the containers' network, from an address that need not be its own.
pub fn begin_inside(socket: &OwnedFd, from: SocketAddr, to: SocketAddr) -> io::Result<()> {
    if from.port() == 0 {
        bryo_sys::sockopt::set_bind_address_no_port(socket)?;
    }
    rustix::net::bind(socket, &from)?;
    match rustix::net::connect(socket, &to) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(()),
        Err(e) => Err(e.into()),
    }
}
