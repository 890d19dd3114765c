//! Published TCP ports by way of the container's own network namespace.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use bryo_net::{Protocol, Publication};
use bryo_sys::netlink::{ACK, Batch, Family, Socket};
use rustix::net::{AddressFamily, SocketType, bind, listen, socket};

use crate::Case;
use crate::outbound::{eventually, reset};
use crate::world::{Container, HOST, LAN, World, default_network};

pub const CASES: &[Case] = &[
    ("home_no_bridge_is_crossed", no_bridge),
    ("home_programs_on_any_or_on_the_own_address", binds),
    ("home_loopback_programs_stay_private", private),
    ("home_a_program_bound_to_the_interface_is_reached", bound_to_device),
    ("home_a_container_that_takes_the_rule_away_harms_itself", sabotage),
    ("home_a_namespace_is_let_go_though_a_client_stays", let_go),
    ("home_a_new_gate_is_given_it_again", new_gate),
    ("home_backlogs_and_bursts", bursts),
];

/// Bytes that came by an interface of the container.
fn received(c: &Container, interface: &str) -> u64 {
    let text = c.run(|| std::fs::read_to_string("/proc/thread-self/net/dev").expect("counters"));
    let line = text.lines().find_map(|l| l.trim().strip_prefix(interface)).expect("interface");
    let fields = line.trim_start_matches(':').split_whitespace();
    fields.into_iter().next().expect("a field").parse().expect("a number")
}

fn echo_once(server: &TcpListener, client: &mut TcpStream, size: usize) -> SocketAddr {
    let (mut inside, peer) = server.accept().expect("accept");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut all = vec![0; size];
            inside.read_exact(&mut all).expect("read inside");
            inside.write_all(&all).expect("write inside");
        });
        let sent: Vec<u8> = (0..size).map(|n| u8::try_from(n % 251).expect("small")).collect();
        let mut back = vec![0; size];
        client.write_all(&sent).expect("write");
        client.read_exact(&mut back).expect("read");
        assert!(sent == back, "bytes are changed on the way");
    });
    peer
}

fn no_bridge(world: &mut World) {
    let c = world.container(2);
    let server = c.listen(80);
    let port = world.publish(Protocol::Tcp, 0, &c, 80);
    let before = received(&c, "eth0");
    let mut client = world.lan_connect((HOST, port).into());
    let peer = echo_once(&server, &mut client, 200_000);
    assert_eq!(peer, client.local_addr().expect("address"));
    assert!(received(&c, "lo") > 400_000);
    assert!(received(&c, "eth0") - before < 10_000);
}

fn binds(world: &mut World) {
    let c = world.container(2);
    let six: Ipv6Addr = "fd17::2".parse().expect("address");
    let at = |address: IpAddr, port: u16| {
        c.run(|| TcpListener::bind((address, port)).expect("listen inside"))
    };
    let servers = [
        at(Ipv4Addr::UNSPECIFIED.into(), 81),
        at(c.address.into(), 82),
        at(Ipv6Addr::UNSPECIFIED.into(), 83),
    ];
    for (server, inside) in servers.iter().zip(81..) {
        let port = world.publish(Protocol::Tcp, 0, &c, inside);
        let mut client = TcpStream::connect((HOST, port)).expect("connect");
        let peer = echo_once(server, &mut client, 10).ip();
        assert!([IpAddr::from(HOST), HOST.to_ipv6_mapped().into()].contains(&peer), "{peer}");
    }
    for (address, inside) in [(Ipv6Addr::UNSPECIFIED, 84), (six, 85)] {
        let server = at(address.into(), inside);
        let publication = Publication {
            container: "six".into(),
            protocol: Protocol::Tcp,
            host_ip: Ipv6Addr::LOCALHOST.into(),
            host_port: 0,
            container_ip: six.into(),
            container_port: inside,
        };
        let port = world.gate.publish(&publication).expect("publish");
        use std::os::fd::AsFd;
        world.gate.enter("six", c.netns.as_fd()).expect("enter");
        let before = received(&c, "eth0");
        let mut client = TcpStream::connect((Ipv6Addr::LOCALHOST, port)).expect("connect");
        echo_once(&server, &mut client, 100_000);
        assert!(received(&c, "eth0") - before < 10_000);
    }
    assert_eq!(world.gate.describe().expect("describe").detours, []);
}

fn private(world: &mut World) {
    let c = world.container(2);
    let server = c.run(|| TcpListener::bind((Ipv4Addr::LOCALHOST, 80)).expect("listen inside"));
    server.set_nonblocking(true).expect("non-blocking");
    let port = world.publish(Protocol::Tcp, 0, &c, 80);
    for host in [HOST, Ipv4Addr::LOCALHOST] {
        let mut client = TcpStream::connect((host, port)).expect("accepted");
        let refused = client.read(&mut [0; 8]).expect_err("reset");
        assert_eq!(refused.kind(), ErrorKind::ConnectionReset);
    }
    assert_eq!(server.accept().expect_err("nobody").kind(), ErrorKind::WouldBlock);
}

