//! What the engine and the holder say to each other over `EXEC_ROOT/holder.sock`.
//!
//! ```text
//! engine                                   holder (uid 0 in Bryo's user and mount namespace)
//!   │ connect                                │
//!   │ ─── Hello ──────────────────────────▶ │
//!   │ ◀── Holding {version, pid, …} ─────── │
//!   │ ─── SpawnMonitor {container} + [ch] ▶ │ fork; the child runs the monitor on channel `ch`
//!   │ ◀── Spawned {pid} ─────────────────── │
//!   │ ─── SpawnGate {} + [ch] ────────────▶ │ (makes EXEC_ROOT/netns first if there is none)
//!   │ ◀── Spawned {pid} ─────────────────── │
//!   │ ─── Quit ───────────────────────────▶ │ only when no monitor is left; unmounts, ends the gate
//!   │ ◀── Bye ────────────────────────────── │
//! ```
//!
//! Every request gets exactly one reply, in order. `Failed` carries what was tried and why it failed.

use serde::{Deserialize, Serialize};

/// The protocol's version; a holder of another version is replaced, not spoken to.
pub const VERSION: u32 = 1;

/// Engine to holder.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Request {
    /// Opens the conversation.
    Hello {
        /// The engine's [`VERSION`].
        version: u32,
    },
    /// Starts a monitor. One descriptor: the monitor's end of a channel to the engine.
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
    /// Ends the holder and whatever it still runs.
    Quit,
}

/// Holder to engine.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Reply {
    /// Answer to `Hello`.
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
