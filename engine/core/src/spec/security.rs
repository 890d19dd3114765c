//! `--security-opt`: no-new-privileges, unmasked paths, the name of a seccomp profile ([`super::seccomp`] reads it); labels and
//! AppArmor are taken and said not to hold.

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
