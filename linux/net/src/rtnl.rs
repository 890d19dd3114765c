//! rtnetlink requests as bytes: links, addresses, routes and rules. No sockets here; a [`Batch`] is filled and somebody
//! else submits it in the right network namespace.
//!
//! The numbers are those of linux/rtnetlink.h, if_link.h, if_addr.h and fib_rules.h.

use std::net::IpAddr;

use bryo_sys::netlink::{ACK, Batch, CREATE, DUMP, EXCL, Payload, REPLACE, attributes};

const NEWLINK: u16 = 16;
const DELLINK: u16 = 17;
const GETLINK: u16 = 18;
const SETLINK: u16 = 19;
const NEWADDR: u16 = 20;
const DELADDR: u16 = 21;
const NEWROUTE: u16 = 24;
const GETROUTE: u16 = 26;
const NEWNEIGH: u16 = 28;
const GETNEIGH: u16 = 30;
const NEWRULE: u16 = 32;
const DELRULE: u16 = 33;

const IFF_UP: u32 = 1;

const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_MASTER: u16 = 10;
const IFLA_PROTINFO: u16 = 12;
const IFLA_LINKINFO: u16 = 18;
const IFLA_AF_SPEC: u16 = 26;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const VETH_INFO_PEER: u16 = 1;
const IFLA_BRPORT_ISOLATED: u16 = 33;
const IFLA_INET6_ADDR_GEN_MODE: u16 = 8;
/// `IN6_ADDR_GEN_MODE_NONE`: no link-local address.
const ADDR_GEN_NONE: u8 = 1;
const AF_INET: u8 = 2;
const AF_BRIDGE: u8 = 7;
const AF_INET6: u8 = 10;

/// The routing table that delivers marked packets locally.
pub const TABLE_LOCAL: u8 = 100;
/// The routing table that sends marked packets to the gate's tun device.
pub const TABLE_TUN: u8 = 101;
/// In a container's own network namespace: the table that delivers the gate's connections over loopback.
pub const TABLE_HOME: u8 = 250;

/// A veth pair to make.
#[derive(Debug, Clone, Copy)]
pub struct Veth<'a> {
    /// Name of this end.
    pub name: &'a str,
    /// Index of the bridge that this end joins.
    pub bridge: u32,
    /// Name of the other end.
    pub peer: &'a str,
    /// Network namespace of the other end, a descriptor of this process.
    pub peer_netns: i32,
    /// Hardware address of the other end.
    pub peer_mac: [u8; 6],
    /// MTU of both.
    pub mtu: u32,
}

/// Makes a veth pair: this end up and in its bridge, the other end named, addressed and down in its namespace.
///
/// The other end stays down so that its IPv6 settings come before its first packet.
pub fn add_veth(batch: &mut Batch, veth: &Veth<'_>) {
    let peer_netns = u32::try_from(veth.peer_netns).unwrap_or(u32::MAX);
    batch.message("make a veth pair", NEWLINK, ACK | CREATE | EXCL, |m| {
        m.raw(&link_header(0, 0, IFF_UP, IFF_UP))
            .str(IFLA_IFNAME, veth.name)
            .u32(IFLA_MTU, veth.mtu)
            .u32(IFLA_MASTER, veth.bridge)
            .nest(IFLA_LINKINFO, |info| {
                info.str(IFLA_INFO_KIND, "veth").nest(IFLA_INFO_DATA, |data| {
                    data.nest(VETH_INFO_PEER, |peer| {
                        peer.raw(&link_header(0, 0, 0, 0))
                            .str(IFLA_IFNAME, veth.peer)
                            .attr(IFLA_ADDRESS, &veth.peer_mac)
                            .u32(IFLA_MTU, veth.mtu)
                            .u32(IFLA_NET_NS_FD, peer_netns);
                    });
                });
            });
    });
}

