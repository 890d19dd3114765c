//! The containers' resolver: 127.0.0.11, UDP and TCP.
//!
//! ```text
//! engine ── Name, Unname, Settle ──▶ gate's loop ── orders ──▶ this thread: table, sockets, questions under way
//!                                                                   ▲                    │
//! container ── question ──▶ 127.0.0.11:53 in its own namespace ─────┘                    │ names that no network has
//!                                                                                        ▼
//!                              the host's servers, from the host's namespace; or the container's own, from its own
//! ```
//!
//! A thread of its own, so that floods of questions cost the flows nothing and bulk flows do not delay names. It has no
//! privilege; sockets inside containers come from the monitor or the usher. `table.rs` knows the names, `wire.rs` the
//! format, `stream.rs` the TCP connections, `upstream.rs` the questions that are passed on.
//!
//! On failure: a container whose resolver cannot be opened (its own program listens there) is told to the engine as
//! [`Reply::Failed`] and its names are known all the same. Packets that are no questions are dropped. Each container has
//! so many questions and connections under way at most (`UNDER_WAY`, `STREAMS`); more are dropped.

mod listen;
mod server;
mod stream;
mod table;
mod upstream;
mod wire;

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};

use bryo_sys::channel::Channel;
use bryo_sys::ns;
use rustix::event::{EventfdFlags, eventfd};

use super::resolver::Resolvers;
use super::servant::Servant;
use super::slab::Key;
use crate::error::{Context, Error};
use crate::messages::Names as Known;
use server::Server;

pub use listen::resolver_sockets;

/// What the thread is told.
enum Order {
    /// From which engine, what, and the descriptors beside it. Answered on the channel.
    Name {
        engine: Key,
        known: Known,
        fds: Vec<OwnedFd>,
        reply: Channel,
    },
    Unname {
        container: String,
    },
    Settle {
        engine: Key,
    },
}

/// The gate's handle on the thread.
pub struct Names {
    orders: Sender<Order>,
    wake: Arc<OwnedFd>,
}

impl std::fmt::Debug for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Names").finish_non_exhaustive()
    }
}

impl Names {
    /// Starts the thread. `usher` enters containers and comes back to `netns`; at most `descriptors` are used for
    /// questions and connections under way.
    pub fn start(
        resolvers: Resolvers,
        usher: Servant,
        netns: &Path,
        descriptors: u64,
    ) -> Result<Names, Error> {
        let bridges = ns::open(netns).context("open the bridges' network namespace")?;
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .context("make an event descriptor")?;
        let (wake, (orders, inbox)) = (Arc::new(wake), mpsc::channel());
        let within = server::Surroundings { usher, bridges: Arc::new(bridges), descriptors };
        let (started, outcome) = mpsc::sync_channel(1);
        let woken = Arc::clone(&wake);
        let begin = move || {
            super::privileges::drop_all()?;
            Server::new(inbox, woken, resolvers, within)
        };
        std::thread::Builder::new()
            .name("bryo-names".to_owned())
            .stack_size(512 * 1024)
            .spawn(move || {
                let made = begin();
                let (server, told) = match made {
                    Ok(server) => (Some(server), Ok(())),
                    Err(e) => (None, Err(e)),
                };
                if let (Ok(()), Some(mut server)) = (started.send(told), server) {
                    server.run();
                }
            })
            .context("start the resolver's thread")?;
        let gone = |_| io::Error::other("it ended");
        outcome.recv().map_err(gone).and_then(|told| told).context("start the resolver")?;
        Ok(Names { orders, wake })
    }

    /// Passes a container's names on; the thread answers on `reply`.
    pub fn name(&self, engine: Key, known: Known, fds: Vec<OwnedFd>, reply: Channel) {
        self.send(Order::Name { engine, known, fds, reply });
    }

    /// Forgets a container.
    pub fn unname(&self, container: String) {
        self.send(Order::Unname { container });
    }

    /// Forgets what only other engines named.
    pub fn settle(&self, engine: Key) {
        self.send(Order::Settle { engine });
    }

    fn send(&self, order: Order) {
        // The thread ends with the process.
        if self.orders.send(order).is_ok() {
            let _: Result<usize, _> = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
        }
    }
}

/// Runs `job` on the usher's thread inside a container's network namespace, and has it come back.
fn inside<T: Send + 'static>(
    usher: &Servant,
    bridges: &Arc<OwnedFd>,
    netns: &Arc<OwnedFd>,
    job: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let (bridges, netns) = (Arc::clone(bridges), Arc::clone(netns));
    usher.run(move || {
        ns::join(&netns, ns::Kind::Net)?;
        let done = job();
        // A thread that stayed would keep the container's namespace after its end.
        ns::join(&bridges, ns::Kind::Net)?;
        done
    })?
}
