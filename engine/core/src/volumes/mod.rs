//! Volumes: named folders that outlive containers.
//!
//! A volume is a record of the kind `volume` and a folder `DATA_ROOT/volumes/NAME/_data`. One with driver options
//! (`type`, `o`, `device`) is mounted on that folder while containers use it, in Bryo's own mount namespace: the host sees an
//! empty folder, and nothing is left mounted when the holder ends. Who uses a volume is read from the containers' records,
//! so there is no count that could be wrong.

mod facade;
mod local;
mod store;

pub(crate) use facade::{make, remove, users};
pub(crate) use store::Volumes;