/// Makes a bridge, up. An existing one of this name is left as it is.
pub fn add_bridge(batch: &mut Batch, name: &str, mac: [u8; 6], mtu: u32) {
    batch.message("make a bridge", NEWLINK, ACK | CREATE, |m| {
        // A fixed hardware address: else the bridge takes a port's and containers' neighbour entries go stale.
        m.raw(&link_header(0, 0, IFF_UP, IFF_UP))
            .str(IFLA_IFNAME, name)
            .attr(IFLA_ADDRESS, &mac)
            .u32(IFLA_MTU, mtu)
            .nest(IFLA_LINKINFO, |info| {
                info.str(IFLA_INFO_KIND, "bridge");
            });
    });
}

/// Takes a link away by name.
pub fn delete_link(batch: &mut Batch, name: &str) {
    batch.message("delete a link", DELLINK, ACK, |m| {
        m.raw(&link_header(0, 0, 0, 0)).str(IFLA_IFNAME, name);
    });
}

/// Brings a link up.
pub fn link_up(batch: &mut Batch, index: u32) {
    batch.message("bring a link up", NEWLINK, ACK, |m| {
        m.raw(&link_header(0, index, IFF_UP, IFF_UP));
    });
}

/// Asks for a link.
pub fn get_link(batch: &mut Batch, index: u32) {
    batch.message("look at a link", GETLINK, ACK, |m| {
        m.raw(&link_header(0, index, 0, 0));
    });
}

/// Asks for all links.
pub fn list_links(batch: &mut Batch) {
    batch.message("list links", GETLINK, DUMP, |m| {
        m.raw(&link_header(0, 0, 0, 0));
    });
}

/// Of an answer to [`list_links`]: the name of a bridge; none for other links.
pub fn bridge_name(answer: &[u8]) -> Option<String> {
    let (mut name, mut is_bridge) = (None, false);
    for (kind, value) in attributes(answer.get(16..).unwrap_or(&[])) {
        match kind {
            IFLA_IFNAME => {
                let text = value.strip_suffix(&[0]).unwrap_or(value);
                name = std::str::from_utf8(text).ok().map(str::to_owned);
            }
            IFLA_LINKINFO => {
                is_bridge = attributes(value)
                    .any(|(kind, value)| kind == IFLA_INFO_KIND && value.starts_with(b"bridge"));
            }
            _ => {}
        }
    }
    name.filter(|_| is_bridge)
}

/// What an answer to [`get_link`] says.
#[derive(Debug, Clone, Copy, Default)]
pub struct Link {
    /// The link is fully up (`IF_OPER_UP`).
    pub up: bool,
    /// Its hardware address.
    pub mac: [u8; 6],
}

impl Link {
    /// Reads an answer.
    pub fn read(answer: &[u8]) -> Link {
        const IFLA_OPERSTATE: u16 = 16;
        let mut link = Link::default();
        for (kind, value) in attributes(answer.get(16..).unwrap_or(&[])) {
            match kind {
                IFLA_OPERSTATE => link.up = value == [6],
                IFLA_ADDRESS => link.mac = value.try_into().unwrap_or_default(),
                _ => {}
            }
        }
        link
    }
}

const NUD_PERMANENT: u8 = 0x80;

/// Tells a link the hardware address of a neighbour: for good, or as if learnt a while ago (`NUD_STALE`), so that the
/// first packet needs no question and the kernel verifies the answer later.
pub fn add_neighbour(
    batch: &mut Batch,
    index: u32,
    address: IpAddr,
    mac: [u8; 6],
    permanent: bool,
) {
    const NUD_STALE: u8 = 4;
    let state = if permanent { NUD_PERMANENT } else { NUD_STALE };
    batch.message("add a neighbour", NEWNEIGH, ACK | CREATE | REPLACE, |m| {
        let [a, b, c, d] = index.to_ne_bytes();
        let [low, high] = u16::from(state).to_ne_bytes();
        m.raw(&[family(address), 0, 0, 0, a, b, c, d, low, high, 0, 0]);
        m.attr(1, &octets(address)).attr(2, &mac);
    });
}

