//! The streams of one process: its pipes or terminal, the log, the attached clients.
//!
//! ```text
//! stdout ─┐                ┌─▶ log (the container's first process only)
//! stderr ─┼─ one read ─────┼─▶ client: socket, else its queue
//! or tty ─┘  (≤ 64 KiB)    └─▶ client …
//! stdin ◀──── at most one read's worth ◀──── any client that may type
//! ```
//!
//! **A slow client.** Every byte that is read goes to the log first and then to every client at once. What a
//! client's socket does not take waits in its queue; when one queue passes 256 KiB the program's output is not read
//! until that client reads on or goes away. So the program stands still in its `write`, as with Docker and as a pipe
//! into `less` would have it; nothing is lost, the log holds all that was read, and memory stays bounded. When the
//! program has ended, what is left in its pipes (64 KiB at most) is read whatever the queues are, so a
//! slow client never delays the exit.
//!
//! **The end of input.** A client that shuts down its sending side ends the program's stdin if it is an exec's, or the
//! container's with `stdin_once`, and no terminal. In all other cases that client is detached, as Docker does it, once
//! the program has been silent for a moment.

mod client;
mod detach;
mod stdin;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::termios::Winsize;

use crate::log::{Stream, Writer, time};
use crate::messages::StreamConfig;
use crate::poller::{Interest, Poller, Token};
use client::{Client, Input};
use stdin::Stdin;

/// Bytes of one read.
pub(crate) const READ: usize = 64 * 1024;

/// Reads for one event; others get their turn after that.
const TURN: usize = 16;

/// Our ends of a process' streams.
#[derive(Debug)]
pub(crate) enum Ends {
    /// Pipes; no stdin if it is /dev/null.
    Pipes { stdin: Option<OwnedFd>, stdout: OwnedFd, stderr: OwnedFd },
    /// The master of a terminal.
    Terminal(OwnedFd),
}

/// What becomes of clients' input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InputPolicy {
    /// The program has no stdin: input is not even read.
    None,
    /// It is forwarded; a client that ends its own is detached.
    KeepOpen,
    /// It is forwarded; a client that ends its own ends the program's stdin (without a terminal).
    EndsWithClient,
}

/// The streams of one process.
#[derive(Debug)]
pub(crate) struct Streams {
    process: u32,
    tty: bool,
    input: InputPolicy,
    outputs: [Option<Output>; 2],
    terminal: Option<OwnedFd>,
    stdin: Stdin,
    clients: BTreeMap<u32, Client>,
    next: u32,
    finished: bool,
}

#[derive(Debug)]
struct Output {
    fd: OwnedFd,
    stream: Stream,
    interest: Interest,
    ended: bool,
}

impl Streams {
    pub(crate) fn new(process: u32, tty: bool, input: InputPolicy) -> Streams {
        Streams {
            process,
            tty,
            input,
            outputs: [None, None],
            terminal: None,
            stdin: Stdin::new(),
            clients: BTreeMap::new(),
            next: 0,
            finished: false,
        }
    }

    /// The process runs, with these ends.
    pub(crate) fn open(&mut self, poller: &Poller, ends: Ends) -> io::Result<()> {
        let output = |fd: OwnedFd, stream| -> io::Result<Option<Output>> {
            rustix::io::ioctl_fionbio(&fd, true)?;
            Ok(Some(Output { fd, stream, interest: Interest::default(), ended: false }))
        };
        match ends {
            Ends::Pipes { stdin, stdout, stderr } => {
                if let Some(fd) = &stdin {
                    rustix::io::ioctl_fionbio(fd, true)?;
                }
                self.outputs = [output(stdout, Stream::Stdout)?, output(stderr, Stream::Stderr)?];
                self.stdin.open(stdin);
            }
            Ends::Terminal(master) => {
                // Two more descriptors, because epoll knows each only once.
                let (typing, sizing) = (master.try_clone()?, master.try_clone()?);
                self.outputs = [output(master, Stream::Stdout)?, None];
                self.terminal = Some(sizing);
                self.stdin.open(Some(typing));
            }
        }
        self.update(poller);
        Ok(())
    }

    /// Joins a client.
    pub(crate) fn attach(
        &mut self,
        poller: &Poller,
        mut config: StreamConfig,
        fd: OwnedFd,
    ) -> io::Result<()> {
        rustix::net::sockopt::socket_type(&fd)?;
        rustix::io::ioctl_fionbio(&fd, true)?;
        let early = std::mem::take(&mut config.early_stdin);
        config.stdin &= self.input != InputPolicy::None;
        let takes_input = config.stdin;
        let mut client = Client::new(config, fd, self.tty);
        if takes_input {
            self.stdin.feed(&early);
        }
        if self.finished {
            client.finish();
        }
        self.clients.insert(self.next, client);
        self.next = self.next.wrapping_add(1);
        self.update(poller);
        Ok(())
    }

    /// An output can be read.
    pub(crate) fn on_output(
        &mut self,
        poller: &Poller,
        stream: Stream,
        buffer: &mut [u8],
        log: &mut Option<Writer>,
    ) {
        for _ in 0..TURN {
            if self.is_stalled() || !self.read_output(stream, buffer, log) {
                break;
            }
        }
        self.update(poller);
    }

