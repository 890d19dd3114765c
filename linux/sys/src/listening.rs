//! Listening sockets that a service manager opened for us (sd_listen_fds(3)).

use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixListener;

use rustix::net::AddressFamily;

/// One such socket.
#[derive(Debug)]
pub enum Inherited {
    /// A unix stream socket.
    Unix(UnixListener),
    /// A TCP socket.
    Tcp(TcpListener),
}

/// The sockets, from the values of $LISTEN_PID and $LISTEN_FDS; none if they are meant for another process. To be called once:
/// the descriptors 3, 4 … become owned (and close-on-exec) here.
pub fn inherited(listen_pid: Option<&str>, listen_fds: Option<&str>) -> io::Result<Vec<Inherited>> {
    let ours = listen_pid.and_then(|p| p.parse::<u32>().ok()) == Some(std::process::id());
    let count = listen_fds.and_then(|n| n.parse::<i32>().ok()).unwrap_or(0);
    if !ours || !(1..=64).contains(&count) {
        return Ok(Vec::new());
    }
    (3..3 + count).map(take).collect()
}

fn take(number: i32) -> io::Result<Inherited> {
    // SAFETY: the borrow ends with this block; fcntl on a number that is no descriptor fails with EBADF.
    let borrowed = unsafe { std::os::fd::BorrowedFd::borrow_raw(number) };
    rustix::io::fcntl_setfd(borrowed, rustix::io::FdFlags::CLOEXEC)?;
    // SAFETY: the protocol gives this descriptor to this process, and the caller takes it once.
    let fd = unsafe { OwnedFd::from_raw_fd(number) };
    if !rustix::net::sockopt::socket_acceptconn(fd.as_fd())? {
        return Err(io::Error::other(format!("descriptor {number} does not listen")));
    }
    match rustix::net::sockopt::socket_domain(fd.as_fd())? {
        AddressFamily::UNIX => Ok(Inherited::Unix(UnixListener::from(fd))),
        AddressFamily::INET | AddressFamily::INET6 => Ok(Inherited::Tcp(TcpListener::from(fd))),
        other => Err(io::Error::other(format!("descriptor {number}: address family {other:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_for_another_process_are_left_alone() {
        assert!(inherited(None, None).unwrap().is_empty());
        assert!(inherited(Some("1"), Some("3")).unwrap().is_empty());
    }

    #[test]
    fn a_listening_socket_is_taken_over() {
        let ended = crate::fork::in_child(|| {
            let Ok(listener) = TcpListener::bind("127.0.0.1:0") else { return 1 };
            if crate::process::duplicate_to(&listener, 3).is_err() {
                return 2;
            }
            // It may be descriptor 3 itself, which has a new owner from now on.
            std::mem::forget(listener);
            let pid = std::process::id().to_string();
            match inherited(Some(&pid), Some("1")) {
                Ok(sockets) if matches!(sockets[..], [Inherited::Tcp(_)]) => 0,
                _ => 3,
            }
        });
        assert_eq!(ended.unwrap().code(), 0);
    }
}
