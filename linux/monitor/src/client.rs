//! The engine's side of the conversation of [`crate::messages`]: encode requests, decode answers.
//!
//! [`Client`] never blocks unless asked to ([`Client::recv`]): the engine registers its descriptor
//! with its reactor, calls [`Client::try_recv`] until it gives `None` whenever the descriptor is
//! readable, and matches replies to requests by the number that [`Client::send`] returned.
//!
//! On failure: a monitor that ended (or was killed) is [`io::ErrorKind::UnexpectedEof`]; the bundle's
//! `state.json` then says how the container ended ([`read_state`]). A message that is not ours is
//! [`io::ErrorKind::InvalidData`].

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use bryo_sys::channel::Channel;
use rustix::event::{PollFd, PollFlags};

use crate::messages::{Answer, MonitorState, Request, RequestBody};

/// The socket on which the monitor of the container with this bundle folder listens.
pub fn socket_path(bundle: &Path) -> PathBuf {
    bundle.join("monitor.sock")
}

/// The monitor's record in this bundle folder.
pub fn state_path(bundle: &Path) -> PathBuf {
    bundle.join("state.json")
}

/// What the monitor of this bundle wrote last; `None` if it never wrote anything.
pub fn read_state(bundle: &Path) -> io::Result<Option<MonitorState>> {
    let path = state_path(bundle);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {e}", path.display())))
}

/// A connection to one monitor.
#[derive(Debug)]
pub struct Client {
    channel: Channel,
    next: u64,
}

impl Client {
    /// Speaks over `channel` (the other end of the one that the holder gave to the monitor).
    pub fn new(channel: Channel) -> io::Result<Client> {
        channel.set_nonblocking(true)?;
        Ok(Client { channel, next: 1 })
    }

    /// Connects to a monitor that runs already; its first answer is `Event::Ready`.
    pub fn connect(bundle: &Path) -> io::Result<Client> {
        Client::new(Channel::connect(&socket_path(bundle))?)
    }

    /// Sends a request with the descriptors it wants and returns its number.
    /// [`io::ErrorKind::WouldBlock`]: the monitor is behind; nothing was sent, try again when writable.
    pub fn send(&mut self, body: RequestBody, fds: &[BorrowedFd<'_>]) -> io::Result<u64> {
        let seq = self.next;
        let data = serde_json::to_vec(&Request { seq, body })?;
        self.channel.send(&data, fds)?;
        self.next += 1;
        Ok(seq)
    }

    /// The next answer, or `None` if there is none at present.
    pub fn try_recv(&self) -> io::Result<Option<Answer>> {
        match self.channel.recv() {
            Ok(message) => Ok(Some(serde_json::from_slice(&message.data)?)),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// The next answer; blocks. For threads and tests.
    pub fn recv(&self) -> io::Result<Answer> {
        loop {
            if let Some(answer) = self.try_recv()? {
                return Ok(answer);
            }
            let mut fds = [PollFd::new(&self.channel, PollFlags::IN)];
            match rustix::event::poll(&mut fds, None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }
}
