//! Setting the bridges' network namespace up; everything here runs on the servant thread.
//!
//! The set-up can be repeated: a gate that takes over a namespace from one that was killed finds the bridges, routes
//! and rules of its predecessor and leaves or replaces them. Only the tun device is always new, since it ends with the
//! process that holds it (and its routes with it).
//!
//! ```text
//! rule 10: mark 1 ─▶ table 100: everything is local (transparent sockets)
//! rule 20: mark 2 ─▶ table 101: default dev tun0 (SYNs to a gateway address)
//! rule 100: table local        rule 32766: main: the bridges' subnets, default dev tun0
//! ```

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

use bryo_sys::netlink::{Batch, Family, Refused, Socket};
use bryo_sys::sockopt::{self, Ip};
use bryo_sys::tun;
use rustix::io::Errno;
use rustix::net::SocketType;

use super::servant::transparent;
use crate::attach::wait_until_own;
use crate::error::{Context, Error};
use crate::firewall::{self, Listeners, MARK_LOCAL, MARK_TUN, TUN};
use crate::messages::Network;
use crate::rtnl::{self, Route, Rule, TABLE_LOCAL, TABLE_MAIN, TABLE_TUN};

/// The port of the transparent listeners at 127.0.0.1 and ::1; packets from outside never reach those addresses.
const PORT: u16 = 9999;
/// The routing table of the namespace's own addresses.
const TABLE_OWN: u8 = 255;
/// Enough for a burst; the kernel caps it at net.core.somaxconn.
const BACKLOG: i32 = 4096;

/// What the set-up made.
#[derive(Debug)]
pub struct Inside {
    /// A netlink socket.
    pub route: Socket,
    /// The tun device.
    pub tun: OwnedFd,
    /// Transparent TCP listeners: IPv4 and, if there is IPv6, IPv6.
    pub streams: Vec<OwnedFd>,
    /// Wildcard UDP sockets, likewise.
    pub datagrams: Vec<OwnedFd>,
    /// For the firewall.
    pub listeners: Listeners,
    /// Why the lesser data path is in use, if it is.
    pub reason: Option<String>,
}

/// Sets the calling thread's network namespace up.
pub fn set_up(mtu: u32, lesser: bool) -> Result<Inside, Error> {
    let v6 = rtnl::has_ipv6();
    general_sysctls(v6)?;
    let route = Socket::open(Family::Route).context("open a netlink socket")?;
    let tun = tun_device(&route, mtu, v6)?;
    for v6 in [false, true].into_iter().take(if v6 { 2 } else { 1 }) {
        routing(&route, v6)?;
    }
    let ips = [Ip::V4, Ip::V6].into_iter().take(if v6 { 2 } else { 1 });
    let mut inside = Inside {
        route,
        tun,
        streams: Vec::new(),
        datagrams: Vec::new(),
        listeners: Listeners { port: PORT, v6, tproxy: !lesser },
        reason: lesser.then(|| "it was asked for".to_owned()),
    };
    for ip in ips {
        inside.streams.push(listener(ip).context("listen inside the containers' network")?);
        inside.datagrams.push(wildcard(ip).context("open a UDP socket inside")?);
    }
    probe(&mut inside)?;
    Ok(inside)
}

/// Commits the rules without networks; where the kernel lacks tproxy or the socket match, those that do without.
fn probe(inside: &mut Inside) -> Result<(), Error> {
    let Err(error) = set_rules(&[], inside.listeners) else { return Ok(()) };
    inside.listeners.tproxy = false;
    // If not even marks can be set, the first error tells more.
    set_rules(&[], inside.listeners).map_err(|_| Error { what: error.what.clone(), ..error })?;
    inside.reason = Some("the kernel has no nft_tproxy or nft_socket".to_owned());
    Ok(())
}

