//! Sockets of the host's network namespace, for flows that the policy lets out. Nothing else in the gate connects one.

use std::io;
use std::os::fd::OwnedFd;

use bryo_sys::sockopt::Ip;
use rustix::io::Errno;
use rustix::net::{AddressFamily, Protocol, SocketFlags, SocketType, ipproto};

use super::policy::HostAddress;
use super::stream::tune;

/// Begins a TCP connect; its end shows as writability.
pub fn stream(to: HostAddress) -> io::Result<OwnedFd> {
    let fd = socket(to, SocketType::STREAM, None)?;
    tune(&fd)?;
    match rustix::net::connect(&fd, &to.get()) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(fd),
        Err(e) => Err(e.into()),
    }
}

/// A UDP socket, connected, so that the network's errors come back on it.
pub fn datagram(to: HostAddress) -> io::Result<OwnedFd> {
    let fd = socket(to, SocketType::DGRAM, None)?;
    rustix::net::connect(&fd, &to.get())?;
    Ok(fd)
}

/// A socket that sends ICMP echo requests; EACCES or EPERM where net.ipv4.ping_group_range forbids it.
pub fn echo(to: HostAddress) -> io::Result<OwnedFd> {
    let protocol = if to.get().is_ipv6() { ipproto::ICMPV6 } else { ipproto::ICMP };
    let fd = socket(to, SocketType::DGRAM, Some(protocol))?;
    rustix::net::connect(&fd, &to.get())?;
    Ok(fd)
}

fn socket(to: HostAddress, kind: SocketType, protocol: Option<Protocol>) -> io::Result<OwnedFd> {
    let family = if to.get().is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(rustix::net::socket_with(family, kind, flags, protocol)?)
}

/// The IP version of an address.
pub fn version(address: std::net::IpAddr) -> Ip {
    if address.is_ipv6() { Ip::V6 } else { Ip::V4 }
}
