//! The JSON of the Docker Engine API, as it goes over the socket.
//!
//! Every field may be missing or `null` in a request, as in Go; in an answer the presence of each field is what
//! `dockerd` shows, because strict clients fail on missing or null ones. A field that only some API versions have is an
//! `Option` left out when `None`; the door decides by version.
#![allow(missing_docs, reason = "field names are Docker's own; engine-api.yaml describes each")]

#[macro_use]
mod wire;

mod config;
mod endpoint;
mod event;
mod exec;
mod host_config;
mod image;
mod inspect;
mod network;
mod progress;
mod stats;
mod summary;
mod system;
pub mod units;
mod usage;
mod volume;

pub use config::*;
pub use endpoint::*;
pub use event::*;
pub use exec::*;
pub use host_config::*;
pub use image::*;
pub use inspect::*;
pub use network::*;
pub use progress::*;
pub use stats::*;
pub use summary::*;
pub use system::*;
pub use usage::*;
pub use volume::*;
