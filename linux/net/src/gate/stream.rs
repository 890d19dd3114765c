//! TCP flows: two connected sockets, one of the containers' network (inner), one of the host's (outer), and the bytes
//! between them (moved by `mover.rs`).
//!
//! What one side does not take waits beside the flow, and reading the other side stops until it is gone, so that
//! backpressure crosses over. An end of stream becomes `shutdown` of the other side once everything before it was sent;
//! a flow is over when both directions are. An error on either side resets the other.
//!
//! Sockets are watched edge-triggered. A short read means that nothing is left to read, except that the FIN may have
//! come with the data: once EPOLLRDHUP was seen, reading goes on to the end.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::net::Shutdown;

use super::homes::Left;
use super::mover::{Fetched, Mover, Waiting};
use super::poll::{Event, Kind, Poller, STREAM, Token};
use super::quota::Lease;
use super::slab::{Key, Slab};

/// Bytes one direction may move before others get their turn.
const TURN: usize = 8 << 20;

/// Index of the container's side.
const INNER: usize = 0;
/// Index of the outer side.
const OUTER: usize = 1;

#[derive(Debug)]
struct End {
    fd: OwnedFd,
    /// There may be something to read.
    readable: bool,
    /// The peer's FIN (or an error) has been announced.
    ended: bool,
    /// The peer's FIN has been read.
    finished: bool,
    /// Our FIN has been sent.
    shut: bool,
    /// The socket may take bytes.
    writable: bool,
    /// Much comes from here: worth a pipe.
    bulk: bool,
    /// Bytes that still have to be sent here.
    waiting: Waiting,
}

impl End {
    fn new(fd: OwnedFd) -> End {
        End {
            fd,
            readable: false,
            ended: false,
            finished: false,
            shut: false,
            writable: true,
            bulk: false,
            waiting: Waiting::Nothing,
        }
    }
}

/// Two sockets to join, both of them [tuned](tune).
#[derive(Debug)]
pub struct Joint {
    /// The container's side.
    pub inner: OwnedFd,
    /// The outer side.
    pub outer: OwnedFd,
    /// Descriptors booked to the container until the flow ends.
    pub lease: Lease,
    /// How far they are.
    pub stage: Stage,
}

/// How far a joint's sockets are.
#[derive(Debug)]
pub enum Stage {
    /// Both are connected; the outer one is in the epoll set already, under another token.
    Open,
    /// The inner one is still connecting, in the container's own network namespace if there is a [`Left`].
    Opening(Option<Left>),
}

#[derive(Debug)]
struct Flow {
    ends: [End; 2],
    /// The inner side is still connecting.
    opening: bool,
    home: Option<Left>,
    _lease: Lease,
}

impl Flow {
    /// Both directions have ended – or the container has, which cannot read any more: its namespace must not be held by
    /// a client that stays.
    fn is_over(&self) -> bool {
        let [inner, outer] = &self.ends;
        outer.shut && (inner.shut || self.home.as_ref().is_some_and(|left| left.get()))
    }
}

/// How a direction's turn ended.
#[derive(Debug, PartialEq, Eq)]
enum Turn {
    /// Nothing more to do now.
    Waiting,
    /// More to do; others first.
    More,
    /// All was moved and the end of the stream is next.
    Over,
    /// One side failed.
    Broken,
}

/// All TCP flows.
#[derive(Debug)]
pub struct Streams {
    slab: Slab<Flow>,
    mover: Mover,
    /// Directions (flow, side read from) that have more to do.
    ready: VecDeque<(Key, usize)>,
}

impl Streams {
    /// No flows.
    pub fn new() -> Streams {
        Streams { slab: Slab::new(), mover: Mover::new(), ready: VecDeque::new() }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.slab.len()
    }

    /// Joins two sockets.
    pub fn join(&mut self, poll: &Poller, joint: Joint) -> io::Result<()> {
        let Joint { inner, outer, lease, stage } = joint;
        let ends = [End::new(inner), End::new(outer)];
        let (opening, home) = match stage {
            Stage::Open => (false, None),
            Stage::Opening(home) => (true, home),
        };
        let key = self.slab.insert(Flow { ends, opening, home, _lease: lease });
        let added = self.watch(poll, key, !opening);
        if added.is_err() {
            self.slab.remove(key);
        }
        added
    }

    /// Ends the flows of namespaces that were left and have ended on the container's side.
    pub fn end_left(&mut self) {
        for key in self.slab.keys(|f| f.home.as_ref().is_some_and(|left| left.get())) {
            self.turn(key, INNER);
        }
    }

    fn watch(&mut self, poll: &Poller, key: Key, watched: bool) -> io::Result<()> {
        let Some(flow) = self.slab.get(key) else { return Ok(()) };
        let [inner, outer] = &flow.ends;
        poll.add(&inner.fd, Token::new(Kind::FlowInner, key), STREAM)?;
        let token = Token::new(Kind::FlowOuter, key);
        if watched {
            poll.modify(&outer.fd, token, STREAM)
        } else {
            poll.add(&outer.fd, token, STREAM)
        }
    }