/// Makes a network's bridge with the gateway's addresses.
pub fn add_bridge(network: &Network) -> Result<(), Error> {
    let name = &network.bridge;
    let socket = Socket::open(Family::Route).context("open a netlink socket")?;
    // Setting the address of one that is there, even to what it is, would make it forget its neighbours.
    if socket.interface(name).is_err() {
        let mut batch = Batch::new();
        rtnl::add_bridge(&mut batch, name, bridge_mac(network), network.mtu);
        socket.submit(batch).context(format!("make bridge {name}"))?;
    }
    let index = socket.interface(name).context(format!("find bridge {name}"))?;
    let mut batch = Batch::new();
    rtnl::no_link_local(&mut batch, index);
    rtnl::link_up(&mut batch, index);
    if let Some((address, prefix)) = network.ipv4 {
        rtnl::add_address(&mut batch, index, address.into(), prefix);
    }
    if let Some((address, prefix)) = network.ipv6 {
        rtnl::add_address(&mut batch, index, rtnl::link_local(bridge_mac(network)), 64);
        rtnl::add_address(&mut batch, index, address.into(), prefix);
    }
    socket.submit(batch).context(format!("give bridge {name} its addresses"))?;
    if let Some((address, _)) = network.ipv6 {
        wait_until_own(&socket, address.into());
    }
    Ok(())
}

/// Makes a bridge meaningless at once: no address, no route; deleting it takes longer. One that is not there is no error.
pub fn silence_bridge(network: &Network) -> Result<(), Error> {
    let name = &network.bridge;
    let socket = Socket::open(Family::Route).context("open a netlink socket")?;
    let index = match socket.interface(name) {
        Ok(index) => index,
        Err(e) if Errno::from_io_error(&e) == Some(Errno::NODEV) => return Ok(()),
        Err(source) => return Err(Error { what: format!("find bridge {name}"), source }),
    };
    let addresses = [
        network.ipv4.map(|(address, prefix)| (address.into(), prefix)),
        network.ipv6.map(|(address, prefix)| (address.into(), prefix)),
    ];
    for (address, prefix) in addresses.into_iter().flatten() {
        let mut batch = Batch::new();
        rtnl::delete_address(&mut batch, index, address, prefix);
        match socket.submit(batch) {
            Err(e) if e.errno == Errno::ADDRNOTAVAIL => {}
            other => other.context(format!("take {address} from bridge {name}"))?,
        }
    }
    Ok(())
}

/// The names of all bridges here.
pub fn bridges() -> Result<Vec<String>, Error> {
    let socket = Socket::open(Family::Route).context("open a netlink socket")?;
    let mut batch = Batch::new();
    rtnl::list_links(&mut batch);
    let mut names = Vec::new();
    socket
        .dump(batch, |answer| names.extend(rtnl::bridge_name(answer)))
        .context("list the bridges")?;
    Ok(names)
}

/// Takes a bridge away; one that is not there is no error.
pub fn delete_bridge(name: &str) -> Result<(), Error> {
    let socket = Socket::open(Family::Route).context("open a netlink socket")?;
    let mut batch = Batch::new();
    rtnl::delete_link(&mut batch, name);
    match socket.submit(batch) {
        Err(e) if e.errno == Errno::NODEV => Ok(()),
        other => other.context(format!("delete bridge {name}")),
    }
}

/// Replaces the firewall by the one for these networks.
pub fn set_rules(networks: &[Network], listeners: Listeners) -> Result<(), Error> {
    let socket = Socket::open(Family::Netfilter).context("open an nf_tables socket")?;
    socket
        .submit(firewall::ruleset(networks, listeners))
        .context("set the firewall of the containers' network")
}

fn tun_device(route: &Socket, mtu: u32, v6: bool) -> Result<OwnedFd, Error> {
    let tun = tun::open(TUN).context(format!("make the device {TUN} (/dev/net/tun)"))?;
    let index = route.interface(TUN).context(format!("find {TUN}"))?;
    // Answers written to tun0 may carry the gateways' own addresses as their source.
    sysctl(&format!("ipv4/conf/{TUN}/accept_local"), "1")?;
    sysctl(&format!("ipv4/conf/{TUN}/rp_filter"), "0")?;
    let mut batch = Batch::new();
    rtnl::no_link_local(&mut batch, index);
    rtnl::link_up_with_mtu(&mut batch, index, mtu);
    rtnl::link_up(&mut batch, rtnl::LOOPBACK);
    for v6 in [false, true].into_iter().take(if v6 { 2 } else { 1 }) {
        rtnl::add_route(&mut batch, Route::Device { v6, index, table: TABLE_MAIN });
        rtnl::add_route(&mut batch, Route::Device { v6, index, table: TABLE_TUN });
    }
    route.submit(batch).context(format!("set {TUN} up"))?;
    Ok(tun)
}

