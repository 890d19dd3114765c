//! The container network: bridges, veth, addresses, firewall, published ports and outbound flows (the gate).
//!
//! All bridges of a user live in one network namespace that has no link to the host. The **gate** is the only way in and
//! out: a process in the host's namespace that joins ordinary sockets there with transparent sockets inside, so that the
//! kernel is the TCP stack on both sides and a container sees its clients' own addresses. Start reading at
//! [`run_gate`]'s module; `messages.rs` is what the engine and the gate say to each other, [`GateClient`] the engine's
//! end of it.
//!
//! [`attach`] joins a container to a bridge; the monitor calls it. It needs nothing of the gate but the bridge.
//!
//! | address | is |
//! |---|---|
//! | a network's gateway (172.17.0.1) | the host, seen from its containers: published ports, then what the host serves on its own addresses, never its loopback |
//! | the gateway, port 53 | the host's resolvers, also those on its loopback: write it into resolv.conf where the host's names 127.0.0.53 |
//! | 127.0.0.11, port 53 | the container's resolver (`gate/names`), on networks with names |
//! | 192.0.0.8 | the source of ICMP errors from the gate (RFC 7600) |
//!
//! Absent by design: address translation, connection tracking, helper programs, a TCP stack of our own.

mod attach;
mod client;
mod error;
mod firewall;
mod gate;
pub mod messages;
mod routes;
mod rtnl;

pub use attach::{attach, detach, loopback_up};
pub use client::{GateClient, GateError, Ready, State};
pub use error::Error;
pub use gate::{port_holder, probe, resolver_sockets, run_gate};
pub use messages::{Endpoint, GateConfig, Names, Network, Place, Protocol, Publication, Refusal};
pub use routes::routed;
