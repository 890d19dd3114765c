//! Flows that containers begin.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use crate::Case;
use crate::world::{HOST, LAN, LAN6, World};

pub const CASES: &[Case] = &[
    ("outbound_tcp_reaches_the_lan_and_keeps_half_close", half_close),
    ("outbound_tcp_errors_are_the_truth", errors),
    ("outbound_resets_cross_over", resets),
    ("outbound_udp_answers_and_errors", udp),
    ("outbound_udp_large_and_many", udp_many),
    ("outbound_ipv6", ipv6),
    ("outbound_thousand_connections", thousand),
    ("outbound_same_port_again", same_port),
    ("outbound_slow_reader", slow_reader),
];

/// Reads everything, answers with `answer`, closes.
fn count_and_answer(mut stream: TcpStream, answer: &[u8]) -> usize {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).expect("read");
    stream.write_all(answer).expect("answer");
    all.len()
}

pub fn half_close(world: &mut World) {
    let c = world.container(2);
    let server = world.lan_listen((LAN, 0).into());
    let to = server.local_addr().expect("address");
    for size in [5_000_000usize, 300] {
        std::thread::scope(|scope| {
            let counted = scope.spawn(|| {
                let (stream, peer) = server.accept().expect("accept");
                assert_eq!(peer.ip(), HOST);
                count_and_answer(stream, &vec![7; size])
            });
            let mut stream = c.connect(to).expect("connect");
            stream.write_all(&vec![1; size]).expect("write");
            stream.shutdown(Shutdown::Write).expect("half close");
            let mut back = Vec::new();
            stream.read_to_end(&mut back).expect("read back");
            assert_eq!(back.len(), size);
            assert_eq!(counted.join().expect("server"), size);
        });
    }
}

pub fn errors(world: &mut World) {
    let c = world.container(2);
    let kind = |to: (Ipv4Addr, u16)| c.connect(to).expect_err("must fail").kind();
    let start = Instant::now();
    assert_eq!(kind((LAN, 9)), ErrorKind::ConnectionRefused);
    assert_eq!(kind((HOST, 9)), ErrorKind::ConnectionRefused);
    assert!(start.elapsed() < Duration::from_millis(500));
    // The host of this world has no default route.
    assert_eq!(kind((Ipv4Addr::new(198, 51, 100, 7), 80)), ErrorKind::NetworkUnreachable);
    // Nobody has this address: the host finds out after three seconds.
    assert_eq!(kind((Ipv4Addr::new(10, 9, 0, 77), 80)), ErrorKind::HostUnreachable);
}

fn resets(world: &mut World) {
    let c = world.container(2);
    let server = world.lan_listen((LAN, 0).into());
    let to = server.local_addr().expect("address");
    let mut inner = c.connect(to).expect("connect");
    let (outer, _) = server.accept().expect("accept");
    reset(outer);
    assert_eq!(inner.read(&mut [0; 8]).expect_err("reset").kind(), ErrorKind::ConnectionReset);

    let inner = c.connect(to).expect("connect");
    let (mut outer, _) = server.accept().expect("accept");
    reset(inner);
    assert_eq!(outer.read(&mut [0; 8]).expect_err("reset").kind(), ErrorKind::ConnectionReset);
}

pub fn reset(stream: TcpStream) {
    rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).expect("linger");
}

pub fn udp(world: &mut World) {
    let c = world.container(2);
    let server = world.lan_udp((LAN, 0).into());
    let to = server.local_addr().expect("address");
    let client = c.udp(0);
    patient(&client);
    let mut buffer = [0; 100];
    for round in 0..3u8 {
        client.send_to(&[round; 10], to).expect("send");
        let (length, from) = server.recv_from(&mut buffer).expect("receive");
        assert_eq!((length, from.ip()), (10, HOST.into()));
        server.send_to(&buffer[..length], from).expect("answer");
        let (length, from) = client.recv_from(&mut buffer).expect("the answer");
        assert_eq!((length, from, buffer[0]), (10, to, round));
    }
    let refused = c.udp(0);
    patient(&refused);
    refused.connect((LAN, 9)).expect("connect");
    refused.send(b"x").expect("send");
    assert_eq!(
        refused.recv(&mut buffer).expect_err("refused").kind(),
        ErrorKind::ConnectionRefused
    );
}

pub fn patient(socket: &UdpSocket) {
    socket.set_read_timeout(Some(Duration::from_secs(5))).expect("timeout");
}

