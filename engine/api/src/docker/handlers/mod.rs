//! The handlers: one file per group of endpoints. Each reads its request, makes one call of the engine, writes its answer.

pub mod archive;
pub mod attach;
pub mod container;
pub mod containers;
pub mod events;
pub mod exec;
pub mod images;
pub mod lifecycle;
pub mod logs;
pub mod networks;
pub mod stats;
pub mod system;
pub mod transfer;
pub mod volumes;
