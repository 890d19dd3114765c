//! Where a container's packet may go: the one place that decides, before anything is connected.
//!
//! A socket of the host's network namespace can only be connected to a [`HostAddress`], and only this module makes
//! them. The rules, in order:
//!
//! 1. The source must be a container of a known network (`endpoints.rs`); an `internal` network has no way out.
//! 2. The gateway address stands for the host: port 53 is the host's resolvers (also loopback ones), a published port
//!    is the container behind it, anything else is the host's own outward address.
//! 3. A network with `host_loopback` reaches the host's loopback at its gateway. Else and everywhere else
//!    the host's loopback is closed in every spelling: 127/8, 0/8, ::1, ::, IPv4 inside IPv6. So are multicast,
//!    broadcast and link-local IPv6, which mean nothing outside.
//! 4. Containers' own subnets are not reached through the host, nor are the engine's own sockets.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use super::endpoints::Endpoints;
use super::resolver::Resolvers;
use crate::messages::{Network, Protocol, Publication};

/// An address that a socket of the host's network namespace may be connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostAddress(SocketAddr);

impl HostAddress {
    /// The address.
    pub fn get(self) -> SocketAddr {
        self.0
    }
}

/// Where a flow leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// To the host's side; the addresses are tried in order.
    Host(Vec<HostAddress>),
    /// Back to a container's published port, as coming from the gateway.
    Container {
        /// The container's address and port.
        to: SocketAddr,
        /// The gateway address to show.
        from: IpAddr,
    },
    /// Nowhere.
    Closed(Closed),
}

/// Why a flow leads nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// The source is not a container's: no answer at all.
    Unknown,
    /// As if nothing listened there.
    Refused,
    /// As if there were no route.
    Unreachable,
}

/// What the decisions rest on.
#[derive(Debug)]
pub struct Policy {
    networks: Vec<Network>,
    published: HashMap<(Protocol, bool, u16), SocketAddr>,
    closed: Vec<SocketAddr>,
    resolvers: Resolvers,
    endpoints: Endpoints,
}

/// The resolvers' port.
pub const DNS: u16 = 53;

impl Policy {
    /// No networks yet.
    pub fn new(resolvers: Resolvers, endpoints: Endpoints) -> Policy {
        let (networks, published) = (Vec::new(), HashMap::new());
        Policy { networks, published, closed: Vec::new(), resolvers, endpoints }
    }

    /// The networks that exist.
    pub fn networks(&self) -> &[Network] {
        &self.networks
    }

    /// Adds a network, or replaces the one of the same bridge.
    pub fn add_network(&mut self, network: Network) {
        self.remove_network(&network.bridge);
        self.networks.push(network);
    }

    /// Forgets a network.
    pub fn remove_network(&mut self, bridge: &str) {
        self.networks.retain(|n| n.bridge != bridge);
        self.endpoints.clear();
    }

    /// Ports published on all addresses answer at the gateways, too.
    pub fn publish(&mut self, publication: &Publication) {
        if publication.host_ip.is_unspecified() {
            let to = SocketAddr::new(publication.container_ip, publication.container_port);
            self.published.insert(published_key(publication), to);
        }
    }

    /// The reverse of [`Policy::publish`].
    pub fn unpublish(&mut self, publication: &Publication) {
        if publication.host_ip.is_unspecified() {
            self.published.remove(&published_key(publication));
        }
    }

    /// Sets the TCP addresses of the host that no container may reach.
    pub fn close(&mut self, addresses: Vec<SocketAddr>) {
        self.closed = addresses;
    }

    /// Decides where a container's packet from `source` to `destination` leads.
    pub fn judge(
        &mut self,
        protocol: Protocol,
        source: IpAddr,
        destination: SocketAddr,
    ) -> Destination {
        let Some(network) = self.networks.iter().find(|n| contains(n, source)) else {
            return Destination::Closed(Closed::Unknown);
        };
        if !self.endpoints.has(&network.bridge, source) {
            return Destination::Closed(Closed::Unknown);
        }
        if network.internal {
            return Destination::Closed(Closed::Unreachable);
        }
        let loopback = network.host_loopback;
        if self.is_gateway(destination.ip()) {
            return self.at_gateway(protocol, destination, loopback);
        }
        self.on_host(protocol, destination)
    }

    /// Lets a flow out to an address of the host's side, unless it is closed.
    fn on_host(&self, protocol: Protocol, destination: SocketAddr) -> Destination {
        let address = destination.ip();
        if is_closed(address)
            || self.network_of(address).is_some()
            || self.is_engine_s(protocol, destination)
        {
            return Destination::Closed(Closed::Refused);
        }
        Destination::Host(vec![HostAddress(destination)])
    }

