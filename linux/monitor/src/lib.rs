//! One process per container: streams, log, exit code, exec.

pub mod messages;
