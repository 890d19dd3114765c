//! What the engine and the gate say to each other over `EXEC_ROOT/gate.sock` (and the channel the gate is
//! started with).
//!
//! ```text
//! engine                                   gate (host's network namespace; a servant thread lives in the
//!   │ (holder forks it on a channel)         │       namespace of the bridges)
//!   │ ◀── Reply::Ready {path, reason} ────── │ once, when the data path is set up
//!   │ ─── AddNetwork / RemoveNetwork ─────▶ │ bridge, addresses, firewall
//!   │ ─── KeepOnly {bridges} ─────────────▶ │ once all networks were added: others go
//!   │ ─── Publish {…} ────────────────────▶ │ listens on the host
//!   │ ◀── Published {port} / Refused {…} ─── │
//!   │ ─── Enter {container} + descriptor ─▶ │ its network namespace: connections need not cross the bridge
//!   │ ─── Unpublish {container} ──────────▶ │
//!   │ ─── Close {addresses} ──────────────▶ │ the engine's own TCP sockets
//!   │ ─── Name {…} [+ descriptors] ───────▶ │ what the resolver tells of a container, and whom it tells
//!   │ ─── Unname {container} ─────────────▶ │
//!   │ ─── Settle ─────────────────────────▶ │ forgets the names that only engines before this one gave
//! ```
//!
//! Each request gets one reply, in order. An engine that dies closes the channel and nothing else happens: ports stay
//! published, flows go on. The next engine connects to `gate.sock`, asks `Describe` and goes on from there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use serde::{Deserialize, Serialize};

/// The protocol's version.
pub const VERSION: u32 = 1;

/// What the gate is started with.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GateConfig {
    /// Path of the network namespace that holds the bridges (a bind-mounted nsfs file).
    pub netns: String,
    /// Where the gate listens for engines.
    pub socket: String,
    /// MTU of bridges and veths.
    pub mtu: u32,
    /// The file that names the host's resolvers; followed when it changes. Containers reach these resolvers, also
    /// loopback ones, at port 53 (UDP and TCP) of their bridge's gateway address.
    #[serde(default = "default_resolv_conf")]
    pub resolv_conf: String,
    /// Take the lesser data path even where the kernel has all that the better one needs (for tests and for comparing).
    #[serde(default)]
    pub lesser: bool,
}

/// `/etc/resolv.conf`.
pub fn default_resolv_conf() -> String {
    "/etc/resolv.conf".to_owned()
}

/// One bridge network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// The bridge's interface name (docker0, br-0123456789ab), at most 15 bytes.
    pub bridge: String,
    /// Gateway address and prefix length.
    pub ipv4: Option<(Ipv4Addr, u8)>,
    /// The same for IPv6.
    pub ipv6: Option<(Ipv6Addr, u8)>,
    /// No way out.
    pub internal: bool,
    /// Containers on it may talk to each other.
    pub icc: bool,
    /// MTU of this bridge.
    pub mtu: u32,
    /// What the host serves on its loopback is reached at the gateway's address.
    #[serde(default)]
    pub host_loopback: bool,
}

/// One interface of one container; the monitor makes it (see `attach`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// The bridge to join.
    pub bridge: String,
    /// Name inside the container (eth0).
    pub interface: String,
    /// Name of the other end (vethXXXXXXX), at most 15 bytes.
    pub host_interface: String,
    /// Hardware address, `02:42:…`.
    pub mac: [u8; 6],
    /// Address and prefix length.
    pub ipv4: Option<(Ipv4Addr, u8)>,
    /// The same for IPv6.
    pub ipv6: Option<(Ipv6Addr, u8)>,
    /// Default route over this interface.
    pub gateway4: Option<Ipv4Addr>,
    /// The same for IPv6.
    pub gateway6: Option<Ipv6Addr>,
    /// MTU.
    pub mtu: u32,
    /// The container must not reach others of the same bridge directly (the network has `icc` off).
    #[serde(default)]
    pub isolated: bool,
}

