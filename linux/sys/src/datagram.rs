//! Many datagrams in one system call, with what the kernel tells beside them: the original destination, the local
//! address, the segment size of a run of equal datagrams (UDP_GRO), and the reverse when sending (UDP_SEGMENT).
//!
//! A [`Receiver`] owns a row of slots; [`Receiver::receive`] fills as many as are waiting and never blocks.

use std::io::{self, IoSlice};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd};

use rustix::net::AddressFamily;

/// Bytes of one slot: the longest datagram, or run of datagrams, that the kernel hands over.
pub const SLOT: usize = 65536;
/// Bytes of control messages kept for one slot: two addresses and a segment size need less than 100.
const CONTROL: usize = 128;
/// Datagrams that one UDP_SEGMENT message may carry (UDP_MAX_SEGMENTS; 128 since Linux 6.2).
pub const MAX_SEGMENTS: usize = 64;

/// What came with one datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// Bytes in the slot.
    pub length: usize,
    /// The sender.
    pub from: Option<SocketAddr>,
    /// The original destination (transparent sockets), or the local address with port 0 (packet info).
    pub to: Option<SocketAddr>,
    /// The slot holds a run of datagrams of this many bytes each, the last one perhaps shorter.
    pub segment: Option<u16>,
}

/// Slots for received datagrams.
#[derive(Debug)]
pub struct Receiver {
    slots: usize,
    data: Vec<u8>,
    control: Vec<Control>,
    names: Vec<Name>,
    received: Vec<Received>,
}

/// Control messages need the alignment of their header.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(8))]
struct Control([u8; CONTROL]);

/// Room for a `sockaddr_in` or `sockaddr_in6`.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(8))]
struct Name([u8; 32]);

impl Receiver {
    /// `slots` slots of [`SLOT`] bytes; memory is only used as far as datagrams filled it.
    pub fn new(slots: usize) -> Receiver {
        Receiver {
            slots,
            data: vec![0; slots * SLOT],
            control: vec![Control([0; CONTROL]); slots],
            names: vec![Name([0; 32]); slots],
            received: Vec::with_capacity(slots),
        }
    }

    /// Takes what is waiting, at most one datagram a slot; EAGAIN (`WouldBlock`) when there is nothing, and the
    /// socket's pending error (ECONNREFUSED …) if there is one.
    pub fn receive(&mut self, fd: impl AsFd) -> io::Result<&[Received]> {
        self.received.clear();
        let mut vectors = Vec::with_capacity(self.slots);
        for slot in self.data.chunks_exact_mut(SLOT) {
            vectors.push(libc::iovec { iov_base: slot.as_mut_ptr().cast(), iov_len: SLOT });
        }
        let mut headers = Vec::with_capacity(self.slots);
        let rooms = self.names.iter_mut().zip(self.control.iter_mut());
        for (vector, (name, control)) in vectors.iter_mut().zip(rooms) {
            let mut header = empty_header();
            header.msg_name = name.0.as_mut_ptr().cast();
            header.msg_namelen = 32;
            header.msg_iov = vector;
            header.msg_iovlen = 1;
            header.msg_control = control.0.as_mut_ptr().cast();
            header.msg_controllen = CONTROL as _;
            headers.push(libc::mmsghdr { msg_hdr: header, msg_len: 0 });
        }
        let count = u32::try_from(headers.len()).unwrap_or(0);
        // SAFETY: every header points into `vectors`, `names`, `control` and `data`, which outlive the call and are
        // not touched otherwise while it runs.
        let got = unsafe {
            libc::recvmmsg(
                fd.as_fd().as_raw_fd(),
                headers.as_mut_ptr(),
                count as _,
                libc::MSG_DONTWAIT as _,
                std::ptr::null_mut(),
            )
        };
        let got = usize::try_from(got).map_err(|_| io::Error::last_os_error())?;
        let beside = self.names.iter().zip(&self.control);
        for (header, (name, control)) in headers.iter().take(got).zip(beside) {
            #[allow(clippy::useless_conversion, reason = "size_t with glibc, socklen_t with musl")]
            let used = usize::try_from(header.msg_hdr.msg_controllen).unwrap_or(0);
            let mut received = Received {
                length: usize::try_from(header.msg_len).unwrap_or(0),
                from: parse_name(&name.0),
                to: None,
                segment: None,
            };
            read_control(control.0.get(..used).unwrap_or(&[]), &mut received);
            self.received.push(received);
        }
        Ok(&self.received)
    }

