//! The gate: joins sockets of the host's network namespace with sockets of the containers' network, so that the kernel
//! is the TCP stack on both sides.
//!
//! ```text
//!   host's network namespace            │  the bridges' network namespace (no link to the host)
//!                                       │
//!   connected sockets ◀── stream, ──────┼──▶ transparent sockets ◀── tproxy ── bridge ◀── veth ◀── container
//!                         datagram      │                                        │
//!   listening sockets ◀── port ─────────┼──▶ (bound to the client's address) ────┘
//!                                       │
//!   ICMP sockets      ◀── echo, dial ───┼──▶ tun0: first SYNs, ping, ICMP errors  (the slow path)
//! ```
//!
//! That is the data path `tproxy`. Where the kernel lacks nft_tproxy or nft_socket, `marks` does the same with more work:
//! the gate listens at each destination for as long as a SYN is held, and containers' UDP comes by the tun device.
//!
//! The inner sockets of published TCP ports are made in the containers' own network namespaces where the engine gives
//! them (`homes.rs`).
//!
//! One thread, one epoll loop (this file), a servant thread that lives inside (`servant.rs`), an usher that enters
//! the containers' namespaces, and the resolver's thread (`names`). `policy.rs` decides
//! what may be connected; `quota.rs` keeps containers from starving each other; `control.rs` talks to engines.
//!
//! On failure: what cannot be set up at the start is told to the engine as [`Reply::Failed`] and the process ends. After
//! that nothing a container or client does ends it. An engine that goes away changes nothing. If the gate dies, the
//! kernel closes its sockets: open connections end, and a new gate takes the namespace over.

mod batch;
mod control;
mod datagram;
mod dial;
mod echo;
mod endpoints;
mod homes;
mod mover;
mod names;
mod outward;
mod owner;
mod packet;
mod policy;
mod poll;
mod port;
mod privileges;
mod quota;
mod removal;
mod resolver;
mod servant;
mod setup;
mod shared;
mod slab;
mod stream;

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bryo_sys::channel::{Channel, Listener};
use rustix::process::{Resource, Rlimit};

use crate::error::{Context, Error};
use crate::firewall::Listeners;
use crate::messages::{GateConfig, Reply};
use control::Engines;
use datagram::Datagrams;
use dial::Dials;
use echo::Echoes;
use endpoints::Endpoints;
use homes::Homes;
use names::Names;
use packet::Packet;
use policy::Policy;
use poll::{Event, Kind, Poller, READ, Token};
use port::Ports;
use quota::Quota;
use removal::Removals;
use resolver::Resolvers;
use servant::{Pools, Servant};
use shared::Shared;
use stream::Streams;

pub use names::resolver_sockets;
pub use owner::of_port as port_holder;

/// How often things that are over by time are looked for, while there are any.
const SWEEP: Duration = Duration::from_secs(1);
/// The tun device's in a probe, as the engine's default has it.
const MTU: u32 = 65520;
/// The resolver's part of the descriptors, as a divisor.
const NAMES_PART: u64 = 8;

/// The gate's whole state.
struct Gate {
    shared: Shared,
    engines: Engines,
    removals: Removals,
    listeners: Listeners,
    /// Transparent listeners and wildcard sockets inside, by the number in their token.
    accepting: Vec<OwnedFd>,
    wildcards: Vec<OwnedFd>,
    streams: Streams,
    dials: Dials,
    ports: Ports,
    datagrams: Datagrams,
    echoes: Echoes,
    names: Names,
    packet: Vec<u8>,
    swept: Instant,
}

/// Runs the gate on the channel it was started with. Called in a process of its own: uid 0 of Bryo's user namespace,
/// the host's network namespace.
pub fn run_gate(channel: Channel, config: GateConfig) -> ! {
    match start(&config) {
        Ok(mut gate) => {
            if gate.open_control(channel).is_ok() {
                gate.run();
            }
            // Engines must not find a socket that nobody serves.
            let _ = std::fs::remove_file(&config.socket);
            std::process::exit(0)
        }
        Err(e) => {
            let message = format!("the container network cannot be set up: {e}");
            control::send(&channel, &Reply::Failed { message });
            std::process::exit(1)
        }
    }
}

