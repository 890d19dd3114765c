//! Mounts of the `--mount` form, and mount points.

use bryo_core::model::{MountKind, MountPoint, MountSpec};
use bryo_spec::docker;

use super::super::error::{ApiError, Result};

/// A mount of a create body.
pub fn spec(m: docker::Mount) -> Result<MountSpec> {
    let kind = match m.r#type.as_str() {
        "bind" => MountKind::Bind,
        "volume" => MountKind::Volume,
        "tmpfs" => MountKind::Tmpfs,
        "image" => MountKind::Image,
        other => {
            return Err(ApiError::bad_request(format!(
                "invalid mount config for type \"{other}\": mount type unknown"
            )));
        }
    };
    let bind = m.bind_options.unwrap_or_default();
    let volume = m.volume_options.unwrap_or_default();
    let driver = volume.driver_config.unwrap_or_default();
    let tmpfs = m.tmpfs_options.unwrap_or_default();
    let image = m.image_options.unwrap_or_default();
    let subpath = if kind == MountKind::Image { image.subpath } else { volume.subpath };
    Ok(MountSpec {
        kind,
        source: m.source,
        target: m.target,
        read_only: m.read_only,
        consistency: m.consistency,
        propagation: bind.propagation,
        non_recursive: bind.non_recursive,
        create_mountpoint: bind.create_mountpoint,
        read_only_non_recursive: bind.read_only_non_recursive,
        read_only_force_recursive: bind.read_only_force_recursive,
        no_copy: volume.no_copy,
        subpath,
        labels: volume.labels,
        driver: driver.name,
        driver_options: driver.options,
        tmpfs_size: u64::try_from(tmpfs.size_bytes).unwrap_or_default(),
        tmpfs_mode: tmpfs.mode,
        tmpfs_options: tmpfs.options,
    })
}

/// The same mount as `HostConfig.Mounts` shows it.
pub fn wire(m: &MountSpec) -> docker::Mount {
    let bind = docker::BindOptions {
        propagation: m.propagation.clone(),
        non_recursive: m.non_recursive,
        create_mountpoint: m.create_mountpoint,
        read_only_non_recursive: m.read_only_non_recursive,
        read_only_force_recursive: m.read_only_force_recursive,
    };
    let driver = docker::DriverConfig { name: m.driver.clone(), options: m.driver_options.clone() };
    let is_volume = m.kind == MountKind::Volume;
    let volume = docker::VolumeOptions {
        no_copy: m.no_copy,
        labels: m.labels.clone(),
        subpath: if is_volume { m.subpath.clone() } else { String::new() },
        driver_config: unless_default(driver),
    };
    let tmpfs = docker::TmpfsOptions {
        size_bytes: i64::try_from(m.tmpfs_size).unwrap_or(i64::MAX),
        mode: m.tmpfs_mode,
        options: m.tmpfs_options.clone(),
    };
    let image = docker::ImageOptions {
        subpath: if m.kind == MountKind::Image { m.subpath.clone() } else { String::new() },
    };
    docker::Mount {
        r#type: kind(m.kind).to_owned(),
        source: m.source.clone(),
        target: m.target.clone(),
        read_only: m.read_only,
        consistency: m.consistency.clone(),
        bind_options: unless_default(bind),
        volume_options: unless_default(volume),
        image_options: unless_default(image),
        tmpfs_options: unless_default(tmpfs),
    }
}

fn unless_default<T: Default + PartialEq>(value: T) -> Option<T> {
    (value != T::default()).then_some(value)
}

fn kind(kind: MountKind) -> &'static str {
    match kind {
        MountKind::Bind => "bind",
        MountKind::Volume => "volume",
        MountKind::Tmpfs => "tmpfs",
        MountKind::Image => "image",
    }
}

/// A mount point of inspect and list.
pub fn point(m: &MountPoint) -> docker::MountPoint {
    docker::MountPoint {
        r#type: m.kind.clone(),
        name: m.name.clone(),
        source: m.source.clone(),
        destination: m.destination.clone(),
        driver: m.driver.clone(),
        mode: m.mode.clone(),
        rw: m.rw,
        propagation: m.propagation.clone(),
    }
}
