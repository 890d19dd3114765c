//! The rules inside the bridges' network namespace, as one nfnetlink transaction.
//!
//! ```text
//! prerouting   tun0: a held SYN that the gate gave back ──▶ its listener; anything else the gate wrote: routed
//!              bridge, source of its own subnet ──▶ from_bridge; any other source: dropped
//! from_bridge  first SYN: routed (to tun0, that is to the gate), also when it is for a gateway address
//!              further TCP: to the transparent socket of the flow
//!              UDP to anywhere but the containers: to the flow's socket or the gate's wildcard one
//! forward      to and from tun0, and inside one bridge: yes; between bridges: dropped
//! ```
//!
//! Without nft_tproxy and nft_socket ([`Listeners::tproxy`] off) marks alone have to do: all further TCP of containers is
//! delivered to the sockets here, held SYNs as well (the gate listens at their destination first), and UDP goes to tun0.
//!
//! A first SYN must never meet the socket match: only tproxy knows how to reopen a TIME_WAIT socket.
//!
//! The table is rebuilt as a whole for every change; the kernel swaps rule sets atomically, open flows notice nothing.
//! Nothing here uses connection tracking.

mod expr;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bryo_sys::netlink::{ACK, APPEND, Batch, CREATE, Payload};

use crate::messages::Network;
use expr::{Expressions, Side, UDP, Verdict};

/// Packets that this namespace's sockets shall get (routing rule to [`crate::rtnl::TABLE_LOCAL`]).
pub const MARK_LOCAL: u32 = 1;
/// Packets that the gate shall get (routing rule to [`crate::rtnl::TABLE_TUN`]).
pub const MARK_TUN: u32 = 2;
/// The gate's tun device.
pub const TUN: &str = "tun0";

const TABLE: &str = "bryo";
const PREROUTING: &str = "prerouting";
const FROM_BRIDGE: &str = "from_bridge";
const FORWARD: &str = "forward";

/// `NFNL_SUBSYS_NFTABLES`, in the high byte of a message's type.
const SUBSYSTEM: u16 = 10 << 8;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const NEWTABLE: u16 = SUBSYSTEM;
const DELTABLE: u16 = SUBSYSTEM | 2;
const NEWCHAIN: u16 = SUBSYSTEM | 3;
const NEWRULE: u16 = SUBSYSTEM | 6;
const NFPROTO_INET: u8 = 1;
const HOOK_PREROUTING: u32 = 0;
const HOOK_FORWARD: u32 = 2;
/// Priority "mangle", where tproxy belongs.
const PRIORITY_MANGLE: i32 = -150;

/// Where the gate listens inside the namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listeners {
    /// Port of the TCP and UDP sockets at 127.0.0.1 and ::1.
    pub port: u16,
    /// IPv6 sockets exist.
    pub v6: bool,
    /// The kernel has nft_tproxy and nft_socket.
    pub tproxy: bool,
}

/// The whole table for these networks, ready to submit.
pub fn ruleset(networks: &[Network], listeners: Listeners) -> Batch {
    let mut batch = Batch::new();
    transaction(&mut batch, BATCH_BEGIN);
    // Added first so that the deletion finds it, whatever was there.
    table(&mut batch, "add the firewall table", NEWTABLE);
    table(&mut batch, "clear the firewall table", DELTABLE);
    table(&mut batch, "add the firewall table", NEWTABLE);
    chain(&mut batch, PREROUTING, Some((HOOK_PREROUTING, PRIORITY_MANGLE)));
    chain(&mut batch, FROM_BRIDGE, None);
    chain(&mut batch, FORWARD, Some((HOOK_FORWARD, 0)));
    prerouting(&mut batch, networks, listeners);
    from_bridge(&mut batch, networks, listeners);
    forward(&mut batch, networks);
    transaction(&mut batch, BATCH_END);
    batch
}

/// Takes the table away; ENOENT if there is none.
#[cfg(test)]
fn removal() -> Batch {
    let mut batch = Batch::new();
    transaction(&mut batch, BATCH_BEGIN);
    table(&mut batch, "delete the firewall table", DELTABLE);
    transaction(&mut batch, BATCH_END);
    batch
}

