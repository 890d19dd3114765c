//! Taking bridges away without anybody waiting for it.
//!
//! The kernel answers a bridge's DELLINK only after all processors let go of it (`netdev_run_todo` calls rcu_barrier): 20 to
//! 70 ms. A bridge that leaves is therefore first made meaningless at once (no rules, no addresses, down), and a thread of its
//! own then deletes it. A new bridge of the same name waits for that, nothing else does.
//!
//! On failure: a bridge that could not be deleted stays, without addresses; the next one of its name takes it over, and
//! [`Removals::stray`] finds it at the engine's next start.

use std::sync::mpsc::{Receiver, TryRecvError};

use super::servant::Servant;
use super::setup;
use crate::error::Error;

/// Bridges on their way out.
#[derive(Debug)]
pub struct Removals {
    servant: Servant,
    leaving: Vec<(String, Receiver<Result<(), Error>>)>,
}

impl Removals {
    /// None yet; `servant` is a thread in the bridges' network namespace that has nothing else to do.
    pub fn new(servant: Servant) -> Removals {
        Removals { servant, leaving: Vec::new() }
    }

    /// The thread that deletes.
    pub fn servant(&self) -> &Servant {
        &self.servant
    }

    /// Has a bridge deleted.
    pub fn begin(&mut self, bridge: String) {
        self.leaving.retain(|(_, done)| matches!(done.try_recv(), Err(TryRecvError::Empty)));
        let name = bridge.clone();
        if let Ok(done) = self.servant.begin(move || setup::delete_bridge(&name)) {
            self.leaving.push((bridge, done));
        }
    }

    /// Waits until no bridge of this name is on its way out.
    pub fn settle(&mut self, bridge: &str) {
        self.leaving.retain(|(name, done)| {
            if name == bridge {
                // Whether it went or stays: the name can be used now.
                let _ = done.recv();
            }
            name != bridge
        });
    }

    /// Bridges that exist, are not among `known` and are not leaving already.
    pub fn stray(&self, known: &[String], existing: Vec<String>) -> Vec<String> {
        let leaving = |name: &String| self.leaving.iter().any(|(n, _)| n == name);
        existing.into_iter().filter(|name| !known.contains(name) && !leaving(name)).collect()
    }
}
