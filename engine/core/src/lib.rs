//! Containers, volumes, networks, events: the engine's decisions. Async, owns all state, never calls the kernel itself.
//!
//! Start reading at [`engine`] (the facade), then `containers` (one owner task per container).

mod archive;
pub mod cgroups;
mod containers;
pub mod engine;
pub mod error;
mod events;
mod exec;
mod gate;
mod images;
mod info;
mod link;
mod metrics;
pub mod model;
mod names;
mod networks;
mod records;
pub mod requests;
pub mod settings;
mod spec;
mod stats;
mod top;
mod usage;
mod util;
mod volumes;

pub use containers::Attachment;
pub use engine::Engine;
pub use error::{Error, ErrorKind, Result};
pub use requests::*;
pub use settings::{CgroupDriver, Reloadable, RuntimeDef, Settings};
