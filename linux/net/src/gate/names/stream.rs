//! TCP connections to a resolver: questions and answers, each behind its length (RFC 7766).

use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::SendFlags;

use super::server::Server;
use super::upstream::Asker;
use super::wire;
use crate::gate::poll::{Event, Kind, READ, Token};
use crate::gate::slab::Key;

/// Connections that one container may have.
pub const STREAMS: usize = 64;
/// A connection without a question for so long is closed.
const IDLE: Duration = Duration::from_secs(10);
/// Questions under way on one connection; the next one is read when one of them is answered.
const PIPELINE: usize = 32;
/// An asker that leaves so much unread is cut off, in bytes.
const UNREAD: usize = 256 * 1024;

/// A connection.
pub struct Stream {
    /// Whose.
    pub container: Rc<str>,
    /// The socket.
    pub fd: OwnedFd,
    read: Vec<u8>,
    unsent: Vec<u8>,
    under_way: usize,
    used: Instant,
    ended: bool,
}

impl Stream {
    /// A new one.
    pub fn new(container: Rc<str>, fd: OwnedFd, now: Instant) -> Stream {
        let (read, unsent) = (Vec::new(), Vec::new());
        Stream { container, fd, read, unsent, under_way: 0, used: now, ended: false }
    }

    /// Takes a whole question out of what was read. `Err`: none could ever follow.
    fn next(&mut self) -> Result<Option<Vec<u8>>, ()> {
        let Some(&[a, b]) = self.read.first_chunk::<2>() else { return Ok(None) };
        let length = usize::from(u16::from_be_bytes([a, b]));
        if length > wire::QUESTION {
            return Err(());
        }
        if self.under_way >= PIPELINE || self.read.len() < length + 2 {
            return Ok(None);
        }
        let question = self.read.get(2..length + 2).map(<[u8]>::to_vec);
        self.read.drain(..length + 2);
        Ok(question)
    }

    /// Sends what is unsent; `Err`: the asker is gone.
    fn flush(&mut self) -> Result<(), Errno> {
        while !self.unsent.is_empty() {
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            match rustix::net::send(&self.fd, &self.unsent, flags) {
                Ok(sent) => drop(self.unsent.drain(..sent)),
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// What it waits for. Nothing is read while enough is under way.
    fn interest(&self) -> EventFlags {
        let mut flags = EventFlags::empty();
        flags.set(READ, !self.ended && self.under_way < PIPELINE);
        flags.set(EventFlags::OUT, !self.unsent.is_empty());
        flags
    }
}

impl Server {
    /// Handles what came on a connection.
    pub(super) fn handle_stream(&mut self, key: Key, event: &Event) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        let mut space = [0; wire::QUESTION];
        if event.readable && stream.interest().contains(READ) {
            match rustix::io::read(&stream.fd, &mut space) {
                Ok(0) => stream.ended = true,
                Ok(length) => stream.read.extend_from_slice(space.get(..length).unwrap_or(&[])),
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(_) => return self.end_stream(key),
            }
        } else if event.failed {
            return self.end_stream(key);
        }
        stream.used = self.now;
        self.go_on(key);
    }

    /// Asks what was read, sends what is unsent, and ends a connection that is done.
    fn go_on(&mut self, key: Key) {
        while let Some(stream) = self.streams.get_mut(key) {
            match stream.next() {
                Ok(Some(question)) => {
                    stream.under_way += 1;
                    let container = Rc::clone(&stream.container);
                    self.ask(&container, &question, Asker::Tcp { stream: key });
                }
                Ok(None) => break,
                Err(()) => return self.end_stream(key),
            }
        }
        let Some(stream) = self.streams.get_mut(key) else { return };
        let gone = stream.flush().is_err() || stream.unsent.len() > UNREAD;
        let done = stream.ended && stream.under_way == 0 && stream.unsent.is_empty();
        let token = Token::new(Kind::NamesStream, key);
        if gone || done || self.poll.modify(&stream.fd, token, stream.interest()).is_err() {
            self.end_stream(key);
        }
    }

    /// Puts an answer behind what is unsent.
    pub(super) fn answer_stream(&mut self, key: Key, bytes: &[u8]) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        stream.under_way = stream.under_way.saturating_sub(1);
        let Ok(length) = u16::try_from(bytes.len()) else { return };
        stream.unsent.extend_from_slice(&length.to_be_bytes());
        stream.unsent.extend_from_slice(bytes);
        stream.used = self.now;
    }

    /// The same for an answer that came later than its question.
    pub(super) fn answer_later(&mut self, asker: &Asker, bytes: &[u8]) {
        self.answer(asker, bytes);
        if let Asker::Tcp { stream } = asker {
            self.go_on(*stream);
        }
    }

    /// Closes a connection.
    pub(super) fn end_stream(&mut self, key: Key) {
        let Some(stream) = self.streams.remove(key) else { return };
        if let Some(home) = self.homes.get_mut(&stream.container) {
            home.streams = home.streams.saturating_sub(1);
        }
    }

    /// Closes connections that are idle, or whose asker does not read.
    pub(super) fn sweep_streams(&mut self) {
        let now = self.now;
        let idle = |s: &Stream| s.under_way == 0 && now.duration_since(s.used) > IDLE;
        for key in self.streams.keys(idle) {
            self.end_stream(key);
        }
    }
}
