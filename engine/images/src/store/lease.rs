//! Leases: what is being fetched or made, and must not be collected although no record names it yet.

use std::sync::{Mutex, PoisonError};

use super::Store;
use crate::digest::Digest;

/// Blobs and layers that somebody is about to need; released when dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    store: Store,
    held: Mutex<Vec<Digest>>,
}

impl Lease {
    /// Holds nothing yet.
    pub fn new(store: &Store) -> Lease {
        Lease { store: store.clone(), held: Mutex::default() }
    }

    /// Holds more.
    pub fn hold(&self, digests: impl IntoIterator<Item = Digest>) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = self.store.leases();
        for digest in digests {
            *all.entry(digest).or_insert(0) += 1;
            held.push(digest);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let held = std::mem::take(self.held.get_mut().unwrap_or_else(PoisonError::into_inner));
        let mut all = self.store.leases();
        for digest in held {
            if let Some(count) = all.get_mut(&digest) {
                *count -= 1;
                if *count == 0 {
                    all.remove(&digest);
                }
            }
        }
    }
}
