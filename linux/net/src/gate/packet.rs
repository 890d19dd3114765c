//! IP packets as bytes: what the gate reads from its tun device and what it writes back.
//!
//! Reading trusts nothing: every field is fetched with a bounds check, fragments and anything odd give `None`. Writing
//! makes whole packets with their checksums: a RST for a SYN, an ICMP error for a packet, an echo reply.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Protocol numbers.
pub const ICMP: u8 = 1;
/// TCP.
pub const TCP: u8 = 6;
/// UDP.
pub const UDP: u8 = 17;
/// ICMP for IPv6.
pub const ICMPV6: u8 = 58;

const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;
/// SYN, ACK, RST and FIN.
const STATE_FLAGS: u8 = 0x17;

/// The source of ICMP errors that no router sent (RFC 7600): an own address would look like a forgery to the kernel.
const NOBODY_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 0, 8);

/// A packet that was read.
#[derive(Debug, Clone, Copy)]
pub struct Packet<'a> {
    /// All of it.
    pub bytes: &'a [u8],
    /// Sender.
    pub source: IpAddr,
    /// Receiver.
    pub destination: IpAddr,
    /// Transport protocol.
    pub protocol: u8,
    /// What follows the IP header.
    pub payload: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Reads a packet; `None` for what is broken, a fragment, or has IPv6 extension headers.
    pub fn parse(bytes: &'a [u8]) -> Option<Packet<'a>> {
        match bytes.first()? >> 4 {
            4 => Packet::parse_v4(bytes),
            6 => Packet::parse_v6(bytes),
            _ => None,
        }
    }

    fn parse_v4(bytes: &'a [u8]) -> Option<Packet<'a>> {
        let header = usize::from(bytes.first()? & 0x0f) * 4;
        let total = usize::from(be16(bytes, 2)?);
        // More fragments, or not the first one.
        if header < 20 || be16(bytes, 6)? & 0x3fff != 0 {
            return None;
        }
        Some(Packet {
            bytes: bytes.get(..total)?,
            source: Ipv4Addr::from(*bytes.get(12..)?.first_chunk::<4>()?).into(),
            destination: Ipv4Addr::from(*bytes.get(16..)?.first_chunk::<4>()?).into(),
            protocol: *bytes.get(9)?,
            payload: bytes.get(header..total)?,
        })
    }

    fn parse_v6(bytes: &'a [u8]) -> Option<Packet<'a>> {
        let total = 40 + usize::from(be16(bytes, 4)?);
        Some(Packet {
            bytes: bytes.get(..total)?,
            source: Ipv6Addr::from(*bytes.get(8..)?.first_chunk::<16>()?).into(),
            destination: Ipv6Addr::from(*bytes.get(24..)?.first_chunk::<16>()?).into(),
            protocol: *bytes.get(6)?,
            payload: bytes.get(40..total)?,
        })
    }

    /// Of TCP and UDP: both ends with their ports.
    pub fn ends(&self) -> Option<(SocketAddr, SocketAddr)> {
        let (from, to) = (be16(self.payload, 0)?, be16(self.payload, 2)?);
        Some((SocketAddr::new(self.source, from), SocketAddr::new(self.destination, to)))
    }

    /// A TCP packet that opens a connection.
    pub fn is_first_syn(&self) -> bool {
        self.protocol == TCP && self.payload.get(13).is_some_and(|f| f & STATE_FLAGS == SYN)
    }
}

/// Why a packet did not reach its destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unreachable {
    /// No route to the network.
    Network,
    /// The host does not answer.
    Host,
    /// Nobody has the port (UDP).
    Port,
    /// Forbidden.
    Prohibited,
    /// The protocol is not carried.
    Protocol,
}

/// The answer of a closed TCP port to `packet` (RFC 9293, 3.10.7.1); none to a RST.
pub fn reset(packet: &Packet<'_>) -> Option<Vec<u8>> {
    let (from, to) = packet.ends()?;
    let flags = *packet.payload.get(13)?;
    if flags & RST != 0 {
        return None;
    }
    let mut tcp = [0u8; 20];
    tcp[..2].copy_from_slice(&to.port().to_be_bytes());
    tcp[2..4].copy_from_slice(&from.port().to_be_bytes());
    tcp[12] = 5 << 4;
    if flags & ACK != 0 {
        tcp[4..8].copy_from_slice(packet.payload.get(8..12)?);
        tcp[13] = RST;
    } else {
        let sequence = u32::from_be_bytes(*packet.payload.get(4..)?.first_chunk::<4>()?);
        tcp[8..12].copy_from_slice(&sequence.wrapping_add(1).to_be_bytes());
        tcp[13] = RST | ACK;
    }
    let sum = pseudo_checksum(to.ip(), from.ip(), TCP, &tcp);
    tcp[16..18].copy_from_slice(&sum.to_be_bytes());
    Some(wrap(to.ip(), from.ip(), TCP, &tcp))
}

/// An ICMP error about `packet`, to its sender.
pub fn unreachable(packet: &Packet<'_>, why: Unreachable) -> Vec<u8> {
    let v6 = packet.source.is_ipv6();
    let (kind, code) = match (v6, why) {
        (false, Unreachable::Network) => (3, 0),
        (false, Unreachable::Host) => (3, 1),
        (false, Unreachable::Protocol) => (3, 2),
        (false, Unreachable::Port) => (3, 3),
        (false, Unreachable::Prohibited) => (3, 13),
        (true, Unreachable::Network) => (1, 0),
        (true, Unreachable::Prohibited) => (1, 1),
        (true, Unreachable::Host) => (1, 3),
        (true, Unreachable::Port) => (1, 4),
        // Parameter problem: unrecognised next header.
        (true, Unreachable::Protocol) => (4, 1),
    };
    // Errors carry the head of the offending packet: 28 bytes suffice, more help.
    let quoted = packet.bytes.get(..packet.bytes.len().min(512)).unwrap_or(&[]);
    let mut message = vec![kind, code, 0, 0, 0, 0, 0, 0];
    message.extend_from_slice(quoted);
    let source = if v6 { packet.destination } else { NOBODY_V4.into() };
    icmp(source, packet.source, &mut message)
}

/// An ICMP message with its checksum filled in, as a packet.
pub fn icmp(source: IpAddr, destination: IpAddr, message: &mut [u8]) -> Vec<u8> {
    if let Some(field) = message.get_mut(2..4) {
        field.fill(0);
    }
    let (protocol, sum) = match source {
        IpAddr::V4(_) => (ICMP, checksum(&[message])),
        IpAddr::V6(_) => (ICMPV6, pseudo_checksum(source, destination, ICMPV6, message)),
    };
    if let Some(field) = message.get_mut(2..4) {
        field.copy_from_slice(&sum.to_be_bytes());
    }
    wrap(source, destination, protocol, message)
}

/// The head of a UDP packet that was sent from `from` to `to`, to quote in an error.
pub fn udp_head(from: SocketAddr, to: SocketAddr) -> Vec<u8> {
    let mut udp = [0u8; 8];
    udp[..2].copy_from_slice(&from.port().to_be_bytes());
    udp[2..4].copy_from_slice(&to.port().to_be_bytes());
    udp[4..6].copy_from_slice(&8u16.to_be_bytes());
    wrap(from.ip(), to.ip(), UDP, &udp)
}

/// Puts an IP header in front.
fn wrap(source: IpAddr, destination: IpAddr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap_or(0);
    let mut packet = Vec::with_capacity(40 + payload.len());
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let mut header = [0u8; 20];
            header[0] = 0x45;
            header[2..4].copy_from_slice(&length.saturating_add(20).to_be_bytes());
            header[6] = 0x40;
            header[8] = 64;
            header[9] = protocol;
            header[12..16].copy_from_slice(&source.octets());
            header[16..].copy_from_slice(&destination.octets());
            let sum = checksum(&[&header]);
            header[10..12].copy_from_slice(&sum.to_be_bytes());
            packet.extend_from_slice(&header);
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let mut header = [0u8; 40];
            header[0] = 0x60;
            header[4..6].copy_from_slice(&length.to_be_bytes());
            header[6] = protocol;
            header[7] = 64;
            header[8..24].copy_from_slice(&source.octets());
            header[24..].copy_from_slice(&destination.octets());
            packet.extend_from_slice(&header);
        }
        _ => {}
    }
    packet.extend_from_slice(payload);
    packet
}

