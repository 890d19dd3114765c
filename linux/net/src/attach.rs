//! Joining a container to a bridge: a veth pair, one end in the bridge, the other in the container's network namespace
//! with its name, addresses and default route.
//!
//! All of it is two netlink conversations, one in each namespace. Network namespaces belong to threads and a netlink
//! socket keeps the one it was opened in, so a short-lived thread (some 50 µs) enters the bridges' namespace, opens its
//! socket, enters the container's, opens the second, does the work and ends: the caller never moves and needs no way
//! back. For a moment after the return the kernel may still count the thread: whoever must be alone to join or make a
//! user namespace does that in a forked child. The caller holds CAP_SYS_ADMIN and CAP_NET_ADMIN over both namespaces, as
//! uid 0 of Bryo's user namespace does.
//!
//! It takes about a millisecond; more when others make and remove network devices, since the kernel has one lock for all
//! of them in all namespaces.
//!
//! The first packet must not be lost: attach tells both sides their neighbours' hardware addresses and returns when the
//! links carry packets. The bridge's side is told for good: neither ARP replies of another container change it, nor does
//! the gate take an address without such an entry for a container's.
//!
//! On failure nothing is left: if the container's side cannot be set up, the pair is deleted again.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::Duration;

use bryo_sys::netlink::{Batch, Family, Refused, Socket};
use bryo_sys::ns;

use rustix::io::Errno;

use crate::error::{Context, Error};
use crate::messages::Endpoint;
use crate::rtnl::{self, Link, Route, Veth};

/// Makes the interface that `endpoint` describes, between the bridge in the network namespace `bridges` and the
/// container's network namespace `container`. Also brings the container's loopback up.
pub fn attach(
    bridges: BorrowedFd<'_>,
    container: BorrowedFd<'_>,
    endpoint: &Endpoint,
) -> Result<(), Error> {
    in_thread("attach", || {
        let outside = socket_in(bridges).context("enter the bridges' network namespace")?;
        let inside = socket_in(container).context("enter the container's network namespace")?;
        join(&outside, &inside, container, endpoint)
    })
}

fn join(
    outside: &Socket,
    inside: &Socket,
    container: BorrowedFd<'_>,
    endpoint: &Endpoint,
) -> Result<(), Error> {
    let (bridge, end) = make_pair(outside, container, endpoint)?;
    let mac = look_at(outside, bridge).context("look at the bridge")?.mac;
    let eth = set_up_inside(inside, endpoint, mac).inspect_err(|_| {
        let mut undo = Batch::new();
        rtnl::delete_link(&mut undo, &endpoint.host_interface);
        // The cause is what the caller needs; a pair left behind ends with its namespace.
        let _ = outside.submit(undo);
    })?;
    if let Some((address, _)) = endpoint.ipv6 {
        wait_until_own(inside, address.into());
    }
    wait_until_up(inside, eth);
    wait_until_up(outside, end);
    wait_until_up(outside, bridge);
    Ok(())
}

/// Takes the interface named `interface` out of the container's network namespace; its other end goes with it.
pub fn detach(container: BorrowedFd<'_>, interface: &str) -> Result<(), Error> {
    in_thread("detach", || {
        let inside = socket_in(container).context("enter the container's network namespace")?;
        let mut batch = Batch::new();
        rtnl::delete_link(&mut batch, interface);
        inside.submit(batch).context(format!("remove interface {interface}"))
    })
}

/// Brings loopback up in a container's network namespace that gets no other interface.
pub fn loopback_up(container: BorrowedFd<'_>) -> Result<(), Error> {
    in_thread("loopback", || {
        let inside = socket_in(container).context("enter the container's network namespace")?;
        let mut batch = Batch::new();
        rtnl::link_up(&mut batch, rtnl::LOOPBACK);
        inside.submit(batch).context("bring loopback up")
    })
}

/// Runs `work` on a thread of its own, so that it may change namespaces.
pub(crate) fn in_thread<T: Send>(
    name: &str,
    work: impl FnOnce() -> Result<T, Error> + Send,
) -> Result<T, Error> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .stack_size(64 * 1024)
            .spawn_scoped(scope, work)
            .context("start a thread")?;
        thread.join().unwrap_or_else(|_| {
            Err(Error { what: format!("{name} thread"), source: io::Error::other("it panicked") })
        })
    })
}

/// Moves the thread into `netns` and opens a socket that stays there.
fn socket_in(netns: BorrowedFd<'_>) -> io::Result<Socket> {
    ns::join(netns, ns::Kind::Net)?;
    Socket::open(Family::Route)
}

