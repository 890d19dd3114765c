//! Moving bytes from one TCP socket to another.
//!
//! Little comes by `recv` into a buffer that all flows share and `send` out of it. When the buffer fills up, much is
//! under way, and a pipe takes over: `splice` moves the kernel's own pages from socket to pipe to socket, and nothing is
//! copied here. A flow has no pipe of its own: one is lent for the moment between the two calls, or until a stalled
//! receiver has taken what is in it. There are [`PIPES`] of them; when all are held, bytes are copied.
//!
//! What the receiver does not take is left in a [`Waiting`] – the rest of the buffer, or the pipe. When much waits in all
//! flows together, buffers are read in small pieces, so that stalled receivers cannot fill the memory.

use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use rustix::pipe::{PipeFlags, SpliceFlags};

/// The shared buffer: as large as the first-level caches like it.
const BUFFER: usize = 64 << 10;
/// Pipes that flows may hold at a time. A user may have 16384 pages before new pipes get small
/// (fs.pipe-user-pages-soft): these take less than half of that.
const PIPES: usize = 256;
/// Idle pipes that are kept.
const IDLE_PIPES: usize = 4;
/// The size of pipes while at most [`LARGE_PIPES`] are lent; later ones have the default 64 KiB. Against those it saves a
/// sixth of the CPU; 1 MiB saves no more.
const LARGE: usize = 512 << 10;
/// How many are large; as flows hold a pipe only while their receiver stalls, mostly one is lent at a time.
const LARGE_PIPES: usize = 32;
/// Bytes that one splice asks for: more than a pipe holds.
const MUCH: usize = 4 << 20;
/// When more bytes than this wait in buffers, reads get small.
const WAITING_HIGH: usize = 32 << 20;
/// The size of such a read.
const SMALL: usize = 4 << 10;

/// A pipe.
#[derive(Debug)]
pub struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
}

/// Bytes that a socket has not taken yet.
#[derive(Debug)]
pub enum Waiting {
    /// None.
    Nothing,
    /// The rest of a buffer, from `at` on.
    Bytes {
        /// The bytes.
        data: Vec<u8>,
        /// Where the rest begins.
        at: usize,
    },
    /// `left` bytes in a pipe.
    Pipe {
        /// The pipe.
        pipe: Pipe,
        /// How many.
        left: usize,
    },
}

impl Waiting {
    /// Nothing waits.
    pub fn is_nothing(&self) -> bool {
        matches!(self, Waiting::Nothing)
    }
}

/// What came of a read.
#[derive(Debug)]
pub enum Fetched {
    /// Nothing is there now.
    Nothing,
    /// The end of the stream.
    End,
    /// Bytes came, and were sent but for what waits.
    Bytes {
        /// How many.
        count: usize,
        /// Nothing is left to read for now.
        drained: bool,
        /// What the receiver did not take.
        waiting: Waiting,
    },
}

/// The buffer and the pipes.
#[derive(Debug)]
pub struct Mover {
    buffer: Vec<u8>,
    idle: Vec<Pipe>,
    /// Pipes that flows hold.
    lent: usize,
    /// Bytes in all flows' [`Waiting::Bytes`].
    waiting: usize,
}

impl Mover {
    /// With no pipes yet.
    pub fn new() -> Mover {
        Mover { buffer: vec![0; BUFFER], idle: Vec::new(), lent: 0, waiting: 0 }
    }

    /// Takes what `from` has and gives it to `to`. An error is one of either socket.
    pub fn fetch(&mut self, from: &OwnedFd, to: &OwnedFd, bulk: bool) -> Result<Fetched, Errno> {
        match bulk.then(|| self.lend()).flatten() {
            Some(pipe) => self.through_pipe(from, to, pipe),
            None => self.through_buffer(from, to),
        }
    }

    /// Gives `to` what waits for it, as far as it takes it.
    pub fn flush(&mut self, to: &OwnedFd, waiting: &mut Waiting) -> Result<(), Errno> {
        match waiting {
            Waiting::Nothing => return Ok(()),
            Waiting::Bytes { data, at } => {
                *at += send(to, data.get(*at..).unwrap_or(&[]))?;
                if *at < data.len() {
                    return Ok(());
                }
            }
            Waiting::Pipe { pipe, left } => {
                *left -= drain(pipe, to, *left)?;
                if *left > 0 {
                    return Ok(());
                }
            }
        }
        let done = std::mem::replace(waiting, Waiting::Nothing);
        match done {
            Waiting::Pipe { pipe, .. } => self.give_back(pipe),
            other => self.discard(other),
        }
        Ok(())
    }

