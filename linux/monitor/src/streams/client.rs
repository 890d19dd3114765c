//! One attached client: a stream socket that outlives the engine which handed it over.
//!
//! | phase | what may happen | what must not |
//! |---|---|---|
//! | open | output is queued and sent, input is read | |
//! | open, leaving | as open; it is flushed once no output came for a moment | input |
//! | flushing | what is queued is sent | new output, input |
//! | lingering | our side is shut down; input is read and dropped until the client closes too | output |
//! | gone | it is dropped from the list | |
//!
//! Lingering is there because closing a socket with unread input resets the connection, and a reset may take the
//! last output away from a client that has not read it yet.

use std::io::IoSlice;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown};

use super::detach::DetachKeys;
use crate::log::Stream;
use crate::messages::StreamConfig;
use crate::poller::{Interest, Poller, Token};

/// Output queued for a client that does not read, in bytes, from which on the program is not read from either.
const HIGH: usize = 256 * 1024;

/// How long a client may take to close its side after we closed ours.
const LINGER: Duration = Duration::from_secs(3);

/// A client that has ended its input leaves when no output came for this long. Docker closes it at once and so loses the
/// answer to what it sent last (`echo command | docker attach …`).
const GRACE: Duration = Duration::from_millis(300);

/// How long a client may read nothing at all of what is left for it.
const PATIENCE: Duration = Duration::from_secs(600);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    Flushing,
    Lingering,
    Gone,
}

/// What reading from a client brought.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// Bytes for stdin, appended to the caller's buffer.
    Some,
    /// Nothing now.
    None,
    /// The client ended its side.
    End,
    /// The client typed the detach keys.
    Detach,
}

/// An attached client.
#[derive(Debug)]
pub(super) struct Client {
    /// The engine's number for it.
    pub(super) id: u64,
    /// It asked to detach.
    pub(super) detached: bool,
    /// `StreamClosed` was sent.
    pub(super) reported: bool,
    fd: OwnedFd,
    stdout: bool,
    stderr: bool,
    multiplexed: bool,
    /// Its input is forwarded (and has not ended).
    stdin: bool,
    detach: DetachKeys,
    /// Output that the socket did not take yet, from `sent` on.
    queue: Vec<u8>,
    sent: usize,
    phase: Phase,
    leaving: bool,
    /// The other side is closed both ways: it cannot read any more, but may have sent something before.
    deaf: bool,
    /// When it last took something, or changed its phase.
    since: Instant,
    interest: Interest,
}

impl Client {
    pub(super) fn new(config: StreamConfig, fd: OwnedFd, tty: bool) -> Client {
        Client {
            id: config.id,
            detached: false,
            reported: false,
            fd,
            stdout: config.stdout,
            stderr: config.stderr,
            multiplexed: config.multiplexed,
            stdin: config.stdin,
            detach: DetachKeys::new(if tty { config.detach_keys } else { Vec::new() }),
            queue: Vec::new(),
            sent: 0,
            phase: Phase::Open,
            leaving: false,
            deaf: false,
            since: Instant::now(),
            interest: Interest::default(),
        }
    }

    pub(super) fn is_gone(&self) -> bool {
        self.phase == Phase::Gone
    }

