//! Containers, volumes, networks, events: the engine's decisions. Async, owns all state, never calls the kernel itself.

pub mod error;
pub mod model;

pub use error::{Error, ErrorKind, Result};
