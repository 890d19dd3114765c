//! Socket options that rustix does not offer: transparent sockets, original destinations, segmentation offload for
//! UDP, netlink's acknowledgements.
//!
//! Each function sets one option. An error is the kernel's own: EPERM for [`set_transparent`] without CAP_NET_ADMIN or
//! CAP_NET_RAW over the socket's network namespace, ENOPROTOOPT on kernels that do not know an option.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// `NETLINK_EXT_ACK` and `NETLINK_CAP_ACK` of linux/netlink.h.
const NETLINK_CAP_ACK: libc::c_int = 10;
const NETLINK_EXT_ACK: libc::c_int = 11;

/// Sets an option whose value is an int.
fn set_int(
    fd: impl AsFd,
    level: libc::c_int,
    name: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    let length = libc::socklen_t::try_from(size_of::<libc::c_int>()).unwrap_or(4);
    // SAFETY: the pointer and length describe `value`, which lives until the call returns; the descriptor is borrowed.
    let result = unsafe {
        libc::setsockopt(fd.as_fd().as_raw_fd(), level, name, (&raw const value).cast(), length)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Address family of a socket, for options that come in two kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ip {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// Lets the socket be bound to addresses that are not the namespace's (IP_TRANSPARENT).
pub fn set_transparent(fd: impl AsFd, ip: Ip) -> io::Result<()> {
    match ip {
        Ip::V4 => set_int(fd, libc::SOL_IP, libc::IP_TRANSPARENT, 1),
        Ip::V6 => set_int(fd, libc::SOL_IPV6, libc::IPV6_TRANSPARENT, 1),
    }
}

/// Marks all packets that the socket sends (SO_MARK).
pub fn set_mark(fd: impl AsFd, mark: u32) -> io::Result<()> {
    set_int(fd, libc::SOL_SOCKET, libc::SO_MARK, libc::c_int::from_ne_bytes(mark.to_ne_bytes()))
}

/// Keeps the socket to one interface (SO_BINDTODEVICE).
pub fn bind_to_device(fd: impl AsFd, interface: &str) -> io::Result<()> {
    let length = libc::socklen_t::try_from(interface.len()).unwrap_or(0);
    let fd = fd.as_fd().as_raw_fd();
    let (level, name) = (libc::SOL_SOCKET, libc::SO_BINDTODEVICE);
    // SAFETY: pointer and length describe `interface`, which lives until the call returns; the descriptor is borrowed.
    let result = unsafe { libc::setsockopt(fd, level, name, interface.as_ptr().cast(), length) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Leaves the choice of the port to connect, so that one port can serve several destinations.
pub fn set_bind_address_no_port(fd: impl AsFd) -> io::Result<()> {
    set_int(fd, libc::SOL_IP, libc::IP_BIND_ADDRESS_NO_PORT, 1)
}

/// Asks for the datagram's original destination beside each datagram.
pub fn set_receive_original_destination(fd: impl AsFd, ip: Ip) -> io::Result<()> {
    match ip {
        Ip::V4 => set_int(fd, libc::SOL_IP, libc::IP_RECVORIGDSTADDR, 1),
        Ip::V6 => set_int(fd, libc::SOL_IPV6, libc::IPV6_RECVORIGDSTADDR, 1),
    }
}

/// Asks for the local address that each datagram was sent to.
pub fn set_receive_packet_info(fd: impl AsFd, ip: Ip) -> io::Result<()> {
    match ip {
        Ip::V4 => set_int(fd, libc::SOL_IP, libc::IP_PKTINFO, 1),
        Ip::V6 => set_int(fd, libc::SOL_IPV6, libc::IPV6_RECVPKTINFO, 1),
    }
}

/// Lets the kernel hand over runs of equal datagrams as one (UDP_GRO, Linux 5.0).
pub fn set_udp_gro(fd: impl AsFd) -> io::Result<()> {
    set_int(fd, libc::SOL_UDP, libc::UDP_GRO, 1)
}

/// Never fragments: datagrams above the path's MTU fail with EMSGSIZE, as a router would answer.
pub fn set_dont_fragment(fd: impl AsFd, ip: Ip) -> io::Result<()> {
    match ip {
        Ip::V4 => set_int(fd, libc::SOL_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_DO),
        Ip::V6 => set_int(fd, libc::SOL_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_DO),
    }
}

/// Makes acknowledgements short and lets the kernel add its own sentence (netlink).
pub(crate) fn set_netlink_acks(fd: impl AsFd) -> io::Result<()> {
    set_int(&fd, libc::SOL_NETLINK, NETLINK_CAP_ACK, 1)?;
    set_int(&fd, libc::SOL_NETLINK, NETLINK_EXT_ACK, 1)
}
