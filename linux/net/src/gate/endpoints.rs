//! Which addresses of a bridge are containers', so that forged ones cost nothing.
//!
//! A container may send from any address of its bridge's subnet (raw sockets need no more than Docker's default
//! capabilities), and each address has a share of the gate's descriptors. `attach` tells the bridge each container's
//! hardware address for good (a permanent neighbour); an address without such an entry is nobody's. What remains is
//! forging the address of another container of the same bridge, as on any Ethernet.
//!
//! On failure: a kernel that cannot be asked for one neighbour (before Linux 5.0) lets all addresses of the subnet pass.

use std::collections::HashSet;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use bryo_sys::netlink::{Batch, Socket};
use rustix::io::Errno;

use crate::rtnl;

/// How long an answer is believed.
const FRESH: Duration = Duration::from_secs(10);

/// What is known.
#[derive(Debug)]
pub struct Endpoints {
    /// A socket of the bridges' namespace.
    socket: Option<Socket>,
    known: HashSet<IpAddr>,
    since: Instant,
}

impl Endpoints {
    /// Asks by this socket, which was opened in the bridges' namespace.
    pub fn new(socket: Socket) -> Endpoints {
        Endpoints { socket: Some(socket), known: HashSet::new(), since: Instant::now() }
    }

    /// Each address is a container's.
    #[cfg(test)]
    pub fn all() -> Endpoints {
        Endpoints { socket: None, known: HashSet::new(), since: Instant::now() }
    }

    /// Forgets the answers.
    pub fn clear(&mut self) {
        self.known.clear();
    }

    /// The address is a container's on this bridge.
    pub fn has(&mut self, bridge: &str, address: IpAddr) -> bool {
        let Some(socket) = &self.socket else { return true };
        if self.since.elapsed() > FRESH {
            self.known.clear();
            self.since = Instant::now();
        }
        if self.known.contains(&address) {
            return true;
        }
        let has = ask(socket, bridge, address);
        if has {
            self.known.insert(address);
        }
        has
    }
}

fn ask(socket: &Socket, bridge: &str, address: IpAddr) -> bool {
    let Ok(index) = socket.interface(bridge) else { return false };
    let mut batch = Batch::new();
    rtnl::get_neighbour(&mut batch, index, address);
    let mut permanent = false;
    match socket.dump(batch, |answer| permanent |= rtnl::is_permanent(answer)) {
        Ok(()) => permanent,
        Err(e) => matches!(e.errno, Errno::OPNOTSUPP | Errno::INVAL),
    }
}