    /// The result of the last [`Receiver::receive`].
    pub fn received(&self) -> &[Received] {
        &self.received
    }

    /// The bytes of one slot after [`Receiver::receive`].
    pub fn data(&self, slot: usize) -> &[u8] {
        let length = self.received.get(slot).map_or(0, |r| r.length);
        self.data.get(slot * SLOT..slot * SLOT + length).unwrap_or(&[])
    }
}

/// What to send beside the bytes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sending {
    /// The destination; none on a connected socket.
    pub to: Option<SocketAddr>,
    /// The source address to use, on a socket that is bound to all.
    pub from: Option<IpAddr>,
    /// Cut the bytes into datagrams of this many bytes.
    pub segment: Option<u16>,
}

/// Sends one message (one datagram, or with `segment` several of them) without blocking.
pub fn send(fd: impl AsFd, parts: &[IoSlice<'_>], how: Sending) -> io::Result<usize> {
    let mut name = Name([0; 32]);
    let mut control = Control([0; CONTROL]);
    let mut header = empty_header();
    if let Some(to) = how.to {
        header.msg_namelen = write_name(to, &mut name.0);
        header.msg_name = name.0.as_mut_ptr().cast();
    }
    let used = write_control(&mut control.0, how);
    if used > 0 {
        header.msg_control = control.0.as_mut_ptr().cast();
        header.msg_controllen = used as _;
    }
    // IoSlice has the layout of iovec (std's promise); sendmsg only reads through the pointer.
    header.msg_iov = parts.as_ptr().cast_mut().cast();
    header.msg_iovlen = parts.len() as _;
    // SAFETY: the header's pointers lead to `name`, `control` and `parts`, which outlive the call.
    let sent = unsafe {
        libc::sendmsg(
            fd.as_fd().as_raw_fd(),
            &raw const header,
            libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
        )
    };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

fn empty_header() -> libc::msghdr {
    // SAFETY: `msghdr` is plain data of the C ABI for which all zero is "nothing".
    unsafe { std::mem::zeroed() }
}

/// A `sockaddr` as std's type.
fn parse_name(bytes: &[u8]) -> Option<SocketAddr> {
    let family = u16::from_ne_bytes(*bytes.first_chunk::<2>()?);
    let port = u16::from_be_bytes(*bytes.get(2..)?.first_chunk::<2>()?);
    let address = match i32::from(family) {
        libc::AF_INET => IpAddr::V4(Ipv4Addr::from(*bytes.get(4..)?.first_chunk::<4>()?)),
        libc::AF_INET6 => IpAddr::V6(Ipv6Addr::from(*bytes.get(8..)?.first_chunk::<16>()?)),
        _ => return None,
    };
    Some(SocketAddr::new(address, port))
}

/// Writes a `sockaddr`; returns its length.
fn write_name(address: SocketAddr, room: &mut [u8; 32]) -> libc::socklen_t {
    room[2..4].copy_from_slice(&address.port().to_be_bytes());
    match address {
        SocketAddr::V4(v4) => {
            room[..2].copy_from_slice(&AddressFamily::INET.as_raw().to_ne_bytes());
            room[4..8].copy_from_slice(&v4.ip().octets());
            16
        }
        SocketAddr::V6(v6) => {
            room[..2].copy_from_slice(&AddressFamily::INET6.as_raw().to_ne_bytes());
            room[8..24].copy_from_slice(&v6.ip().octets());
            room[24..28].copy_from_slice(&v6.scope_id().to_ne_bytes());
            28
        }
    }
}

/// Size of the kernel's `struct cmsghdr`: a length (size_t), level and type.
const CMSG_HEADER: usize = size_of::<usize>() + 8;

fn read_control(mut bytes: &[u8], received: &mut Received) {
    while let Some((level, kind, value, rest)) = next_control(bytes) {
        bytes = rest;
        match (level, kind) {
            (libc::SOL_IP, libc::IP_ORIGDSTADDR) | (libc::SOL_IPV6, libc::IPV6_ORIGDSTADDR) => {
                received.to = parse_name(value);
            }
            (libc::SOL_IP, libc::IP_PKTINFO) => {
                // struct in_pktinfo: index, the local address to answer from, the header's destination.
                let address = value.get(4..).and_then(|v| v.first_chunk::<4>());
                received.to = address.map(|a| SocketAddr::new(IpAddr::V4(Ipv4Addr::from(*a)), 0));
            }
            (libc::SOL_IPV6, libc::IPV6_PKTINFO) => {
                let address = value.first_chunk::<16>();
                received.to = address.map(|a| SocketAddr::new(IpAddr::V6(Ipv6Addr::from(*a)), 0));
            }
            (libc::SOL_UDP, libc::UDP_GRO) => {
                let size = value.first_chunk::<4>().map(|v| i32::from_ne_bytes(*v));
                received.segment = size.and_then(|s| u16::try_from(s).ok());
            }
            _ => {}
        }
    }
}

/// Splits off one control message: level, type, value, rest.
fn next_control(bytes: &[u8]) -> Option<(libc::c_int, libc::c_int, &[u8], &[u8])> {
    let word = size_of::<usize>();
    let length = usize::from_ne_bytes(bytes.get(..word)?.try_into().ok()?);
    let level = i32::from_ne_bytes(*bytes.get(word..)?.first_chunk::<4>()?);
    let kind = i32::from_ne_bytes(*bytes.get(word + 4..)?.first_chunk::<4>()?);
    let value = bytes.get(CMSG_HEADER..length)?;
    let rest = bytes.get(length.next_multiple_of(word)..).unwrap_or(&[]);
    Some((level, kind, value, rest))
}

fn write_control(room: &mut [u8; CONTROL], how: Sending) -> usize {
    let mut used = 0;
    match how.from {
        Some(IpAddr::V4(v4)) => {
            let mut info = [0; 12];
            info[4..8].copy_from_slice(&v4.octets());
            push_control(room, &mut used, libc::SOL_IP, libc::IP_PKTINFO, &info);
        }
        Some(IpAddr::V6(v6)) => {
            let mut info = [0; 20];
            info[..16].copy_from_slice(&v6.octets());
            push_control(room, &mut used, libc::SOL_IPV6, libc::IPV6_PKTINFO, &info);
        }
        None => {}
    }
    if let Some(segment) = how.segment {
        push_control(room, &mut used, libc::SOL_UDP, libc::UDP_SEGMENT, &segment.to_ne_bytes());
    }
    used
}

fn push_control(
    room: &mut [u8; CONTROL],
    used: &mut usize,
    level: libc::c_int,
    kind: libc::c_int,
    value: &[u8],
) {
    let word = size_of::<usize>();
    let length = CMSG_HEADER + value.len();
    let Some(place) = room.get_mut(*used..*used + length) else { return };
    let (header, body) = place.split_at_mut(CMSG_HEADER);
    header[..word].copy_from_slice(&length.to_ne_bytes());
    header[word..word + 4].copy_from_slice(&level.to_ne_bytes());
    header[word + 4..].copy_from_slice(&kind.to_ne_bytes());
    body.copy_from_slice(value);
    *used += length.next_multiple_of(word);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    #[test]
    fn a_run_of_datagrams_travels_in_one_message_and_tells_its_addresses() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        crate::sockopt::set_udp_gro(&server).unwrap();
        crate::sockopt::set_receive_packet_info(&server, crate::sockopt::Ip::V4).unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = server.local_addr().unwrap();
        let how = Sending { to: Some(to), segment: Some(100), ..Sending::default() };
        let sent = send(&client, &[IoSlice::new(&[1; 200]), IoSlice::new(&[2; 50])], how).unwrap();
        assert_eq!(sent, 250);

        let mut receiver = Receiver::new(4);
        let all = receiver.receive(&server).unwrap().to_vec();
        assert_eq!(all.iter().map(|r| r.length).sum::<usize>(), 250);
        assert_eq!(all[0].from, Some(client.local_addr().unwrap()));
        assert_eq!(all[0].to.map(|a| a.ip()), Some(to.ip()));
        assert_eq!(all[0].segment, Some(100));
        assert_eq!(receiver.data(0)[..2], [1, 1]);
        assert_eq!(receiver.receive(&server).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn names_survive_both_ways() {
        for address in ["10.1.2.3:45", "[2001:db8::7]:8080"] {
            let address: SocketAddr = address.parse().unwrap();
            let mut room = [0; 32];
            write_name(address, &mut room);
            assert_eq!(parse_name(&room), Some(address));
        }
    }
}
