//! The id maps of a container's own user namespace.
//!
//! By default it has the same ids inside as the caller's namespace: what is mapped there is mapped here to itself.
//! So files need no chown and ids mean the same everywhere in Bryo, while capabilities, keyrings, ptrace rights and
//! process limits are the container's own. In single-id mode the caller's map has one id and so has this.

use oci_spec::runtime::{LinuxIdMapping, Spec};

use crate::error::{Context, Error, Result, plain};

/// Both maps, ready to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IdMaps {
    uids: String,
    gids: String,
}

impl IdMaps {
    /// The spec's maps if it has any, else the caller's own ids.
    pub(crate) fn of_spec(spec: &Spec) -> Result<IdMaps> {
        let linux = spec.linux().as_ref();
        let uids = linux.and_then(|l| l.uid_mappings().as_ref()).filter(|m| !m.is_empty());
        let gids = linux.and_then(|l| l.gid_mappings().as_ref()).filter(|m| !m.is_empty());
        Ok(IdMaps {
            uids: uids.map_or_else(|| same("/proc/self/uid_map"), |m| Ok(explicit(m)))?,
            gids: gids.map_or_else(|| same("/proc/self/gid_map"), |m| Ok(explicit(m)))?,
        })
    }

    /// Writes them for the process `pid`, the caller's child, which must still be dumpable.
    pub(crate) fn write(&self, pid: u32) -> Result<()> {
        for (file, map) in [("uid_map", &self.uids), ("gid_map", &self.gids)] {
            std::fs::write(format!("/proc/{pid}/{file}"), map).map_err(|e| {
                Error::other(format!("writing the container's {file} ({map:?}): {}", plain(&e)))
            })?;
        }
        Ok(())
    }
}

/// The caller's map as a map onto itself.
fn same(file: &str) -> Result<String> {
    let own = std::fs::read_to_string(file).context(|| format!("reading {file}"))?;
    Ok(own.lines().filter_map(same_extent).collect())
}

/// One extent ("inside outside count") mapped onto itself.
fn same_extent(line: &str) -> Option<String> {
    let mut fields = line.split_ascii_whitespace();
    let inside = fields.next()?;
    let count = fields.nth(1)?;
    Some(format!("{inside} {inside} {count}\n"))
}

fn explicit(map: &[LinuxIdMapping]) -> String {
    map.iter().map(|m| format!("{} {} {}\n", m.container_id(), m.host_id(), m.size())).collect()
}

/// Whether this user namespace forbids `setgroups` (single-id mode: its maps were written without privilege).
pub(crate) fn setgroups_denied() -> bool {
    std::fs::read_to_string("/proc/self/setgroups").is_ok_and(|s| s.trim() == "deny")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_extent_is_mapped_onto_itself() {
        assert_eq!(same_extent("         0       1000          1").unwrap(), "0 0 1\n");
        assert_eq!(same_extent("         1     100000      65536").unwrap(), "1 1 65536\n");
    }
}
