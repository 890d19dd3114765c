//! Containers that mean harm: the gate stays up, its memory and descriptors are bounded, and the others are served.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use bryo_net::Protocol;
use bryo_sys::sockopt::{Ip, set_transparent};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};

use crate::Case;
use crate::outbound::{eventually, patient};
use crate::world::{Container, HOST, LAN, World};

pub const CASES: &[Case] = &[
    ("attack_floods_of_half_open_connections", half_open),
    ("attack_forged_neighbours", forged_neighbours),
    ("attack_more_connections_than_descriptors", starvation),
    ("attack_udp_flows_without_end", udp_flood),
    ("attack_other_networks_and_the_gate_s_own_sockets", reach),
];

/// Where nobody answers: the host's connects hang until it has asked for the address three times.
const NOBODY: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 77);

/// A connect under way from `from`, which need not be the container's own address.
fn begin(from: Option<Ipv4Addr>, to: SocketAddr) -> Option<OwnedFd> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let fd = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).ok()?;
    if let Some(from) = from {
        set_transparent(&fd, Ip::V4).expect("transparent");
        bind(&fd, &SocketAddr::from((from, 0))).expect("bind");
    }
    let _ = connect(&fd, &to);
    Some(fd)
}

fn descriptors(world: &World) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", world.gate_pid())).expect("descriptors").count()
}

fn anonymous_kib(world: &World) -> u64 {
    let path = format!("/proc/{}/smaps_rollup", world.gate_pid());
    let text = std::fs::read_to_string(path).expect("smaps_rollup");
    let line = text.lines().find(|l| l.starts_with("Anonymous:")).expect("a field");
    line.split_whitespace().nth(1).expect("a number").parse().expect("kB")
}

/// Connections of a well-behaved container, out and in; the slowest of them.
fn good_service(world: &World, good: &Container) -> Duration {
    let outside = world.lan_listen((LAN, 0).into());
    let to = outside.local_addr().expect("address");
    let inside = good.listen(8080);
    let port = world.publish(Protocol::Tcp, 0, good, 8080);
    let mut slowest = Duration::ZERO;
    for _ in 0..20 {
        let start = Instant::now();
        let mut out = good.connect(to).expect("out");
        let (mut far, _) = outside.accept().expect("accept");
        out.write_all(b"x").expect("write");
        far.read_exact(&mut [0]).expect("read");
        let mut client = TcpStream::connect((HOST, port)).expect("in");
        let (mut served, _) = inside.accept().expect("accept");
        client.write_all(b"x").expect("write");
        served.read_exact(&mut [0]).expect("read");
        slowest = slowest.max(start.elapsed());
    }
    world.gate.unpublish(&good.address.to_string()).expect("unpublish");
    slowest
}

fn half_open(world: &mut World) {
    let (bad, worse, good) = (world.container(2), world.container(3), world.container(4));
    let before = descriptors(world);
    let flood = |c: &Container| -> Vec<OwnedFd> {
        let to = |n: u16| SocketAddr::from((NOBODY, 1000 + n));
        c.run(|| (0..4000).filter_map(|n| begin(None, to(n))).collect())
    };
    let held = [flood(&bad), flood(&worse)];
    assert!(held[0].len() > 3000, "the flood is one: {}", held[0].len());
    let slowest = good_service(world, &good);
    let most = descriptors(world);
    println!(
        "    two floods of {}: {} descriptors more, {} KiB, slowest of the others {slowest:?}",
        held[0].len(),
        most - before,
        anonymous_kib(world)
    );
    assert!(most - before < 2 * 1024 + 200, "{most}");
    assert!(anonymous_kib(world) < 8 << 10);
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    drop(held);
    eventually("the descriptors are given back", || descriptors(world) < before + 300);
}

/// Addresses of the bridge's subnet that are no container's get nothing, however many.
fn forged_neighbours(world: &mut World) {
    let (bad, good) = (world.container(2), world.container(4));
    let before = descriptors(world);
    let held: Vec<OwnedFd> = bad.run(|| {
        let forged = |n: u16| {
            let [high, low] = n.to_be_bytes();
            Ipv4Addr::new(172, 17, 100 + high, low)
        };
        (0..4000).filter_map(|n| begin(Some(forged(n)), (NOBODY, 1000 + n).into())).collect()
    });
    assert!(held.len() > 3000);
    let slowest = good_service(world, &good);
    let more = descriptors(world) - before;
    println!("    {} forged sources: {more} descriptors more, slowest {slowest:?}", held.len());
    assert!(more < 300, "{more}");
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
}

/// A container that takes all it can get leaves the others some, and gives back what it had.
fn starvation(world: &mut World) {
    world.restart_gate_with_descriptors(3000);
    let (bad, good) = (world.container(2), world.container(4));
    let server = world.lan_listen((LAN, 0).into());
    let to = server.local_addr().expect("address");
    let held: Vec<OwnedFd> = bad.run(|| (0..3000).filter_map(|_| begin(None, to)).collect());
    std::thread::sleep(Duration::from_millis(500));
    let slowest = good_service(world, &good);
    println!("    {} wanted, {} descriptors in the gate", held.len(), descriptors(world));
    assert!(descriptors(world) < 3000);
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    drop((held, server));
    eventually("flows end", || world.gate.describe().expect("describe").flows < 100);
}

fn udp_flood(world: &mut World) {
    let (bad, good) = (world.container(2), world.container(4));
    world.restart_gate_with_descriptors(3000);
    let server = world.lan_udp((LAN, 0).into());
    let to = server.local_addr().expect("address");
    bad.run(|| {
        for _ in 0..6000 {
            let socket = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("bind");
            socket.send_to(b"x", to).expect("send");
        }
    });
    let slowest = good_service(world, &good);
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    let answered = world.lan_udp((LAN, 0).into());
    let client = good.udp(0);
    patient(&client);
    patient(&answered);
    client.send_to(b"q", answered.local_addr().expect("address")).expect("send");
    let (_, from) = answered.recv_from(&mut [0; 8]).expect("the question");
    answered.send_to(b"a", from).expect("answer");
    client.recv(&mut [0; 8]).expect("the answer");
    println!("    {} descriptors, {} KiB", descriptors(world), anonymous_kib(world));
    assert!(descriptors(world) < 3000 && anonymous_kib(world) < 16 << 10);
}

/// The gate's own listeners, loopback spelled as a neighbour, and addresses with no meaning lead nowhere.
fn reach(world: &mut World) {
    let c = world.container(2);
    let quick = |to: SocketAddr| {
        c.run(|| TcpStream::connect_timeout(&to, Duration::from_millis(300)).is_ok())
    };
    let private = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("listen");
    let port = private.local_addr().expect("address").port();
    for to in ["172.17.255.255", "255.255.255.255", "224.0.0.1", "127.255.255.254", "0.0.0.1"] {
        let to: Ipv4Addr = to.parse().expect("address");
        assert!(!quick((to, port).into()), "{to}");
        assert!(!quick((to, 9999).into()), "{to}");
    }
    for to in ["fd17::1", "::7f00:1", "fe80::1", "64:ff9b::7f00:1", "2002:7f00:1::"] {
        let to: std::net::Ipv6Addr = to.parse().expect("address");
        assert!(!quick((to, port).into()), "{to}");
    }
    private.set_nonblocking(true).expect("non-blocking");
    assert!(private.accept().is_err());
}
