//! Seccomp profiles: Docker's default, Docker's file format, and a compiler to the kernel's filters.
//!
//! ```text
//! default.profile ─┐
//!                  ├─▶ docker: conditions decided ─▶ LinuxSeccomp (OCI) ─▶ rules: a table per architecture ─▶ bpf
//! Docker's JSON ───┘
//! ```
//!
//! The kernel checks, translates and probes a filter when it is loaded, in time that grows with its length and with the
//! steps it takes for each syscall number (the probe fills a bitmap of always-allowed ones, Linux 5.11). So numbers
//! are merged to ranges and found by a binary search.

mod bpf;
mod docker;
mod rules;

use std::fmt;

use bryo_sys::seccomp::{FLAG_LOG, FLAG_SPEC_ALLOW, Instruction, load};
use oci_spec::runtime::{LinuxSeccomp, LinuxSeccompFilterFlag, Spec};

use crate::error::{Context, Error, Result};

pub use docker::{default_profile, parse_profile};

/// A compiled filter, ready to load; compiling Docker's profile takes well under a millisecond, loading a tenth of one.
#[derive(Clone, PartialEq, Eq)]
pub struct Filter {
    code: Vec<Instruction>,
    flags: u32,
}

impl Filter {
    /// The number of instructions; the kernel takes at most 4096.
    pub fn len(&self) -> usize {
        self.code.len()
    }

    /// Whether there is nothing to load.
    pub fn is_empty(&self) -> bool {
        self.code.is_empty()
    }

    /// Installs it for this process and its descendants.
    pub(crate) fn load(&self) -> Result<()> {
        load(&self.code, self.flags).context(|| "loading the seccomp filter")
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Filter({} instructions)", self.code.len())
    }
}

/// Compiles a profile.
pub fn compile(profile: &LinuxSeccomp) -> Result<Filter> {
    let code = bpf::program(&rules::tables(profile)?)?;
    // Without a word of the profile's own the mitigation that costs speed and protects little stays off, as elsewhere.
    let flags = match profile.flags() {
        None => FLAG_SPEC_ALLOW,
        Some(list) => list.iter().fold(0, |all, flag| {
            all | match flag {
                LinuxSeccompFilterFlag::SeccompFilterFlagLog => FLAG_LOG,
                LinuxSeccompFilterFlag::SeccompFilterFlagSpecAllow => FLAG_SPEC_ALLOW,
                // All threads at once: there is one.
                LinuxSeccompFilterFlag::SeccompFilterFlagTsync => 0,
            }
        }),
    };
    Ok(Filter { code, flags })
}

/// The filter of a spec: the one compiled beforehand, or compiled now; none if the spec has no profile.
pub(crate) fn of_spec(spec: &Spec, ready: Option<Filter>) -> Result<Option<Filter>> {
    match spec.linux().as_ref().and_then(|l| l.seccomp().as_ref()) {
        Some(profile) => {
            let filter = ready.map_or_else(|| compile(profile), Ok);
            filter.map(Some).map_err(|e| e.within("seccomp profile"))
        }
        None => Ok(None),
    }
}

/// An error about a profile.
fn bad(text: impl Into<String>) -> Error {
    Error::bad(text)
}
