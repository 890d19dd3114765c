//! Ping: ICMP echo requests from containers, sent on by datagram ICMP sockets of the host where
//! net.ipv4.ping_group_range allows the user those; elsewhere the container hears "administratively prohibited".
//!
//! One socket for each (container, identifier, destination), for [`IDLE`] after its last use. The kernel gives the
//! socket an identifier of its own, so the container's is put back into the answers.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

use super::outward;
use super::packet::{self, ICMP, Packet, Unreachable};
use super::policy::{Closed, Destination};
use super::poll::{Event, Kind, READ, Token};
use super::quota::Lease;
use super::shared::{Shared, unreachable_for};
use super::slab::{Key, Slab};
use crate::messages::Protocol;

const IDLE: Duration = Duration::from_secs(30);
/// Length of the echo header: type, code, checksum, identifier, sequence number.
const HEADER: usize = 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Series {
    container: IpAddr,
    destination: IpAddr,
    identifier: [u8; 2],
}

#[derive(Debug)]
struct Echo {
    series: Series,
    socket: OwnedFd,
    used: Instant,
    _lease: Lease,
}

/// All series of echo requests.
#[derive(Debug)]
pub struct Echoes {
    slab: Slab<Echo>,
    by_series: HashMap<Series, Key>,
}

/// True for an echo request of either IP version.
pub fn is_request(packet: &Packet<'_>) -> bool {
    let request = if packet.protocol == ICMP { 8 } else { 128 };
    packet.payload.len() >= HEADER && packet.payload.first() == Some(&request)
}

impl Echoes {
    /// None.
    pub fn new() -> Echoes {
        Echoes { slab: Slab::new(), by_series: HashMap::new() }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.slab.len()
    }

    /// Sends a request on.
    pub fn request(&mut self, shared: &mut Shared, packet: &Packet<'_>) {
        let Some(identifier) = packet.payload.get(4..).and_then(|p| p.first_chunk::<2>()) else {
            return;
        };
        let series = Series {
            container: packet.source,
            destination: packet.destination,
            identifier: *identifier,
        };
        let key = match self.by_series.get(&series) {
            Some(key) => *key,
            None => match self.open(shared, series) {
                Ok(key) => key,
                Err(Some(why)) => return shared.inject(&packet::unreachable(packet, why)),
                Err(None) => return,
            },
        };
        if let Some(echo) = self.slab.get_mut(key) {
            echo.used = shared.now;
            if let Err(e) = rustix::net::send(&echo.socket, packet.payload, SendFlags::NOSIGNAL) {
                if let Some(why) = unreachable_for(Some(e)) {
                    shared.inject(&packet::unreachable(packet, why));
                }
            }
        }
    }

    fn open(&mut self, shared: &mut Shared, series: Series) -> Result<Key, Option<Unreachable>> {
        let to = SocketAddr::new(series.destination, 0);
        let address = match shared.policy.judge(Protocol::Udp, series.container, to) {
            Destination::Host(addresses) => addresses.first().copied().ok_or(None)?,
            Destination::Closed(Closed::Unknown) => return Err(None),
            _ => return Err(Some(Unreachable::Network)),
        };
        let lease = shared.quota.lease(series.container, 1).ok_or(None)?;
        let socket = outward::echo(address).map_err(|e| match Errno::from_io_error(&e) {
            Some(Errno::ACCESS | Errno::PERM) => Some(Unreachable::Prohibited),
            other => unreachable_for(other),
        })?;
        let key = self.slab.insert(Echo { series, socket, used: shared.now, _lease: lease });
        self.by_series.insert(series, key);
        let watched = self
            .slab
            .get(key)
            .is_some_and(|e| shared.poll.add(&e.socket, Token::new(Kind::Echo, key), READ).is_ok());
        if watched {
            Ok(key)
        } else {
            self.remove(key);
            Err(None)
        }
    }

    /// Gives an answer to the container.
    pub fn handle(&mut self, shared: &mut Shared, event: &Event) {
        let key = event.token.key;
        let Some(echo) = self.slab.get_mut(key) else { return };
        echo.used = shared.now;
        let mut answer = vec![0u8; 65536];
        match rustix::net::recv(&echo.socket, answer.as_mut_slice(), RecvFlags::empty()) {
            Ok((length, _)) if length >= HEADER => {
                answer.truncate(length);
                if let Some(identifier) = answer.get_mut(4..6) {
                    identifier.copy_from_slice(&echo.series.identifier);
                }
                let (from, to) = (echo.series.destination, echo.series.container);
                shared.inject(&packet::icmp(from, to, &mut answer));
            }
            Err(Errno::AGAIN | Errno::INTR) | Ok(_) => {}
            // An error that the network reported; the series goes on if the container does.
            Err(_) => self.remove(key),
        }
    }

    /// Ends series that are over.
    pub fn sweep(&mut self, now: Instant) {
        for key in self.slab.keys(|e| now.duration_since(e.used) > IDLE) {
            self.remove(key);
        }
    }

    fn remove(&mut self, key: Key) {
        if let Some(echo) = self.slab.remove(key) {
            self.by_series.remove(&echo.series);
        }
    }
}
