//! What parent and child of a new process say to each other.
//!
//! ```text
//! parent                                   child
//!   │ ─── Mapped ──────────────────────────▶ │ the id maps are written (only with a new user namespace)
//!   │ ◀── Born + [namespaces] ────────────── │ only if the parent cannot open them by itself (concealed child) or not
//!   │                                        │ yet (cgroup namespace made after birth)
//!   │ ◀── Fuse + [/dev/fuse] ─────────────── │ only with fuse-overlayfs: the mount waits for a server
//!   │ ◀── Ready + [terminal's master]? ───── │ everything but the exec is done
//!   │ ─── Go ──────────────────────────────▶ │
//!   │ ◀── Executing ──────────────────────── │ sent before the seccomp filter is loaded
//!   ╳                                        ╳ end of file: the program runs (the socket is close-on-exec)
//! ```
//!
//! At any point the child may say `Failed` with an [`Error`] instead, and exits. An end of file before `Executing`
//! means that it was killed. One `SOCK_SEQPACKET` pair, so a message is a packet; the first byte names it.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};

use crate::error::{Context, Error, Result};

/// Longest error text that crosses, in bytes; the rest is cut.
const MAX_TEXT: usize = 4096;

/// Most descriptors in one message: the namespaces of a concealed child.
const MAX_FDS: usize = 8;

/// A message.
#[derive(Debug)]
pub(crate) enum Message {
    /// The id maps are written.
    Mapped,
    /// Start the program.
    Go,
    /// The child's namespaces, in the order of [`crate::handles::KINDS`].
    Born(Vec<OwnedFd>),
    /// The descriptor that a FUSE server is to serve.
    Fuse(OwnedFd),
    /// Everything but the exec is done.
    Ready(Option<OwnedFd>),
    /// About to load the filter and execute.
    Executing,
    /// A helper made the child with this pid.
    Made(u32),
    /// It went wrong.
    Failed(Error),
    /// The other side is gone.
    Closed,
}

/// One end.
#[derive(Debug)]
pub(crate) struct Line {
    fd: OwnedFd,
}

impl Line {
    /// Both ends, close-on-exec.
    pub(crate) fn pair() -> Result<(Line, Line)> {
        let (a, b) = rustix::net::socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )
        .context(|| "making a socket pair")?;
        Ok((Line { fd: a }, Line { fd: b }))
    }

    /// Sends a message without descriptors. By write(2), which no sane seccomp profile forbids.
    pub(crate) fn send(&self, message: &Message) -> io::Result<()> {
        match message {
            Message::Mapped => self.write(b"m"),
            Message::Go => self.write(b"g"),
            Message::Executing => self.write(b"x"),
            Message::Ready(None) => self.write(b"r"),
            Message::Failed(error) => {
                let mut bytes = vec![b'e'];
                bytes.extend(error.to_bytes());
                bytes.truncate(MAX_TEXT);
                self.write(&bytes)
            }
            Message::Ready(Some(fd)) => self.send_with(b"r", &[fd.as_fd()]),
            Message::Fuse(fd) => self.send_with(b"f", &[fd.as_fd()]),
            Message::Born(fds) => {
                let fds: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
                self.send_with(b"b", &fds)
            }
            Message::Made(pid) => {
                let [a, b, c, d] = pid.to_ne_bytes();
                self.write(&[b'p', a, b, c, d])
            }
            Message::Closed => Ok(()),
        }
    }

    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        rustix::io::write(&self.fd, bytes)?;
        Ok(())
    }

    fn send_with(&self, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !control.push(SendAncillaryMessage::ScmRights(fds)) {
            return Err(io::Error::other("too many descriptors for one message"));
        }
        let data = [IoSlice::new(bytes)];
        rustix::net::sendmsg(&self.fd, &data, &mut control, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// The next message; waits for it.
    pub(crate) fn receive(&self) -> Result<Message> {
        let mut data = [0u8; MAX_TEXT];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let count = loop {
            let mut buffers = [IoSliceMut::new(&mut data)];
            let flags = RecvFlags::CMSG_CLOEXEC;
            match rustix::net::recvmsg(&self.fd, &mut buffers, &mut control, flags) {
                Ok(received) => break received.bytes,
                // A peer that ended without reading all resets the connection. That is reported once and before what it
                // sent, which may be the reason; after that comes the end of file.
                Err(rustix::io::Errno::INTR | rustix::io::Errno::CONNRESET) => {}
                Err(e) => return Err(e).context(|| "waiting for the new process"),
            }
        };
        let mut fds = Vec::new();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = message {
                fds.extend(rights);
            }
        }
        let bytes = data.get(..count).unwrap_or_default();
        Ok(match bytes.split_first() {
            None => Message::Closed,
            Some((b'm', _)) => Message::Mapped,
            Some((b'g', _)) => Message::Go,
            Some((b'x', _)) => Message::Executing,
            Some((b'b', _)) => Message::Born(fds),
            Some((b'r', _)) => Message::Ready(fds.pop()),
            Some((b'f', _)) => match fds.pop() {
                Some(fd) => Message::Fuse(fd),
                None => Message::Failed(Error::other("the FUSE descriptor got lost")),
            },
            Some((b'p', [a, b, c, d])) => Message::Made(u32::from_ne_bytes([*a, *b, *c, *d])),
            Some((b'e', error)) => Message::Failed(Error::from_bytes(error)),
            Some((other, _)) => {
                Message::Failed(Error::other(format!("unknown message {other} from the child")))
            }
        })
    }
}

impl AsFd for Line {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn messages_keep_their_kind_and_descriptors() {
        let (a, b) = Line::pair().unwrap();
        let (r, _w) = rustix::pipe::pipe().unwrap();
        a.send(&Message::Ready(Some(r))).unwrap();
        assert!(matches!(b.receive().unwrap(), Message::Ready(Some(_))));
        let error = Error::new(ErrorKind::CommandNotFound, "x".repeat(10_000));
        a.send(&Message::Failed(error)).unwrap();
        match b.receive().unwrap() {
            Message::Failed(e) => assert_eq!(e.kind(), ErrorKind::CommandNotFound),
            other => panic!("{other:?}"),
        }
        drop(a);
        assert!(matches!(b.receive().unwrap(), Message::Closed));
    }
}