    /// One of the engine's own sockets listens there.
    fn is_engine_s(&self, protocol: Protocol, destination: SocketAddr) -> bool {
        let (address, port) = (destination.ip(), destination.port());
        let same = |closed: &SocketAddr| {
            closed.port() == port
                && (closed.ip() == address || closed.ip().is_unspecified() && is_own(address))
        };
        protocol == Protocol::Tcp && self.closed.iter().any(same)
    }

    /// The host's loopback, then its outward address: for networks that asked for it.
    fn on_loopback(&self, protocol: Protocol, v6: bool, port: u16) -> Destination {
        let loopback: IpAddr =
            if v6 { Ipv6Addr::LOCALHOST.into() } else { Ipv4Addr::LOCALHOST.into() };
        let first = SocketAddr::new(loopback, port);
        if self.is_engine_s(protocol, first) {
            return Destination::Closed(Closed::Refused);
        }
        let mut addresses = vec![HostAddress(first)];
        if let Some(own) = own_address(v6) {
            if let Destination::Host(more) = self.on_host(protocol, SocketAddr::new(own, port)) {
                addresses.extend(more);
            }
        }
        Destination::Host(addresses)
    }

    /// The address as which a client of a published port is shown to the container: its own, unless it is one that
    /// means something else inside (loopback, another family, an address of the containers' own networks).
    pub fn shown_as(&self, client: IpAddr, container: IpAddr) -> Option<IpAddr> {
        let own = client.is_ipv6() == container.is_ipv6()
            && !is_closed(client)
            && self.network_of(client).is_none();
        if own { Some(client) } else { self.gateway_of(container) }
    }

    /// The gateway of the network that a container's address belongs to.
    pub fn gateway_of(&self, container: IpAddr) -> Option<IpAddr> {
        let network = self.network_of(container)?;
        match container {
            IpAddr::V4(_) => network.ipv4.map(|(gateway, _)| gateway.into()),
            IpAddr::V6(_) => network.ipv6.map(|(gateway, _)| gateway.into()),
        }
    }

    fn at_gateway(
        &mut self,
        protocol: Protocol,
        destination: SocketAddr,
        loopback: bool,
    ) -> Destination {
        let (gateway, port) = (destination.ip(), destination.port());
        let key = (protocol, gateway.is_ipv6(), port);
        if let Some(to) = self.published.get(&key).copied() {
            return match self.gateway_of(to.ip()) {
                Some(from) => Destination::Container { to, from },
                None => Destination::Closed(Closed::Refused),
            };
        }
        if port == DNS {
            let all = self.resolvers.current();
            let addresses = all.iter().map(|ip| HostAddress(SocketAddr::new(*ip, DNS)));
            return match addresses.collect::<Vec<_>>() {
                none if none.is_empty() => Destination::Closed(Closed::Refused),
                some => Destination::Host(some),
            };
        }
        if loopback {
            return self.on_loopback(protocol, gateway.is_ipv6(), port);
        }
        match own_address(gateway.is_ipv6()) {
            Some(own) => self.on_host(protocol, SocketAddr::new(own, port)),
            None => Destination::Closed(Closed::Refused),
        }
    }

    fn network_of(&self, address: IpAddr) -> Option<&Network> {
        self.networks.iter().find(|n| contains(n, address))
    }

    fn is_gateway(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|n| match address {
            IpAddr::V4(v4) => n.ipv4.is_some_and(|(gateway, _)| gateway == v4),
            IpAddr::V6(v6) => n.ipv6.is_some_and(|(gateway, _)| gateway == v6),
        })
    }
}

fn published_key(publication: &Publication) -> (Protocol, bool, u16) {
    (publication.protocol, publication.host_ip.is_ipv6(), publication.host_port)
}

fn contains(network: &Network, address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => network.ipv4.is_some_and(|(gateway, prefix)| {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            u32::from(gateway) & mask == u32::from(v4) & mask
        }),
        IpAddr::V6(v6) => network.ipv6.is_some_and(|(gateway, prefix)| {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
            u128::from(gateway) & mask == u128::from(v6) & mask
        }),
    }
}

/// Addresses that no container reaches through the host, whatever they are there.
fn is_closed(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_closed_v4(v4),
        IpAddr::V6(v6) => is_closed_v6(v6),
    }
}

fn is_closed_v4(v4: Ipv4Addr) -> bool {
    // 0.0.0.0/8: the kernel takes a connect to 0.0.0.0 for one to 127.0.0.1.
    v4.octets()[0] == 0 || v4.is_loopback() || v4.is_multicast() || v4.is_broadcast()
}