/// Tells a bridge behind which of its ports a hardware address is, whatever it has learnt before.
pub fn add_to_port(batch: &mut Batch, port: u32, mac: [u8; 6]) {
    const NUD_NOARP: u8 = 0x40;
    const NTF_MASTER: u8 = 0x04;
    const NDA_LLADDR: u16 = 2;
    batch.message("tell a bridge an address", NEWNEIGH, ACK | CREATE | REPLACE, |m| {
        let [a, b, c, d] = port.to_ne_bytes();
        let [low, high] = u16::from(NUD_NOARP).to_ne_bytes();
        m.raw(&[AF_BRIDGE, 0, 0, 0, a, b, c, d, low, high, NTF_MASTER, 0]).attr(NDA_LLADDR, &mac);
    });
}

/// Asks for one neighbour of a link (Linux 5.0); ENOENT if there is none.
pub fn get_neighbour(batch: &mut Batch, index: u32, address: IpAddr) {
    const NDA_DST: u16 = 1;
    batch.message("look at a neighbour", GETNEIGH, ACK, |m| {
        let [a, b, c, d] = index.to_ne_bytes();
        m.raw(&[family(address), 0, 0, 0, a, b, c, d, 0, 0, 0, 0]).attr(NDA_DST, &octets(address));
    });
}

/// An answer to [`get_neighbour`] names a neighbour that was told for good.
pub fn is_permanent(answer: &[u8]) -> bool {
    answer.get(8).is_some_and(|state| state & NUD_PERMANENT != 0)
}

/// Sets a link's MTU and brings it up.
pub fn link_up_with_mtu(batch: &mut Batch, index: u32, mtu: u32) {
    batch.message("set a link's MTU", NEWLINK, ACK, |m| {
        m.raw(&link_header(0, index, IFF_UP, IFF_UP)).u32(IFLA_MTU, mtu);
    });
}

/// The kernel has IPv6 (it can be left out, or switched off at boot).
pub fn has_ipv6() -> bool {
    std::path::Path::new("/proc/sys/net/ipv6/conf/all").exists()
}

/// Keeps the kernel from giving a link a link-local IPv6 address of its own. Where there is IPv6 it gets
/// [`link_local`] instead, which is usable at once: the kernel's own is not before duplicate detection is through, one
/// or two seconds, and without it no neighbour is looked for.
pub fn no_link_local(batch: &mut Batch, index: u32) {
    if !has_ipv6() {
        return;
    }
    batch.message("switch automatic IPv6 addresses off", NEWLINK, ACK, |m| {
        m.raw(&link_header(0, index, 0, 0)).nest(IFLA_AF_SPEC, |families| {
            families.nest(u16::from(AF_INET6), |v6| {
                v6.attr(IFLA_INET6_ADDR_GEN_MODE, &[ADDR_GEN_NONE]);
            });
        });
    });
}

/// The link-local address that belongs to a hardware address (RFC 4291, appendix A).
pub fn link_local(mac: [u8; 6]) -> IpAddr {
    let [a, b, c, d, e, f] = mac;
    let tail = [a ^ 2, b, c, 0xff, 0xfe, d, e, f];
    let mut octets = [0; 16];
    octets[..2].copy_from_slice(&[0xfe, 0x80]);
    octets[8..].copy_from_slice(&tail);
    IpAddr::V6(octets.into())
}

/// Keeps a bridge's port from reaching other isolated ports (Linux 4.18); the bridge itself stays reachable.
pub fn isolate_port(batch: &mut Batch, index: u32) {
    batch.message("isolate a bridge port", SETLINK, ACK, |m| {
        m.raw(&link_header(AF_BRIDGE, index, 0, 0)).nest(IFLA_PROTINFO, |port| {
            port.attr(IFLA_BRPORT_ISOLATED, &[1]);
        });
    });
}

