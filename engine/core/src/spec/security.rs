//! `--security-opt`: seccomp, no-new-privileges, unmasked paths; labels and AppArmor are taken and said not to hold.

use bryo_runtime::seccomp;
use oci_spec::runtime::{Capability, LinuxSeccomp};

use crate::{Error, Result};

/// What the options come to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Security {
    pub no_new_privileges: bool,
    /// `unconfined`, `builtin`, or a profile's JSON; none: the engine's default.
    pub seccomp: Option<String>,
    /// Nothing masked, nothing read-only.
    pub unmasked: bool,
    /// cgroup files may be written (where a cgroup is the container's own).
    pub writable_cgroups: bool,
    pub warnings: Vec<String>,
}

/// Refuses what is not understood.
pub(crate) fn check(options: &[String]) -> Result<()> {
    parse(options).map(|_| ())
}

/// Reads the options; `key=value` or, as long ago, `key:value`.
pub(crate) fn parse(options: &[String]) -> Result<Security> {
    let mut out = Security::default();
    for option in options {
        if option == "no-new-privileges" {
            out.no_new_privileges = true;
            continue;
        }
        if option == "disable" {
            continue;
        }
        let split = option.split_once('=').or_else(|| option.split_once(':'));
        let Some((key, value)) = split else {
            return Err(Error::invalid(format!("invalid --security-opt 1: {option:?}")));
        };
        let flag = || {
            value
                .parse::<bool>()
                .map_err(|_| Error::invalid(format!("invalid --security-opt 2: {option:?}")))
        };
        match key {
            "no-new-privileges" => out.no_new_privileges = flag()?,
            "writable-cgroups" => out.writable_cgroups = flag()?,
            "seccomp" => out.seccomp = Some(value.to_string()),
            "systempaths" if value == "unconfined" => out.unmasked = true,
            "label" => {
                if value != "disable" {
                    out.warnings.push(format!(
                        "SELinux labels are not set by Bryo: --security-opt {option} is kept and has no effect."
                    ));
                }
            }
            "apparmor" => {
                if value != "unconfined" {
                    out.warnings.push(format!(
                        "AppArmor profiles are not applied by Bryo: --security-opt {option} is kept and has no effect."
                    ));
                }
            }
            _ => return Err(Error::invalid(format!("invalid --security-opt 2: {option:?}"))),
        }
    }
    Ok(out)
}

/// The seccomp profile of a container with these capabilities; none: unconfined.
pub(crate) fn profile(
    asked: Option<&str>,
    engine_default: Option<&str>,
    privileged: bool,
    capabilities: &[Capability],
) -> Result<Option<LinuxSeccomp>> {
    let wrong = |e: bryo_runtime::Error| {
        Error::invalid(format!("opening seccomp profile failed: {}", e.message()))
    };
    match asked {
        Some("unconfined") => Ok(None),
        None if privileged => Ok(None),
        Some("builtin") => Ok(Some(seccomp::default_profile(capabilities))),
        Some(json) => {
            seccomp::parse_profile(json.as_bytes(), capabilities).map(Some).map_err(wrong)
        }
        None => match engine_default {
            None | Some("" | "builtin" | "default") => {
                Ok(Some(seccomp::default_profile(capabilities)))
            }
            Some("unconfined") => Ok(None),
            Some(path) => {
                let json = std::fs::read(path).map_err(|e| {
                    Error::internal(format!("opening seccomp profile ({path}) failed: {e}"))
                })?;
                seccomp::parse_profile(&json, capabilities).map(Some).map_err(wrong)
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(options: &[&str]) -> Result<Security> {
        parse(&options.iter().map(|o| (*o).to_string()).collect::<Vec<_>>())
    }

    #[test]
    fn options_are_read_in_both_spellings() {
        let s = of(&["no-new-privileges:true", "seccomp=unconfined", "systempaths=unconfined"])
            .unwrap();
        assert!(s.no_new_privileges && s.unmasked);
        assert_eq!(s.seccomp.as_deref(), Some("unconfined"));
        assert_eq!(of(&["apparmor=x"]).unwrap().warnings.len(), 1);
        assert_eq!(of(&["x"]).unwrap_err().message(), "invalid --security-opt 1: \"x\"");
        assert_eq!(of(&["x=y"]).unwrap_err().message(), "invalid --security-opt 2: \"x=y\"");
    }
}
