//! The resolver thread's loop: orders, questions by UDP, new TCP connections.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use bryo_sys::channel::Channel;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketFlags};

use super::stream::{STREAMS, Stream};
use super::table::Table;
use super::upstream::{Asker, Queries};
use super::wire::{self, Act, Transport};
use super::{Order, listen};
use crate::error::Context;
use crate::gate::control;
use crate::gate::poll::{Event, Kind, Poller, READ, Token};
use crate::gate::resolver::Resolvers;
use crate::gate::servant::Servant;
use crate::gate::slab::{Key, Slab};
use crate::messages::{Names, Reply};

/// Questions taken from one socket before others get their turn.
const TURN: usize = 32;
/// How often what is late is looked for, while anything is under way.
const TICK: Duration = Duration::from_millis(100);

/// What the thread uses of the gate.
pub struct Surroundings {
    /// Enters containers' network namespaces.
    pub usher: Servant,
    /// Where the usher comes back to.
    pub bridges: Arc<OwnedFd>,
    /// The most descriptors for what is under way, of all containers.
    pub descriptors: u64,
}

/// A container that is served.
pub struct Home {
    /// Its network namespace, for its own servers.
    pub netns: Option<Arc<OwnedFd>>,
    /// Questions that are passed on, and connections.
    pub under_way: usize,
    pub streams: usize,
    udp: Option<Key>,
    tcp: Option<Key>,
}

/// A container's socket.
struct Socket {
    container: Rc<str>,
    fd: Rc<OwnedFd>,
}

/// The thread's state.
pub struct Server {
    inbox: Receiver<Order>,
    wake: Arc<OwnedFd>,
    pub(super) poll: Poller,
    pub(super) table: Table,
    engines: HashMap<String, Key>,
    pub(super) homes: HashMap<Rc<str>, Home>,
    sockets: Slab<Socket>,
    pub(super) streams: Slab<Stream>,
    pub(super) queries: Queries,
    pub(super) around: Surroundings,
    pub(super) turn: usize,
    pub(super) now: Instant,
}

impl Server {
    pub fn new(
        inbox: Receiver<Order>,
        wake: Arc<OwnedFd>,
        resolvers: Resolvers,
        around: Surroundings,
    ) -> io::Result<Server> {
        let poll = Poller::new()?;
        poll.add(&wake, Token::numbered(Kind::NamesOrders, 0), READ)?;
        Ok(Server {
            inbox,
            wake,
            poll,
            table: Table::default(),
            engines: HashMap::new(),
            homes: HashMap::new(),
            sockets: Slab::new(),
            streams: Slab::new(),
            queries: Queries::new(resolvers),
            around,
            turn: 0,
            now: Instant::now(),
        })
    }

    /// The loop; returns when epoll fails, which it does not.
    pub fn run(&mut self) {
        let mut events = Vec::new();
        loop {
            let busy = self.queries.len() + self.streams.len() > 0;
            if self.poll.wait(busy.then_some(TICK), &mut events).is_err() {
                return;
            }
            self.now = Instant::now();
            for event in &events {
                self.dispatch(event);
            }
            if busy {
                self.sweep_queries();
                self.sweep_streams();
            }
        }
    }

    fn dispatch(&mut self, event: &Event) {
        let key = event.token.key;
        match event.token.kind {
            Kind::NamesOrders => self.take_orders(),
            Kind::NamesUdp => self.read_questions(key),
            Kind::NamesTcp => self.accept(key, event),
            Kind::NamesStream => self.handle_stream(key, event),
            Kind::NamesUpstream => self.handle_upstream(key, event),
            // Of the gate's own loop.
            _ => {}
        }
    }

    fn take_orders(&mut self) {
        let mut count = [0; 8];
        let _ = rustix::io::read(&self.wake, &mut count);
        while let Ok(order) = self.inbox.try_recv() {
            match order {
                Order::Name { engine, known, fds, reply } => self.name(engine, known, fds, &reply),
                Order::Unname { container } => self.forget(&container),
                Order::Settle { engine } => {
                    let stale = self.engines.iter().filter(|(_, by)| **by != engine);
                    for container in stale.map(|(c, _)| c.clone()).collect::<Vec<_>>() {
                        self.forget(&container);
                    }
                }
            }
        }
    }

    fn name(&mut self, engine: Key, known: Names, fds: Vec<OwnedFd>, reply: &Channel) {
        let (container, served) = (known.container.clone(), known.served);
        self.engines.insert(container.clone(), engine);
        self.table.set(known);
        let opened = match (served, self.homes.contains_key(container.as_str())) {
            (true, false) if !fds.is_empty() => self.open(&container, fds),
            (false, true) => {
                self.close(&container);
                Ok(())
            }
            _ => Ok(()),
        };
        let answer = match opened {
            Ok(()) => Reply::Ok,
            Err(e) => Reply::Failed { message: e.to_string() },
        };
        control::send(reply, &answer);
    }