/// Adds an address with its prefix route; an existing one is no error. IPv6 addresses are usable at once (no
/// duplicate detection).
pub fn add_address(batch: &mut Batch, index: u32, address: IpAddr, prefix: u8) {
    const IFA_ADDRESS: u16 = 1;
    const IFA_LOCAL: u16 = 2;
    const IFA_BROADCAST: u16 = 4;
    const IFA_F_NODAD: u8 = 2;
    let flags = if address.is_ipv6() { IFA_F_NODAD } else { 0 };
    batch.message("add an address", NEWADDR, ACK | CREATE | REPLACE, |m| {
        let [a, b, c, d] = index.to_ne_bytes();
        let bytes = octets(address);
        m.raw(&[family(address), prefix, flags, 0, a, b, c, d]);
        m.attr(IFA_LOCAL, &bytes).attr(IFA_ADDRESS, &bytes);
        if let IpAddr::V4(v4) = address {
            let host_bits = u32::MAX.checked_shr(u32::from(prefix)).unwrap_or(0);
            let broadcast = u32::from(v4) | host_bits;
            if prefix < 31 {
                m.attr(IFA_BROADCAST, &broadcast.to_be_bytes());
            }
        }
    });
}

/// Takes an address away, and its prefix route with it.
pub fn delete_address(batch: &mut Batch, index: u32, address: IpAddr, prefix: u8) {
    const IFA_LOCAL: u16 = 2;
    batch.message("take an address away", DELADDR, ACK, |m| {
        let [a, b, c, d] = index.to_ne_bytes();
        m.raw(&[family(address), prefix, 0, 0, a, b, c, d]).attr(IFA_LOCAL, &octets(address));
    });
}

/// Where a route leads.
#[derive(Debug, Clone, Copy)]
pub enum Route {
    /// The default route of the main table over a gateway.
    Default {
        /// The gateway.
        gateway: IpAddr,
        /// The interface.
        index: u32,
    },
    /// The default route of a table straight into an interface.
    Device {
        /// Of IPv6 or of IPv4.
        v6: bool,
        /// The interface.
        index: u32,
        /// The table.
        table: u8,
    },
    /// Everything is local: the default route of a table, type "local". Packets take it over loopback whichever interface
    /// it names; that one matters to sockets that are bound to an interface.
    Local {
        /// Of IPv6 or of IPv4.
        v6: bool,
        /// The interface.
        index: u32,
        /// The table.
        table: u8,
    },
}

/// The main routing table.
pub const TABLE_MAIN: u8 = 254;

/// Adds or replaces a route.
pub fn add_route(batch: &mut Batch, route: Route) {
    batch.message("add a route", NEWROUTE, ACK | CREATE | REPLACE, |m| route_body(m, route));
}

fn route_body(m: &mut Payload<'_>, route: Route) {
    const RTA_OIF: u16 = 4;
    const RTA_GATEWAY: u16 = 5;
    const RTA_PRIORITY: u16 = 6;
    const PROTOCOL_BOOT: u8 = 3;
    const SCOPE_UNIVERSE: u8 = 0;
    const SCOPE_LINK: u8 = 253;
    const SCOPE_HOST: u8 = 254;
    const TYPE_UNICAST: u8 = 1;
    let (v6, table, scope, kind, index) = match route {
        Route::Default { gateway, index } => {
            (gateway.is_ipv6(), TABLE_MAIN, SCOPE_UNIVERSE, TYPE_UNICAST, index)
        }
        Route::Device { v6, index, table } => (v6, table, SCOPE_LINK, TYPE_UNICAST, index),
        Route::Local { v6, index, table } => (v6, table, SCOPE_HOST, TYPE_LOCAL, index),
    };
    let family = if v6 { AF_INET6 } else { AF_INET };
    m.raw(&[family, 0, 0, 0, table, PROTOCOL_BOOT, scope, kind, 0, 0, 0, 0]);
    if let Route::Default { gateway, .. } = route {
        m.attr(RTA_GATEWAY, &octets(gateway));
    }
    m.u32(RTA_OIF, index);
    if matches!(route, Route::Local { .. }) {
        // Routes of one destination are told apart by their priorities.
        m.u32(RTA_PRIORITY, index);
    }
}

