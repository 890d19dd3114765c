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
    /// The program; the kernel takes at most 4096 instructions.
    pub fn instructions(&self) -> &[Instruction] {
        &self.code
    }

    /// The filter as bytes, for a cache; of this version of Bryo and this architecture only.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.flags.to_ne_bytes().to_vec();
        for instruction in &self.code {
            bytes.extend(instruction.code.to_ne_bytes());
            bytes.extend([instruction.jt, instruction.jf]);
            bytes.extend(instruction.k.to_ne_bytes());
        }
        bytes
    }

    /// The reverse; none if the bytes are not whole. The kernel checks the program when it is loaded.
    pub fn from_bytes(bytes: &[u8]) -> Option<Filter> {
        let (flags, code) = bytes.split_first_chunk::<4>()?;
        let chunks = code.chunks_exact(size_of::<Instruction>());
        if code.is_empty() || !chunks.remainder().is_empty() {
            return None;
        }
        let instruction = |chunk: &[u8]| -> Option<Instruction> {
            let [a, b, jt, jf, rest @ ..] = chunk else { return None };
            let k = u32::from_ne_bytes(rest.try_into().ok()?);
            Some(Instruction { code: u16::from_ne_bytes([*a, *b]), jt: *jt, jf: *jf, k })
        };
        let code = chunks.map(instruction).collect::<Option<Vec<_>>>()?;
        Some(Filter { code, flags: u32::from_ne_bytes(*flags) })
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

/// The filter compiled beforehand, else the spec's profile compiled now; none if there is neither.
pub(crate) fn of_spec(spec: &Spec, ready: Option<Filter>) -> Result<Option<Filter>> {
    if ready.is_some() {
        return Ok(ready);
    }
    let profile = spec.linux().as_ref().and_then(|l| l.seccomp().as_ref());
    profile.map(compile).transpose().map_err(|e| e.within("seccomp profile"))
}

/// An error about a profile.
fn bad(text: impl Into<String>) -> Error {
    Error::bad(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_survives_the_cache() {
        let filter = compile(&default_profile(&[])).unwrap();
        assert_eq!(Filter::from_bytes(&filter.to_bytes()).unwrap(), filter);
        assert!(Filter::from_bytes(b"").is_none());
        assert!(Filter::from_bytes(&[0; 4]).is_none());
        assert!(Filter::from_bytes(&[0; 11]).is_none());
    }
}