fn routing(route: &Socket, v6: bool) -> Result<(), Error> {
    let rule = |priority, mark, table| Rule { v6, priority, mark, table };
    let mut batch = Batch::new();
    let (index, table) = (rtnl::LOOPBACK, TABLE_LOCAL);
    rtnl::add_route(&mut batch, Route::Local { v6, index, table });
    route.submit(batch).context("set the routing of transparent sockets up")?;
    for rule in [
        rule(10, Some(MARK_LOCAL), TABLE_LOCAL),
        rule(20, Some(MARK_TUN), TABLE_TUN),
        rule(100, None, TABLE_OWN),
    ] {
        let mut batch = Batch::new();
        rtnl::add_rule(&mut batch, rule);
        unless(route.submit(batch), Errno::EXIST).context("add routing rules")?;
    }
    // The kernel's own first rule would keep marked packets to a gateway address from table 101.
    let mut batch = Batch::new();
    rtnl::delete_rule(&mut batch, rule(0, None, TABLE_OWN));
    unless(route.submit(batch), Errno::NOENT).context("move the rule of local addresses")
}

/// Takes one errno as success.
pub(super) fn unless(result: Result<(), Refused>, errno: Errno) -> Result<(), Refused> {
    match result {
        Err(e) if e.errno == errno => Ok(()),
        other => other,
    }
}

fn general_sysctls(v6: bool) -> Result<(), Error> {
    // The reverse path check would drop what transparent sockets send and get; set before devices are made, which
    // inherit the default.
    sysctl("ipv4/conf/all/rp_filter", "0")?;
    sysctl("ipv4/conf/default/rp_filter", "0")?;
    sysctl("ipv4/conf/all/send_redirects", "0")?;
    sysctl("ipv4/conf/default/send_redirects", "0")?;
    sysctl("ipv4/ip_forward", "1")?;
    // A SYN that meets a TIME_WAIT socket in early demultiplexing would be dropped when forwarded to tun0.
    sysctl("ipv4/tcp_early_demux", "0")?;
    sysctl("ipv4/udp_early_demux", "0")?;
    sysctl("ipv4/tcp_tw_reuse", "1")?;
    // Sockets here carry the addresses and ports of others, privileged ports included.
    sysctl("ipv4/ip_unprivileged_port_start", "0")?;
    sysctl("ipv4/ip_local_port_range", "1024\t65535")?;
    if v6 {
        sysctl("ipv6/conf/all/forwarding", "1")?;
    }
    for optional in ["bridge/bridge-nf-call-iptables", "bridge/bridge-nf-call-ip6tables"] {
        // Absent while br_netfilter is not loaded, which is just as well.
        let _ = sysctl(optional, "0");
    }
    Ok(())
}

/// Writes a sysctl of the thread's network namespace, unless it has the value already.
pub(super) fn sysctl(name: &str, value: &str) -> Result<(), Error> {
    let path = format!("/proc/sys/net/{name}");
    if std::fs::read_to_string(&path).is_ok_and(|now| now.trim() == value) {
        return Ok(());
    }
    std::fs::write(&path, value).context(format!("write {value:?} to {path}"))
}

fn listener(ip: Ip) -> io::Result<OwnedFd> {
    let fd = transparent(SocketType::STREAM, ip)?;
    rustix::net::bind(&fd, &local(ip))?;
    rustix::net::listen(&fd, BACKLOG)?;
    Ok(fd)
}

fn wildcard(ip: Ip) -> io::Result<OwnedFd> {
    let fd = transparent(SocketType::DGRAM, ip)?;
    sockopt::set_receive_original_destination(&fd, ip)?;
    rustix::net::bind(&fd, &local(ip))?;
    Ok(fd)
}

fn local(ip: Ip) -> SocketAddr {
    let address = match ip {
        Ip::V4 => IpAddr::V4(Ipv4Addr::LOCALHOST),
        Ip::V6 => IpAddr::V6(Ipv6Addr::LOCALHOST),
    };
    SocketAddr::new(address, PORT)
}

/// A bridge's hardware address, made from its gateway's IP address as Docker does.
fn bridge_mac(network: &Network) -> [u8; 6] {
    let tail = match (network.ipv4, network.ipv6) {
        (Some((v4, _)), _) => v4.octets(),
        (None, Some((v6, _))) => {
            let [.., a, b, c, d] = v6.octets();
            [a, b, c, d]
        }
        (None, None) => [0, 0, 0, 1],
    };
    let [a, b, c, d] = tail;
    [0x02, 0x42, a, b, c, d]
}
