//! Containers, volumes, networks, events: the engine's decisions. Async, owns all state, never calls the kernel itself.
//!
//! Start reading at [`engine`] (the facade), then `containers` (one owner task per container).

mod archive;
pub mod containers;
pub mod engine;
pub mod error;
mod exec;
mod images;
pub mod model;
mod networks;
pub mod requests;
pub mod settings;
mod top;
mod usage;
mod volumes;

pub use containers::Attachment;
pub use engine::Engine;
pub use error::{Error, ErrorKind, Result};
pub use requests::*;
pub use settings::{Reloadable, RuntimeDef, Settings};
mod events;
mod link;
mod names;
mod records;
mod util;
