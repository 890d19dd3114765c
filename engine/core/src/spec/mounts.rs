//! The mounts of a container, in Docker's order: the kernel's filesystems, then files and volumes by depth.

use std::path::{Path, PathBuf};

use oci_spec::runtime::{Mount as OciMount, MountBuilder};

use crate::containers::record::{Mount, path_text};
use crate::model::{ContainerSpec, NetworkMode};
use crate::spec::process::broken;
use crate::spec::volumes::DOCKER_SOCKETS;
use crate::{Error, Result};

/// What the mounts depend on besides the request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Surroundings {
    pub single_id: bool,
    /// The engine's own socket.
    pub docker_socket: Option<PathBuf>,
    pub default_shm_size: u64,
    /// Host folder that is /dev/shm (shareable: the container's own; `container:`: the other's).
    pub shm_folder: Option<PathBuf>,
    /// Files to bind: container path, host path.
    pub files: Vec<(&'static str, PathBuf)>,
    /// Layers of images that are mounted, by source, topmost first.
    pub images: Vec<(String, Vec<PathBuf>)>,
    /// The cgroup namespace is the container's own.
    pub own_cgroups: bool,
}

/// The whole list.
pub(crate) fn all(
    spec: &ContainerSpec,
    mounts: &[Mount],
    devices: &[super::devices::Node],
    around: &Surroundings,
) -> Result<Vec<OciMount>> {
    let mut out = kernel(spec, around)?;
    let mut own: Vec<(String, OciMount)> = Vec::new();
    for (inside, outside) in &around.files {
        // A mount of the user's on the same path wins.
        if mounts.iter().any(|m| m.point.destination == *inside) {
            continue;
        }
        let options = with(&["rbind", "rprivate"], spec.read_only.then_some("ro"));
        own.push(((*inside).to_string(), entry(inside, "bind", &path_text(outside), &options)?));
    }
    for mount in mounts {
        own.push((mount.point.destination.clone(), user(mount, around)?));
    }
    own.sort_by_key(|(path, _)| path.matches('/').count());
    let replaced =
        |m: &OciMount| own.iter().any(|(path, _)| Path::new(path) == m.destination().as_path());
    out.retain(|m| !replaced(m));
    out.extend(own.into_iter().map(|(_, mount)| mount));
    for (host, inside) in devices {
        out.push(entry(
            inside,
            "bind",
            &path_text(host),
            &with(&["bind", "rprivate", "nosuid", "noexec"], None),
        )?);
    }
    Ok(out)
}

fn with(options: &[&str], more: Option<&str>) -> Vec<String> {
    options.iter().copied().chain(more).map(str::to_string).collect()
}

fn entry(to: &str, kind: &str, source: &str, options: &[String]) -> Result<OciMount> {
    MountBuilder::default()
        .destination(to)
        .typ(kind)
        .source(source)
        .options(options.to_vec())
        .build()
        .map_err(broken)
}

/// /proc, /dev, /dev/pts, /sys, /sys/fs/cgroup, /dev/mqueue, /dev/shm.
///
/// Where a namespace is the host's, its filesystem cannot be mounted anew from a user namespace (the kernel wants
/// CAP_SYS_ADMIN over the namespace's owner), so the host's is bound instead.
fn kernel(spec: &ContainerSpec, around: &Surroundings) -> Result<Vec<OciMount>> {
    let read_only = (!spec.privileged).then_some("ro");
    let hardened = ["nosuid", "noexec", "nodev"];
    let mut out = Vec::with_capacity(16);
    out.push(if spec.pid_mode == "host" {
        entry(
            "/proc",
            "bind",
            "/proc",
            &with(&["rbind", "rprivate", "nosuid", "noexec", "nodev"], None),
        )?
    } else {
        entry("/proc", "proc", "proc", &with(&hardened, None))?
    });
    let dev = with(&["nosuid", "strictatime", "mode=755", "size=65536k"], None);
    out.push(entry("/dev", "tmpfs", "tmpfs", &dev)?);
    // Group 5 is tty; in single-id mode there is no such group.
    let tty_group = (!around.single_id).then_some("gid=5");
    let pts = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"];
    out.push(entry("/dev/pts", "devpts", "devpts", &with(&pts, tty_group))?);
    out.push(if spec.network_mode == NetworkMode::Host {
        entry(
            "/sys",
            "bind",
            "/sys",
            &with(&["rbind", "rprivate", "nosuid", "noexec", "nodev"], Some("ro")),
        )?
    } else {
        entry("/sys", "sysfs", "sysfs", &with(&hardened, read_only))?
    });
    if spec.network_mode != NetworkMode::Host {
        let writable = spec.privileged && around.own_cgroups;
        let options = with(&["nosuid", "noexec", "nodev"], (!writable).then_some("ro"));
        out.push(entry("/sys/fs/cgroup", "cgroup", "cgroup", &options)?);
    }
    if spec.ipc_mode != "host" {
        out.push(entry("/dev/mqueue", "mqueue", "mqueue", &with(&hardened, None))?);
    } else if Path::new("/dev/mqueue").exists() {
        let options = with(&["rbind", "rprivate", "nosuid", "noexec", "nodev"], None);
        out.push(entry("/dev/mqueue", "bind", "/dev/mqueue", &options)?);
    }
    if let Some(shm) = shm(spec, around)? {
        out.push(shm);
    }
    Ok(out)
}

