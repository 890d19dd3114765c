//! The container network: bridges, veth, addresses, firewall, published ports and outbound flows (the gate).

pub mod messages;
pub use messages::{Endpoint, GateConfig, Network, Protocol, Publication};
