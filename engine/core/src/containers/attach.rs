//! A client's connection on its way to a monitor.

use std::os::fd::OwnedFd;

use crate::Result;
use crate::requests::not_yet;

/// A client that may attach to a container or an exec. Everything that can be refused was checked before this exists, so the
/// door answers `101` (or `200`) first and then calls [`Attachment::run`].
pub struct Attachment {
    tty: bool,
}

impl Attachment {
    /// The streams are a terminal's: raw, not framed.
    pub fn tty(&self) -> bool {
        self.tty
    }

    /// Hands the client's socket to the monitor, with what was already read from it, and returns when the stream ended.
    pub async fn run(self, client: OwnedFd, early_stdin: Vec<u8>) -> Result<()> {
        let _ = (client, early_stdin);
        not_yet("attach")
    }
}
