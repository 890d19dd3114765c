//! What the store is told by its owner; the library reads no environment and no configuration file.

use std::path::PathBuf;

use crate::snapshotter::Snapshotter;

/// See [`crate::Store::open`].
#[derive(Debug, Clone)]
pub struct StoreSettings {
    /// Folder of the store, made if missing.
    pub root: PathBuf,
    /// Registries spoken to without TLS, or with certificates nobody signed: `host:port` or CIDRs.
    /// Loopback addresses always are.
    pub insecure_registries: Vec<String>,
    /// Mirrors of docker.io, tried in order before it: `https://host[:port]`.
    pub mirrors: Vec<String>,
    /// Layers downloaded at the same time, over all pulls; 0 means 3.
    pub max_concurrent_downloads: usize,
    /// Which owners files may have.
    pub ids: IdMap,
    /// How layers become a root filesystem; from [`Snapshotter::probe`].
    pub snapshotter: Snapshotter,
    /// Goes out as `User-Agent`.
    pub user_agent: String,
}

/// The ids that exist in the user namespace: `0..uids` and `0..gids`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdMap {
    /// Number of user ids.
    pub uids: u32,
    /// Number of group ids.
    pub gids: u32,
    /// Only id 0 is there: every file becomes the user's own instead of being refused.
    pub single: bool,
    /// The user's name on the host, for the remedy in messages.
    pub user: String,
    /// The user's id on the host.
    pub host_uid: u32,
}

/// What may change while the store is open.
#[derive(Debug, Clone, Default)]
pub struct Registries {
    /// See [`StoreSettings::insecure_registries`].
    pub insecure: Vec<String>,
    /// See [`StoreSettings::mirrors`].
    pub mirrors: Vec<String>,
}

/// Credentials for one registry, as clients send them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Auth {
    /// Name.
    pub username: String,
    /// Password or access token.
    pub password: String,
    /// An OAuth refresh token, instead of name and password.
    pub identity_token: String,
    /// A bearer token to be sent as it is.
    pub registry_token: String,
}

impl Auth {
    /// Whether nothing is given.
    pub fn is_empty(&self) -> bool {
        self.username.is_empty() && self.identity_token.is_empty() && self.registry_token.is_empty()
    }
}

/// A line of a pull, in Docker's words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// Short id of a layer, or the tag on the first line.
    pub id: Option<String>,
    /// `Downloading`, `Pull complete`, `Digest: sha256:…` …
    pub status: String,
    /// Bytes so far.
    pub current: Option<u64>,
    /// Bytes in all.
    pub total: Option<u64>,
}

impl Progress {
    /// A line without a layer.
    pub(crate) fn line(status: impl Into<String>) -> Progress {
        Progress { status: status.into(), ..Progress::default() }
    }

    /// A line about a layer.
    pub(crate) fn layer(id: &str, status: &str) -> Progress {
        Progress { id: Some(id.to_owned()), status: status.to_owned(), ..Progress::default() }
    }
}