/// What the resolver knows of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Names {
    /// The container's id.
    pub container: String,
    /// Its networks; those that come first are looked at first.
    pub places: Vec<Place>,
    /// The servers that this container named, asked from its own network namespace; none: the host's, asked from the
    /// host's.
    pub servers: Vec<IpAddr>,
    /// Names that are not its networks' are asked of the host's servers. Off where no network leads out.
    pub outward: bool,
    /// It has a resolver at 127.0.0.11.
    pub served: bool,
}

/// A container on a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The network's name, which may follow a container's (`db.backend`). No two networks have the same.
    pub network: String,
    /// The container's addresses there.
    pub addresses: Vec<IpAddr>,
    /// What it is called there; the first is the answer to a reverse lookup.
    pub names: Vec<String>,
    /// Links: names that only this container uses, and whom they mean (a name or the beginning of an id).
    pub links: Vec<(String, String)>,
}

/// Transport protocols that can be published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// One published port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publication {
    /// The container's id.
    pub container: String,
    /// TCP or UDP.
    pub protocol: Protocol,
    /// Address to listen on; 0.0.0.0 and :: are two publications.
    pub host_ip: IpAddr,
    /// Port to listen on; 0: any free one.
    pub host_port: u16,
    /// The container's address.
    pub container_ip: IpAddr,
    /// The container's port.
    pub container_port: u16,
}

/// Engine to gate.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Request {
    /// What is there now.
    Describe,
    /// Makes a bridge and its rules; making the same one again is no error.
    AddNetwork(Network),
    /// Takes it away.
    RemoveNetwork {
        /// The bridge.
        bridge: String,
    },
    /// Takes away all bridges but these: what an earlier engine made and none knows any more.
    KeepOnly {
        /// The bridges of all networks.
        bridges: Vec<String>,
    },
    /// Listens on the host.
    Publish(Publication),
    /// Gives a running container's network namespace, a descriptor beside the message, until `Unpublish`. TCP
    /// connections to its ports are then made inside it instead of over the bridge.
    Enter {
        /// The container's id.
        container: String,
    },
    /// Stops listening for a container, and lets its network namespace go; its flows go on until they end.
    Unpublish {
        /// The container's id.
        container: String,
    },
    /// What the resolver knows of a container from now on, replacing what was said before. With descriptors beside the
    /// message, where it is served and was not yet: its network namespace, and the UDP and the TCP socket that the
    /// monitor made (`resolver_sockets`); without those two the gate makes them.
    Name(Names),
    /// Forgets a container's names and closes its resolver.
    Unname {
        /// The container's id.
        container: String,
    },
    /// Forgets the names of containers that were given over other channels only: an engine has named all that run.
    Settle,
    /// Sets the TCP addresses of the host that no container may reach: the engine's own API sockets. 0.0.0.0 and ::
    /// stand for each of the host's addresses. Replaces what was set before.
    Close {
        /// The addresses.
        addresses: Vec<SocketAddr>,
    },
    /// Ends the gate.
    Quit,
}

/// Gate to engine.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Reply {
    /// The data path is up.
    Ready {
        /// [`VERSION`].
        version: u32,
        /// Name of the data path in use (`tproxy` …) for `info`.
        path: String,
        /// Why a lesser one is in use, if it is.
        reason: Option<String>,
    },
    /// Answer to `Describe`.
    State {
        /// Networks that exist.
        networks: Vec<Network>,
        /// Ports that are listened on, with their real host ports.
        publications: Vec<Publication>,
        /// Flows that are open.
        flows: u64,
        /// Containers whose network namespace was given and could not be used, and why.
        #[serde(default)]
        detours: Vec<(String, String)>,
    },
    /// Done.
    Ok,
    /// The port is open.
    Published {
        /// The host port, also where 0 was asked.
        host_port: u16,
    },
    /// The port could not be opened.
    Refused(Refusal),
    /// The request failed.
    Failed {
        /// What was tried, on what, why it failed.
        message: String,
    },
}

/// Why a port could not be opened; the engine words it for the client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// Somebody listens there.
    InUse {
        /// The process, if it is the user's: pid and name.
        holder: Option<(u32, String)>,
    },
    /// The port is below net.ipv4.ip_unprivileged_port_start.
    Privileged {
        /// The sysctl's value.
        start: u16,
    },
    /// The address is not the host's.
    NoSuchAddress,
    /// Another reason.
    Other(String),
}
