//! The Docker Engine API, versions 1.24 to 1.56, on unix and TCP sockets.
//!
//! ```text
//!  socket ─▶ http::server ─▶ http::connection (hyper) ─▶ router ─▶ handlers ─▶ Engine
//!                                │  101/200, then raw bytes             │
//!                                └──── http::hijack ◀── attach, exec ◀──┘
//! ```
//!
//! A request becomes a [`call::Call`]; the [`router`] finds its handler; handlers live one file per group of endpoints
//! under `handlers`, translations between Docker's JSON and the engine's types under `convert`. What differs between API
//! versions is decided there, by [`version::Version`]. An error becomes `{"message": …}` with the status of its kind in
//! [`error`]. Attach and exec give the client's socket itself to the engine, so that a session outlives this process.

mod absent;
pub mod call;
mod convert;
mod error;
mod filters;
mod handlers;
mod http;
mod query;
mod reply;
mod router;
mod routes;
mod time;
pub mod version;

use std::sync::Arc;

use bryo_core::Engine;

pub(crate) use self::http::connection::Answers;
pub(crate) use self::http::hijack::Hijacker;
pub(crate) use self::http::server::run;
pub use self::http::server::{Listener, Options};
pub use self::http::tls;
pub(crate) use self::reply::{Reply, typed_text};

/// The version of Docker whose behaviour the answers follow; clients compare it with versions of Docker.
///
/// The part after `+` says whose build it is, in the form Debian's own builds of Docker use (`20.10.24+dfsg1`), which
/// clients' version parsers accept.
pub const SERVER_VERSION: &str = concat!("29.7.2+bryo", env!("CARGO_PKG_VERSION"));

/// Serves the API on the listeners until `options.stop` is cancelled; then lets answers in progress end.
pub async fn serve(
    engine: Engine,
    listeners: Vec<Listener>,
    options: Options,
) -> std::io::Result<()> {
    let door = Arc::new(router::Door::new(engine));
    run(door, listeners, options).await
}
