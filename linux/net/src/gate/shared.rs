//! What all parts of the loop use: epoll, ready-made sockets, the tun device, the policy, the books, the time.

use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Instant;

use super::homes::Homes;
use super::packet::{self, Packet, Unreachable};
use super::policy::{Closed, Policy};
use super::poll::Poller;
use super::quota::Quota;
use super::servant::{Pools, Servant};

/// The common part of the gate's state.
#[derive(Debug)]
pub struct Shared {
    /// epoll.
    pub poll: Poller,
    /// The thread inside.
    pub servant: Servant,
    /// Sockets made inside.
    pub pools: Pools,
    /// Sockets made in containers' own namespaces.
    pub homes: Homes,
    /// Packets from and to the containers' network.
    pub tun: OwnedFd,
    /// Who may go where.
    pub policy: Policy,
    /// Who holds how much.
    pub quota: Rc<Quota>,
    /// The time at the start of this round of the loop.
    pub now: Instant,
}

impl Shared {
    /// Writes a packet into the containers' network. A full queue loses it, as on any wire.
    pub fn inject(&self, packet: &[u8]) {
        let _ = rustix::io::write(&self.tun, packet);
    }

    /// Answers a SYN that leads nowhere.
    pub fn refuse_syn(&self, syn: &[u8], error: Option<rustix::io::Errno>) {
        let Some(packet) = Packet::parse(syn) else { return };
        match unreachable_for(error) {
            Some(why) => self.inject(&packet::unreachable(&packet, why)),
            None => {
                if let Some(reset) = packet::reset(&packet) {
                    self.inject(&reset);
                }
            }
        }
    }

    /// Tells a packet's sender that it went nowhere.
    pub fn refuse_packet(&self, bytes: &[u8], why: Unreachable) {
        if let Some(packet) = Packet::parse(bytes) {
            self.inject(&packet::unreachable(&packet, why));
        }
    }
}

/// What a router would have answered for this errno of a connect; `None`: the port's own refusal.
pub fn unreachable_for(error: Option<rustix::io::Errno>) -> Option<Unreachable> {
    use rustix::io::Errno;
    match error? {
        Errno::NETUNREACH | Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL => Some(Unreachable::Network),
        Errno::HOSTUNREACH | Errno::HOSTDOWN | Errno::TIMEDOUT => Some(Unreachable::Host),
        Errno::ACCESS | Errno::PERM => Some(Unreachable::Prohibited),
        _ => None,
    }
}

/// The errno that stands for a refusal by policy.
pub fn errno_for(closed: Closed) -> Option<rustix::io::Errno> {
    match closed {
        Closed::Unknown | Closed::Refused => None,
        Closed::Unreachable => Some(rustix::io::Errno::NETUNREACH),
    }
}
