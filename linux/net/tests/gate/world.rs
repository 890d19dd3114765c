//! A world for one test: a "host" with a LAN neighbour, the bridges' network, a gate, and containers – all of it network
//! namespaces made here, by an unprivileged user.
//!
//! ```text
//! user namespace 0: host's netns (10.9.0.1, fd09::1) ── veth ── LAN's netns (10.9.0.2, fd09::2)
//!   user namespace 1 (Bryo's): bridges' netns, containers' netns; gate and test live in the host's netns
//! ```
//!
//! As in real life the gate has no privilege over the host's network namespace. The LAN is a process that makes sockets
//! on request and hands them over.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;

use bryo_net::{Endpoint, GateClient, GateConfig, Network, Protocol, Publication};
use bryo_sys::channel::Channel;
use bryo_sys::fork;
use bryo_sys::netlink::{ACK, Batch, CREATE, EXCL, Family, Socket};
use bryo_sys::ns::{self, Kind};
use rustix::process::{Pid, Signal};

pub const HOST: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
pub const LAN: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);
pub const HOST6: Ipv6Addr = Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 0, 0, 1);
pub const LAN6: Ipv6Addr = Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 0, 0, 2);
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(172, 17, 0, 1);
pub const GATEWAY6: Ipv6Addr = Ipv6Addr::new(0xfd17, 0, 0, 0, 0, 0, 0, 1);

/// What a test says when user namespaces are forbidden.
pub const SKIPPED: i32 = 77;

pub struct World {
    pub gate: GateClient,
    gate_pid: Pid,
    bridges_pid: Pid,
    lan_pid: Pid,
    lan: Channel,
    config: GateConfig,
    pub dir: PathBuf,
}

impl World {
    /// Makes the world; the calling process must have one thread. `None`: forbidden here.
    pub fn new() -> Option<World> {
        let dir = tempfile::tempdir().expect("a folder").keep();
        enter_user_namespace(&[Kind::Net])?;
        std::fs::write("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0").expect("sysctl");
        link_up("lo");
        let (lan, lan_end) = Channel::pair().expect("channel");
        let lan_pid = child(move || serve_lan(&lan_end));
        lan.recv().expect("the LAN is ready");
        join_lan(lan_pid);

        enter_user_namespace(&[])?;
        let (made, tell) = rustix::pipe::pipe().expect("pipe");
        let bridges_pid = child(move || {
            ns::unshare(&[Kind::Net]).expect("bridges' namespace");
            rustix::io::write(&tell, b"x").expect("tell");
            sleep_for_ever()
        });
        rustix::io::read(&made, &mut [0u8; 1]).expect("wait");
        let netns = format!("/proc/{}/ns/net", bridges_pid.as_raw_pid());
        let resolv_conf = dir.join("resolv.conf");
        std::fs::write(&resolv_conf, "nameserver 127.0.0.53\n").expect("resolv.conf");
        let config = GateConfig {
            netns,
            socket: dir.join("gate.sock").to_string_lossy().into_owned(),
            mtu: 65520,
            resolv_conf: resolv_conf.to_string_lossy().into_owned(),
            lesser: false,
        };
        let (gate, gate_pid) = start_gate(&config);
        let world = World { gate, gate_pid, bridges_pid, lan_pid, lan, config, dir };
        world.gate.add_network(&default_network()).expect("add the default network");
        Some(world)
    }

    /// Kills the gate and starts another one in its place; networks and ports are not told to it.
    pub fn restart_gate(&mut self) {
        kill(self.gate_pid);
        let (gate, pid) = start_gate(&self.config);
        self.gate = gate;
        self.gate_pid = pid;
    }

    /// Starts another gate in its place, which may open so many descriptors.
    pub fn restart_gate_with_descriptors(&mut self, limit: u64) {
        kill(self.gate_pid);
        let (gate, pid) = start_gate_with(&self.config, Some(limit));
        self.gate = gate;
        self.gate_pid = pid;
        self.gate.add_network(&default_network()).expect("add the default network");
    }

    /// Starts another gate on the lesser data path in its place.
    pub fn use_lesser_path(&mut self) {
        self.config.lesser = true;
        self.restart_gate();
        assert_eq!(self.gate.ready().path, "marks");
        self.gate.add_network(&default_network()).expect("add the default network");
    }

    pub fn gate_pid(&self) -> i32 {
        self.gate_pid.as_raw_pid()
    }

    /// Connects a second engine.
    pub fn connect(&self) -> GateClient {
        GateClient::connect(self.config.socket.as_ref()).expect("connect to the gate")
    }

    pub fn netns(&self) -> &str {
        &self.config.netns
    }

