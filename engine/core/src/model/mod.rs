//! The engine's own vocabulary: what a container, a network, a volume, an event *is*, apart from any API's JSON.
//!
//! The doors (`engine/api`) translate Docker's (later Kubernetes') shapes to and from these types; records on disk are
//! these types, serialised. Times are nanoseconds since the epoch, sizes are bytes, unless a field says otherwise.

mod container;
mod event;
mod filter;
mod image;
mod network;
mod view;
mod volume;

pub use container::*;
pub use event::*;
pub use filter::*;
pub use image::*;
pub use network::*;
pub use view::*;
pub use volume::*;
