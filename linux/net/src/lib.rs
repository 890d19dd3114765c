//! The container network: bridges, veth, addresses, firewall, published ports and outbound flows (the gate).

mod attach;
mod client;
mod error;
mod firewall;
mod gate;
pub mod messages;
mod rtnl;

pub use attach::{attach, detach, loopback_up};
pub use client::{GateClient, GateError, Ready, State};
pub use error::Error;
pub use gate::run_gate;
pub use messages::{Endpoint, GateConfig, Network, Protocol, Publication, Refusal};