    /// A container on docker0 with address 172.17.0.`last`.
    pub fn container(&self, last: u8) -> Container {
        let endpoint = Endpoint {
            bridge: "docker0".into(),
            interface: "eth0".into(),
            host_interface: format!("veth{last}"),
            mac: [2, 0x42, 172, 17, 0, last],
            ipv4: Some((Ipv4Addr::new(172, 17, 0, last), 16)),
            ipv6: Some((Ipv6Addr::new(0xfd17, 0, 0, 0, 0, 0, 0, u16::from(last)), 64)),
            gateway4: Some(GATEWAY),
            gateway6: Some(GATEWAY6),
            mtu: 65520,
            isolated: false,
        };
        self.attach(&endpoint)
    }

    /// A container with one interface.
    pub fn attach(&self, endpoint: &Endpoint) -> Container {
        let netns = std::thread::spawn(|| {
            ns::unshare(&[Kind::Net]).expect("container's namespace");
            ns::current(Kind::Net).expect("its file")
        })
        .join()
        .expect("thread");
        let bridges = ns::open(self.netns()).expect("bridges' namespace");
        bryo_net::attach(bridges.as_fd(), netns.as_fd(), endpoint).expect("attach");
        Container { netns, address: endpoint.ipv4.map_or(GATEWAY, |(address, _)| address) }
    }

    /// Publishes a port of a container on all addresses.
    pub fn publish(&self, protocol: Protocol, host_port: u16, c: &Container, port: u16) -> u16 {
        let publication = Publication {
            container: c.address.to_string(),
            protocol,
            host_ip: Ipv4Addr::UNSPECIFIED.into(),
            host_port,
            container_ip: c.address.into(),
            container_port: port,
        };
        let port = self.gate.publish(&publication).expect("publish");
        self.gate.enter(&publication.container, c.netns.as_fd()).expect("give its namespace");
        port
    }

    /// A process of this user that inherits all descriptors and has no capabilities; it ends with the test.
    pub fn plain_process(&self) -> Pid {
        use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};
        let (ready, tell) = rustix::pipe::pipe().expect("pipe");
        let pid = child(move || {
            let none = CapabilitySet::empty();
            let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
            set_capabilities(None, sets).expect("drop capabilities");
            rustix::io::write(&tell, b"x").expect("tell");
            sleep_for_ever()
        });
        rustix::io::read(&ready, &mut [0u8; 1]).expect("wait");
        pid
    }

    fn ask_lan(&self, request: &str) -> OwnedFd {
        self.lan.send(request.as_bytes(), &[]).expect("ask the LAN");
        self.lan.recv().expect("the LAN's answer").fds.remove(0)
    }

    /// A TCP connection made from the LAN.
    pub fn lan_connect(&self, to: SocketAddr) -> TcpStream {
        self.ask_lan(&format!("connect {to}")).into()
    }

    /// A TCP listener on the LAN.
    pub fn lan_listen(&self, at: SocketAddr) -> TcpListener {
        self.ask_lan(&format!("listen {at}")).into()
    }

    /// A UDP socket on the LAN.
    pub fn lan_udp(&self, at: SocketAddr) -> UdpSocket {
        self.ask_lan(&format!("udp {at}")).into()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for pid in [self.gate_pid, self.bridges_pid, self.lan_pid] {
            kill(pid);
        }
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

pub fn default_network() -> Network {
    Network {
        bridge: "docker0".into(),
        ipv4: Some((GATEWAY, 16)),
        ipv6: Some((GATEWAY6, 64)),
        internal: false,
        icc: true,
        mtu: 65520,
        host_loopback: false,
    }
}

/// A container: a network namespace.
pub struct Container {
    pub netns: OwnedFd,
    pub address: Ipv4Addr,
}

impl Container {
    /// Runs something inside, on a thread of its own.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            scope
                .spawn(|| {
                    ns::join(&self.netns, Kind::Net).expect("enter the container");
                    work()
                })
                .join()
                .expect("work inside the container")
        })
    }

    pub fn listen(&self, port: u16) -> TcpListener {
        self.run(|| TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).expect("listen inside"))
    }

    pub fn udp(&self, port: u16) -> UdpSocket {
        self.run(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).expect("bind inside"))
    }

    pub fn connect(&self, to: impl Into<SocketAddr>) -> io::Result<TcpStream> {
        let to = to.into();
        self.run(|| TcpStream::connect_timeout(&to, std::time::Duration::from_secs(5)))
    }
}

fn start_gate(config: &GateConfig) -> (GateClient, Pid) {
    start_gate_with(config, None)
}

fn start_gate_with(config: &GateConfig, descriptors: Option<u64>) -> (GateClient, Pid) {
    let (ours, theirs) = Channel::pair().expect("channel");
    let config = config.clone();
    let pid = child(move || {
        if descriptors.is_some() {
            let limit = rustix::process::Rlimit { current: descriptors, maximum: descriptors };
            rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).expect("limit");
        }
        bryo_net::run_gate(theirs, config)
    });
    (GateClient::new(ours).unwrap_or_else(|e| panic!("the gate does not start: {e}")), pid)
}

