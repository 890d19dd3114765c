//! Published ports.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use bryo_net::{GateError, Protocol, Publication, Refusal};

use crate::Case;
use crate::outbound::{eventually, patient, reset};
use crate::world::{GATEWAY, GATEWAY6, HOST, HOST6, LAN, LAN6, World, default_network};

pub const CASES: &[Case] = &[
    ("published_tcp_shows_the_client", tcp_addresses),
    ("published_udp_shows_the_client", udp_addresses),
    ("published_ipv6", ipv6),
    ("published_reset_and_refused", refused),
    ("published_errors_have_reasons", errors),
    ("published_thousand_connections", thousand),
    ("published_unpublish_and_again", again),
    ("published_hairpin", hairpin),
    ("published_survives_engines_and_gates", restarts),
];

fn talk(mut client: TcpStream, server: &TcpListener) -> SocketAddr {
    let (mut inside, peer) = server.accept().expect("accept");
    client.write_all(b"ping").expect("write");
    let mut buffer = [0; 4];
    inside.read_exact(&mut buffer).expect("read");
    inside.write_all(b"pong").expect("answer");
    client.read_exact(&mut buffer).expect("read the answer");
    assert_eq!(&buffer, b"pong");
    peer
}

pub fn tcp_addresses(world: &mut World) {
    let c = world.container(2);
    let server = c.listen(80);
    let port = world.publish(Protocol::Tcp, 0, &c, 80);
    let client = world.lan_connect((HOST, port).into());
    let local = client.local_addr().expect("address");
    assert_eq!(local.ip(), LAN);
    assert_eq!(talk(client, &server), local);
    // A client of the loopback is shown as the gateway, with its own port.
    let client = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("connect");
    let local = client.local_addr().expect("address");
    assert_eq!(talk(client, &server), SocketAddr::new(GATEWAY.into(), local.port()));
    // A client at one of the host's own addresses is shown as that.
    let client = TcpStream::connect((HOST, port)).expect("connect");
    assert_eq!(talk(client, &server).ip(), HOST);
}

pub fn udp_addresses(world: &mut World) {
    let c = world.container(2);
    let server = c.udp(53);
    patient(&server);
    let port = world.publish(Protocol::Udp, 0, &c, 53);
    let lan = world.lan_udp((LAN, 0).into());
    let local = UdpSocket::bind("127.0.0.1:0").expect("bind");
    let shown = [
        (&lan, SocketAddr::from((HOST, port)), IpAddr::V4(LAN)),
        (&local, SocketAddr::from((Ipv4Addr::LOCALHOST, port)), IpAddr::V4(GATEWAY)),
    ];
    let mut buffer = [0; 2000];
    for (client, to, shown) in shown {
        patient(client);
        for round in 0..3u8 {
            client.send_to(&[round; 700], to).expect("send");
            let (length, peer) = server.recv_from(&mut buffer).expect("receive");
            let own = client.local_addr().expect("address");
            assert_eq!((length, peer), (700, SocketAddr::new(shown, own.port())));
            server.send_to(&buffer[..length], peer).expect("answer");
            let answer = client.recv_from(&mut buffer).expect("the answer");
            assert_eq!((answer, buffer[0]), ((700, to), round));
        }
    }
}

fn ipv6(world: &mut World) {
    let c = world.container(2);
    let inside: Ipv6Addr = "fd17::2".parse().expect("address");
    let server = c.run(|| TcpListener::bind((Ipv6Addr::UNSPECIFIED, 80)).expect("listen"));
    let publish = |container_ip: IpAddr, host_port| {
        let publication = Publication {
            container: "six".into(),
            protocol: Protocol::Tcp,
            host_ip: Ipv6Addr::UNSPECIFIED.into(),
            host_port,
            container_ip,
            container_port: 80,
        };
        world.gate.publish(&publication).expect("publish")
    };
    let port = publish(inside.into(), 0);
    let client = world.lan_connect((HOST6, port).into());
    assert_eq!(talk(client, &server).ip(), LAN6);
    let client = TcpStream::connect((Ipv6Addr::LOCALHOST, port)).expect("connect");
    assert_eq!(talk(client, &server).ip(), GATEWAY6);
    // An IPv6 port of an IPv4 container: the client is shown as the gateway.
    let port = publish(c.address.into(), 0);
    let client = world.lan_connect((HOST6, port).into());
    assert_eq!(talk(client, &server).ip(), GATEWAY.to_ipv6_mapped());
}

fn refused(world: &mut World) {
    let c = world.container(2);
    let port = world.publish(Protocol::Tcp, 0, &c, 80);
    let mut client = TcpStream::connect((HOST, port)).expect("accepted");
    let mut buffer = [0; 8];
    assert_eq!(client.read(&mut buffer).expect_err("reset").kind(), ErrorKind::ConnectionReset);
    let server = c.listen(80);
    let client = TcpStream::connect((HOST, port)).expect("connect");
    let (mut inside, _) = server.accept().expect("accept");
    reset(client);
    assert_eq!(inside.read(&mut buffer).expect_err("reset").kind(), ErrorKind::ConnectionReset);
}

