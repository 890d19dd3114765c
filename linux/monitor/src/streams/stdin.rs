//! The way into a program: its stdin pipe or terminal, fed by any number of clients.
//!
//! At most one read's worth is kept here; while it is, no client is read from, so a program that does not read slows
//! its clients down and costs no memory.

use std::os::fd::OwnedFd;

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;

use crate::poller::{Interest, Poller, Token};

/// Where the program is.
#[derive(Debug, PartialEq, Eq)]
enum State {
    /// Not started: input is kept.
    Early,
    /// Takes input.
    Open,
    /// Takes none any more: what clients send is dropped.
    Closed,
}

/// A program's stdin.
#[derive(Debug)]
pub(super) struct Stdin {
    state: State,
    fd: Option<OwnedFd>,
    pending: Vec<u8>,
    /// End it once `pending` is written.
    end: bool,
    interest: Interest,
}

impl Stdin {
    pub(super) fn new() -> Stdin {
        Stdin {
            state: State::Early,
            fd: None,
            pending: Vec::new(),
            end: false,
            interest: Interest::default(),
        }
    }

    /// The program runs; without a descriptor it has no stdin.
    pub(super) fn open(&mut self, fd: Option<OwnedFd>) {
        if fd.is_none() {
            return self.close();
        }
        (self.state, self.fd) = (State::Open, fd);
        self.flush();
    }

    /// True if clients may be read from.
    pub(super) fn is_ready(&self) -> bool {
        self.state == State::Closed || (self.state == State::Open && self.pending.is_empty())
    }

    /// Takes a client's bytes.
    pub(super) fn feed(&mut self, data: &[u8]) {
        if self.state != State::Closed && !self.end {
            self.pending.extend_from_slice(data);
            self.flush();
        }
    }

    /// Ends the program's stdin when all was written.
    pub(super) fn end(&mut self) {
        self.end = true;
        self.flush();
    }

    /// Writes what can be written.
    pub(super) fn flush(&mut self) {
        if self.state != State::Open {
            return;
        }
        let Some(fd) = &self.fd else { return };
        let mut written = 0;
        while written < self.pending.len() {
            match rustix::io::write(fd, &self.pending[written..]) {
                Ok(n) => written += n,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(_) => return self.close(),
            }
        }
        self.pending.drain(..written);
        if self.pending.is_empty() {
            // One large paste must not be remembered by an idle monitor.
            self.pending.shrink_to(4096);
            if self.end {
                self.close();
            }
        }
    }

    /// No input any more; the program sees it at the next [`Stdin::update`].
    pub(super) fn close(&mut self) {
        self.state = State::Closed;
        self.pending = Vec::new();
    }

    /// Registers what is waited for, or closes the descriptor.
    pub(super) fn update(&mut self, poller: &Poller, process: u32) {
        if let Some(fd) = &self.fd {
            let blocked = !self.pending.is_empty();
            let flags = if blocked { EventFlags::OUT } else { EventFlags::empty() };
            poller.want(fd, Token::Stdin { process }, &mut self.interest, flags);
        }
        if self.state == State::Closed {
            self.fd = None;
        }
    }
}