fn bound_to_device(world: &mut World) {
    let c = world.container(2);
    let server: TcpListener = c.run(|| {
        let fd = socket(AddressFamily::INET, SocketType::STREAM, None).expect("socket");
        rustix::net::sockopt::set_socket_reuseaddr(&fd, true).expect("reuse");
        bryo_sys::sockopt::bind_to_device(&fd, "eth0").expect("bind to eth0");
        bind(&fd, &SocketAddr::from((Ipv4Addr::UNSPECIFIED, 80))).expect("bind");
        listen(&fd, 8).expect("listen");
        fd.into()
    });
    let port = world.publish(Protocol::Tcp, 0, &c, 80);
    let mut client = world.lan_connect((HOST, port).into());
    assert_eq!(echo_once(&server, &mut client, 1000).ip(), LAN);
}

/// Deletes the first routing rule after the kernel's own, of IPv4.
fn delete_rule() {
    let socket = Socket::open(Family::Route).expect("netlink");
    let mut batch = Batch::new();
    batch.message("delete a rule", 33, ACK, |m| {
        m.raw(&[2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).u32(6, 1);
    });
    socket.submit(batch).expect("the rule was there");
}

fn sabotage(world: &mut World) {
    let (bad, good) = (world.container(2), world.container(3));
    let (bad_server, good_server) = (bad.listen(80), good.listen(80));
    let bad_port = world.publish(Protocol::Tcp, 0, &bad, 80);
    // The rule is made beside everything else, and is there at the first connection.
    let mut first = TcpStream::connect((Ipv4Addr::LOCALHOST, bad_port)).expect("connect");
    echo_once(&bad_server, &mut first, 10);
    let good_port = world.publish(Protocol::Tcp, 0, &good, 80);
    drop(first);
    bad.run(delete_rule);
    let stuck: Vec<TcpStream> = (0..50)
        .map(|_| TcpStream::connect((Ipv4Addr::LOCALHOST, bad_port)).expect("accepted"))
        .collect();
    for _ in 0..50 {
        let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, good_port)).expect("connect");
        client.set_read_timeout(Some(Duration::from_secs(2))).expect("timeout");
        echo_once(&good_server, &mut client, 10);
    }
    for client in stuck {
        reset(client);
    }
    eventually("the gate has no flow left", || world.gate.describe().expect("describe").flows == 0);
}

fn let_go(world: &mut World) {
    let c = world.container(2);
    let server = c.listen(80);
    let port = world.publish(Protocol::Tcp, 0, &c, 80);
    let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("connect");
    echo_once(&server, &mut client, 10);
    // The container ends: its sockets are closed, the engine closes its ports. The client does not stir.
    drop(server);
    world.gate.unpublish(&c.address.to_string()).expect("unpublish");
    eventually("the flow has ended", || world.gate.describe().expect("describe").flows == 0);
    assert_eq!(client.read(&mut [0; 8]).expect("the end of the stream"), 0);
    let bridges = bryo_sys::ns::open(world.netns()).expect("namespace");
    drop(c);
    eventually("the veth pair is gone", || {
        std::thread::scope(|scope| {
            let look = scope.spawn(|| {
                bryo_sys::ns::join(&bridges, bryo_sys::ns::Kind::Net).expect("enter");
                let text = std::fs::read_to_string("/proc/thread-self/net/dev").expect("devices");
                !text.contains("veth2")
            });
            look.join().expect("look")
        })
    });
}

fn new_gate(world: &mut World) {
    let c = world.container(2);
    let server = c.listen(80);
    let port = world.publish(Protocol::Tcp, 0, &c, 80);
    for _ in 0..2 {
        let mut client = TcpStream::connect((HOST, port)).expect("connect");
        echo_once(&server, &mut client, 1000);
        world.restart_gate();
        world.gate.add_network(&default_network()).expect("add the network");
        assert_eq!(world.publish(Protocol::Tcp, port, &c, 80), port);
        let before = received(&c, "eth0");
        let mut client = TcpStream::connect((HOST, port)).expect("connect");
        echo_once(&server, &mut client, 100_000);
        assert!(received(&c, "eth0") - before < 10_000);
    }
    assert_eq!(world.gate.describe().expect("describe").detours, []);
}

/// Many at once, more than there are sockets made ahead.
fn bursts(world: &mut World) {
    let c = world.container(2);
    let server = c.listen(80);
    let port = world.publish(Protocol::Tcp, 0, &c, 80);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..400 {
                let (mut inside, _) = server.accept().expect("accept");
                scope.spawn(move || {
                    let mut byte = [0];
                    inside.read_exact(&mut byte).expect("read");
                    inside.write_all(&byte).expect("write");
                });
            }
        });
        for _ in 0..4 {
            let mut clients: Vec<TcpStream> = (0..100)
                .map(|_| TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("connect"))
                .collect();
            for client in &mut clients {
                client.write_all(b"x").expect("write");
            }
            for client in &mut clients {
                client.read_exact(&mut [0]).expect("read");
            }
        }
    });
}
