//! Events.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Something happened to something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// What it happened to.
    pub kind: EventKind,
    /// Docker's action word (`create`, `die`, `health_status: healthy`, `exec_create: ls -l` …).
    pub action: String,
    /// Id (containers, networks) or name (images, volumes).
    pub id: String,
    /// name, image, exitCode, labels …
    pub attributes: BTreeMap<String, String>,
    /// Nanoseconds since the epoch.
    pub time: i128,
}

/// Kinds of thing that have events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventKind {
    /// A container.
    Container,
    /// An image.
    Image,
    /// A network.
    Network,
    /// A volume.
    Volume,
    /// The engine itself.
    Daemon,
}

impl EventKind {
    /// Docker's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            EventKind::Container => "container",
            EventKind::Image => "image",
            EventKind::Network => "network",
            EventKind::Volume => "volume",
            EventKind::Daemon => "daemon",
        }
    }
}
