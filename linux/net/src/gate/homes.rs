//! Containers' own network namespaces, where the inner sockets of published TCP ports are made.
//!
//! A connection to a published port need not cross bridge and veth: its inner socket is made inside the container's own
//! network namespace, bound to the client's address (IP_TRANSPARENT) and connected to the container's, so that both ends
//! meet on the container's loopback device.
//!
//! ```text
//! gate's socket, bound to the client's address ── SYN, marked ──▶ lo ──▶ the container's listener
//!         ▲                                                                     │ tcp_fwmark_accept: the mark of the
//!         └── lo ◀── local default ◀── table 250 ◀── rule: the mark ◀───────────┘ SYN is the connection's
//! ```
//!
//! The answers are led back by one routing rule, without any firewall. Only who has CAP_NET_ADMIN over the namespace
//! can set marks or take the rule away, and then harms nobody but that container. What a program sees is an ordinary
//! client at its ordinary address; that the packets come by `lo` shows in captures and in rules of its own.
//!
//! On failure: a container whose namespace cannot be set up (`Homes::take` says why) is reached over the bridge.

use std::cell::Cell;
use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::rc::Rc;
use std::sync::{Arc, Once};

use bryo_sys::netlink::{Batch, Family, Socket};
use bryo_sys::ns;
use bryo_sys::sockopt::{self, Ip};
use rustix::io::Errno;
use rustix::net::SocketType;

use super::servant::{Pool, Servant, transparent};
use super::setup::{sysctl, unless};
use crate::error::{Context, Error};
use crate::rtnl::{self, Route, Rule, TABLE_HOME};

/// The mark of the gate's connections ("bryo"): no one else's, so that containers may use marks of their own.
const MARK: u32 = 0x6272_796f;
/// Right after the rule of the namespace's own addresses.
const PRIORITY: u32 = 1;

/// One container's namespace.
#[derive(Debug)]
struct Home {
    netns: Arc<OwnedFd>,
    /// Sockets of IPv4 and IPv6, made when the first is asked for.
    pools: [Option<Pool>; 2],
    /// Why the bridge is used instead.
    detour: Option<String>,
    left: Left,
}

/// Becomes true when a container leaves its namespace.
pub type Left = Rc<Cell<bool>>;

/// All namespaces that the gate was given.
#[derive(Debug)]
pub struct Homes {
    usher: Servant,
    bridges: Arc<OwnedFd>,
    by_container: HashMap<String, Home>,
}

impl Homes {
    /// None yet. The thread that enters them starts where the bridges are, at `netns`.
    pub fn start(netns: &Path) -> Result<Homes, Error> {
        let usher = Servant::start("bryo-usher", netns)?;
        let what = || format!("open the bridges' network namespace {}", netns.display());
        let bridges = Arc::new(ns::open(netns).context(what())?);
        Ok(Homes { usher, bridges, by_container: HashMap::new() })
    }

    /// The thread that goes from one namespace to another.
    pub fn usher(&self) -> &Servant {
        &self.usher
    }

    /// A container's namespace from now on; the one it has already changes nothing.
    pub fn enter(&mut self, container: String, netns: OwnedFd) {
        let known = self.by_container.get(&container);
        if known.is_some_and(|home| is_same(&home.netns, &netns)) {
            return;
        }
        self.leave(&container);
        let (netns, left) = (Arc::new(netns), Left::default());
        let home = Home { netns, pools: [None, None], detour: None, left };
        self.by_container.insert(container, home);
    }

    /// Lets a namespace go.
    pub fn leave(&mut self, container: &str) {
        if let Some(home) = self.by_container.remove(container) {
            home.left.set(true);
        }
    }

    /// Containers that are reached over the bridge, and why.
    pub fn detours(&self) -> Vec<(String, String)> {
        let all = self.by_container.iter();
        all.filter_map(|(id, home)| Some((id.clone(), home.detour.clone()?))).collect()
    }

