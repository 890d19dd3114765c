//! epoll with typed tokens.
//!
//! A token says what kind of thing has an event and which one: 8 bits of kind, 24 of generation, 32 of place.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

use super::slab::{GENERATION_MASK, Key};

/// What has an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// The socket that engines connect to.
    EngineListener,
    /// An engine's channel.
    Engine,
    /// The tun device.
    Tun,
    /// A transparent TCP listener inside (key: which).
    Listener,
    /// A transparent wildcard UDP socket inside (key: which).
    Wildcard,
    /// A published port's socket.
    Port,
    /// The container's side of a TCP flow.
    FlowInner,
    /// The outer side of a TCP flow.
    FlowOuter,
    /// A connect under way.
    Dial,
    /// A listener inside at one destination.
    Destination,
    /// The container's side of a UDP flow.
    DatagramInner,
    /// The outer side of a UDP flow.
    DatagramOuter,
    /// An ICMP echo socket.
    Echo,
    /// Orders for the resolver's thread.
    NamesOrders,
    /// A container's resolver, UDP.
    NamesUdp,
    /// A container's resolver, TCP.
    NamesTcp,
    /// A TCP connection to a resolver.
    NamesStream,
    /// A question passed on to a server.
    NamesUpstream,
}

const KINDS: [Kind; 18] = [
    Kind::EngineListener,
    Kind::Engine,
    Kind::Tun,
    Kind::Listener,
    Kind::Wildcard,
    Kind::Port,
    Kind::FlowInner,
    Kind::FlowOuter,
    Kind::Dial,
    Kind::Destination,
    Kind::DatagramInner,
    Kind::DatagramOuter,
    Kind::Echo,
    Kind::NamesOrders,
    Kind::NamesUdp,
    Kind::NamesTcp,
    Kind::NamesStream,
    Kind::NamesUpstream,
];

/// A kind and a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    /// What has an event.
    pub kind: Kind,
    /// Which one.
    pub key: Key,
}

impl Token {
    /// A token.
    pub fn new(kind: Kind, key: Key) -> Token {
        Token { kind, key }
    }

    /// Of a kind of which there are a fixed few, counted from 0.
    pub fn numbered(kind: Kind, index: u32) -> Token {
        Token { kind, key: Key { index, generation: 0 } }
    }

    fn pack(self) -> u64 {
        let generation = u64::from(self.key.generation & GENERATION_MASK);
        u64::from(self.kind as u8) << 56 | generation << 32 | u64::from(self.key.index)
    }

    fn unpack(bits: u64) -> Option<Token> {
        let kind = *KINDS.get(usize::try_from(bits >> 56).ok()?)?;
        let generation = u32::try_from(bits >> 32 & u64::from(GENERATION_MASK)).ok()?;
        let index = u32::try_from(bits & u64::from(u32::MAX)).ok()?;
        Some(Token { kind, key: Key { index, generation } })
    }
}

/// What happened.
#[derive(Debug, Clone, Copy)]
pub struct Event {
    /// To whom.
    pub token: Token,
    /// Something can be read, or an error fetched.
    pub readable: bool,
    /// Something can be written, or an error fetched.
    pub writable: bool,
    /// The other side has ended its sending.
    pub ended: bool,
    /// An error (a reset) is to be fetched.
    pub failed: bool,
}

/// The epoll instance.
pub struct Poller {
    fd: OwnedFd,
    events: Vec<epoll::Event>,
}

/// Both directions, edge-triggered: TCP flows.
pub const STREAM: EventFlags =
    EventFlags::IN.union(EventFlags::OUT).union(EventFlags::RDHUP).union(EventFlags::ET);
/// Something to read, level-triggered.
pub const READ: EventFlags = EventFlags::IN;
/// A connect has ended, once.
pub const CONNECT: EventFlags = EventFlags::OUT.union(EventFlags::ET);

impl std::fmt::Debug for Poller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Poller").field("fd", &self.fd).finish_non_exhaustive()
    }
}

impl Poller {
    /// A new instance.
    pub fn new() -> io::Result<Poller> {
        Ok(Poller { fd: epoll::create(CreateFlags::CLOEXEC)?, events: Vec::with_capacity(256) })
    }

    /// Watches a descriptor; closing it ends that.
    pub fn add(&self, fd: impl AsFd, token: Token, flags: EventFlags) -> io::Result<()> {
        Ok(epoll::add(&self.fd, fd, EventData::new_u64(token.pack()), flags)?)
    }

    /// Changes what is watched.
    pub fn modify(&self, fd: impl AsFd, token: Token, flags: EventFlags) -> io::Result<()> {
        Ok(epoll::modify(&self.fd, fd, EventData::new_u64(token.pack()), flags)?)
    }

    /// Waits for events; none at all when `timeout` passed or a signal came.
    pub fn wait(&mut self, timeout: Option<Duration>, out: &mut Vec<Event>) -> io::Result<()> {
        let timeout = timeout.map(|t| Timespec {
            tv_sec: i64::try_from(t.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(t.subsec_nanos()),
        });
        self.events.clear();
        out.clear();
        let room = rustix::buffer::spare_capacity(&mut self.events);
        match epoll::wait(&self.fd, room, timeout.as_ref()) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Ok(()),
            Err(e) => return Err(e.into()),
        }
        for event in &self.events {
            let (flags, data) = (event.flags, event.data);
            let Some(token) = Token::unpack(data.u64()) else { continue };
            let failed = flags.intersects(EventFlags::ERR | EventFlags::HUP);
            out.push(Event {
                token,
                readable: failed || flags.intersects(EventFlags::IN | EventFlags::RDHUP),
                writable: failed || flags.contains(EventFlags::OUT),
                ended: failed || flags.contains(EventFlags::RDHUP),
                failed: flags.contains(EventFlags::ERR),
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_survive_the_kernel_s_64_bits() {
        for (kind, number) in KINDS.into_iter().zip(0u8..) {
            assert_eq!(kind as u8, number);
            let token = Token::new(kind, Key { index: 0xdead_beef, generation: 0x00ab_cdef });
            assert_eq!(Token::unpack(token.pack()), Some(token));
        }
    }
}