/// Tries the set-up in the calling thread's network namespace, which must be new and the caller's own: routes, tun device,
/// transparent sockets, firewall. The text: why only the lesser data path is to be had.
///
/// # Errors
/// What the kernel lacks or refuses.
pub fn probe() -> Result<Option<String>, Error> {
    bryo_sys::loopback::up().context("bring the loopback device up")?;
    setup::set_up(MTU, false).map(|inside| inside.reason)
}

fn start(config: &GateConfig) -> Result<Gate, Error> {
    // Out of the terminal's process group: an interrupt there is the engine's affair. EPERM: it leads one already.
    let _ = rustix::process::setsid();
    // splice has no MSG_NOSIGNAL: a peer that is gone shall be an error and no signal.
    bryo_sys::signal::ignore(rustix::process::Signal::PIPE.as_raw()).context("ignore SIGPIPE")?;
    let descriptors = raise_descriptors();
    let servant = Servant::start("bryo-servant", Path::new(&config.netns))?;
    let removals = Removals::new(Servant::start("bryo-removal", Path::new(&config.netns))?);
    let homes = Homes::start(Path::new(&config.netns))?;
    let (mtu, lesser) = (config.mtu, config.lesser);
    let inside = servant.run(move || setup::set_up(mtu, lesser)).context("set up inside")??;
    let poll = Poller::new().context("make an epoll instance")?;
    let watch = |fd: &OwnedFd, kind, number| {
        poll.add(fd, Token::numbered(kind, number), READ).context("watch a socket")
    };
    watch(&inside.tun, Kind::Tun, 0)?;
    for (fd, number) in inside.streams.iter().zip(0..) {
        watch(fd, Kind::Listener, number)?;
    }
    for (fd, number) in inside.datagrams.iter().zip(0..) {
        watch(fd, Kind::Wildcard, number)?;
    }
    let shared = Shared {
        poll,
        pools: Pools::new(&servant),
        servant,
        homes,
        tun: inside.tun,
        policy: Policy::new(
            Resolvers::from_file(PathBuf::from(&config.resolv_conf)),
            Endpoints::new(inside.route),
        ),
        quota: Quota::new(descriptors - descriptors / NAMES_PART),
        now: Instant::now(),
    };
    let resolvers = Resolvers::from_file(PathBuf::from(&config.resolv_conf));
    let (usher, netns) = (shared.homes.usher().clone(), Path::new(&config.netns));
    let names = Names::start(resolvers, usher, netns, descriptors / NAMES_PART)?;
    drop_privileges(&shared, &removals)?;
    // A gate that was killed leaves its socket's file.
    let _ = std::fs::remove_file(&config.socket);
    let socket = Path::new(&config.socket);
    let listener =
        Listener::bind(socket).context(format!("listen for engines at {}", config.socket))?;
    Ok(Gate {
        engines: Engines::new(
            listener,
            if inside.listeners.tproxy { "tproxy" } else { "marks" },
            inside.reason,
        ),
        removals,
        listeners: inside.listeners,
        accepting: inside.streams,
        wildcards: inside.datagrams,
        streams: Streams::new(),
        dials: Dials::new(inside.listeners.tproxy),
        ports: Ports::new(),
        datagrams: Datagrams::new(inside.listeners.tproxy),
        echoes: Echoes::new(),
        names,
        packet: vec![0; 65536],
        swept: shared.now,
        shared,
    })
}

fn drop_privileges(shared: &Shared, removals: &Removals) -> Result<(), Error> {
    let what = "drop privileges";
    shared.servant.run(privileges::keep_net_admin).context(what)?.context(what)?;
    removals.servant().run(privileges::keep_net_admin).context(what)?.context(what)?;
    shared.homes.usher().run(privileges::keep_entering).context(what)?.context(what)?;
    privileges::drop_all().context(what)
}