    /// Serves a container: its network namespace, and the sockets if they were made already.
    fn open(&mut self, container: &str, fds: Vec<OwnedFd>) -> Result<(), crate::Error> {
        let mut fds = fds.into_iter();
        let netns = fds.next().map(Arc::new);
        let made = match (fds.next(), fds.next(), &netns) {
            (Some(udp), Some(tcp), _) => [udp, tcp],
            (_, _, Some(netns)) => {
                let Surroundings { usher, bridges, .. } = &self.around;
                super::inside(usher, bridges, netns, listen::make).context(
                    "open the container's resolver at 127.0.0.11:53 (does one of its programs listen there?)",
                )?
            }
            _ => return Ok(()),
        };
        let name: Rc<str> = Rc::from(container);
        let [udp, tcp] = made
            .map(|fd| self.sockets.insert(Socket { container: Rc::clone(&name), fd: Rc::new(fd) }));
        for (key, kind) in [(udp, Kind::NamesUdp), (tcp, Kind::NamesTcp)] {
            if let Some(socket) = self.sockets.get(key) {
                let watched = self.poll.add(socket.fd.as_ref(), Token::new(kind, key), READ);
                watched.context("watch a resolver's socket")?;
            }
        }
        let (udp, tcp) = (Some(udp), Some(tcp));
        self.homes.insert(name, Home { netns, under_way: 0, streams: 0, udp, tcp });
        Ok(())
    }

    fn forget(&mut self, container: &str) {
        self.engines.remove(container);
        self.table.remove(container);
        self.close(container);
    }

    /// Closes a container's sockets; nothing keeps its namespace afterwards.
    fn close(&mut self, container: &str) {
        let Some(home) = self.homes.remove(container) else { return };
        for key in [home.udp, home.tcp].into_iter().flatten() {
            self.sockets.remove(key);
        }
        for key in self.streams.keys(|s| *s.container == *container) {
            self.streams.remove(key);
        }
        self.queries.forget(container);
    }

    fn read_questions(&mut self, key: Key) {
        let Some(socket) = self.sockets.get(key) else { return };
        let (container, fd) = (Rc::clone(&socket.container), Rc::clone(&socket.fd));
        // One byte more than a question may have shows the longer ones.
        let mut space = [0; wire::QUESTION + 1];
        for _ in 0..TURN {
            let flags = RecvFlags::DONTWAIT;
            let (length, from) = match rustix::net::recvfrom(&fd, &mut space, flags) {
                Ok((length, _, from)) => (length, from),
                // An error that was waiting (a port unreachable) is fetched by this.
                Err(Errno::CONNREFUSED | Errno::INTR) => continue,
                Err(Errno::AGAIN) => return,
                // The container's root can take the socket away (SOCK_DESTROY); it is without a resolver then.
                Err(_) => {
                    self.sockets.remove(key);
                    return;
                }
            };
            let from = from.and_then(|from| SocketAddr::try_from(from).ok());
            let (Some(from), Some(packet)) = (from, space.get(..length)) else { continue };
            if packet.len() <= wire::QUESTION {
                self.ask(&container, packet, Asker::Udp { socket: Rc::clone(&fd), from });
            }
        }
    }

    /// Answers a question, or passes it on.
    pub(super) fn ask(&mut self, container: &Rc<str>, packet: &[u8], asker: Asker) {
        self.turn = self.turn.wrapping_add(1);
        let transport = asker.transport();
        match wire::act(&self.table, container, packet, transport, self.turn) {
            Act::Answer(bytes) => self.answer(&asker, &bytes),
            Act::PassOn => self.pass_on(container, packet, asker),
            Act::Ignore => self.drop_question(&asker),
        }
    }

    /// Sends an answer to who asked. Nobody waits for room: a datagram that finds none is lost, as on any wire.
    pub(super) fn answer(&mut self, asker: &Asker, bytes: &[u8]) {
        match asker {
            Asker::Udp { socket, from } => {
                let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
                let _ = rustix::net::sendto(socket, bytes, flags, from);
            }
            Asker::Tcp { stream } => self.answer_stream(*stream, bytes),
        }
    }

    fn accept(&mut self, key: Key, event: &Event) {
        let Some(socket) = self.sockets.get(key) else { return };
        let (container, fd) = (Rc::clone(&socket.container), Rc::clone(&socket.fd));
        for _ in 0..TURN {
            match rustix::net::accept_with(&fd, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
                Ok(stream) => self.add_stream(&container, stream),
                Err(Errno::AGAIN) if !event.failed => return,
                Err(Errno::INTR | Errno::CONNABORTED) => {}
                // No descriptors: those that wait are tried again in the next round.
                Err(Errno::MFILE | Errno::NFILE) => return,
                Err(_) => {
                    self.sockets.remove(key);
                    return;
                }
            }
        }
    }

    fn add_stream(&mut self, container: &Rc<str>, fd: OwnedFd) {
        let total = self.streams.len() + self.queries.len();
        let full = u64::try_from(total).is_ok_and(|n| n >= self.around.descriptors);
        let Some(home) = self.homes.get_mut(container) else { return };
        if home.streams >= STREAMS || full {
            return;
        }
        home.streams += 1;
        let key = self.streams.insert(Stream::new(Rc::clone(container), fd, self.now));
        let Some(stream) = self.streams.get(key) else { return };
        let watched = self.poll.add(&stream.fd, Token::new(Kind::NamesStream, key), READ);
        if watched.is_err() {
            self.end_stream(key);
        }
    }
}

impl Asker {
    /// How the asker is answered.
    pub fn transport(&self) -> Transport {
        match self {
            Asker::Udp { .. } => Transport::Udp,
            Asker::Tcp { .. } => Transport::Tcp,
        }
    }
}
