//! The thread that lives in the bridges' network namespace.
//!
//! A thread that entered a network namespace cannot go back to the host's (that needs CAP_SYS_ADMIN over it), so one
//! thread goes there for good and does what must be done there: netlink, sysctls, and making sockets with
//! IP_TRANSPARENT, which need CAP_NET_ADMIN at that one moment. A socket keeps its namespace whoever uses it later, so
//! the loop takes ready-made ones from a [`Pool`] without waiting.
//!
//! On failure: a servant that died answers nobody; every call says so and the loop reports it to the engine.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};

use bryo_sys::ns;
use bryo_sys::sockopt::{self, Ip};
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use super::stream::tune;
use crate::error::{Context, Error};

type Job = Box<dyn FnOnce() + Send>;

/// A handle on the thread.
#[derive(Debug, Clone)]
pub struct Servant {
    jobs: Sender<Job>,
}

impl Servant {
    /// Starts the thread and sends it into the network namespace at `netns`.
    pub fn start(name: &str, netns: &Path) -> Result<Servant, Error> {
        let file = ns::open(netns)
            .context(format!("open the bridges' network namespace {}", netns.display()))?;
        let (jobs, inbox) = mpsc::channel::<Job>();
        std::thread::Builder::new()
            .name(name.to_owned())
            .stack_size(256 * 1024)
            .spawn(move || {
                for job in inbox {
                    job();
                }
            })
            .context(format!("start the thread {name}"))?;
        let servant = Servant { jobs };
        servant
            .run(move || ns::join(&file, ns::Kind::Net))
            .and_then(|joined| joined)
            .context(format!("enter the bridges' network namespace {}", netns.display()))?;
        Ok(servant)
    }

    /// Runs `job` inside and waits for its result.
    pub fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<T> {
        self.begin(job)?.recv().map_err(|_| gone())
    }

    /// Runs `job` inside; the result can be fetched later.
    pub fn begin<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<Receiver<T>> {
        let (answer, result) = mpsc::sync_channel(1);
        let job = move || {
            // Nobody waits any more: the result is dropped.
            let _ = answer.send(job());
        };
        self.jobs.send(Box::new(job)).map_err(|_| gone())?;
        Ok(result)
    }
}

fn gone() -> io::Error {
    io::Error::other("the gate's servant thread is gone")
}

/// Makes so many sockets, or as many as can be had; runs on the pool's thread.
type Maker = Arc<dyn Fn(usize) -> io::Result<Vec<OwnedFd>> + Send + Sync>;

/// Sockets made ahead of time: few at first, more at a time the more are taken.
pub struct Pool {
    servant: Servant,
    make: Maker,
    ready: Vec<OwnedFd>,
    coming: Option<Receiver<io::Result<Vec<OwnedFd>>>>,
    batch: usize,
}

/// Sockets made at a time, at first.
const FIRST: usize = 4;
/// The most that are made at a time.
const BATCH: usize = 64;

impl Pool {
    /// An empty pool; the first sockets are made when the first is asked for, or at [`Pool::refill`].
    pub fn new(
        servant: &Servant,
        make: impl Fn(usize) -> io::Result<Vec<OwnedFd>> + Send + Sync + 'static,
    ) -> Pool {
        let (ready, make) = (Vec::new(), Arc::new(make));
        Pool { servant: servant.clone(), make, ready, coming: None, batch: FIRST }
    }

    /// A socket; waits only if they go faster than they are made.
    pub fn take(&mut self) -> io::Result<OwnedFd> {
        if self.ready.len() <= self.batch / 2 {
            self.refill()?;
        }
        if let Some(fd) = self.ready.pop() {
            return Ok(fd);
        }
        if let Some(coming) = self.coming.take() {
            self.ready = coming.recv().map_err(|_| gone())??;
        }
        self.ready.pop().ok_or_else(|| io::Error::other("no descriptors left for new flows"))
    }

    /// Has more made, or takes those that were.
    pub fn refill(&mut self) -> io::Result<()> {
        match self.coming.as_ref().map(Receiver::try_recv) {
            Some(Ok(fds)) => {
                self.coming = None;
                self.ready.extend(fds?);
                self.batch = (self.batch * 2).min(BATCH);
            }
            Some(Err(TryRecvError::Empty)) => {}
            Some(Err(TryRecvError::Disconnected)) => return Err(gone()),
            None => {
                let (make, count) = (Arc::clone(&self.make), self.batch);
                self.coming = Some(self.servant.begin(move || make(count))?);
            }
        }
        Ok(())
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("ready", &self.ready.len()).finish_non_exhaustive()
    }
}

/// One transparent, non-blocking socket of the calling thread's namespace.
pub fn transparent(transport: SocketType, ip: Ip) -> io::Result<OwnedFd> {
    let family = match ip {
        Ip::V4 => AddressFamily::INET,
        Ip::V6 => AddressFamily::INET6,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let fd = rustix::net::socket_with(family, transport, flags, None)?;
    sockopt::set_transparent(&fd, ip)?;
    rustix::net::sockopt::set_socket_reuseaddr(&fd, true)?;
    if ip == Ip::V6 {
        rustix::net::sockopt::set_ipv6_v6only(&fd, true)?;
    }
    if transport == SocketType::STREAM {
        tune(&fd)?;
    }
    Ok(fd)
}

/// The pools of the four kinds.
#[derive(Debug)]
pub struct Pools {
    stream: [Pool; 2],
    datagram: [Pool; 2],
}

impl Pools {
    /// Empty pools.
    pub fn new(servant: &Servant) -> Pools {
        let pool = |transport, ip| {
            let one = move || transparent(transport, ip).ok();
            Pool::new(servant, move |count| Ok((0..count).map_while(|_| one()).collect()))
        };
        Pools {
            stream: [pool(SocketType::STREAM, Ip::V4), pool(SocketType::STREAM, Ip::V6)],
            datagram: [pool(SocketType::DGRAM, Ip::V4), pool(SocketType::DGRAM, Ip::V6)],
        }
    }

    /// A TCP socket.
    pub fn stream(&mut self, ip: Ip) -> io::Result<OwnedFd> {
        self.stream[usize::from(ip == Ip::V6)].take()
    }

    /// A UDP socket.
    pub fn datagram(&mut self, ip: Ip) -> io::Result<OwnedFd> {
        self.datagram[usize::from(ip == Ip::V6)].take()
    }
}