    /// Has the first sockets made before somebody asks for one.
    pub fn prepare(&mut self, container: &str, ip: Ip) {
        if let Some(pool) = self.pool(container, ip) {
            // What fails here fails at the first connection again.
            let _ = pool.refill();
        }
    }

    /// A TCP socket inside; none where the container is to be reached over the bridge.
    pub fn stream(&mut self, container: &str, ip: Ip) -> Option<(OwnedFd, Left)> {
        let taken = self.pool(container, ip)?.take();
        let home = self.by_container.get_mut(container)?;
        match taken {
            Ok(socket) => Some((socket, Rc::clone(&home.left))),
            Err(e) => {
                home.detour = Some(e.to_string());
                None
            }
        }
    }

    fn pool(&mut self, container: &str, ip: Ip) -> Option<&mut Pool> {
        let home = self.by_container.get_mut(container).filter(|home| home.detour.is_none())?;
        let slot = home.pools.get_mut(usize::from(ip == Ip::V6))?;
        let (netns, bridges) = (&home.netns, &self.bridges);
        Some(slot.get_or_insert_with(|| {
            let (netns, bridges) = (Arc::clone(netns), Arc::clone(bridges));
            let ready = Once::new();
            Pool::new(&self.usher, move |count| {
                ns::join(&netns, ns::Kind::Net)?;
                let made = make(&ready, ip, count);
                // A thread that stayed would keep the container's namespace after its end.
                ns::join(&bridges, ns::Kind::Net)?;
                made
            })
        }))
    }
}

/// Both are the same namespace.
fn is_same(one: &OwnedFd, other: &OwnedFd) -> bool {
    let inode = |fd| rustix::fs::fstat(fd).map(|s| (s.st_dev, s.st_ino));
    matches!((inode(one), inode(other)), (Ok(one), Ok(other)) if one == other)
}

/// Makes sockets in the thread's namespace, which the first time is set up.
fn make(ready: &Once, ip: Ip, count: usize) -> io::Result<Vec<OwnedFd>> {
    if !ready.is_completed() {
        set_up(ip == Ip::V6)?;
        ready.call_once(|| {});
    }
    let one = || {
        let socket = transparent(SocketType::STREAM, ip)?;
        sockopt::set_mark(&socket, MARK)?;
        Ok::<_, io::Error>(socket)
    };
    Ok((0..count).map_while(|_| one().ok()).collect())
}

/// Leads the answers of marked connections back. Doing it again changes nothing.
fn set_up(v6: bool) -> Result<(), Error> {
    sysctl("ipv4/tcp_fwmark_accept", "1")?;
    // Refusals (RST) come from no socket: they take the mark of what they answer.
    sysctl(if v6 { "ipv6/fwmark_reflect" } else { "ipv4/fwmark_reflect" }, "1")?;
    let socket = Socket::open(Family::Route).context("open a netlink socket")?;
    let mut batch = Batch::new();
    rtnl::link_up(&mut batch, rtnl::LOOPBACK);
    // A program that is bound to an interface answers by routes of that interface only.
    for index in interfaces(&socket)? {
        rtnl::add_route(&mut batch, Route::Local { v6, index, table: TABLE_HOME });
    }
    socket.submit(batch).context("add the gate's route to a container")?;
    let mut batch = Batch::new();
    let rule = Rule { v6, priority: PRIORITY, mark: Some(MARK), table: TABLE_HOME };
    rtnl::add_rule(&mut batch, rule);
    unless(socket.submit(batch), Errno::EXIST).context("add the gate's routing rule to a container")
}

/// The indexes of the thread's namespace's interfaces.
fn interfaces(socket: &Socket) -> Result<Vec<u32>, Error> {
    let what = "list a container's interfaces";
    let text = std::fs::read_to_string("/proc/thread-self/net/dev").context(what)?;
    let names = text.lines().skip(2).filter_map(|line| Some(line.split_once(':')?.0.trim()));
    names.map(|name| socket.interface(name).context(what)).collect()
}
