//! Real containers under real monitors: as a plain user in a user namespace of its own, or as root in one.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod engines;
mod execs;
mod external;
mod harness;
mod life;
mod logs;
mod network;
mod streams;
mod terminal;
