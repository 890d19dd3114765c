//! Message channels between Bryo's own processes: `SOCK_SEQPACKET` unix sockets that carry one
//! message a packet and descriptors beside it.
//!
//! Every process boundary (engine–holder, engine–monitor, engine–gate) uses this and nothing else.
//! A message is bytes (JSON by convention, defined in each boundary's `messages.rs`) of at most
//! [`MAX_MESSAGE`]; at most [`MAX_FDS`] descriptors travel with it. Payload never does.
//!
//! On failure: a peer that died shows as [`io::ErrorKind::UnexpectedEof`]; a truncated message or
//! truncated descriptors as [`io::ErrorKind::InvalidData`] (and the descriptors that arrived are closed).
//! All descriptors are close-on-exec.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
};

/// The longest message in bytes; well under the kernel's default socket buffer (208 KiB).
pub const MAX_MESSAGE: usize = 128 * 1024;

/// The most descriptors in one message.
pub const MAX_FDS: usize = 16;

/// One end of a channel.
#[derive(Debug)]
pub struct Channel {
    fd: OwnedFd,
}

/// A received message.
#[derive(Debug)]
pub struct Message {
    /// The bytes.
    pub data: Vec<u8>,
    /// The descriptors that came with it, in the sender's order.
    pub fds: Vec<OwnedFd>,
}

impl Channel {
    /// Two connected ends.
    pub fn pair() -> io::Result<(Channel, Channel)> {
        let (a, b) = rustix::net::socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )?;
        Ok((Channel { fd: a }, Channel { fd: b }))
    }

    /// Connects to the [`Listener`] at `path`, which may be longer than a socket's address.
    pub fn connect(path: &Path) -> io::Result<Channel> {
        let fd = rustix::net::socket_with(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )?;
        at_address(path, |address| Ok(rustix::net::connect(&fd, address)?))?;
        Ok(Channel { fd })
    }

    /// Sends one message.
    pub fn send(&self, data: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        if data.len() > MAX_MESSAGE || fds.len() > MAX_FDS {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!(
                    "message of {} bytes and {} descriptors is too large",
                    data.len(),
                    fds.len()
                ),
            ));
        }
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "too many descriptors"));
        }
        loop {
            match rustix::net::sendmsg(
                &self.fd,
                &[IoSlice::new(data)],
                &mut control,
                SendFlags::NOSIGNAL,
            ) {
                Ok(_) => return Ok(()),
                Err(rustix::io::Errno::INTR) => continue,
                Err(e) => return Err(e.into()),
            }
        }
    }

    /// Receives one message; blocks unless the channel was set non-blocking.
    pub fn recv(&self) -> io::Result<Message> {
        let mut data = vec![0u8; MAX_MESSAGE];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = loop {
            match rustix::net::recvmsg(
                &self.fd,
                &mut [IoSliceMut::new(&mut data)],
                &mut control,
                RecvFlags::CMSG_CLOEXEC,
            ) {
                Ok(r) => break r,
                Err(rustix::io::Errno::INTR) => continue,
                Err(e) => return Err(e.into()),
            }
        };
        let mut fds = Vec::new();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = message {
                fds.extend(rights);
            }
        }
        if received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "truncated message"));
        }
        if received.bytes == 0 && fds.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the peer closed the channel",
            ));
        }
        data.truncate(received.bytes);
        Ok(Message { data, fds })
    }

    /// Sets or clears `O_NONBLOCK`.
    pub fn set_nonblocking(&self, on: bool) -> io::Result<()> {
        Ok(rustix::io::ioctl_fionbio(&self.fd, on)?)
    }

    /// The channel's descriptor, given up.
    pub fn into_fd(self) -> OwnedFd {
        self.fd
    }

    /// A channel on a descriptor that is a connected `SOCK_SEQPACKET` socket (inherited or received).
    pub fn from_fd(fd: OwnedFd) -> Channel {
        Channel { fd }
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Accepts channels at a path.
#[derive(Debug)]
pub struct Listener {
    fd: OwnedFd,
}

impl Listener {
    /// Listens at `path`, which must not exist and may be longer than a socket's address; the file's mode is 0600 whatever the umask.
    pub fn bind(path: &Path) -> io::Result<Listener> {
        let fd = rustix::net::socket_with(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )?;
        // fchmod before bind sets the mode that bind gives the file (unix(7), Linux).
        rustix::fs::fchmod(&fd, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR)?;
        at_address(path, |address| Ok(rustix::net::bind(&fd, address)?))?;
        rustix::net::listen(&fd, 64)?;
        Ok(Listener { fd })
    }

    /// The next connection.
    pub fn accept(&self) -> io::Result<Channel> {
        let fd = rustix::net::accept_with(&self.fd, SocketFlags::CLOEXEC)?;
        Ok(Channel { fd })
    }

    /// The listener's descriptor, given up.
    pub fn into_fd(self) -> OwnedFd {
        self.fd
    }

    /// A listener on an inherited descriptor.
    pub fn from_fd(fd: OwnedFd) -> Listener {
        Listener { fd }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The address of a path. `sun_path` has 108 bytes (unix(7)), and a container's folder in a user's runtime folder can be
/// longer; then the way goes through a descriptor of the folder.
fn at_address<T>(path: &Path, act: impl FnOnce(&SocketAddrUnix) -> io::Result<T>) -> io::Result<T> {
    let error = match SocketAddrUnix::new(path) {
        Ok(address) => return act(&address),
        Err(e) => e,
    };
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(error.into());
    };
    let folder = std::fs::File::open(folder)?;
    let short = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name);
    act(&SocketAddrUnix::new(short)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_and_bytes_arrive_together() {
        let (a, b) = Channel::pair().unwrap();
        let (r, w) = rustix::pipe::pipe().unwrap();
        a.send(b"hello", &[w.as_fd()]).unwrap();
        let m = b.recv().unwrap();
        assert_eq!(m.data, b"hello");
        rustix::io::write(&m.fds[0], b"x").unwrap();
        let mut buf = [0u8; 1];
        rustix::io::read(&r, &mut buf).unwrap();
        assert_eq!(&buf, b"x");
    }

    #[test]
    fn a_closed_peer_is_an_end_of_file() {
        let (a, b) = Channel::pair().unwrap();
        drop(a);
        assert_eq!(b.recv().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_listener_is_found_at_a_long_path() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("0123456789abcdef".repeat(8));
        std::fs::create_dir(&deep).unwrap();
        let path = deep.join("x.sock");
        let listener = Listener::bind(&path).unwrap();
        let client = Channel::connect(&path).unwrap();
        client.send(b"hello", &[]).unwrap();
        assert_eq!(listener.accept().unwrap().recv().unwrap().data, b"hello");
    }

    #[test]
    fn a_message_over_the_limit_is_refused_before_it_is_sent() {
        let (a, _b) = Channel::pair().unwrap();
        let big = vec![0u8; MAX_MESSAGE + 1];
        assert_eq!(a.send(&big, &[]).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
