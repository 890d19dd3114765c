//! From a container's record to what a runtime can run: the OCI runtime spec.
//!
//! At **create** the request is checked ([`validate`], [`resources`], [`volumes`]) and merged with the image's settings
//! ([`merge`]). At **start** the record becomes a spec ([`oci`], with [`mounts`], [`process`], [`devices`]). All of it is a pure
//! function of its arguments, but for reading the image's `etc/passwd` and looking at bind sources and devices, and is
//! synchronous: callers run it under `spawn_blocking`.

pub(crate) mod caps;
pub(crate) mod cgroup;
pub(crate) mod devices;
pub(crate) mod logging;
pub(crate) mod merge;
pub(crate) mod mounts;
pub(crate) mod oci;
pub(crate) mod process;
pub(crate) mod resources;
pub(crate) mod seccomp;
pub(crate) mod security;
pub(crate) mod signals;
pub(crate) mod support;
pub(crate) mod user;
pub(crate) mod validate;
pub(crate) mod volumes;
pub(crate) mod warnings;
