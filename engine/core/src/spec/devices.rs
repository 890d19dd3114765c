//! Host devices in a container: bind mounts of the host's nodes, since a user namespace may not make any.

use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use crate::model::{ContainerSpec, DeviceMapping};
use crate::{Error, ErrorKind, Result};

/// A node to bind: host path, container path.
pub(crate) type Node = (PathBuf, String);

/// Nodes that every container has anyway, and folders that are its own.
const OWN: &[&str] = &[
    "console",
    "fd",
    "full",
    "mqueue",
    "null",
    "ptmx",
    "pts",
    "random",
    "shm",
    "stderr",
    "stdin",
    "stdout",
    "tty",
    "urandom",
    "zero",
    "core",
    "log",
    "hugepages",
    "initctl",
];

/// The nodes of a container. Rights in `rwm` cannot be narrowed without the device cgroup; the host's permissions hold.
pub(crate) fn nodes(spec: &ContainerSpec) -> Result<Vec<Node>> {
    if let Some(request) = spec.device_requests.first() {
        return Err(no_driver(request));
    }
    let mut out = Vec::new();
    if spec.privileged {
        all(Path::new("/dev"), true, &mut out);
    }
    for mapping in &spec.devices {
        expand(mapping, &mut out)?;
    }
    Ok(out)
}

fn no_driver(request: &serde_json::Value) -> Error {
    let driver = request.get("Driver").and_then(|d| d.as_str()).unwrap_or_default();
    let sets = request.get("Capabilities").and_then(|c| c.as_array()).cloned().unwrap_or_default();
    let set = |s: &serde_json::Value| {
        let words: Vec<&str> =
            s.as_array().map(|a| a.iter().filter_map(|w| w.as_str()).collect()).unwrap_or_default();
        format!("[{}]", words.join(" "))
    };
    let sets: Vec<String> = sets.iter().map(set).collect();
    Error::new(
        ErrorKind::Internal,
        format!(
            "could not select device driver {driver:?} with capabilities: [{}]",
            sets.join(" ")
        ),
    )
}

/// Every device below a folder, but for those that a container has itself.
fn all(folder: &Path, top: bool, out: &mut Vec<Node>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        if top && OWN.iter().any(|own| name == *own) {
            continue;
        }
        let path = entry.path();
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            all(&path, false, out);
        } else if kind.is_char_device() || kind.is_block_device() {
            if let Some(text) = path.to_str() {
                out.push((path.clone(), text.to_string()));
            }
        }
    }
}

/// One `--device`: a node, a symlink to one, or a folder of them.
fn expand(mapping: &DeviceMapping, out: &mut Vec<Node>) -> Result<()> {
    let failed = |why: &str| {
        Error::internal(format!(
            "error gathering device information while adding custom device \"{}\": {why}",
            mapping.host
        ))
    };
    let real = std::fs::canonicalize(&mapping.host).map_err(|e| {
        failed(if e.kind() == std::io::ErrorKind::NotFound {
            "no such file or directory"
        } else {
            "permission denied"
        })
    })?;
    let container =
        if mapping.container.is_empty() { mapping.host.clone() } else { mapping.container.clone() };
    let kind = std::fs::metadata(&real).map_err(|e| failed(&e.to_string()))?.file_type();
    if kind.is_dir() {
        let mut found = Vec::new();
        all(&real, false, &mut found);
        for (path, _) in found {
            if let Ok(rest) = path.strip_prefix(&real) {
                let inside = Path::new(&container).join(rest).to_string_lossy().into_owned();
                out.push((path, inside));
            }
        }
        return Ok(());
    }
    if !kind.is_char_device() && !kind.is_block_device() {
        return Err(failed("not a device node"));
    }
    out.push((real, container));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_device_has_dockers_text() {
        let mapping = DeviceMapping {
            host: "/dev/nosuch".into(),
            container: String::new(),
            permissions: "rwm".into(),
        };
        let error = expand(&mapping, &mut Vec::new()).unwrap_err();
        assert_eq!(
            error.message(),
            "error gathering device information while adding custom device \"/dev/nosuch\": no such file or directory"
        );
    }

    #[test]
    fn requests_for_drivers_are_refused() {
        let spec = ContainerSpec {
            device_requests: vec![serde_json::json!({"Driver": "", "Capabilities": [["gpu"]]})],
            ..ContainerSpec::default()
        };
        assert_eq!(
            nodes(&spec).unwrap_err().message(),
            "could not select device driver \"\" with capabilities: [[gpu]]"
        );
    }
}
