//! Between Docker's JSON and the engine's types: one file per noun and direction.

pub mod create;
pub mod endpoint;
pub mod exec;
pub mod host;
pub mod image;
pub mod image_inspect;
pub mod info;
pub mod inspect;
pub mod mount;
pub mod network;
pub mod port;
pub mod stats;
pub mod summary;
pub mod usage;
pub mod volume;