    /// Reads once and hands out what came. False: nothing is there, or nothing will be any more.
    fn read_output(&mut self, stream: Stream, buffer: &mut [u8], log: &mut Option<Writer>) -> bool {
        let index = usize::from(stream == Stream::Stderr);
        let Some(output) = self.outputs[index].as_mut().filter(|o| !o.ended) else {
            return false;
        };
        let n = match rustix::io::read(&output.fd, &mut *buffer) {
            Ok(n) => n,
            Err(Errno::INTR) => return true,
            Err(Errno::AGAIN) => return false,
            // EIO from a terminal: nobody has its other side open.
            Err(_) => 0,
        };
        if n == 0 {
            output.ended = true;
            return false;
        }
        let data = &buffer[..n];
        if let Some(log) = log {
            // A log that cannot be written (a full disk) must not stop the program; the writer counts what is lost.
            let _ = log.write(stream, data, time::now());
        }
        for client in self.clients.values_mut() {
            client.push(stream, data);
        }
        true
    }

    /// A client reads too slowly.
    fn is_stalled(&self) -> bool {
        self.clients.values().any(Client::is_full)
    }

    /// The process has ended: reads all that is left (not more than a pipe can hold, lest somebody who still has
    /// the other end keeps us).
    pub(crate) fn drain(&mut self, poller: &Poller, buffer: &mut [u8], log: &mut Option<Writer>) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            for _ in 0..4 * TURN {
                if !self.read_output(stream, buffer, log) {
                    break;
                }
            }
        }
        self.outputs.iter_mut().flatten().for_each(|o| o.ended = true);
        self.terminal = None;
        self.stdin.close();
        self.update(poller);
    }

    /// No more output will come: clients get what is queued for them, then their connections are closed.
    pub(crate) fn finish(&mut self, poller: &Poller) {
        self.finished = true;
        self.clients.values_mut().for_each(Client::finish);
        self.update(poller);
    }

    /// stdin can be written to.
    pub(crate) fn on_stdin(&mut self, poller: &Poller) {
        self.stdin.flush();
        self.update(poller);
    }

    /// Something happened to a client's socket.
    pub(crate) fn on_client(
        &mut self,
        poller: &Poller,
        number: u32,
        flags: EventFlags,
        buffer: &mut [u8],
    ) {
        let Some(client) = self.clients.get_mut(&number) else { return };
        if flags.contains(EventFlags::OUT) {
            client.flush();
        }
        if flags.intersects(EventFlags::HUP | EventFlags::ERR) {
            client.deafen();
        }
        if flags.contains(EventFlags::IN) {
            let mut typed = Vec::new();
            let input = client.read(buffer, &mut typed);
            self.stdin.feed(&typed);
            let ends_stdin = self.input == InputPolicy::EndsWithClient && !self.tty;
            match input {
                Input::Some | Input::None => {}
                Input::End if ends_stdin => self.stdin.end(),
                Input::End => client.leave(),
                Input::Detach => client.finish(),
            }
        }
        self.update(poller);
    }

    /// Closes every client at once and forgets them, without shutting their connections down: an engine
    /// that kept a copy of the descriptor can still write an error to it.
    pub(crate) fn abandon(&mut self, poller: &Poller) -> Vec<(u64, bool)> {
        self.clients.values_mut().for_each(Client::abandon);
        self.take_closed(poller)
    }

    /// The clients whose streams ended since the last call: number, and whether the client detached.
    pub(crate) fn take_closed(&mut self, poller: &Poller) -> Vec<(u64, bool)> {
        self.update(poller);
        let mut closed = Vec::new();
        for client in self.clients.values_mut().filter(|c| c.is_over() && !c.reported) {
            client.reported = true;
            closed.push((client.id, client.detached));
        }
        self.clients.retain(|_, c| !c.is_gone());
        closed
    }

    /// True if no client is left.
    pub(crate) fn is_idle(&self) -> bool {
        self.clients.is_empty()
    }

    /// Sets the terminal's size; false if there is no terminal.
    pub(crate) fn resize(&self, rows: u16, cols: u16) -> io::Result<bool> {
        let Some(terminal) = &self.terminal else { return Ok(false) };
        let size = Winsize { ws_row: rows, ws_col: cols, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(terminal.as_fd(), size)?;
        Ok(true)
    }

    /// When [`Streams::expire`] has something to do.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.clients.values().filter_map(Client::deadline).min()
    }

    /// Gives up clients that took too long to close.
    pub(crate) fn expire(&mut self, now: Instant) {
        self.clients.values_mut().for_each(|c| c.expire(now));
    }

    /// Registers what every part waits for.
    fn update(&mut self, poller: &Poller) {
        let process = self.process;
        let stalled = self.is_stalled();
        for output in self.outputs.iter_mut().flatten() {
            let token = Token::Output { process, stream: output.stream };
            let idle = stalled || output.ended;
            let flags = if idle { EventFlags::empty() } else { EventFlags::IN };
            poller.want(&output.fd, token, &mut output.interest, flags);
        }
        for output in &mut self.outputs {
            output.take_if(|o| o.ended);
        }
        self.stdin.update(poller, process);
        let ready = self.stdin.is_ready();
        for (&client, state) in &mut self.clients {
            state.update(poller, Token::Client { process, client }, ready);
        }
    }
}