fn prerouting(batch: &mut Batch, networks: &[Network], listeners: Listeners) {
    let mut rule = |fill: &dyn Fn(&mut Expressions<'_, '_>)| add_rule(batch, PREROUTING, fill);
    rule(&|e| {
        e.entering("lo").verdict(Verdict::Accept);
    });
    for (v6, address) in listener_addresses(listeners) {
        rule(&|e| {
            e.entering(TUN).family(v6).first_syn();
            if listeners.tproxy {
                e.tproxy(address, listeners.port);
            }
            e.set_mark(MARK_LOCAL).verdict(Verdict::Accept);
        });
    }
    rule(&|e| {
        e.entering(TUN).verdict(Verdict::Accept);
    });
    for network in networks {
        for (gateway, prefix) in addresses(network) {
            rule(&|e| {
                e.entering(&network.bridge).subnet(Side::Source, gateway, prefix, true);
                e.verdict(Verdict::Jump(FROM_BRIDGE));
            });
        }
        if network.ipv6.is_some() {
            // Neighbour discovery, from link-local addresses and from none.
            for (source, prefix) in [(LINK_LOCAL_V6, 10), (Ipv6Addr::UNSPECIFIED, 128)] {
                rule(&|e| {
                    e.entering(&network.bridge);
                    e.subnet(Side::Source, source.into(), prefix, true);
                    e.transport(ICMPV6).verdict(Verdict::Accept);
                });
            }
        }
    }
    rule(&|e| {
        e.verdict(Verdict::Drop);
    });
}

fn from_bridge(batch: &mut Batch, networks: &[Network], listeners: Listeners) {
    let mut rule = |fill: &dyn Fn(&mut Expressions<'_, '_>)| add_rule(batch, FROM_BRIDGE, fill);
    let subnets: Vec<(IpAddr, u8)> = networks.iter().flat_map(addresses).collect();
    for (gateway, _) in &subnets {
        let all = host_prefix(*gateway);
        rule(&|e| {
            e.subnet(Side::Destination, *gateway, all, true).first_syn();
            e.set_mark(MARK_TUN).verdict(Verdict::Accept);
        });
    }
    rule(&|e| {
        e.first_syn().verdict(Verdict::Accept);
    });
    rule(&|e| {
        e.transport(expr::TCP);
        if listeners.tproxy {
            e.transparent_socket();
        }
        e.set_mark(MARK_LOCAL).verdict(Verdict::Accept);
    });
    for (gateway, _) in &subnets {
        let all = host_prefix(*gateway);
        if gateway.is_ipv6() && !listeners.v6 {
            continue;
        }
        rule(&|e| {
            e.transport(UDP).subnet(Side::Destination, *gateway, all, true);
            if listeners.tproxy {
                e.tproxy(loopback(*gateway), listeners.port).set_mark(MARK_LOCAL);
            } else {
                e.set_mark(MARK_TUN);
            }
            e.verdict(Verdict::Accept);
        });
    }
    for (network, prefix) in subnets.iter().copied().chain(local_destinations()) {
        rule(&|e| {
            e.transport(UDP).subnet(Side::Destination, network, prefix, true);
            e.verdict(Verdict::Accept);
        });
    }
    for (v6, address) in listener_addresses(listeners).filter(|_| listeners.tproxy) {
        rule(&|e| {
            e.family(v6).transport(UDP).tproxy(address, listeners.port);
            e.set_mark(MARK_LOCAL).verdict(Verdict::Accept);
        });
    }
    rule(&|e| {
        e.verdict(Verdict::Accept);
    });
}

fn forward(batch: &mut Batch, networks: &[Network]) {
    let mut rule = |fill: &dyn Fn(&mut Expressions<'_, '_>)| add_rule(batch, FORWARD, fill);
    rule(&|e| {
        e.entering(TUN).verdict(Verdict::Accept);
    });
    for network in networks {
        if !network.internal {
            rule(&|e| {
                e.entering(&network.bridge).leaving(TUN).verdict(Verdict::Accept);
            });
        }
        if network.icc {
            rule(&|e| {
                e.entering(&network.bridge).leaving(&network.bridge);
                e.verdict(Verdict::Accept);
            });
        }
    }
    rule(&|e| {
        e.verdict(Verdict::Drop);
    });
}

const LINK_LOCAL_V6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0);
const ICMPV6: u8 = 58;