    /// Drops what waits: the flow has ended.
    pub fn discard(&mut self, waiting: Waiting) {
        match waiting {
            Waiting::Nothing => {}
            Waiting::Bytes { data, .. } => self.waiting = self.waiting.saturating_sub(data.len()),
            Waiting::Pipe { .. } => self.lent = self.lent.saturating_sub(1),
        }
    }

    fn through_buffer(&mut self, from: &OwnedFd, to: &OwnedFd) -> Result<Fetched, Errno> {
        let room = if self.waiting > WAITING_HIGH { SMALL } else { BUFFER };
        let Some(buffer) = self.buffer.get_mut(..room) else { return Err(Errno::NOMEM) };
        let count = match retry(|| rustix::net::recv(from, &mut *buffer, RecvFlags::empty())) {
            Ok((count, _)) => count,
            Err(Errno::AGAIN) => return Ok(Fetched::Nothing),
            Err(e) => return Err(e),
        };
        if count == 0 {
            return Ok(Fetched::End);
        }
        let drained = count < buffer.len();
        let bytes = buffer.get(..count).unwrap_or(&[]);
        let rest = bytes.get(send(to, bytes)?..).unwrap_or(&[]);
        if rest.is_empty() {
            return Ok(Fetched::Bytes { count, drained, waiting: Waiting::Nothing });
        }
        let data = rest.to_vec();
        self.waiting += data.len();
        Ok(Fetched::Bytes { count, drained, waiting: Waiting::Bytes { data, at: 0 } })
    }

    fn through_pipe(&mut self, from: &OwnedFd, to: &OwnedFd, pipe: Pipe) -> Result<Fetched, Errno> {
        let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
        // The pipe is empty: EAGAIN can only mean that the socket is, too.
        let filled = retry(|| rustix::pipe::splice(from, None, &pipe.write, None, MUCH, flags));
        let count = match filled {
            Ok(0) => {
                self.give_back(pipe);
                return Ok(Fetched::End);
            }
            Ok(count) => count,
            Err(Errno::AGAIN) => {
                self.give_back(pipe);
                return Ok(Fetched::Nothing);
            }
            Err(e) => {
                self.give_back(pipe);
                return Err(e);
            }
        };
        match drain(&pipe, to, count) {
            Ok(sent) if sent == count => {
                self.give_back(pipe);
                Ok(Fetched::Bytes { count, drained: false, waiting: Waiting::Nothing })
            }
            Ok(sent) => {
                let waiting = Waiting::Pipe { pipe, left: count - sent };
                Ok(Fetched::Bytes { count, drained: false, waiting })
            }
            Err(e) => {
                // The pipe has bytes in it and is closed.
                self.lent = self.lent.saturating_sub(1);
                Err(e)
            }
        }
    }

    /// An empty pipe, if one is to be had.
    fn lend(&mut self) -> Option<Pipe> {
        let pipe = match self.idle.pop() {
            Some(pipe) => pipe,
            None if self.lent < PIPES => {
                let (read, write) =
                    rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).ok()?;
                if self.lent < LARGE_PIPES {
                    // A user whose other programs hold many pipes has to do with the default.
                    let _ = rustix::pipe::fcntl_setpipe_size(&write, LARGE);
                }
                Pipe { read, write }
            }
            None => return None,
        };
        self.lent += 1;
        Some(pipe)
    }

    fn give_back(&mut self, pipe: Pipe) {
        self.lent = self.lent.saturating_sub(1);
        if self.idle.len() < IDLE_PIPES {
            self.idle.push(pipe);
        }
    }
}

/// Moves up to `left` bytes from a pipe to a socket; fewer when the socket is full.
fn drain(pipe: &Pipe, to: &OwnedFd, left: usize) -> Result<usize, Errno> {
    let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
    let mut sent = 0;
    while sent < left {
        match retry(|| rustix::pipe::splice(&pipe.read, None, to, None, left - sent, flags)) {
            Ok(0) | Err(Errno::AGAIN) => break,
            Ok(count) => sent += count,
            Err(e) => return Err(e),
        }
    }
    Ok(sent)
}

/// Sends as much as the socket takes.
fn send(fd: &OwnedFd, bytes: &[u8]) -> Result<usize, Errno> {
    match retry(|| rustix::net::send(fd, bytes, SendFlags::NOSIGNAL)) {
        Err(Errno::AGAIN) => Ok(0),
        other => other,
    }
}

fn retry<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}