/// The checksum over pseudo header and payload.
fn pseudo_checksum(source: IpAddr, destination: IpAddr, protocol: u8, payload: &[u8]) -> u16 {
    let length = u32::try_from(payload.len()).unwrap_or(0).to_be_bytes();
    let (source, destination) = (crate::rtnl::octets(source), crate::rtnl::octets(destination));
    checksum(&[&source, &destination, &length, &[0, 0, 0, protocol], payload])
}

/// The Internet checksum over the parts, all but the last of even length.
fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0u64;
    for part in parts {
        let mut pairs = part.chunks_exact(2);
        for pair in &mut pairs {
            sum += u64::from(u16::from_be_bytes([pair[0], pair[1]]));
        }
        if let [last] = pairs.remainder() {
            sum += u64::from(u16::from_be_bytes([*last, 0]));
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(0)
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk::<2>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A SYN from 10.0.0.2:4000 to 192.0.2.1:80 with sequence number 7.
    fn syn() -> Vec<u8> {
        let mut tcp = [0u8; 20];
        tcp[..2].copy_from_slice(&4000u16.to_be_bytes());
        tcp[2..4].copy_from_slice(&80u16.to_be_bytes());
        tcp[7] = 7;
        tcp[12] = 5 << 4;
        tcp[13] = SYN;
        wrap([10, 0, 0, 2].into(), [192, 0, 2, 1].into(), TCP, &tcp)
    }

    #[test]
    fn a_syn_is_read_and_answered_by_a_valid_reset() {
        let bytes = syn();
        let packet = Packet::parse(&bytes).unwrap();
        assert!(packet.is_first_syn());
        let answer = reset(&packet).unwrap();
        let answer = Packet::parse(&answer).unwrap();
        assert_eq!(answer.ends().unwrap().1.to_string(), "10.0.0.2:4000");
        assert_eq!(answer.payload[8..12], [0, 0, 0, 8]);
        assert_eq!(pseudo_checksum(answer.source, answer.destination, TCP, answer.payload), 0);
        assert_eq!(checksum(&[&answer.bytes[..20]]), 0);
    }

    #[test]
    fn broken_packets_are_nothing() {
        let bytes = syn();
        for length in 0..bytes.len() {
            assert!(Packet::parse(&bytes[..length]).is_none(), "{length}");
        }
        let mut fragment = bytes.clone();
        fragment[6] = 0x20;
        assert!(Packet::parse(&fragment).is_none());
        let mut short_header = bytes;
        short_header[0] = 0x41;
        assert!(Packet::parse(&short_header).is_none());
    }

    #[test]
    fn errors_quote_the_packet_and_come_from_nobody() {
        let bytes = udp_head("10.0.0.2:5".parse().unwrap(), "192.0.2.1:53".parse().unwrap());
        let error = unreachable(&Packet::parse(&bytes).unwrap(), Unreachable::Port);
        let error = Packet::parse(&error).unwrap();
        assert_eq!(error.source, IpAddr::V4(NOBODY_V4));
        assert_eq!((error.payload[0], error.payload[1]), (3, 3));
        assert_eq!(error.payload[8..], bytes);
        assert_eq!(checksum(&[error.payload]), 0);
    }
}