/// Raises the limit of open descriptors to what the system allows and returns it.
fn raise_descriptors() -> u64 {
    let now = rustix::process::getrlimit(Resource::Nofile);
    let raised = Rlimit { current: now.maximum, maximum: now.maximum };
    let limit = match rustix::process::setrlimit(Resource::Nofile, raised) {
        Ok(()) => now.maximum,
        Err(_) => now.current,
    };
    limit.unwrap_or(1 << 20)
}

impl Gate {
    /// The loop; returns when an engine said `Quit`.
    fn run(&mut self) {
        let mut events = Vec::new();
        let mut more = false;
        loop {
            let timeout = match (more, self.has_timers()) {
                (true, _) => Some(Duration::ZERO),
                (false, true) => Some(SWEEP),
                (false, false) => None,
            };
            if self.shared.poll.wait(timeout, &mut events).is_err() {
                return;
            }
            self.shared.now = Instant::now();
            for event in &events {
                if !self.dispatch(event) {
                    return;
                }
            }
            more = self.streams.run_ready();
            if self.shared.now.duration_since(self.swept) >= SWEEP {
                self.sweep();
            }
        }
    }

    fn has_timers(&self) -> bool {
        !self.dials.is_empty()
            || self.datagrams.len() + self.echoes.len() > 0
            || self.ports.paused()
    }

    fn sweep(&mut self) {
        self.swept = self.shared.now;
        self.dials.sweep(&self.shared);
        self.datagrams.sweep(self.shared.now);
        self.echoes.sweep(self.shared.now);
        self.ports.sweep(&self.shared);
    }

    /// Handles one event; false when the gate shall end.
    fn dispatch(&mut self, event: &Event) -> bool {
        let (shared, key) = (&mut self.shared, event.token.key);
        let number = usize::try_from(key.index).unwrap_or(usize::MAX);
        match event.token.kind {
            Kind::FlowInner | Kind::FlowOuter => self.streams.handle(event),
            Kind::Dial => self.dials.handle(shared, event),
            Kind::Destination => self.dials.accept_at(shared, &mut self.streams, key),
            Kind::Port => self.ports.handle(shared, &mut self.streams, &mut self.datagrams, key),
            Kind::DatagramInner | Kind::DatagramOuter => self.datagrams.handle(shared, event),
            Kind::Echo => self.echoes.handle(shared, event),
            Kind::Tun => self.read_tun(),
            Kind::Listener => {
                if let Some(listener) = self.accepting.get(number) {
                    self.dials.accept(shared, &mut self.streams, listener);
                }
            }
            Kind::Wildcard => {
                if let Some(socket) = self.wildcards.get(number) {
                    self.datagrams.at_wildcard(shared, socket);
                }
            }
            Kind::EngineListener => self.accept_engine(),
            Kind::Engine => return self.handle_engine(key),
            // Of the resolver's own loop.
            Kind::NamesOrders
            | Kind::NamesUdp
            | Kind::NamesTcp
            | Kind::NamesStream
            | Kind::NamesUpstream => {}
        }
        true
    }

    /// Takes a packet from the tun device; if there are more, it is announced again.
    fn read_tun(&mut self) {
        let Ok(length) = rustix::io::read(&self.shared.tun, self.packet.as_mut_slice()) else {
            return;
        };
        let bytes = self.packet.get(..length).unwrap_or(&[]);
        let Some(packet) = Packet::parse(bytes) else { return };
        match packet.protocol {
            packet::TCP if packet.is_first_syn() => self.dials.syn(&mut self.shared, &packet),
            // A stray of a connection that is gone: its sender shall know.
            packet::TCP => {
                if let Some(reset) = packet::reset(&packet) {
                    self.shared.inject(&reset);
                }
            }
            packet::ICMP | packet::ICMPV6 if echo::is_request(&packet) => {
                self.echoes.request(&mut self.shared, &packet);
            }
            packet::UDP => self.datagrams.at_tun(&mut self.shared, &packet),
            packet::ICMP | packet::ICMPV6 => {}
            _ => {
                let why = packet::Unreachable::Protocol;
                self.shared.inject(&packet::unreachable(&packet, why));
            }
        }
    }
}