/// Destinations that are nobody's outside: multicast, broadcast, link-local IPv6.
fn local_destinations() -> [(IpAddr, u8); 4] {
    [
        (Ipv4Addr::new(224, 0, 0, 0).into(), 4),
        (Ipv4Addr::BROADCAST.into(), 32),
        (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0).into(), 8),
        (LINK_LOCAL_V6.into(), 10),
    ]
}

fn listener_addresses(listeners: Listeners) -> impl Iterator<Item = (bool, IpAddr)> {
    let v4 = (false, IpAddr::V4(Ipv4Addr::LOCALHOST));
    let v6 = (true, IpAddr::V6(Ipv6Addr::LOCALHOST));
    [Some(v4), listeners.v6.then_some(v6)].into_iter().flatten()
}

fn loopback(like: IpAddr) -> IpAddr {
    if like.is_ipv6() { Ipv6Addr::LOCALHOST.into() } else { Ipv4Addr::LOCALHOST.into() }
}

fn host_prefix(address: IpAddr) -> u8 {
    if address.is_ipv6() { 128 } else { 32 }
}

/// A network's gateway addresses with their prefix lengths.
fn addresses(network: &Network) -> impl Iterator<Item = (IpAddr, u8)> + use<> {
    let v4 = network.ipv4.map(|(address, prefix)| (IpAddr::V4(address), prefix));
    let v6 = network.ipv6.map(|(address, prefix)| (IpAddr::V6(address), prefix));
    [v4, v6].into_iter().flatten()
}

fn transaction(batch: &mut Batch, kind: u16) {
    batch.message("nf_tables transaction", kind, 0, |m| {
        m.raw(&[0, 0, 0, 10]);
    });
}

fn header(m: &mut Payload<'_>) {
    m.raw(&[NFPROTO_INET, 0, 0, 0]);
}

fn table(batch: &mut Batch, what: &'static str, kind: u16) {
    let flags = if kind == NEWTABLE { ACK | CREATE } else { ACK };
    batch.message(what, kind, flags, |m| {
        header(m);
        m.str(1, TABLE).be32(2, 0);
    });
}

fn chain(batch: &mut Batch, name: &str, hook: Option<(u32, i32)>) {
    batch.message("add a firewall chain", NEWCHAIN, ACK | CREATE, |m| {
        header(m);
        m.str(1, TABLE).str(3, name);
        if let Some((number, priority)) = hook {
            m.nest(4, |h| {
                h.be32(1, number).attr(2, &priority.to_be_bytes());
            });
            m.str(7, "filter");
        }
    });
}

fn add_rule(batch: &mut Batch, chain: &str, fill: &dyn Fn(&mut Expressions<'_, '_>)) {
    batch.message("add a firewall rule", NEWRULE, ACK | CREATE | APPEND, |m| {
        header(m);
        m.str(1, TABLE).str(2, chain).nest(4, |list| fill(&mut Expressions::new(list)));
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use bryo_sys::fork::in_child;
    use bryo_sys::netlink::{Family, Socket};
    use bryo_sys::ns::{Kind, unshare};

    /// The kernel itself judges the bytes, in a namespace of the test's own.
    #[test]
    fn the_kernel_takes_the_rules_twice_and_lets_them_go() {
        let ended = in_child(|| {
            if unshare(&[Kind::User, Kind::Net]).is_err() {
                return 77;
            }
            let network = Network {
                bridge: "docker0".into(),
                ipv4: Some((Ipv4Addr::new(172, 17, 0, 1), 16)),
                ipv6: Some((Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1), 64)),
                internal: false,
                icc: true,
                mtu: 1500,
                host_loopback: false,
            };
            let socket = Socket::open(Family::Netfilter).expect("netfilter socket");
            let with = |tproxy| Listeners { port: 9999, v6: true, tproxy };
            let networks = [network];
            for (networks, listeners) in
                [(&[][..], with(true)), (&networks, with(true)), (&networks, with(false))]
            {
                if let Err(e) = socket.submit(ruleset(networks, listeners)) {
                    eprintln!("{e}");
                    return 1;
                }
            }
            i32::from(socket.submit(removal()).is_err())
        });
        match ended.expect("fork").code() {
            77 => println!("SKIPPED: user namespaces are forbidden here"),
            code => assert_eq!(code, 0),
        }
    }
}
