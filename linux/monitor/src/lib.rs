//! One process per container: streams, log, exit code, exec.
//!
//! The holder forks it (no exec), so it lives in Bryo's user and mount namespace and in the host's pid namespace. It is
//! single-threaded and synchronous, and everything a running container needs from Bryo is in it, so that the engine
//! may be killed, restarted and upgraded while the container runs.
//!
//! ```text
//! engine ── messages.rs ──▶ requests ──▶ start / exec ──▶ bryo-runtime (or an external runtime)
//!    ▲                         │                             │ pid, pipes or terminal
//!    └──── events ◀── end ◀────┴── poller (one epoll) ◀──────┤
//!                     │                    │                 ▼
//!                     ▼                    └─────▶ streams ──▶ log, clients
//!                 state.json
//! ```
//!
//! What it promises:
//! - It never waits for an engine, and for a client only by not reading the program's output (`streams`).
//! - The order at the end: output drained, log complete, `state.json` written, [`messages::Event::Exited`], clients closed.
//! - If it is killed itself, the kernel kills the container's first process (PR_SET_PDEATHSIG, set by the runtime) and
//!   with it the pid namespace; `state.json` is then left without an exit, which tells the engine. A container of
//!   an external runtime is found by the pid in `state.json` instead.
//! - It holds no lock and no thread, and little memory: the spec is read when it is needed and dropped.

mod bundle;
pub mod client;
mod end;
mod engines;
mod exec;
mod external;
mod limits;
pub mod log;
pub mod messages;
mod monitor;
mod oom;
mod poller;
mod requests;
mod start;
mod streams;
mod usage;
mod watcher;

pub use monitor::run;