    /// True once it needs nothing any more that anybody has to wait for.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Lingering | Phase::Gone)
    }

    /// True if the program must wait for this client.
    pub(super) fn is_full(&self) -> bool {
        self.phase == Phase::Open && self.queue.len() - self.sent >= HIGH
    }

    /// Sends output, or queues what the socket does not take.
    pub(super) fn push(&mut self, stream: Stream, data: &[u8]) {
        let wanted = match stream {
            Stream::Stdout => self.stdout,
            Stream::Stderr => self.stderr,
        };
        if !wanted || self.phase != Phase::Open || self.deaf {
            return;
        }
        let header = stream.frame_header(data.len());
        let header = if self.multiplexed { &header[..] } else { &[] };
        let mut taken = 0;
        if self.queue.is_empty() {
            taken = self.send(&[IoSlice::new(header), IoSlice::new(data)]);
        }
        let of_header = taken.min(header.len());
        self.queue.extend_from_slice(&header[of_header..]);
        self.queue.extend_from_slice(&data[taken - of_header..]);
    }

    /// Sends what the socket takes; gives the number of bytes.
    fn send(&mut self, parts: &[IoSlice<'_>]) -> usize {
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        loop {
            match rustix::net::sendmsg(&self.fd, parts, &mut SendAncillaryBuffer::default(), flags)
            {
                Ok(n) => {
                    self.since = Instant::now();
                    return n;
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return 0,
                Err(_) => {
                    self.deafen();
                    return parts.iter().map(|p| p.len()).sum();
                }
            }
        }
    }

    /// The socket can be written to.
    pub(super) fn flush(&mut self) {
        if self.sent < self.queue.len() {
            let queue = std::mem::take(&mut self.queue);
            self.sent += self.send(&[IoSlice::new(&queue[self.sent..])]);
            self.queue = queue;
        }
        if self.sent >= self.queue.len() {
            (self.queue, self.sent) = (Vec::new(), 0);
            if self.phase == Phase::Flushing {
                let _ = rustix::net::shutdown(&self.fd, Shutdown::Write);
                self.enter(if self.deaf { Phase::Gone } else { Phase::Lingering });
            }
        } else if self.sent >= HIGH {
            self.queue.drain(..self.sent);
            self.sent = 0;
        }
    }

    /// The other side is gone, at least for reading.
    pub(super) fn deafen(&mut self) {
        self.deaf = true;
        (self.queue, self.sent) = (Vec::new(), 0);
        if self.phase != Phase::Open || !self.stdin {
            self.enter(Phase::Gone);
        }
    }

    /// Reads input into `buffer` and appends what is for stdin to `out`.
    pub(super) fn read(&mut self, buffer: &mut [u8], out: &mut Vec<u8>) -> Input {
        let n = loop {
            match rustix::net::recv(&self.fd, &mut *buffer, RecvFlags::DONTWAIT) {
                Ok((n, _)) => break n,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Input::None,
                Err(_) => {
                    self.deaf = true;
                    break 0;
                }
            }
        };
        match self.phase {
            Phase::Lingering if n == 0 => self.enter(Phase::Gone),
            Phase::Open if n == 0 => return self.end_of_input(),
            Phase::Open if self.stdin => {
                if self.detach.feed(&buffer[..n], out) {
                    self.detached = true;
                    return Input::Detach;
                }
                return Input::Some;
            }
            _ => {}
        }
        Input::None
    }

    fn end_of_input(&mut self) -> Input {
        self.stdin = false;
        if self.deaf {
            self.enter(Phase::Gone);
        }
        Input::End
    }

    /// It wants nothing any more but the answer to what it sent.
    pub(super) fn leave(&mut self) {
        (self.leaving, self.since) = (true, Instant::now());
    }

    /// No more output for it: what is queued is sent, then the connection is closed.
    pub(super) fn finish(&mut self) {
        if self.phase == Phase::Open {
            self.enter(if self.deaf { Phase::Gone } else { Phase::Flushing });
            if self.phase == Phase::Flushing {
                self.flush();
            }
        }
    }

    /// Drops it as it is.
    pub(super) fn abandon(&mut self) {
        self.enter(Phase::Gone);
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.since = Instant::now();
    }

    /// When its patience ends, if that matters now.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Flushing => Some(self.since + PATIENCE),
            Phase::Lingering => Some(self.since + LINGER),
            Phase::Open if self.leaving => Some(self.since + GRACE),
            _ => None,
        }
    }

    /// Gives up a client whose deadline is past.
    pub(super) fn expire(&mut self, now: Instant) {
        if self.deadline().is_some_and(|deadline| now >= deadline) {
            match self.phase {
                Phase::Open => self.finish(),
                _ => self.enter(Phase::Gone),
            }
        }
    }

    /// Registers what is waited for; `ready`: stdin takes input.
    pub(super) fn update(&mut self, poller: &Poller, token: Token, ready: bool) {
        let mut flags = match self.phase {
            Phase::Open if self.stdin && ready => EventFlags::IN,
            // Closed and with input that stdin cannot take yet: its hang-up would be reported without end.
            Phase::Open if self.deaf => EventFlags::empty(),
            // A hang-up is always reported; asking for it keeps the descriptor registered.
            Phase::Open | Phase::Flushing => EventFlags::HUP,
            Phase::Lingering => EventFlags::IN,
            Phase::Gone => EventFlags::empty(),
        };
        if self.sent < self.queue.len() {
            flags |= EventFlags::OUT;
        }
        poller.want(&self.fd, token, &mut self.interest, flags);
    }
}