/// Forks a process that ends with the test.
fn child(work: impl FnOnce() -> i32) -> Pid {
    fork::spawn(|| {
        let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
        work()
    })
    .expect("fork")
}

fn kill(pid: Pid) {
    let _ = rustix::process::kill_process(pid, Signal::KILL);
    let _ = fork::wait(pid);
}

fn sleep_for_ever() -> i32 {
    loop {
        std::thread::sleep(std::time::Duration::from_secs(3600));
    }
}

/// Enters a new user namespace as its uid 0, with further new namespaces.
fn enter_user_namespace(others: &[Kind]) -> Option<()> {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    // A thread that was joined may still count for a moment.
    while bryo_sys::process::thread_count().ok()? > 1 {
        std::thread::yield_now();
    }
    ns::unshare(&[Kind::User]).ok()?;
    std::fs::write("/proc/self/setgroups", "deny").ok()?;
    std::fs::write("/proc/self/uid_map", format!("0 {uid} 1")).ok()?;
    std::fs::write("/proc/self/gid_map", format!("0 {gid} 1")).ok()?;
    ns::unshare(others).ok()
}

/// The LAN's process: makes sockets and hands them over.
fn serve_lan(channel: &Channel) -> i32 {
    ns::unshare(&[Kind::Net]).expect("LAN's namespace");
    link_up("lo");
    channel.send(b"ready", &[]).expect("ready");
    while let Ok(message) = channel.recv() {
        let text = String::from_utf8(message.data).expect("text");
        let (what, address) = text.split_once(' ').expect("two words");
        let address: SocketAddr = address.parse().expect("an address");
        let fd: OwnedFd = match what {
            "connect" => TcpStream::connect(address).expect("connect").into(),
            "listen" => TcpListener::bind(address).expect("listen").into(),
            "udp" => UdpSocket::bind(address).expect("udp").into(),
            _ => return 1,
        };
        channel.send(b"x", &[fd.as_fd()]).expect("answer");
    }
    0
}

/// Joins the host's and the LAN's namespaces by a veth pair.
fn join_lan(lan: Pid) {
    let pid = u32::try_from(lan.as_raw_pid()).expect("a pid");
    let netns = ns::of_process(pid, Kind::Net).expect("LAN's namespace");
    let socket = Socket::open(Family::Route).expect("netlink");
    let mut batch = Batch::new();
    batch.message("veth", 16, ACK | CREATE | EXCL, |m| {
        m.raw(&[0; 16]).str(3, "host0").nest(18, |info| {
            info.str(1, "veth").nest(2, |data| {
                data.nest(1, |peer| {
                    let fd = u32::try_from(netns.as_raw_fd()).expect("fd");
                    peer.raw(&[0; 16]).str(3, "lan0").u32(28, fd);
                });
            });
        });
    });
    socket.submit(batch).expect("veth");
    give_addresses("host0", HOST, HOST6);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            ns::join(&netns, Kind::Net).expect("enter the LAN");
            give_addresses("lan0", LAN, LAN6);
            settle("lan0");
        });
    });
    settle("host0");
}

/// Asking for a link makes the kernel notice at once that it has its carrier.
fn settle(name: &str) {
    let socket = Socket::open(Family::Route).expect("netlink");
    let index = socket.interface(name).expect("index");
    let mut batch = Batch::new();
    batch.message("look", 18, ACK, |m| {
        let mut header = [0u8; 16];
        header[4..8].copy_from_slice(&index.to_ne_bytes());
        m.raw(&header);
    });
    socket.dump(batch, |_| {}).expect("look");
}

fn link_up(name: &str) {
    let socket = Socket::open(Family::Route).expect("netlink");
    let index = socket.interface(name).expect("index");
    let mut batch = Batch::new();
    batch.message("up", 16, ACK, |m| {
        let mut header = [0u8; 16];
        header[4..8].copy_from_slice(&index.to_ne_bytes());
        header[8] = 1;
        header[12] = 1;
        m.raw(&header);
    });
    socket.submit(batch).expect("up");
}

fn give_addresses(name: &str, v4: Ipv4Addr, v6: Ipv6Addr) {
    link_up(name);
    let socket = Socket::open(Family::Route).expect("netlink");
    let index = socket.interface(name).expect("index");
    for (address, prefix) in [(IpAddr::V4(v4), 24u8), (IpAddr::V6(v6), 64)] {
        let bytes = match address {
            IpAddr::V4(a) => a.octets().to_vec(),
            IpAddr::V6(a) => a.octets().to_vec(),
        };
        let family = if address.is_ipv6() { 10 } else { 2 };
        let [a, b, c, d] = index.to_ne_bytes();
        let mut batch = Batch::new();
        batch.message("address", 20, ACK | CREATE, |m| {
            m.raw(&[family, prefix, 2, 0, a, b, c, d]).attr(2, &bytes).attr(1, &bytes);
        });
        socket.submit(batch).expect("address");
    }
}