/// Asks where packets to an address go.
pub fn get_route(batch: &mut Batch, address: IpAddr) {
    const RTA_DST: u16 = 1;
    let bits = if address.is_ipv6() { 128 } else { 32 };
    batch.message("look up a route", GETROUTE, ACK, |m| {
        m.raw(&[family(address), bits, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        m.attr(RTA_DST, &octets(address));
    });
}

/// Asks for all routes of a family.
pub fn list_routes(batch: &mut Batch, v6: bool) {
    batch.message("list routes", GETROUTE, DUMP, |m| {
        m.raw(&[if v6 { AF_INET6 } else { AF_INET }, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    });
}

/// Of an answer to [`list_routes`]: the destination, if it is a unicast one of the main table and no default route.
pub fn destination(answer: &[u8]) -> Option<(IpAddr, u8)> {
    const RTA_DST: u16 = 1;
    const TYPE_UNICAST: u8 = 1;
    let (bits, table, kind) = (*answer.get(1)?, *answer.get(4)?, *answer.get(7)?);
    if bits == 0 || table != TABLE_MAIN || kind != TYPE_UNICAST {
        return None;
    }
    let (_, bytes) = attributes(answer.get(12..)?).find(|(kind, _)| *kind == RTA_DST)?;
    let address = match <[u8; 4]>::try_from(bytes) {
        Ok(v4) => IpAddr::from(v4),
        Err(_) => IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?),
    };
    Some((address, bits))
}

/// An answer to [`get_route`] says: to this namespace itself.
pub fn is_local(answer: &[u8]) -> bool {
    answer.get(7) == Some(&TYPE_LOCAL)
}

const TYPE_LOCAL: u8 = 2;

/// Loopback's index in every network namespace.
pub const LOOPBACK: u32 = 1;

/// A policy routing rule: packets with `mark` (any packet without one) are looked up in `table`.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// Of IPv6 or of IPv4.
    pub v6: bool,
    /// Position; lower comes first.
    pub priority: u32,
    /// The packet's mark.
    pub mark: Option<u32>,
    /// Where to look.
    pub table: u8,
}

/// Adds a rule; EEXIST if it is there already.
pub fn add_rule(batch: &mut Batch, rule: Rule) {
    batch.message("add a routing rule", NEWRULE, ACK | CREATE | EXCL, |m| rule_body(m, rule));
}

/// Takes a rule away; ENOENT if there is none.
pub fn delete_rule(batch: &mut Batch, rule: Rule) {
    batch.message("delete a routing rule", DELRULE, ACK, |m| rule_body(m, rule));
}

fn rule_body(m: &mut Payload<'_>, rule: Rule) {
    const FRA_PRIORITY: u16 = 6;
    const FRA_FWMARK: u16 = 10;
    const TO_TABLE: u8 = 1;
    let family = if rule.v6 { AF_INET6 } else { AF_INET };
    m.raw(&[family, 0, 0, 0, rule.table, 0, 0, TO_TABLE, 0, 0, 0, 0]);
    m.u32(FRA_PRIORITY, rule.priority);
    if let Some(mark) = rule.mark {
        m.u32(FRA_FWMARK, mark);
    }
}

/// `struct ifinfomsg`.
fn link_header(family: u8, index: u32, flags: u32, change: u32) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[0] = family;
    bytes[4..8].copy_from_slice(&index.to_ne_bytes());
    bytes[8..12].copy_from_slice(&flags.to_ne_bytes());
    bytes[12..16].copy_from_slice(&change.to_ne_bytes());
    bytes
}

fn family(address: IpAddr) -> u8 {
    if address.is_ipv6() { AF_INET6 } else { AF_INET }
}

/// An address as the kernel's bytes.
pub fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}