/// Waits until the kernel's link watch has seen that a link has its carrier. Until then its queue drops packets and a
/// bridge keeps the port closed: the container's first packet would be lost, and be repeated a second later.
///
/// Asking for a link makes the link watch run for it at once (Linux 6.8); older kernels do it in a worker that may have
/// to wait for a processor. A link that does not come up in time is left to it.
fn wait_until_up(socket: &Socket, index: u32) {
    for _ in 0..100 {
        match look_at(socket, index) {
            Ok(link) if !link.up => std::thread::sleep(Duration::from_micros(500)),
            _ => return,
        }
    }
}

/// Waits until an IPv6 address receives packets: the kernel adds its route in a worker.
pub(crate) fn wait_until_own(socket: &Socket, address: IpAddr) {
    for _ in 0..100 {
        let mut own = false;
        let mut batch = Batch::new();
        rtnl::get_route(&mut batch, address);
        let asked = socket.dump(batch, |answer| own |= rtnl::is_local(answer));
        // "No route" is one way to say "not yet".
        if own || asked.is_err_and(|e| e.errno == Errno::OPNOTSUPP) {
            return;
        }
        std::thread::sleep(Duration::from_micros(300));
    }
}

fn look_at(socket: &Socket, index: u32) -> Result<Link, Refused> {
    let mut link = Link::default();
    let mut batch = Batch::new();
    rtnl::get_link(&mut batch, index);
    socket.dump(batch, |answer| link = Link::read(answer))?;
    Ok(link)
}

/// Returns the indexes of the bridge and of the pair's end in it.
fn make_pair(
    outside: &Socket,
    container: BorrowedFd<'_>,
    endpoint: &Endpoint,
) -> Result<(u32, u32), Error> {
    let bridge = outside
        .interface(&endpoint.bridge)
        .context(format!("find bridge {} (AddNetwork makes it)", endpoint.bridge))?;
    let mut batch = Batch::new();
    rtnl::add_veth(
        &mut batch,
        &Veth {
            name: &endpoint.host_interface,
            bridge,
            peer: &endpoint.interface,
            peer_netns: container.as_fd().as_raw_fd(),
            peer_mac: endpoint.mac,
            mtu: endpoint.mtu,
        },
    );
    outside.submit(batch).context(format!(
        "join {} to {} as {}",
        endpoint.host_interface, endpoint.bridge, endpoint.interface
    ))?;
    let end = outside
        .interface(&endpoint.host_interface)
        .context(format!("find {}", endpoint.host_interface))?;
    let mut batch = Batch::new();
    rtnl::no_link_local(&mut batch, end);
    let addresses = [endpoint.ipv4.map(|a| a.0.into()), endpoint.ipv6.map(|a| a.0.into())];
    for address in addresses.into_iter().flatten() {
        rtnl::add_neighbour(&mut batch, bridge, address, endpoint.mac, true);
    }
    // The namespace of an ended container that had these addresses may be there for a moment yet, and answer.
    rtnl::add_to_port(&mut batch, end, endpoint.mac);
    if endpoint.isolated {
        rtnl::isolate_port(&mut batch, end);
    }
    outside.submit(batch).context(format!("set up {}", endpoint.host_interface))?;
    Ok((bridge, end))
}

/// `gateway_mac` is the bridge's hardware address. Returns the interface's index.
fn set_up_inside(inside: &Socket, endpoint: &Endpoint, gateway_mac: [u8; 6]) -> Result<u32, Error> {
    let index = inside
        .interface(&endpoint.interface)
        .context(format!("find interface {}", endpoint.interface))?;
    let mut batch = Batch::new();
    rtnl::link_up(&mut batch, rtnl::LOOPBACK);
    rtnl::no_link_local(&mut batch, index);
    rtnl::link_up(&mut batch, index);
    if let Some((address, prefix)) = endpoint.ipv4 {
        rtnl::add_address(&mut batch, index, address.into(), prefix);
    }
    if let Some((address, prefix)) = endpoint.ipv6 {
        rtnl::add_address(&mut batch, index, rtnl::link_local(endpoint.mac), 64);
        rtnl::add_address(&mut batch, index, address.into(), prefix);
    }
    let gateways = [endpoint.gateway4.map(IpAddr::V4), endpoint.gateway6.map(IpAddr::V6)];
    for gateway in gateways.into_iter().flatten() {
        rtnl::add_route(&mut batch, Route::Default { gateway, index });
        rtnl::add_neighbour(&mut batch, index, gateway, gateway_mac, false);
    }
    inside.submit(batch).context(format!("set up interface {}", endpoint.interface))?;
    Ok(index)
}
