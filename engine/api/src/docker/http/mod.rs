//! HTTP under the API: listeners, connections, TLS, and connections that stop being HTTP.

pub mod connection;
pub mod hijack;
pub mod io;
pub mod server;
pub mod tls;
pub mod upload;
