//! What the engine and the holder say to each other: on the channel that the holder is born with, and later over
//! `EXEC_ROOT/holder.sock`.
//!
//! ```text
//! engine                                   child, to become the holder
//!   │ (fork)                                 │ setsid, closes all it inherited
//!   │                                        │ unshare(NEWUSER)
//!   │ ◀── Birth::Made ───────────────────── │ (or Refused {step, errno})
//!   │ newuidmap, newgidmap                   │
//!   │ ─── Birth::Mapped ──────────────────▶ │ unshare(NEWNS), listens on holder.sock
//!   │ ◀── Birth::Ready ──────────────────── │ (or Refused, or Failed)
//!   ╳                                        │ its loop begins
//!
//! engine                                   holder (uid 0 in Bryo's user and mount namespace)
//!   │ connect                                │
//!   │ ─── Hello ──────────────────────────▶ │
//!   │ ◀── Holding {version, pid, …} + [fds]─ │ its user and its mount namespace
//!   │ ─── SpawnMonitor {container} + [ch] ▶ │ fork; the child runs the monitor on channel `ch`
//!   │ ◀── Spawned {pid} ─────────────────── │
//!   │ ─── SpawnGate {} + [ch] ────────────▶ │ (makes EXEC_ROOT/netns first if there is none)
//!   │ ◀── Spawned {pid} ─────────────────── │
//!   │ ─── Quit ───────────────────────────▶ │ kills what is left, unmounts
//!   │ ◀── Bye ────────────────────────────── │
//! ```
//!
//! Every request gets exactly one reply, in order. `Failed` carries what was tried and why it failed.

use serde::{Deserialize, Serialize};

use crate::refusal::Step;

/// The protocol's version; a holder of another version is replaced, not spoken to.
pub const VERSION: u32 = 2;

/// What is said while the holder is made, in both directions.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Birth {
    /// The user namespace exists and waits for its maps (in single-id mode: has them).
    Made,
    /// The maps are written.
    Mapped,
    /// The holder listens.
    Ready,
    /// The kernel refused a step.
    Refused {
        /// Which.
        step: Step,
        /// With this errno.
        errno: i32,
    },
    /// Something else failed.
    Failed {
        /// What was tried, on what, why it failed.
        message: String,
    },
}

/// Engine to holder.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Request {
    /// Opens the conversation.
    Hello {
        /// The engine's [`VERSION`].
        version: u32,
    },
    /// Starts a monitor, which looks at its bundle when it gets its first request. One descriptor: the monitor's end of a channel
    /// to the engine.
    SpawnMonitor {
        /// The container's id (64 hex digits); the process is named after it.
        container: String,
        /// The bundle folder, absolute; see bryo-monitor's `messages.rs`.
        bundle: String,
    },
    /// Starts the gate. One descriptor: the gate's end of a channel to the engine.
    SpawnGate {
        /// The gate's settings, JSON of bryo-net's `GateConfig`.
        config: String,
    },
    /// Ends the holder and whatever it still runs: the gate, monitors, containers.
    Quit,
}

/// Holder to engine.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Reply {
    /// Answer to `Hello`. Two descriptors: the user namespace and the mount namespace to join.
    Holding {
        /// The holder's [`VERSION`].
        version: u32,
        /// The holder's pid in the host's pid namespace.
        pid: u32,
        /// Version of the program it was started from.
        program: String,
        /// True when no subordinate ids are mapped (single-id mode).
        single_id: bool,
    },
    /// A child was started.
    Spawned {
        /// Its pid in the host's pid namespace.
        pid: u32,
    },
    /// Answer to `Quit`.
    Bye,
    /// The request failed.
    Failed {
        /// What was tried, on what, why it failed.
        message: String,
    },
}
