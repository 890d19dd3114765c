//! What every command gets.

use super::client::Client;

/// See above.
#[derive(Debug, Clone)]
pub struct Context {
    /// The daemon.
    pub client: Client,
}
