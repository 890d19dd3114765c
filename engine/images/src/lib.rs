//! Images: names, registries, verified blobs, layers unpacked in parallel, load and save, garbage
//! collection, and the trees that containers write into.
//!
//! **Data flow of a pull.** [`Reference`] → registry client (manifest, platform, configuration) → one
//! job per layer: the download appends to a partial file; behind it one thread reads what has
//! arrived, hashes, inflates and hashes again; another takes the tar apart and writes files below
//! `layers/.new/`. A layer whose two digests are right and whose parent is there is renamed into
//! place. When all are, the image's record and then its reference are written. Nothing earlier is
//! visible to anybody.
//!
//! **On failure.** A broken connection is retried from the byte where it stopped. A killed or
//! cancelled pull leaves partial files, which the next pull continues, and unfinished folders, which
//! the next [`Store::open`] removes. Wrong bytes remove the partial file and fail the pull. See
//! [`layout`] for the folder on disk and what is crash-safe about it.
//!
//! **Who calls.** All functions that touch the disk are synchronous, to be called from
//! `spawn_blocking`; [`Store::pull`] is async and looks after its threads itself. Everything runs
//! inside Bryo's user namespace, where uid 0 may `chown` within the map and `mknod` whiteouts.
//!
//! **What is not here**: decisions about containers, Docker's JSON, mounting (the monitor does that).

mod archive;
pub mod bundle;
pub mod diff;
mod digest;
mod embedded;
mod error;
mod image;
pub mod layout;
mod manifest;
mod merged;
mod platform;
mod pull;
mod reference;
mod registry;
mod settings;
mod snapshotter;
mod store;
mod tar;
#[cfg(test)]
mod testing;
pub mod tree;
pub mod unpack;

pub use digest::Digest;
pub use error::{Error, ErrorKind, Result};
pub use image::{
    ConfigDocument, HealthCheck, HistoryEntry, HistoryStep, Image, ImageConfig, Layer, RootFs,
};
pub use reference::{DOCKER_IO, Reference};
pub use settings::{Auth, IdMap, Progress, Registries, StoreSettings};
pub use snapshotter::{Snapshotter, SnapshotterKind};
pub use store::{
    CommitOptions, ImageFilter, ImportOptions, Loaded, Removed, Store, Usage, WritableLayer,
};
