//! A client's socket: hyper's view of it while it speaks HTTP, and the raw descriptor when that ends.
//!
//! Plain sockets are shared between hyper, which reads and writes, and the connection's task, which watches whether the
//! client has gone while an answer is on its way (hyper itself would take a half-closed connection for a closed one, and
//! `docker` closes its half early when it has no input to send).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use rustix::event::{PollFd, PollFlags};
use tokio::io::Interest;
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::server::TlsStream;

/// How often a half-closed connection is looked at.
const HALF_CLOSED_LOOK: Duration = Duration::from_millis(500);

/// How often it is looked whether a head was read: some times at once, then every millisecond.
const HEAD_TURNS: u32 = 70;
const HEAD_YIELDS: u32 = 20;
/// What a TCP client gets to take a head out of its kernel.
const TCP_MOMENT: Duration = Duration::from_millis(2);

/// A client's connection.
pub enum Socket {
    /// A unix socket.
    Unix(Arc<UnixStream>),
    /// Plain TCP.
    Tcp(Arc<TcpStream>),
    /// TLS over TCP.
    Tls(Box<TokioIo<TlsStream<TcpStream>>>),
}

/// What watches a connection from beside hyper.
pub enum Watch {
    /// A unix socket.
    Unix(Arc<UnixStream>),
    /// Plain TCP.
    Tcp(Arc<TcpStream>),
    /// Nothing to watch: a dead client is noticed by writing.
    None,
}

impl Socket {
    /// A watch on it.
    pub fn watch(&self) -> Watch {
        match self {
            Socket::Unix(stream) => Watch::Unix(stream.clone()),
            Socket::Tcp(stream) => Watch::Tcp(stream.clone()),
            Socket::Tls(_) => Watch::None,
        }
    }

    /// Writes all of `bytes`, past HTTP.
    pub async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let n = std::future::poll_fn(|cx| Pin::new(&mut *self).poll_write(cx, rest)).await?;
            if n == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            rest = rest.get(n..).unwrap_or_default();
        }
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_flush(cx)).await
    }

    /// Waits until the client has read what was written, but not for long.
    ///
    /// Some clients (docker-py) read an answer's head through a buffer and go on below it: what arrives together with the head is
    /// lost to them. Over TCP the kernel can only tell that it arrived, so there a moment is given on top.
    pub async fn head_was_read(&self) {
        let (fd, extra) = match self {
            Socket::Unix(stream) => (stream.as_fd(), Duration::ZERO),
            Socket::Tcp(stream) => (stream.as_fd(), TCP_MOMENT),
            Socket::Tls(_) => return tokio::time::sleep(TCP_MOMENT).await,
        };
        for turn in 0..HEAD_TURNS {
            match bryo_sys::outq::unread(fd) {
                Ok(0) | Err(_) => break,
                Ok(_) if turn < HEAD_YIELDS => tokio::task::yield_now().await,
                Ok(_) => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        }
        if !extra.is_zero() {
            tokio::time::sleep(extra).await;
        }
    }

    /// The socket itself; for TLS one end of a pair whose other end is relayed until both sides have ended.
    pub fn into_fd(self) -> io::Result<OwnedFd> {
        match self {
            Socket::Unix(stream) => stream.as_fd().try_clone_to_owned(),
            Socket::Tcp(stream) => stream.as_fd().try_clone_to_owned(),
            Socket::Tls(stream) => {
                let (ours, theirs) = UnixStream::pair()?;
                tokio::spawn(relay(*stream, ours));
                Ok(theirs.into_std()?.into())
            }
        }
    }
}

async fn relay(tls: TokioIo<TlsStream<TcpStream>>, mut plain: UnixStream) {
    let mut tls = tls.into_inner();
    if let Err(e) = tokio::io::copy_bidirectional(&mut tls, &mut plain).await {
        tracing::debug!("a TLS session ended: {e}");
    }
}

impl Watch {
    /// Resolves when the client is gone: both directions are closed. A client that only closed its own is waited for.
    pub async fn gone(&self) {
        loop {
            let end_seen = match self {
                Watch::Unix(s) => s.ready(Interest::READABLE).await,
                Watch::Tcp(s) => s.ready(Interest::READABLE).await,
                Watch::None => return std::future::pending().await,
            };
            match (end_seen, self) {
                (Err(_), _) => return,
                (Ok(ready), Watch::Unix(s)) if ready.is_read_closed() && hung_up(s.as_fd()) => {
                    return;
                }
                (Ok(ready), Watch::Tcp(s)) if ready.is_read_closed() && hung_up(s.as_fd()) => {
                    return;
                }
                _ => tokio::time::sleep(HALF_CLOSED_LOOK).await,
            }
        }
    }
}

fn hung_up(fd: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::empty())];
    let now = rustix::time::Timespec { tv_sec: 0, tv_nsec: 0 };
    match rustix::event::poll(&mut fds, Some(&now)) {
        Ok(_) => fds.iter().any(|f| f.revents().intersects(PollFlags::HUP | PollFlags::ERR)),
        Err(_) => false,
    }
}

/// Reads into hyper's buffer by a non-blocking read that says `WouldBlock` when there is nothing.
macro_rules! poll_read_shared {
    ($stream:expr, $cx:expr, $buf:expr) => {{
        loop {
            ready!($stream.poll_read_ready($cx))?;
            let mut chunk = [0u8; 8192];
            let room = $buf.remaining().min(chunk.len());
            let Some(chunk) = chunk.get_mut(..room) else { return Poll::Ready(Ok(())) };
            match $stream.try_read(chunk) {
                Ok(n) => {
                    $buf.put_slice(chunk.get(..n).unwrap_or_default());
                    return Poll::Ready(Ok(()));
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => continue,
                Err(e) => return Poll::Ready(Err(e)),
            }
        }
    }};
}

impl Read for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Unix(stream) => poll_read_shared!(stream, cx, buf),
            Socket::Tcp(stream) => poll_read_shared!(stream, cx, buf),
            Socket::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, buf),
        }
    }
}

macro_rules! poll_write_shared {
    ($stream:expr, $cx:expr, $try:expr) => {{
        loop {
            ready!($stream.poll_write_ready($cx))?;
            match $try {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => continue,
                done => return Poll::Ready(done),
            }
        }
    }};
}

impl Write for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Socket::Unix(stream) => poll_write_shared!(stream, cx, stream.try_write(buf)),
            Socket::Tcp(stream) => poll_write_shared!(stream, cx, stream.try_write(buf)),
            Socket::Tls(stream) => Pin::new(stream.as_mut()).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Socket::Unix(stream) => poll_write_shared!(stream, cx, stream.try_write_vectored(bufs)),
            Socket::Tcp(stream) => poll_write_shared!(stream, cx, stream.try_write_vectored(bufs)),
            Socket::Tls(stream) => Pin::new(stream.as_mut()).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Socket::Unix(_) | Socket::Tcp(_) => true,
            Socket::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Unix(_) | Socket::Tcp(_) => Poll::Ready(Ok(())),
            Socket::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Unix(stream) => Poll::Ready(shutdown(stream.as_fd())),
            Socket::Tcp(stream) => Poll::Ready(shutdown(stream.as_fd())),
            Socket::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
        }
    }
}

fn shutdown(fd: BorrowedFd<'_>) -> io::Result<()> {
    match rustix::net::shutdown(fd, rustix::net::Shutdown::Write) {
        // The client has gone already.
        Ok(()) | Err(rustix::io::Errno::NOTCONN) => Ok(()),
        Err(e) => Err(e.into()),
    }
}
