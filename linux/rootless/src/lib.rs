//! The user namespace and what lives in it: id maps, refusals, the holder.
//!
//! Bryo runs as an ordinary user. Everything that needs capabilities happens in one user and mount namespace, which the
//! **holder** keeps: a small process with one thread that is forked by the first `bryo daemon` and outlives it.
//!
//! ```text
//! bryo daemon ── preflight ── a holder answers on EXEC_ROOT/holder.sock? ──yes──▶ setns(user), setns(mount): uid 0 inside
//!                                  │ no                                             ▲
//!                                  └─ fork: unshare, newuidmap, newgidmap, listen ──┘
//! ```
//!
//! The engine stays in the host's network namespace. The holder forks monitors and the gate on request (their code comes
//! in as function values, see [`Programs`]) and reaps them; `kill -9` of the engine touches none of them. If the holder itself
//! is killed, the next daemon finds the survivors in `EXEC_ROOT/children` and starts a holder in **their** namespaces.
//!
//! | file in EXEC_ROOT | what |
//! |---|---|
//! | `engine.lock` | held by the engine; its pid |
//! | `holder.sock` | see [`messages`] |
//! | `holder.log` | what the holder, the gate and the monitors print (normally nothing) |
//! | `netns` | the bridges' network namespace, mounted inside the mount namespace only |
//! | `children` | `PID STARTTIME` of each monitor and of the gate |
//!
//! On failure every entry point returns a [`SetupError`]: cause, value seen, command that mends it. Missing newuidmap or
//! subordinate ids are no failure but **single-id mode**, with a [`Warning`].

mod birth;
mod client;
pub mod data_root;
mod enter;
mod error;
mod holder;
pub mod ids;
mod inside;
pub mod messages;
mod parent;
mod preflight;
pub mod refusal;

pub use client::HolderClient;
pub use enter::{Enter, Entered, end_leftovers, enter, find_holder, join_holder};
pub use error::{SetupError, Warning};
pub use ids::IdMaps;
pub use inside::{Outcome, inside};
pub use preflight::{
    Environment, Package, Plan, Survey, UIDMAP, preflight, refuse_root, runtime_dir, survey,
};

use std::path::Path;

use bryo_sys::channel::Channel;

/// The code of the holder's children, which lives above this crate. Each runs in a process of its own with the given
/// channel to the engine as its only inherited descriptor beside the standard streams, and returns its exit code.
#[derive(Debug, Clone, Copy)]
pub struct Programs {
    /// A monitor; the second argument is its bundle folder.
    pub monitor: fn(Channel, &Path) -> i32,
    /// The gate; the second argument is its settings, JSON of bryo-net's `GateConfig`.
    pub gate: fn(Channel, &str) -> i32,
}