fn errors(world: &mut World) {
    let c = world.container(2);
    let taken = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("listen");
    // A process without capabilities has it open as well: the gate, which has none, may look at that one.
    let holder = world.plain_process();
    let wanted = Publication {
        container: "c".into(),
        protocol: Protocol::Tcp,
        host_ip: Ipv4Addr::UNSPECIFIED.into(),
        host_port: taken.local_addr().expect("address").port(),
        container_ip: c.address.into(),
        container_port: 80,
    };
    match world.gate.publish(&wanted) {
        Err(GateError::Refused(Refusal::InUse { holder: Some((pid, _)) })) => {
            assert_eq!(i32::try_from(pid), Ok(holder.as_raw_pid()));
        }
        other => panic!("{other:?}"),
    }
    let elsewhere = Publication { host_ip: LAN.into(), host_port: 8080, ..wanted.clone() };
    match world.gate.publish(&elsewhere) {
        Err(GateError::Refused(Refusal::NoSuchAddress)) => {}
        other => panic!("{other:?}"),
    }
    // The same thing twice is no error; two containers on one port are.
    let first = Publication { host_port: 8080, ..wanted };
    assert_eq!(world.gate.publish(&first).expect("publish"), 8080);
    assert_eq!(world.gate.publish(&first).expect("again"), 8080);
    let second = Publication { container: "d".into(), ..first };
    match world.gate.publish(&second) {
        Err(GateError::Refused(Refusal::InUse { holder: Some((pid, name)) })) => {
            assert_eq!(i32::try_from(pid), Ok(world.gate_pid()), "{name}");
        }
        other => panic!("{other:?}"),
    }
}

fn thousand(world: &mut World) {
    let c = world.container(2);
    let server = c.listen(80);
    let port = world.publish(Protocol::Tcp, 0, &c, 80);
    let mut open = Vec::new();
    for _ in 0..1000 {
        let client = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("connect");
        let (inside, _) = server.accept().expect("accept");
        open.push((client, inside));
    }
    for (client, inside) in &mut open {
        client.write_all(b"x").expect("write");
        inside.read_exact(&mut [0]).expect("read");
    }
    assert_eq!(world.gate.describe().expect("describe").flows, 1000);
    drop(open);
    eventually("all flows are over", || world.gate.describe().expect("describe").flows == 0);
}

fn again(world: &mut World) {
    let c = world.container(2);
    let server = c.listen(80);
    let port = world.publish(Protocol::Tcp, 0, &c, 80);
    let udp = c.udp(53);
    patient(&udp);
    let udp_port = world.publish(Protocol::Udp, 0, &c, 53);
    let client = UdpSocket::bind("127.0.0.1:0").expect("bind");
    client.send_to(b"x", (Ipv4Addr::LOCALHOST, udp_port)).expect("send");
    udp.recv(&mut [0; 8]).expect("receive");
    let mut open = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("connect");
    let (mut inside, _) = server.accept().expect("accept");

    world.gate.unpublish(&c.address.to_string()).expect("unpublish");
    let refused = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect_err("closed");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    // The open connection goes on, and does not keep the port from being opened again.
    open.write_all(b"x").expect("write");
    inside.read_exact(&mut [0]).expect("read");
    assert_eq!(world.publish(Protocol::Tcp, port, &c, 80), port);
    assert_eq!(world.publish(Protocol::Udp, udp_port, &c, 53), udp_port);
    talk(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("connect"), &server);
}

/// Containers reach published ports by the host's address and by their gateway.
pub fn hairpin(world: &mut World) {
    let (c, d) = (world.container(2), world.container(3));
    let server = c.listen(80);
    let port = world.publish(Protocol::Tcp, 0, &c, 80);
    for (from, to) in [(&d, HOST), (&c, HOST), (&d, GATEWAY), (&c, GATEWAY)] {
        let client = from.connect((to, port)).expect("connect");
        let shown = talk(client, &server);
        assert_eq!(shown.ip(), to, "{to}");
    }
    let udp = c.udp(53);
    patient(&udp);
    let port = world.publish(Protocol::Udp, 0, &c, 53);
    for (from, to) in [(&d, HOST), (&c, HOST), (&d, GATEWAY), (&c, GATEWAY)] {
        let client = from.udp(0);
        patient(&client);
        client.send_to(b"q", (to, port)).expect("send");
        let mut buffer = [0; 8];
        let (_, peer) = udp.recv_from(&mut buffer).expect("receive");
        udp.send_to(b"a", peer).expect("answer");
        let answer = client.recv_from(&mut buffer).expect("answer");
        assert_eq!(answer, (1, SocketAddr::from((to, port))));
    }
    // A bridge's neighbour needs no gate.
    let client = d.connect((c.address, 80)).expect("connect");
    assert_eq!(talk(client, &server).ip(), d.address);
}

fn restarts(world: &mut World) {
    let c = world.container(2);
    let server = c.listen(80);
    let port = world.publish(Protocol::Tcp, 0, &c, 80);
    let mut open = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("connect");
    let (mut inside, _) = server.accept().expect("accept");
    // Another engine takes over.
    world.gate = world.connect();
    let state = world.gate.describe().expect("describe");
    assert_eq!((state.networks.len(), state.publications.len(), state.flows), (1, 1, 1));
    open.write_all(b"x").expect("write");
    inside.read_exact(&mut [0]).expect("read");

    // The gate dies: both ends are told; a new one does its work at once, the container stays.
    let start = Instant::now();
    world.restart_gate();
    world.gate.add_network(&default_network()).expect("add the network");
    assert_eq!(world.publish(Protocol::Tcp, port, &c, 80), port);
    let took = start.elapsed();
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert!(matches!(open.read(&mut [0; 8]), Ok(0) | Err(_)));
    assert!(matches!(inside.read(&mut [0; 8]), Ok(0) | Err(_)));
    talk(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("connect"), &server);
    let lan = world.lan_listen((LAN, 0).into());
    c.connect(lan.local_addr().expect("address")).expect("outbound");
}