fn shm(spec: &ContainerSpec, around: &Surroundings) -> Result<Option<OciMount>> {
    let bound = |folder: &str| {
        entry(
            "/dev/shm",
            "bind",
            folder,
            &with(&["rbind", "rprivate", "nosuid", "noexec", "nodev"], None),
        )
    };
    match (spec.ipc_mode.as_str(), &around.shm_folder) {
        ("none", _) => Ok(None),
        ("host", _) => bound("/dev/shm").map(Some),
        (_, Some(folder)) => bound(&path_text(folder)).map(Some),
        _ => {
            let size = match (spec.shm_size, around.default_shm_size) {
                (0, 0) => 64 << 20,
                (0, default) => default,
                (own, _) => own,
            };
            let options = ["nosuid", "noexec", "nodev", "mode=1777"];
            entry("/dev/shm", "tmpfs", "shm", &with(&options, Some(&format!("size={size}"))))
                .map(Some)
        }
    }
}

/// A mount that the user asked for.
fn user(mount: &Mount, around: &Surroundings) -> Result<OciMount> {
    let point = &mount.point;
    let mut options: Vec<String> = Vec::new();
    match point.kind.as_str() {
        "tmpfs" => {
            options.extend(mount.options.iter().cloned());
            if !point.rw {
                options.push("ro".into());
            }
            return entry(&point.destination, "tmpfs", "tmpfs", &options);
        }
        "image" => return image(mount, around),
        _ => {}
    }
    options.push(if mount.non_recursive { "bind".into() } else { "rbind".into() });
    options.push(if point.propagation.is_empty() {
        "rprivate".into()
    } else {
        point.propagation.clone()
    });
    if !point.rw {
        options.push(if mount.recursive_read_only { "rro".into() } else { "ro".into() });
    }
    let source = match &around.docker_socket {
        Some(own) if DOCKER_SOCKETS.contains(&point.source.as_str()) => path_text(own),
        _ if mount.subpath.is_empty() => point.source.clone(),
        _ => path_text(&Path::new(&point.source).join(&mount.subpath)),
    };
    entry(&point.destination, "bind", &source, &options)
}

/// An image's filesystem, read-only: its only layer bound, or its layers as an overlay.
fn image(mount: &Mount, around: &Surroundings) -> Result<OciMount> {
    let source = &mount.point.source;
    let layers = around.images.iter().find(|(name, _)| name == source).map(|(_, l)| l.as_slice());
    let below = |layer: &PathBuf| path_text(&layer.join(&mount.subpath));
    match layers {
        Some([one]) => entry(
            &mount.point.destination,
            "bind",
            &below(one),
            &with(&["rbind", "rprivate"], Some("ro")),
        ),
        Some(many) if mount.subpath.is_empty() && !many.is_empty() => {
            let lower: Vec<String> = many.iter().map(|l| path_text(l)).collect();
            let lower = format!("lowerdir={}", lower.join(":"));
            entry(
                &mount.point.destination,
                "overlay",
                "overlay",
                &with(&["ro", "userxattr"], Some(&lower)),
            )
        }
        Some(_) => Err(Error::invalid(format!(
            "image-subpath of {source} is not possible: the image has several layers; mount the whole image"
        ))),
        None => Err(Error::not_found(format!("No such image: {source}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::containers::record::MountPointRecord;

    #[test]
    fn user_mounts_come_last_by_depth_and_replace_the_kernels() {
        let mount = |to: &str| Mount {
            point: MountPointRecord {
                kind: "bind".into(),
                source: "/var/run/docker.sock".into(),
                destination: to.into(),
                ..MountPointRecord::default()
            },
            ..Mount::default()
        };
        let around = Surroundings {
            docker_socket: Some("/run/user/1/docker.sock".into()),
            files: vec![("/etc/hosts", "/h".into())],
            ..Surroundings::default()
        };
        let mounts = [mount("/a/b/c"), mount("/a"), mount("/dev/shm")];
        let list = all(&ContainerSpec::default(), &mounts, &[], &around).unwrap();
        let names: Vec<_> = list.iter().map(|m| m.destination().display().to_string()).collect();
        assert_eq!(
            names,
            [
                "/proc",
                "/dev",
                "/dev/pts",
                "/sys",
                "/sys/fs/cgroup",
                "/dev/mqueue",
                "/a",
                "/etc/hosts",
                "/dev/shm",
                "/a/b/c"
            ]
        );
        let socket = list.iter().find(|m| m.destination() == Path::new("/a")).unwrap();
        assert_eq!(socket.source().as_deref(), Some(Path::new("/run/user/1/docker.sock")));
    }
}
