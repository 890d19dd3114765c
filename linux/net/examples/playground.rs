//! A gate in the real host's network namespace with one container behind it, for benchmarks and for looking around.
//!
//! `playground PORT…` (with BRIDGE=1: over the bridge, not inside the container's namespace) publishes these TCP and UDP ports (same numbers inside), prints one line of JSON with the pids of the
//! gate and of a process in the container's namespaces, and ends when its standard input does. Enter the container with
//! `nsenter -t PID -U --preserve-credentials -n`.

#![expect(clippy::expect_used, reason = "a tool for developers: it may stop at the first problem")]

use std::net::Ipv4Addr;
use std::os::fd::AsFd;

use bryo_net::{Endpoint, GateClient, GateConfig, Network, Protocol, Publication};
use bryo_sys::channel::Channel;
use bryo_sys::fork;
use bryo_sys::ns::{self, Kind};
use rustix::process::{Pid, Signal};

const GATEWAY: Ipv4Addr = Ipv4Addr::new(172, 17, 0, 1);
const CONTAINER: Ipv4Addr = Ipv4Addr::new(172, 17, 0, 2);

fn main() {
    let mtu = std::env::var("MTU").ok().and_then(|m| m.parse().ok()).unwrap_or(65520);
    let dir = tempfile::tempdir().expect("a folder");
    enter_user_namespace();
    let bridges = in_new_netns();
    let container = in_new_netns();
    let config = GateConfig {
        netns: format!("/proc/{}/ns/net", bridges.as_raw_pid()),
        socket: dir.path().join("gate.sock").to_string_lossy().into_owned(),
        mtu,
        resolv_conf: bryo_net::messages::default_resolv_conf(),
        lesser: std::env::var_os("LESSER").is_some(),
    };
    let (ours, theirs) = Channel::pair().expect("channel");
    let netns = config.netns.clone();
    let gate_pid = child(|| bryo_net::run_gate(theirs, config));
    let gate = GateClient::new(ours).expect("the gate starts");
    gate.add_network(&Network {
        bridge: "docker0".into(),
        ipv4: Some((GATEWAY, 16)),
        ipv6: None,
        internal: false,
        icc: true,
        mtu,
        host_loopback: false,
    })
    .expect("add the network");
    let pid = u32::try_from(container.as_raw_pid()).expect("pid");
    let inside = ns::of_process(pid, Kind::Net).expect("container's namespace");
    let outside = ns::open(netns).expect("bridges' namespace");
    bryo_net::attach(outside.as_fd(), inside.as_fd(), &endpoint(mtu)).expect("attach");
    publish(&gate);
    if std::env::var_os("BRIDGE").is_none() {
        gate.enter("playground", inside.as_fd()).expect("give the container's namespace");
    }
    println!("{{\"gate\": {}, \"container\": {pid}}}", gate_pid.as_raw_pid());
    let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
}

fn endpoint(mtu: u32) -> Endpoint {
    Endpoint {
        bridge: "docker0".into(),
        interface: "eth0".into(),
        host_interface: "veth0".into(),
        mac: [2, 0x42, 172, 17, 0, 2],
        ipv4: Some((CONTAINER, 16)),
        ipv6: None,
        gateway4: Some(GATEWAY),
        gateway6: None,
        mtu,
        isolated: false,
    }
}

fn publish(gate: &GateClient) {
    for port in std::env::args().skip(1).filter_map(|a| a.parse().ok()) {
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            let publication = Publication {
                container: "playground".into(),
                protocol,
                host_ip: Ipv4Addr::UNSPECIFIED.into(),
                host_port: port,
                container_ip: CONTAINER.into(),
                container_port: port,
            };
            gate.publish(&publication).expect("publish");
        }
    }
}

/// Forks a process that ends with this one.
fn child(work: impl FnOnce() -> i32) -> Pid {
    fork::spawn(|| {
        let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
        work()
    })
    .expect("fork")
}

fn in_new_netns() -> Pid {
    let (made, tell) = rustix::pipe::pipe().expect("pipe");
    let pid = child(move || {
        ns::unshare(&[Kind::Net]).expect("a network namespace");
        rustix::io::write(&tell, b"x").expect("tell");
        loop {
            std::thread::park();
        }
    });
    rustix::io::read(&made, &mut [0u8; 1]).expect("wait");
    pid
}

fn enter_user_namespace() {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    ns::unshare(&[Kind::User]).expect("a user namespace");
    std::fs::write("/proc/self/setgroups", "deny").expect("setgroups");
    std::fs::write("/proc/self/uid_map", format!("0 {uid} 1")).expect("uid_map");
    std::fs::write("/proc/self/gid_map", format!("0 {gid} 1")).expect("gid_map");
}