    /// Handles an event of a flow's socket.
    pub fn handle(&mut self, event: &Event) {
        let key = event.token.key;
        let side = if event.token.kind == Kind::FlowInner { INNER } else { OUTER };
        let Some(flow) = self.slab.get_mut(key) else { return };
        let Some(end) = flow.ends.get_mut(side) else { return };
        end.readable |= event.readable;
        end.ended |= event.ended;
        end.writable |= event.writable;
        let mut sides = [event.readable, event.writable];
        if flow.opening {
            if side == OUTER && event.failed {
                // The client is gone; a mere end of its sending is kept until the container is there.
                return self.reset(key);
            }
            if side == OUTER || !event.writable {
                return;
            }
            if event.failed {
                return self.reset(key);
            }
            flow.opening = false;
            // Whatever the client sent meanwhile was announced and must be fetched now.
            sides = [true, true];
        }
        if sides[0] {
            self.turn(key, side);
        }
        if sides[1] {
            self.turn(key, 1 - side);
        }
    }

    /// Gives a turn to every direction that had more to do; true if some still have.
    pub fn run_ready(&mut self) -> bool {
        for _ in 0..self.ready.len() {
            if let Some((key, side)) = self.ready.pop_front() {
                self.turn(key, side);
            }
        }
        !self.ready.is_empty()
    }

    /// Moves what can be moved from `side` to the other, and ends the flow if it is over.
    fn turn(&mut self, key: Key, side: usize) {
        let Some(flow) = self.slab.get_mut(key) else { return };
        let (left, right) = flow.ends.split_at_mut(1);
        let (Some(inner), Some(outer)) = (left.first_mut(), right.first_mut()) else { return };
        let (from, to) = if side == INNER { (inner, outer) } else { (outer, inner) };
        match pump(from, to, &mut self.mover) {
            Turn::Broken => self.reset(key),
            Turn::More => self.ready.push_back((key, side)),
            Turn::Over => {
                to.shut = true;
                if flow.is_over() {
                    // The close says so as well.
                    self.close(key);
                } else if let Some(to) = flow.ends.get(1 - side) {
                    // ENOTCONN: the other side is gone altogether; its own events tell.
                    let _ = rustix::net::shutdown(&to.fd, Shutdown::Write);
                }
            }
            Turn::Waiting if flow.is_over() => self.close(key),
            Turn::Waiting => {}
        }
    }

    fn close(&mut self, key: Key) {
        if let Some(flow) = self.slab.remove(key) {
            for end in flow.ends {
                self.mover.discard(end.waiting);
            }
        }
    }

    /// Ends a flow with a reset on both sides.
    fn reset(&mut self, key: Key) {
        if let Some(flow) = self.slab.get(key) {
            for end in &flow.ends {
                reset_on_close(&end.fd);
            }
        }
        self.close(key);
    }
}

/// Makes the close of a socket send a RST.
pub fn reset_on_close(fd: &OwnedFd) {
    // A socket that refuses the option is closed in the ordinary way.
    let _ = rustix::net::sockopt::set_socket_linger(fd, Some(Duration::ZERO));
}

/// The gate adds no delay of its own, notices peers that vanished, and carries urgent bytes in line. What a listener
/// accepts inherits these from it.
pub fn tune(fd: &OwnedFd) -> io::Result<()> {
    rustix::net::sockopt::set_tcp_nodelay(fd, true)?;
    rustix::net::sockopt::set_socket_keepalive(fd, true)?;
    Ok(rustix::net::sockopt::set_socket_oobinline(fd, true)?)
}

/// Moves bytes until one side has to wait or the turn is over.
fn pump(from: &mut End, to: &mut End, mover: &mut Mover) -> Turn {
    let mut moved = 0;
    while moved < TURN {
        if !to.waiting.is_nothing() {
            if !to.writable {
                return Turn::Waiting;
            }
            match mover.flush(&to.fd, &mut to.waiting) {
                Ok(()) if to.waiting.is_nothing() => {}
                Ok(()) => {
                    to.writable = false;
                    return Turn::Waiting;
                }
                Err(_) => return Turn::Broken,
            }
        }
        if from.finished {
            return if to.shut { Turn::Waiting } else { Turn::Over };
        }
        if !from.readable {
            return Turn::Waiting;
        }
        match mover.fetch(&from.fd, &to.fd, from.bulk) {
            Ok(Fetched::End) => from.finished = true,
            Ok(Fetched::Nothing) => {
                from.readable = false;
                from.bulk = false;
            }
            Ok(Fetched::Bytes { count, drained, waiting }) => {
                moved += count;
                from.bulk |= !drained;
                from.readable = !drained || from.ended;
                to.writable = waiting.is_nothing();
                to.waiting = waiting;
            }
            Err(_) => return Turn::Broken,
        }
    }
    Turn::More
}
