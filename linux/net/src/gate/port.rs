//! Published ports: sockets that listen on the host, and what comes in by them.
//!
//! A TCP client is accepted, and a transparent socket inside, bound to the client's own address and port, connects to
//! the container: the container sees its real client. That socket is made in the container's own network namespace
//! (`homes.rs`), so that no bridge is crossed, or in the bridges' if it cannot be. A client of the host's loopback is shown as the gateway. If the
//! client's port is taken inside (the same client on two ports of one container), another port is used.
//!
//! A container that does not listen: the client is accepted and then reset.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::rc::Rc;

use bryo_sys::sockopt;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use super::datagram::Datagrams;
use super::dial::begin_inside;
use super::outward::version;
use super::owner;
use super::poll::{Kind, READ, Token};
use super::shared::Shared;
use super::slab::{Key, Slab};
use super::stream::{Joint, Stage, Streams, reset_on_close, tune};
use crate::messages::{Protocol, Publication, Refusal};

/// A longer queue than most servers': the gate answers for them.
const BACKLOG: i32 = 4096;

#[derive(Debug)]
struct Port {
    publication: Publication,
    socket: Rc<OwnedFd>,
}

/// All published ports.
#[derive(Debug)]
pub struct Ports {
    slab: Slab<Port>,
    /// Nobody is accepted while descriptors are short.
    paused: bool,
}

impl Ports {
    /// None.
    pub fn new() -> Ports {
        Ports { slab: Slab::new(), paused: false }
    }

    /// What is published, with real port numbers.
    pub fn publications(&self) -> Vec<Publication> {
        self.slab.iter().map(|(_, port)| port.publication.clone()).collect()
    }

    /// Opens a port; returns its number. Publishing the same thing again returns the number it has.
    pub fn publish(
        &mut self,
        shared: &mut Shared,
        mut wanted: Publication,
    ) -> Result<u16, Refusal> {
        let same = |port: &Port| {
            let real = Publication { host_port: wanted.host_port, ..port.publication.clone() };
            real == wanted
                && (wanted.host_port == 0 || wanted.host_port == port.publication.host_port)
        };
        if let Some((_, port)) = self.slab.iter().find(|(_, port)| same(port)) {
            return Ok(port.publication.host_port);
        }
        let socket = open(&wanted).map_err(|e| refusal(&wanted, &e))?;
        let other = |e: Errno| Refusal::Other(io::Error::from(e).to_string());
        if wanted.host_port == 0 {
            let name = rustix::net::getsockname(&socket).map_err(other)?;
            wanted.host_port = SocketAddr::try_from(name).map_err(other)?.port();
        }
        let socket = Rc::new(socket);
        let key =
            self.slab.insert(Port { publication: wanted.clone(), socket: Rc::clone(&socket) });
        if let Err(e) = shared.poll.add(&socket, Token::new(Kind::Port, key), READ) {
            self.slab.remove(key);
            return Err(Refusal::Other(format!("watch the port's socket: {e}")));
        }
        shared.policy.publish(&wanted);
        if wanted.protocol == Protocol::Tcp {
            shared.homes.prepare(&wanted.container, version(wanted.container_ip));
        }
        Ok(wanted.host_port)
    }

    /// Gives the network namespace of a container, for the ports it has and will have.
    pub fn enter(&mut self, shared: &mut Shared, container: String, netns: OwnedFd) {
        shared.homes.enter(container.clone(), netns);
        for (_, Port { publication, .. }) in self.slab.iter() {
            if publication.container == container && publication.protocol == Protocol::Tcp {
                shared.homes.prepare(&container, version(publication.container_ip));
            }
        }
    }

    /// Closes a container's ports; TCP connections go on.
    pub fn unpublish(&mut self, shared: &mut Shared, datagrams: &mut Datagrams, container: &str) {
        for key in self.slab.keys(|p| p.publication.container == container) {
            if let Some(port) = self.slab.remove(key) {
                shared.policy.unpublish(&port.publication);
                datagrams.forget_port(key);
            }
        }
    }

    /// Handles clients that wait at a port.
    pub fn handle(
        &mut self,
        shared: &mut Shared,
        streams: &mut Streams,
        datagrams: &mut Datagrams,
        key: Key,
    ) {
        let Some(port) = self.slab.get(key) else { return };
        match port.publication.protocol {
            Protocol::Udp => datagrams.at_port(shared, key, &port.socket, &port.publication),
            Protocol::Tcp if shared.quota.exhausted() => self.pause(shared, true),
            // One at a time: a port where more wait is announced again.
            Protocol::Tcp => {
                if accept(shared, streams, port).is_err() {
                    self.pause(shared, true);
                }
            }
        }
    }

    /// Looks whether descriptors are to be had again.
    pub fn sweep(&mut self, shared: &Shared) {
        if self.paused && !shared.quota.exhausted() {
            self.pause(shared, false);
        }
    }

    /// True while [`Ports::sweep`] has something to do.
    pub fn paused(&self) -> bool {
        self.paused
    }