/// Big datagrams are cut up on the way and arrive whole; bursts arrive complete; each socket has its own answers.
pub fn udp_many(world: &mut World) {
    let c = world.container(2);
    let server = world.lan_udp((LAN, 0).into());
    patient(&server);
    let to = server.local_addr().expect("address");
    let mut buffer = vec![0; 65536];
    let client = c.udp(0);
    for size in [60_000usize, 1, 0, 1472, 9000] {
        client.send_to(&vec![3; size], to).expect("send");
        assert_eq!(server.recv(&mut buffer).expect("receive"), size);
    }
    for _ in 0..10 {
        for n in 0..20u8 {
            client.send_to(&vec![n; 1200], to).expect("send");
        }
        for n in 0..20u8 {
            let length = server.recv(&mut buffer).expect("receive");
            assert_eq!((length, buffer[0]), (1200, n));
        }
    }
    let sockets: Vec<UdpSocket> = (0..200).map(|_| c.udp(0)).collect();
    for (socket, n) in sockets.iter().zip(0u8..) {
        patient(socket);
        socket.send_to(&[n], to).expect("send");
        let (length, from) = server.recv_from(&mut buffer).expect("receive");
        server.send_to(&buffer[..length], from).expect("answer");
    }
    for (socket, n) in sockets.iter().zip(0u8..) {
        socket.recv(&mut buffer).expect("answer");
        assert_eq!(buffer[0], n);
    }
}

pub fn ipv6(world: &mut World) {
    let c = world.container(2);
    let server = world.lan_listen((LAN6, 0).into());
    let to = server.local_addr().expect("address");
    let mut inner = c.connect(to).expect("connect");
    let (mut outer, _) = server.accept().expect("accept");
    inner.write_all(b"six").expect("write");
    let mut buffer = [0; 3];
    outer.read_exact(&mut buffer).expect("read");
    assert_eq!(&buffer, b"six");
    let refused = c.connect((LAN6, 9)).expect_err("closed");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);

    let server = world.lan_udp((LAN6, 0).into());
    let to = server.local_addr().expect("address");
    let client = c.run(|| UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).expect("bind"));
    patient(&client);
    client.send_to(b"q", to).expect("send");
    let (_, from) = server.recv_from(&mut buffer).expect("receive");
    server.send_to(b"a", from).expect("answer");
    assert_eq!(client.recv_from(&mut buffer).expect("answer"), (1, to));
}

pub fn thousand(world: &mut World) {
    let c = world.container(2);
    let server = world.lan_listen((LAN, 0).into());
    let to = server.local_addr().expect("address");
    let (mut inner, mut outer): (Vec<TcpStream>, Vec<TcpStream>) = (Vec::new(), Vec::new());
    for _ in 0..1000 {
        inner.push(c.connect(to).expect("connect"));
        outer.push(server.accept().expect("accept").0);
    }
    for (number, (inner, outer)) in inner.iter_mut().zip(&mut outer).enumerate() {
        let message = format!("{number:8}");
        inner.write_all(message.as_bytes()).expect("write");
        let mut buffer = [0; 8];
        outer.read_exact(&mut buffer).expect("read");
        assert_eq!(buffer, message.as_bytes());
    }
    assert_eq!(world.gate.describe().expect("describe").flows, 1000);
    drop((inner, outer));
    eventually("all flows are over", || world.gate.describe().expect("describe").flows == 0);
}

pub fn eventually(what: &str, check: impl Fn() -> bool) {
    let start = Instant::now();
    while !check() {
        assert!(start.elapsed() < Duration::from_secs(10), "not so: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A port that is used again at once, while its old connection is in TIME_WAIT.
pub fn same_port(world: &mut World) {
    let c = world.container(2);
    let server = world.lan_listen((LAN, 0).into());
    let to = server.local_addr().expect("address");
    for _ in 0..5 {
        let start = Instant::now();
        let stream = c.run(|| connect_from(40_000, to));
        let (peer, _) = server.accept().expect("accept");
        // The far side closes first: its end inside is the one that waits.
        drop(peer);
        let mut rest = Vec::new();
        (&stream).read_to_end(&mut rest).expect("end");
        drop(stream);
        assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    }
}

fn connect_from(port: u16, to: SocketAddr) -> TcpStream {
    use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
    let fd = socket(AddressFamily::INET, SocketType::STREAM, None).expect("socket");
    rustix::net::sockopt::set_socket_reuseaddr(&fd, true).expect("reuse");
    bind(&fd, &SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))).expect("bind");
    connect(&fd, &to).expect("connect");
    fd.into()
}

/// A reader that stands still stops the writer, and loses nothing.
fn slow_reader(world: &mut World) {
    let c = world.container(2);
    let server = world.lan_listen((LAN, 0).into());
    let mut inner = c.connect(server.local_addr().expect("address")).expect("connect");
    let (mut outer, _) = server.accept().expect("accept");
    inner.set_nonblocking(true).expect("non-blocking");
    let chunk = vec![5u8; 1 << 20];
    let mut sent = 0;
    let mut quiet = 0;
    while quiet < 20 {
        match inner.write(&chunk) {
            Ok(n) => (sent, quiet) = (sent + n, 0),
            Err(_) => {
                quiet += 1;
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
    assert!(sent < 64 << 20, "the writer was never stopped: {sent}");
    drop(inner);
    let mut got = 0;
    let mut buffer = vec![0; 1 << 20];
    loop {
        match outer.read(&mut buffer).expect("read") {
            0 => break,
            n => got += n,
        }
    }
    assert_eq!(got, sent);
}
