//! Joining a container to a bridge: a veth pair, one end in the bridge, the other in the container's network namespace
//! with its name, addresses and default route.
//!
//! All of it is two netlink conversations, one in each namespace. Network namespaces belong to threads and a netlink
//! socket keeps the one it was opened in, so a short-lived thread (some 50 µs) enters the bridges' namespace, opens its
//! socket, enters the container's, opens the second, does the work and ends: the caller never moves and needs no way
//! back. The caller holds CAP_SYS_ADMIN and CAP_NET_ADMIN over both namespaces, as uid 0 of Bryo's user namespace does.
//!
//! On failure nothing is left: if the container's side cannot be set up, the pair is deleted again.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::Duration;

use bryo_sys::netlink::{Batch, Family, Socket};
use bryo_sys::ns;

use crate::error::{Context, Error};
use crate::messages::Endpoint;
use crate::rtnl::{self, Route, Veth};

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
        let (bridge, end) = make_pair(&outside, container, endpoint)?;
        let eth = set_up_inside(&inside, endpoint).inspect_err(|_| {
            let mut undo = Batch::new();
            rtnl::delete_link(&mut undo, &endpoint.host_interface);
            // The cause is what the caller needs; a pair left behind ends with its namespace.
            let _ = outside.submit(undo);
        })?;
        wait_until_up(&inside, eth);
        wait_until_up(&outside, end);
        wait_until_up(&outside, bridge);
        Ok(())
    })
}

/// Waits until the kernel's link watch has seen that a link has its carrier. Until then its queue drops packets and a
/// bridge keeps the port closed: the container's first ARP request would be lost, and be repeated a second later.
///
/// Asking for a link makes the link watch run for it at once (Linux 6.8); older kernels do it in a worker that may have
/// to wait for a processor. A link that does not come up in time is left to it.
fn wait_until_up(socket: &Socket, index: u32) {
    for _ in 0..100 {
        let mut up = false;
        let mut batch = Batch::new();
        rtnl::get_link(&mut batch, index);
        if socket.dump(batch, |answer| up |= rtnl::is_up(answer)).is_err() || up {
            return;
        }
        std::thread::sleep(Duration::from_micros(500));
    }
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
fn in_thread<T: Send>(
    name: &str,
    work: impl FnOnce() -> Result<T, Error> + Send,
) -> Result<T, Error> {
    let (id, result) = std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .stack_size(64 * 1024)
            .spawn_scoped(scope, || (rustix::thread::gettid(), work()))
            .context("start a thread")?;
        thread.join().map_err(|_| Error {
            what: format!("{name} thread"),
            source: io::Error::other("it panicked"),
        })
    })?;
    wait_until_gone(id);
    result
}

/// Waits until the kernel, too, counts the thread no more: joining it comes a moment earlier, and a caller that goes on
/// to unshare or join a user namespace must have one thread only (else EINVAL).
fn wait_until_gone(id: rustix::thread::Pid) {
    let path = format!("/proc/self/task/{}", id.as_raw_pid());
    for _ in 0..1000 {
        if !std::path::Path::new(&path).exists() {
            return;
        }
        std::thread::yield_now();
    }
}

/// Moves the thread into `netns` and opens a socket that stays there.
fn socket_in(netns: BorrowedFd<'_>) -> io::Result<Socket> {
    ns::join(netns, ns::Kind::Net)?;
    Socket::open(Family::Route)
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
    if endpoint.isolated {
        rtnl::isolate_port(&mut batch, end);
    }
    outside.submit(batch).context(format!("set up {}", endpoint.host_interface))?;
    Ok((bridge, end))
}

/// Returns the interface's index.
fn set_up_inside(inside: &Socket, endpoint: &Endpoint) -> Result<u32, Error> {
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
    }
    inside.submit(batch).context(format!("set up interface {}", endpoint.interface))?;
    Ok(index)
}
