//! Capabilities: Docker's default set, and what `--cap-add` and `--cap-drop` make of it.

use oci_spec::runtime::Capability;

use crate::{Error, Result};

/// Docker's default set.
pub(crate) const DEFAULT: &[&str] = &[
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "MKNOD",
    "NET_RAW",
    "SETGID",
    "SETUID",
    "SETFCAP",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "KILL",
    "AUDIT_WRITE",
];

/// All that Linux knows (41 since 5.9), by number.
pub(crate) const ALL: &[&str] = &[
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// Names as Docker keeps them: upper case, `CAP_` in front, `ALL` as it is; each must exist.
pub(crate) fn normalize(names: &[String], field: &str) -> Result<Vec<String>> {
    let mut out = Vec::with_capacity(names.len());
    for name in names {
        let upper = name.to_ascii_uppercase();
        if upper == "ALL" || upper == "CAP_ALL" {
            out.push("ALL".to_string());
            continue;
        }
        let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
        if !ALL.contains(&bare) {
            return Err(Error::invalid(format!(
                "invalid {field}: unknown capability: \"CAP_{bare}\""
            )));
        }
        out.push(format!("CAP_{bare}"));
    }
    Ok(out)
}

/// The set of a container, in the kernel's order.
pub(crate) fn resolve(privileged: bool, add: &[String], drop: &[String]) -> Vec<Capability> {
    let has = |list: &[String], name: &str| {
        list.iter().any(|c| c.strip_prefix("CAP_").unwrap_or(c).eq_ignore_ascii_case(name))
    };
    let wanted = |name: &&&str| {
        if privileged {
            return true;
        }
        let all_dropped = has(drop, "ALL");
        let base = !all_dropped && (has(add, "ALL") || DEFAULT.contains(*name));
        (base && !has(drop, name)) || has(add, name)
    };
    ALL.iter().filter(wanted).filter_map(|name| name.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(names: &[&str]) -> Vec<String> {
        names.iter().map(|n| (*n).to_string()).collect()
    }

    #[test]
    fn every_name_is_known_to_the_oci_types() {
        assert_eq!(resolve(true, &[], &[]).len(), 41);
        assert_eq!(resolve(false, &[], &[]).len(), 14);
    }

    #[test]
    fn add_and_drop_work_as_dockers() {
        let only = resolve(false, &list(&["CAP_NET_ADMIN"]), &list(&["ALL"]));
        assert_eq!(only, [Capability::NetAdmin]);
        let all_but = resolve(false, &list(&["ALL"]), &list(&["CAP_MKNOD"]));
        assert_eq!(all_but.len(), 40);
        assert_eq!(resolve(false, &[], &list(&["CAP_KILL"])).len(), 13);
    }

    #[test]
    fn unknown_names_are_refused_in_dockers_words() {
        let error = normalize(&list(&["nosuch"]), "CapAdd").unwrap_err();
        assert_eq!(error.message(), "invalid CapAdd: unknown capability: \"CAP_NOSUCH\"");
        assert_eq!(
            normalize(&list(&["net_admin", "all"]), "CapAdd").unwrap(),
            ["CAP_NET_ADMIN", "ALL"]
        );
    }
}
