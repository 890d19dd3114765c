//! The engine's doors: they translate other people's APIs to calls of [`bryo_core::Engine`] and back, and decide nothing.
//!
//! [`docker`] is the Docker Engine API, [`metrics`] what Prometheus reads. Start reading at [`docker::serve`].

pub mod docker;
pub mod metrics;

pub use docker::{Listener, Options, serve};