    /// A listener that cannot accept would be announced for ever: it is not watched until there is room again.
    fn pause(&mut self, shared: &Shared, pause: bool) {
        self.paused = pause;
        let flags = if pause { rustix::event::epoll::EventFlags::empty() } else { READ };
        for (key, port) in self.slab.iter() {
            if port.publication.protocol == Protocol::Tcp {
                // A failure leaves it watched, which only costs time.
                let _ = shared.poll.modify(&port.socket, Token::new(Kind::Port, key), flags);
            }
        }
    }
}

/// Accepts one client, if one waits, and connects it. An error means that descriptors are short.
fn accept(shared: &mut Shared, streams: &mut Streams, port: &Port) -> io::Result<()> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (outer, client) = match rustix::net::acceptfrom_with(&port.socket, flags) {
        Ok((outer, Some(client))) => (outer, client),
        Err(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => {
            return Err(io::Error::other("no descriptors"));
        }
        Ok((_, None)) | Err(_) => return Ok(()),
    };
    let to = SocketAddr::new(port.publication.container_ip, port.publication.container_port);
    let lease = shared.quota.lease(to.ip(), 2);
    let inner = SocketAddr::try_from(client)
        .map_err(io::Error::from)
        .and_then(|client| connect_as(shared, &port.publication.container, client, to));
    if let (Ok((inner, stage)), Some(lease)) = (inner, lease) {
        // A failure drops both sockets, which is all that can be said to either side.
        let _ = streams.join(&shared.poll, Joint { inner, outer, lease, stage });
    } else {
        reset_on_close(&outer);
    }
    Ok(())
}

/// Begins a connect to the container, shown as coming from `client`: inside its own network namespace if that can be.
fn connect_as(
    shared: &mut Shared,
    container: &str,
    client: SocketAddr,
    to: SocketAddr,
) -> io::Result<(OwnedFd, Stage)> {
    let shown = SocketAddr::new(shown_as(shared, client.ip(), to.ip())?, client.port());
    let mut left = None;
    let socket = begin_as(shown, to, || match shared.homes.stream(container, version(to.ip())) {
        Some((socket, home)) => {
            left = Some(home);
            Ok(socket)
        }
        None => shared.pools.stream(version(to.ip())),
    })?;
    Ok((socket, Stage::Opening(left)))
}

/// Begins a connect from `from`, or from another port if that one is taken.
fn begin_as(
    from: SocketAddr,
    to: SocketAddr,
    mut socket: impl FnMut() -> io::Result<OwnedFd>,
) -> io::Result<OwnedFd> {
    let first = socket()?;
    if begin_inside(&first, from, to).is_ok() {
        return Ok(first);
    }
    let second = socket()?;
    begin_inside(&second, SocketAddr::new(from.ip(), 0), to)?;
    Ok(second)
}

/// The address under which the container sees a client.
pub fn shown_as(shared: &Shared, client: IpAddr, container: IpAddr) -> io::Result<IpAddr> {
    shared
        .policy
        .shown_as(client, container)
        .ok_or_else(|| io::Error::other("the container's network is gone"))
}

/// Opens the host's socket of a publication.
fn open(wanted: &Publication) -> io::Result<OwnedFd> {
    let v6 = wanted.host_ip.is_ipv6();
    let family = if v6 { AddressFamily::INET6 } else { AddressFamily::INET };
    let kind = match wanted.protocol {
        Protocol::Tcp => SocketType::STREAM,
        Protocol::Udp => SocketType::DGRAM,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, kind, flags, None)?;
    if v6 {
        // 0.0.0.0 and :: are two publications.
        rustix::net::sockopt::set_ipv6_v6only(&socket, true)?;
    }
    let address = SocketAddr::new(wanted.host_ip, wanted.host_port);
    match wanted.protocol {
        Protocol::Tcp => {
            // Connections of an earlier listener on this port may still be open.
            rustix::net::sockopt::set_socket_reuseaddr(&socket, true)?;
            tune(&socket)?;
            rustix::net::bind(&socket, &address)?;
            rustix::net::listen(&socket, BACKLOG)?;
        }
        Protocol::Udp => {
            sockopt::set_receive_packet_info(&socket, version(wanted.host_ip))?;
            sockopt::set_udp_gro(&socket)?;
            rustix::net::bind(&socket, &address)?;
        }
    }
    Ok(socket)
}

/// Says why a port could not be opened.
fn refusal(wanted: &Publication, error: &io::Error) -> Refusal {
    match Errno::from_io_error(error) {
        Some(Errno::ADDRINUSE) => Refusal::InUse {
            holder: owner::of_port(wanted.protocol, wanted.host_ip, wanted.host_port),
        },
        Some(Errno::ACCESS | Errno::PERM) => Refusal::Privileged { start: privileged_below() },
        Some(Errno::ADDRNOTAVAIL) => Refusal::NoSuchAddress,
        _ => Refusal::Other(error.to_string()),
    }
}

/// The first port that needs no privilege.
fn privileged_below() -> u16 {
    std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start")
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(1024)
}
