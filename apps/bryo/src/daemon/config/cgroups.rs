//! `exec-opts` and `cgroup-parent`.

use bryo_core::CgroupDriver;
use bryo_rootless::SetupError;

use super::typed::{Values, invalid};

/// `native.cgroupdriver=…`; the last one wins, as in dockerd.
pub(super) fn driver(v: &Values<'_>) -> Result<CgroupDriver, SetupError> {
    let mut driver = CgroupDriver::Auto;
    for option in v.list("exec-opts") {
        let value = match option.split_once('=') {
            Some((key, value)) if key.trim().eq_ignore_ascii_case("native.cgroupdriver") => value,
            _ => return Err(invalid("exec-opts", &option, "only native.cgroupdriver is known")),
        };
        driver = match value.trim() {
            "systemd" => CgroupDriver::Systemd,
            "cgroupfs" => CgroupDriver::Cgroupfs,
            "none" => CgroupDriver::None,
            other => {
                let why = format!("native.cgroupdriver option {other} not supported");
                return Err(invalid("exec-opts", &option, &why));
            }
        };
    }
    let unified = std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    if driver == CgroupDriver::Systemd && !unified {
        let why = "exec-opt native.cgroupdriver=systemd requires cgroup v2 for rootless mode";
        return Err(invalid("exec-opts", "native.cgroupdriver=systemd", why));
    }
    Ok(driver)
}

/// With systemd a slice, else an absolute path below `/sys/fs/cgroup`.
pub(super) fn parent(v: &Values<'_>) -> Result<String, SetupError> {
    let text = v.text("cgroup-parent").unwrap_or_default();
    let slice = text.len() > ".slice".len() && text.ends_with(".slice");
    if driver(v)? == CgroupDriver::Systemd && !text.is_empty() && !slice {
        let why = "cgroup-parent for systemd cgroup should be a valid slice named as \"xxx.slice\"";
        return Err(invalid("cgroup-parent", text, why));
    }
    Ok(text.to_owned())
}
