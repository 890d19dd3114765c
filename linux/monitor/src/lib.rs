//! One process per container: streams, log, exit code, exec.

pub mod client;
pub mod log;
pub mod messages;
