//! The engine's asynchronous end of a message channel to one of Bryo's own processes.
//!
//! `bryo_sys::channel` is synchronous; here a second descriptor of the same socket is registered with tokio as a stream
//! socket, which is only ever asked whether it is ready (`AsyncFd` cannot be made without `unsafe`). A message is sent at
//! once where the socket has room (nearly always), else when it has.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use bryo_sys::channel::{Channel, Message};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::Interest;
use tokio::net::UnixStream;

/// One end of a channel.
pub(crate) struct Link {
    channel: Channel,
    ready: UnixStream,
}

impl Link {
    /// Takes over a connected channel.
    pub(crate) fn new(channel: Channel) -> io::Result<Link> {
        channel.set_nonblocking(true)?;
        let again = channel.as_fd().try_clone_to_owned()?;
        let ready = UnixStream::from_std(again.into())?;
        Ok(Link { channel, ready })
    }

    /// Connects to a listener; unix sockets connect without waiting.
    pub(crate) fn connect(path: &Path) -> io::Result<Link> {
        Link::new(Channel::connect(path)?)
    }

    /// Sends one message and its descriptors.
    pub(crate) async fn send<T: Serialize>(
        &self,
        message: &T,
        fds: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        let data = serde_json::to_vec(message)?;
        match self.channel.send(&data, fds) {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            done => return done,
        }
        self.ready.async_io(Interest::WRITABLE, || self.channel.send(&data, fds)).await
    }

    /// The next message. Cancelling loses nothing.
    pub(crate) async fn recv<T: DeserializeOwned>(&self) -> io::Result<T> {
        let message: Message =
            self.ready.async_io(Interest::READABLE, || self.channel.recv()).await?;
        Ok(serde_json::from_slice(&message.data)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn messages_pass_both_ways_and_the_end_shows() {
        let (a, b) = Channel::pair().unwrap();
        let (a, b) = (Link::new(a).unwrap(), Link::new(b).unwrap());
        a.send(&"hello", &[]).await.unwrap();
        assert_eq!(b.recv::<String>().await.unwrap(), "hello");
        drop(a);
        let end = b.recv::<String>().await.unwrap_err();
        assert_eq!(end.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn a_full_socket_makes_the_sender_wait_not_fail() {
        let (a, b) = Channel::pair().unwrap();
        let (a, b) = (Link::new(a).unwrap(), Link::new(b).unwrap());
        let big = "x".repeat(60_000);
        let copy = big.clone();
        let sender = tokio::spawn(async move {
            for _ in 0..32 {
                a.send(&copy, &[]).await.unwrap();
            }
        });
        for _ in 0..32 {
            assert_eq!(b.recv::<String>().await.unwrap(), big);
        }
        sender.await.unwrap();
    }
}