fn is_closed_v6(v6: Ipv6Addr) -> bool {
    // ::/96 holds ::, ::1 and IPv4-compatible addresses; ::ffff:0:0/96 are IPv4 ones spelled as IPv6.
    let segments = v6.segments();
    let embedded = segments[..5].iter().all(|s| *s == 0) && matches!(segments[5], 0 | 0xffff);
    embedded || v6.is_multicast() || v6.is_unicast_link_local()
}

/// The address is one of the host's: only those can be bound.
fn is_own(address: IpAddr) -> bool {
    UdpSocket::bind(SocketAddr::new(address, 0)).is_ok()
}

/// The host's address towards the outside world: the source that a route lookup picks. Sends nothing.
fn own_address(v6: bool) -> Option<IpAddr> {
    // Documentation addresses (RFC 5737, RFC 3849): connecting a UDP socket only looks the route up.
    let (any, outside) =
        if v6 { ("[::]:0", "[2001:db8::1]:9") } else { ("0.0.0.0:0", "198.51.100.1:9") };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(outside).ok()?;
    socket.local_addr().ok().map(|a| a.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> Policy {
        let mut policy =
            Policy::new(Resolvers::fixed(vec![[127, 0, 0, 53].into()]), Endpoints::all());
        for (bridge, third, internal) in [("docker0", 17, false), ("br-1", 18, true)] {
            policy.add_network(Network {
                bridge: bridge.into(),
                ipv4: Some((Ipv4Addr::new(172, third, 0, 1), 16)),
                ipv6: None,
                internal,
                icc: true,
                mtu: 65520,
                host_loopback: false,
            });
        }
        policy
    }

    const C: IpAddr = IpAddr::V4(Ipv4Addr::new(172, 17, 0, 2));

    fn judge(policy: &mut Policy, to: &str) -> Destination {
        policy.judge(Protocol::Tcp, C, to.parse().unwrap())
    }

    #[test]
    fn the_host_s_loopback_is_closed_in_every_spelling() {
        let mut policy = policy();
        for to in [
            "127.0.0.1:80",
            "127.1.2.3:80",
            "0.0.0.0:80",
            "0.1.2.3:80",
            "255.255.255.255:80",
            "224.0.0.1:80",
            "[::1]:80",
            "[::]:80",
            "[::ffff:127.0.0.1]:80",
            "[::127.0.0.1]:80",
            "[fe80::1]:80",
            "[ff02::1]:80",
            "172.18.0.2:80",
        ] {
            assert_eq!(judge(&mut policy, to), Destination::Closed(Closed::Refused), "{to}");
        }
        let outside: SocketAddr = "192.0.2.7:443".parse().unwrap();
        assert_eq!(
            judge(&mut policy, "192.0.2.7:443"),
            Destination::Host(vec![HostAddress(outside)])
        );
    }

    #[test]
    fn the_gateway_answers_for_resolvers_and_published_ports() {
        let mut policy = policy();
        let resolver = HostAddress("127.0.0.53:53".parse().unwrap());
        assert_eq!(judge(&mut policy, "172.17.0.1:53"), Destination::Host(vec![resolver]));
        policy.publish(&Publication {
            container: "c".into(),
            protocol: Protocol::Tcp,
            host_ip: [0, 0, 0, 0].into(),
            host_port: 8080,
            container_ip: C,
            container_port: 80,
        });
        let to = SocketAddr::new(C, 80);
        let from = [172, 17, 0, 1].into();
        assert_eq!(judge(&mut policy, "172.17.0.1:8080"), Destination::Container { to, from });
    }

    #[test]
    fn strangers_and_internal_networks_have_no_way_out() {
        let mut policy = policy();
        let to = "192.0.2.7:443".parse().unwrap();
        let stranger = policy.judge(Protocol::Udp, [10, 9, 9, 9].into(), to);
        assert_eq!(stranger, Destination::Closed(Closed::Unknown));
        let internal = policy.judge(Protocol::Udp, [172, 18, 0, 2].into(), to);
        assert_eq!(internal, Destination::Closed(Closed::Unreachable));
    }

    #[test]
    fn clients_are_shown_as_themselves_or_as_the_gateway() {
        let policy = policy();
        let gateway = Some(IpAddr::from([172, 17, 0, 1]));
        let lan = IpAddr::from([192, 0, 2, 9]);
        assert_eq!(policy.shown_as(lan, C), Some(lan));
        for odd in ["127.0.0.1", "::1", "2001:db8::9", "172.17.0.2"] {
            assert_eq!(policy.shown_as(odd.parse().unwrap(), C), gateway, "{odd}");
        }
    }
}
