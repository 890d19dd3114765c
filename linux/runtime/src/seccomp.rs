//! Seccomp profiles: Docker's default, Docker's file format, and the compiler to BPF.

use std::path::Path;

use oci_spec::runtime::{Capability, LinuxSeccomp};

use crate::{Error, Result};

/// A compiled filter: classic BPF, ready to load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    code: Vec<u8>,
}

impl Filter {
    /// The program as bytes, eight an instruction in the kernel's `sock_filter` layout, for a cache.
    pub fn as_bytes(&self) -> &[u8] {
        &self.code
    }

    pub(crate) fn load(&self) -> Result<()> {
        Ok(())
    }
}

/// The filter of a spec: the one compiled beforehand, or compiled now; none if the spec has no profile.
pub(crate) fn of_spec(
    spec: &oci_spec::runtime::Spec,
    ready: Option<Filter>,
) -> Result<Option<Filter>> {
    match spec.linux().as_ref().and_then(|l| l.seccomp().as_ref()) {
        Some(profile) => ready.map_or_else(|| compile(profile), Ok).map(Some),
        None => Ok(None),
    }
}

/// Docker's default profile for a container with these capabilities (the bounding set), for this machine's
/// architecture.
pub fn default_profile(capabilities: &[Capability]) -> LinuxSeccomp {
    let _ = capabilities;
    LinuxSeccomp::default()
}

/// A profile in Docker's JSON format (`--security-opt seccomp=FILE`, with `includes`, `excludes`, `archMap`),
/// resolved for these capabilities, this architecture and this kernel.
pub fn parse_profile(json: &[u8], capabilities: &[Capability]) -> Result<LinuxSeccomp> {
    let _ = (json, capabilities);
    Err(Error::other("the runtime is not finished"))
}

/// Compiles a profile.
pub fn compile(profile: &LinuxSeccomp) -> Result<Filter> {
    let _ = profile;
    Err(Error::other("the runtime is not finished"))
}

/// Compiles a profile, or takes it from `folder` if it was compiled before by the same version of Bryo.
pub fn compile_cached(profile: &LinuxSeccomp, folder: &Path) -> Result<Filter> {
    let _ = folder;
    compile(profile)
}
