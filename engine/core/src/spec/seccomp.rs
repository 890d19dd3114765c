//! Which seccomp profile a container has, and its compiled form.
//!
//! ```text
//! --security-opt, daemon.json ─▶ Choice ─┬─▶ OCI profile ─▶ config.json            (external runtimes)
//!                                        └─▶ Filters ─▶ bytes ─▶ the bundle's filter (the built-in one)
//! ```
//!
//! Making and compiling Docker's profile takes half a millisecond, sending it through config.json as long again, and nearly
//! every container has the same: so a compiled filter is kept for each pair of profile and capabilities. A profile that
//! cannot be read or compiled refuses the start.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use bryo_runtime::seccomp;
use oci_spec::runtime::{Capability, LinuxSeccomp};

use crate::util::lock;
use crate::{Error, Result};

/// Filters that are kept, of 4 KiB each; more kinds of container than this at a time are not expected.
const MOST_KEPT: usize = 64;

/// Where the profile comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Choice {
    Unconfined,
    BuiltIn,
    /// A profile in Docker's format.
    Json(Vec<u8>),
}

impl Choice {
    /// What a container's `--security-opt` and the engine's setting come to.
    pub(crate) fn of(
        asked: Option<&str>,
        engine_default: Option<&str>,
        privileged: bool,
    ) -> Result<Choice> {
        Ok(match asked {
            Some("unconfined") => Choice::Unconfined,
            None if privileged => Choice::Unconfined,
            Some("builtin") => Choice::BuiltIn,
            Some(json) => Choice::Json(json.as_bytes().to_vec()),
            None => match engine_default {
                None | Some("" | "builtin" | "default") => Choice::BuiltIn,
                Some("unconfined") => Choice::Unconfined,
                Some(path) => Choice::Json(std::fs::read(path).map_err(|e| {
                    Error::internal(format!("opening seccomp profile ({path}) failed: {e}"))
                })?),
            },
        })
    }

    /// The profile of a container with these capabilities; none: unconfined.
    pub(crate) fn profile(&self, capabilities: &[Capability]) -> Result<Option<LinuxSeccomp>> {
        match self {
            Choice::Unconfined => Ok(None),
            Choice::BuiltIn => Ok(Some(seccomp::default_profile(capabilities))),
            Choice::Json(json) => {
                seccomp::parse_profile(json, capabilities).map(Some).map_err(wrong)
            }
        }
    }
}

fn wrong(e: bryo_runtime::Error) -> Error {
    Error::invalid(format!("opening seccomp profile failed: {}", e.message()))
}

/// Filters by what they were made of; capabilities in the kernel's order.
type Kept = HashMap<(Choice, Vec<Capability>), Arc<[u8]>>;

/// Compiled filters.
#[derive(Debug, Default)]
pub(crate) struct Filters {
    kept: Mutex<Kept>,
}

impl Filters {
    /// The filter in the form of the bundle's file; none: unconfined.
    pub(crate) fn get(
        &self,
        choice: Choice,
        capabilities: &[Capability],
    ) -> Result<Option<Arc<[u8]>>> {
        if choice == Choice::Unconfined {
            return Ok(None);
        }
        let key = (choice, capabilities.to_vec());
        if let Some(found) = lock(&self.kept).get(&key) {
            return Ok(Some(found.clone()));
        }
        let Some(profile) = key.0.profile(capabilities)? else { return Ok(None) };
        let filter = seccomp::compile(&profile).map_err(wrong)?;
        let bytes: Arc<[u8]> = filter.to_bytes().into();
        let mut kept = lock(&self.kept);
        if kept.len() >= MOST_KEPT {
            kept.clear();
        }
        kept.insert(key, bytes.clone());
        Ok(Some(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_container_s_word_comes_before_the_engine_s() {
        let of = |asked, engine, privileged| Choice::of(asked, engine, privileged).unwrap();
        assert_eq!(of(None, None, false), Choice::BuiltIn);
        assert_eq!(of(None, Some("unconfined"), false), Choice::Unconfined);
        assert_eq!(of(Some("builtin"), Some("unconfined"), true), Choice::BuiltIn);
        assert_eq!(of(None, None, true), Choice::Unconfined);
        assert!(Choice::of(None, Some("/no/such/file"), false).is_err());
    }

    #[test]
    fn filters_are_kept_apart_by_profile_and_capabilities() {
        let filters = Filters::default();
        let get = |choice, caps: &[Capability]| filters.get(choice, caps).unwrap();
        let plain = get(Choice::BuiltIn, &[]).unwrap();
        assert!(Arc::ptr_eq(&plain, &get(Choice::BuiltIn, &[]).unwrap()));
        let admin = get(Choice::BuiltIn, &[Capability::SysAdmin]).unwrap();
        assert_ne!(plain, admin);
        let json = br#"{"defaultAction":"SCMP_ACT_ALLOW"}"#.to_vec();
        assert_ne!(get(Choice::Json(json), &[]).unwrap(), plain);
        assert!(get(Choice::Unconfined, &[]).is_none());
        let broken = filters.get(Choice::Json(b"{".to_vec()), &[]).unwrap_err();
        assert!(broken.message().starts_with("opening seccomp profile failed: "));
    }
}
