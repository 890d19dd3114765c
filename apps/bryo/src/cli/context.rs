//! What every command gets.

use super::client::{Client, Host};
use super::config::ConfigDir;

/// See above.
#[derive(Debug, Clone)]
pub struct Context {
    /// The daemon.
    pub client: Client,
    /// docker's configuration folder.
    pub config: ConfigDir,
    /// The context's name.
    pub name: String,
    /// Where the daemon of the context `default` is.
    pub default_host: Host,
    /// What the command line calls itself.
    pub program: &'static str,
}
