//! Interfaces on a bridge, at the start and later.

use std::net::Ipv4Addr;

use bryo_monitor::messages::*;
use bryo_net::Endpoint;

use crate::harness::{Container, read_frames};

/// The bridge is in the monitor's own network namespace here.
const BRIDGES: &str = "/proc/self/ns/net";

fn endpoint(number: u8) -> Endpoint {
    Endpoint {
        bridge: "br0".into(),
        interface: format!("eth{number}"),
        host_interface: format!("veth{number}"),
        mac: [2, 0x42, 10, 9, 0, 2 + number],
        ipv4: Some((Ipv4Addr::new(10, 9, number, 2), 24)),
        ipv6: None,
        gateway4: None,
        gateway6: None,
        mtu: 1500,
        isolated: false,
    }
}

fn addresses(c: &mut Container, id: &str) -> String {
    let (reply, mut client) = c.exec(id, &["ip", "-o", "-4", "addr"], false, false);
    assert!(matches!(reply, Reply::Started { .. }), "{reply:?}");
    String::from_utf8(read_frames(&mut client).0).unwrap()
}

#[test]
fn interfaces_come_and_go() {
    if !std::path::Path::new("/usr/sbin/ip").exists() && !std::path::Path::new("/sbin/ip").exists()
    {
        return println!("SKIPPED: iproute2 is not installed");
    }
    let mut c = Container::with(&["sleep", "60"], |config, _| {
        let endpoints = vec![endpoint(0)];
        config.network = NetworkSetup::Bridge { bridges: BRIDGES.into(), endpoints };
    });
    c.start();
    let before = addresses(&mut c, "a");
    assert!(before.contains("eth0") && before.contains("10.9.0.2/24"), "{before}");
    assert!(before.contains("127.0.0.1/8"), "{before}");
    let second = endpoint(1);
    c.ok(RequestBody::ConnectNetwork { bridges: BRIDGES.into(), endpoint: second });
    assert!(addresses(&mut c, "b").contains("10.9.1.2/24"));
    c.ok(RequestBody::DisconnectNetwork { interface: "eth0".into() });
    let after = addresses(&mut c, "c");
    assert!(!after.contains("eth0") && after.contains("eth1"), "{after}");
}

#[test]
fn a_bridge_that_is_not_there_fails_the_start() {
    let mut c = Container::with(&["true"], |config, _| {
        let endpoints = vec![Endpoint { bridge: "nosuch".into(), ..endpoint(0) }];
        config.network = NetworkSetup::Bridge { bridges: BRIDGES.into(), endpoints };
    });
    match c.ask(RequestBody::Start, &[]) {
        Reply::Failed(f) => assert!(f.message.contains("network"), "{f:?}"),
        other => panic!("{other:?}"),
    }
    c.monitor_ends();
}
