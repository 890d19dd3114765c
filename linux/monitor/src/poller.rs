//! The one place where the monitor waits: an epoll instance whose events carry a [`Token`].
//!
//! Everything is level-triggered and every descriptor non-blocking, so an event that arrives for something that has
//! changed meanwhile does no harm: the read or write behind it says "not now".

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::Timespec;
use rustix::event::epoll::{self, EventData, EventFlags};

use crate::log::Stream;

/// Whom an event is for. `process` is 0 for the container's first process, else an exec's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token {
    Signals,
    Listener,
    Memory,
    Engine(u32),
    Output { process: u32, stream: Stream },
    Stdin { process: u32 },
    Client { process: u32, client: u32 },
}

/// The most processes that a token can tell apart.
pub(crate) const MAX_PROCESS: u32 = (1 << 24) - 1;

impl Token {
    fn to_u64(self) -> u64 {
        let pack = |kind: u64, process: u32, index: u32| {
            kind << 56 | u64::from(process & MAX_PROCESS) << 32 | u64::from(index)
        };
        match self {
            Token::Signals => pack(0, 0, 0),
            Token::Listener => pack(1, 0, 0),
            Token::Memory => pack(2, 0, 0),
            Token::Engine(index) => pack(3, 0, index),
            Token::Output { process, stream } => pack(4, process, u32::from(stream.number())),
            Token::Stdin { process } => pack(5, process, 0),
            Token::Client { process, client } => pack(6, process, client),
        }
    }

    fn from_u64(data: u64) -> Option<Token> {
        let [kind, p2, p1, p0, i3, i2, i1, i0] = data.to_be_bytes();
        let process = u32::from_be_bytes([0, p2, p1, p0]);
        let index = u32::from_be_bytes([i3, i2, i1, i0]);
        Some(match kind {
            0 => Token::Signals,
            1 => Token::Listener,
            2 => Token::Memory,
            3 => Token::Engine(index),
            4 => {
                let stream = if index == 2 { Stream::Stderr } else { Stream::Stdout };
                Token::Output { process, stream }
            }
            5 => Token::Stdin { process },
            6 => Token::Client { process, client: index },
            _ => return None,
        })
    }
}

/// What is registered for one descriptor.
#[derive(Debug, Default)]
pub(crate) struct Interest(EventFlags);

/// The epoll instance.
#[derive(Debug)]
pub(crate) struct Poller {
    epoll: OwnedFd,
}

impl Poller {
    pub(crate) fn new() -> io::Result<Poller> {
        Ok(Poller { epoll: epoll::create(epoll::CreateFlags::CLOEXEC)? })
    }

    /// Registers a descriptor that stays registered as long as it lives.
    pub(crate) fn add(&self, fd: impl AsFd, token: Token, flags: EventFlags) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, fd, EventData::new_u64(token.to_u64()), flags)?)
    }

    /// Makes `flags` what is waited for on `fd`; none at all takes it out, since a hang-up is reported unasked.
    /// A descriptor must be taken out before it is closed: while another process has a copy of it (an engine of the
    /// client that it handed over, a child that is about to exec), epoll goes on reporting events for it.
    pub(crate) fn want(
        &self,
        fd: impl AsFd,
        token: Token,
        interest: &mut Interest,
        flags: EventFlags,
    ) {
        if interest.0 == flags {
            return;
        }
        let data = EventData::new_u64(token.to_u64());
        let result = if flags.is_empty() {
            epoll::delete(&self.epoll, fd)
        } else if interest.0.is_empty() {
            epoll::add(&self.epoll, fd, data, flags)
        } else {
            epoll::modify(&self.epoll, fd, data, flags)
        };
        // These can only fail for want of memory or watches; then it is tried again at the next change.
        if result.is_ok() {
            interest.0 = flags;
        }
    }

    /// Waits for events, at most `timeout`.
    pub(crate) fn wait(&self, timeout: Option<Duration>) -> io::Result<Vec<(Token, EventFlags)>> {
        let timeout = timeout.and_then(|t| Timespec::try_from(t).ok());
        let mut events = Vec::with_capacity(32);
        match epoll::wait(
            &self.epoll,
            rustix::buffer::spare_capacity(&mut events),
            timeout.as_ref(),
        ) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
        let token = |e: &epoll::Event| {
            let (data, flags) = (e.data, e.flags);
            Token::from_u64(data.u64()).map(|t| (t, flags))
        };
        Ok(events.iter().filter_map(token).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_survive_the_kernel() {
        for token in [
            Token::Signals,
            Token::Memory,
            Token::Engine(u32::MAX),
            Token::Output { process: MAX_PROCESS, stream: Stream::Stderr },
            Token::Stdin { process: 7 },
            Token::Client { process: 1, client: 0x0102_0304 },
        ] {
            assert_eq!(Token::from_u64(token.to_u64()), Some(token));
        }
    }
}
