//! How many descriptors and half-open connections each container may hold, so that none can starve the others.
//!
//! The process has a fixed number of descriptors (RLIMIT_NOFILE, raised to its hard limit). A container may hold up to
//! [`SHARE`] times of what is still free: the first one gets most of it, and however many there are, a further one
//! still finds room. A [`Lease`] gives its descriptors back when it is dropped.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;

/// A container's descriptors may be at most this many times the free ones.
const SHARE: u64 = 8;
/// Descriptors never given to flows: listeners, channels, pools, netlink.
const RESERVE: u64 = 512;

/// The books.
#[derive(Debug)]
pub struct Quota {
    limit: u64,
    used: Cell<u64>,
    owners: RefCell<HashMap<IpAddr, u64>>,
}

impl Quota {
    /// For a process that may open `descriptors`.
    pub fn new(descriptors: u64) -> Rc<Quota> {
        let limit = descriptors.saturating_sub(RESERVE.min(descriptors / 4));
        Rc::new(Quota { limit, used: Cell::new(0), owners: RefCell::default() })
    }

    /// Books `descriptors` for the container with address `owner`, if it may have them.
    pub fn lease(self: &Rc<Quota>, owner: IpAddr, descriptors: u32) -> Option<Lease> {
        let wanted = u64::from(descriptors);
        let free = self.limit.saturating_sub(self.used.get());
        let mut owners = self.owners.borrow_mut();
        let own = owners.get(&owner).copied().unwrap_or(0);
        if wanted > free || own + wanted > SHARE.saturating_mul(free) {
            return None;
        }
        owners.insert(owner, own + wanted);
        self.used.set(self.used.get() + wanted);
        Some(Lease { quota: Rc::clone(self), owner, descriptors })
    }

    /// Nothing is left for anybody.
    pub fn exhausted(&self) -> bool {
        self.limit.saturating_sub(self.used.get()) < 4
    }
}

/// Descriptors that a flow holds.
#[derive(Debug)]
pub struct Lease {
    quota: Rc<Quota>,
    owner: IpAddr,
    descriptors: u32,
}

impl Lease {
    /// The container that holds them.
    pub fn owner(&self) -> IpAddr {
        self.owner
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let count = u64::from(self.descriptors);
        self.quota.used.set(self.quota.used.get().saturating_sub(count));
        let mut owners = self.quota.owners.borrow_mut();
        if let Some(own) = owners.get_mut(&self.owner) {
            *own = own.saturating_sub(count);
            if *own == 0 {
                owners.remove(&self.owner);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_container_cannot_take_everything_and_gives_back() {
        let quota = Quota::new(10_512);
        let (greedy, other) = (IpAddr::from([10, 0, 0, 2]), IpAddr::from([10, 0, 0, 3]));
        let leases: Vec<_> = std::iter::from_fn(|| quota.lease(greedy, 2)).collect();
        assert!(leases.len() > 4000 && leases.len() < 4500, "{}", leases.len());
        assert!(quota.lease(other, 2).is_some());
        drop(leases);
        assert!(quota.owners.borrow().is_empty() && quota.used.get() == 0);
    }
}
