//! The user namespace and what lives in it: id maps, holder.

pub mod messages;
