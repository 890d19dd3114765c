//! The two sockets of a container's resolver, at 127.0.0.11 in its own network namespace.
//!
//! The monitor makes them before the container's program runs, so that the first question finds somebody; what comes
//! before the gate has them waits in their queues. The gate makes them itself for a container that came to its first
//! named network later, or when engine and gate both died.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{BorrowedFd, OwnedFd};

use bryo_sys::ns;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use crate::attach::in_thread;
use crate::error::{Context, Error};

/// Where containers find their resolver, as with Docker.
const RESOLVER: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(127, 0, 0, 11)), super::super::policy::DNS);
/// Connections that may wait.
const BACKLOG: i32 = 128;

/// Makes a resolver's UDP and TCP socket in a container's network namespace, whose loopback must be up. The caller holds
/// CAP_SYS_ADMIN over it and CAP_NET_BIND_SERVICE in it.
///
/// # Errors
/// `EADDRINUSE`: a program of the container listens there, or at port 53 of all addresses.
pub fn resolver_sockets(container: BorrowedFd<'_>) -> Result<[OwnedFd; 2], Error> {
    in_thread("resolver", || {
        ns::join(container, ns::Kind::Net).context("enter the container's network namespace")?;
        make().context(format!("listen for the container's questions at {RESOLVER}"))
    })
}

/// Makes both in the thread's own namespace.
pub fn make() -> io::Result<[OwnedFd; 2]> {
    Ok([bound(SocketType::DGRAM)?, bound(SocketType::STREAM)?])
}

fn bound(kind: SocketType) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::INET, kind, flags, None)?;
    if kind == SocketType::STREAM {
        // Connections to an earlier listener may still be open.
        rustix::net::sockopt::set_socket_reuseaddr(&socket, true)?;
    }
    rustix::net::bind(&socket, &RESOLVER)?;
    if kind == SocketType::STREAM {
        rustix::net::listen(&socket, BACKLOG)?;
    }
    Ok(socket)
}
