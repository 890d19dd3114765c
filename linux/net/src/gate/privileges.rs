//! What the gate gives up once it is set up.
//!
//! | | should | must not |
//! |---|---|---|
//! | loop and resolver's thread | connect, listen and relay with the user's own rights | have any capability: it reads what containers send |
//! | servant, removal | make transparent sockets, change bridges and firewall (CAP_NET_ADMIN) | have any other capability |
//! | usher | enter containers' network namespaces (CAP_SYS_ADMIN) and make sockets there, marked ones (CAP_NET_ADMIN) and resolvers (CAP_NET_BIND_SERVICE) | have any other capability |
//! | all | | gain rights by executing anything (no_new_privs) |
//!
//! Threads of one process share memory, so this is no wall between them; it takes away what each does not need, above
//! all from the one that reads what strangers send.

use std::io;

use rustix::thread::{CapabilitySet, CapabilitySets};

/// Leaves the calling thread with `keep` only, and without a way to more.
fn keep_only(keep: CapabilitySet) -> io::Result<()> {
    rustix::thread::set_no_new_privs(true)?;
    let sets =
        CapabilitySets { effective: keep, permitted: keep, inheritable: CapabilitySet::empty() };
    Ok(rustix::thread::set_capabilities(None, sets)?)
}

/// For the loop thread.
pub fn drop_all() -> io::Result<()> {
    keep_only(CapabilitySet::empty())
}

/// For the servant, and for the thread that deletes bridges.
pub fn keep_net_admin() -> io::Result<()> {
    keep_only(CapabilitySet::NET_ADMIN)
}

/// For the usher.
pub fn keep_entering() -> io::Result<()> {
    keep_only(CapabilitySet::NET_ADMIN | CapabilitySet::SYS_ADMIN | CapabilitySet::NET_BIND_SERVICE)
}
