//! `-v`, `--mount`, `--tmpfs`, `--volumes-from` and the image's VOLUMEs: parsed, checked, put into one list.
//!
//! Order as Docker's: volumes-from, then binds, then mounts, then anonymous volumes for paths that nothing else covers; a later
//! one replaces what volumes-from brought, two others on one path are refused. Volumes are only named here; the caller makes
//! them and fills in their host paths.

use std::path::{Component, Path};

use crate::containers::record::{Mount, MountPointRecord};
use crate::model::{ContainerSpec, MountKind, MountSpec};
use crate::{Error, Result, names};

/// Paths at which clients expect Docker's socket.
pub(crate) const DOCKER_SOCKETS: &[&str] = &["/var/run/docker.sock", "/run/docker.sock"];

const PROPAGATIONS: &[&str] = &["private", "rprivate", "slave", "rslave", "shared", "rshared"];

/// All mounts of a request. `from` looks the mounts of another container up.
pub(crate) fn collect(
    spec: &ContainerSpec,
    mut from: impl FnMut(&str) -> Result<Vec<Mount>>,
) -> Result<Vec<Mount>> {
    let mut out: Vec<Mount> = Vec::new();
    for entry in &spec.volumes_from {
        inherit(entry, &mut from, &mut out)?;
    }
    let inherited: Vec<String> = out.iter().map(|m| m.point.destination.clone()).collect();
    let mut taken: Vec<String> =
        spec.tmpfs.keys().map(|path| clean(path)).collect::<Result<Vec<_>>>()?;
    let mut add = |mount: Mount, out: &mut Vec<Mount>| -> Result<()> {
        let destination = &mount.point.destination;
        if taken.contains(destination) {
            return Err(Error::invalid(format!("Duplicate mount point: {destination}")));
        }
        taken.push(destination.clone());
        if inherited.contains(destination) {
            out.retain(|m| m.point.destination != *destination);
        }
        out.push(mount);
        Ok(())
    };
    for text in &spec.binds {
        add(bind(text, &spec.volume_driver)?, &mut out)?;
    }
    for asked in &spec.mounts {
        add(mount(asked)?, &mut out)?;
    }
    for (path, options) in &spec.tmpfs {
        out.push(tmpfs(path, options)?);
    }
    for path in &spec.volumes {
        let destination = destination(path, "volume")?;
        if !out.iter().any(|m| m.point.destination == destination) {
            out.push(anonymous(destination, &spec.volume_driver));
        }
    }
    Ok(out)
}

fn inherit(
    entry: &str,
    from: &mut impl FnMut(&str) -> Result<Vec<Mount>>,
    out: &mut Vec<Mount>,
) -> Result<()> {
    let (container, mode) = entry.split_once(':').unwrap_or((entry, "rw"));
    if container.is_empty() {
        return Err(Error::invalid("volumes-from specification cannot be an empty string"));
    }
    let read_only = match mode {
        "" | "rw" | "z" | "Z" => false,
        "ro" => true,
        _ => return Err(Error::invalid(format!("invalid mode for volumes-from: {mode}"))),
    };
    for mut mount in from(container)? {
        if mount.point.kind == "tmpfs" {
            continue;
        }
        mount.anonymous = false;
        mount.no_copy = true;
        mount.point.rw &= !read_only;
        if read_only {
            mount.point.mode = "ro".into();
        }
        out.retain(|m| m.point.destination != mount.point.destination);
        out.push(mount);
    }
    Ok(())
}

/// A container path without `.`, `..` and double slashes.
fn clean(path: &str) -> Result<String> {
    if !path.starts_with('/') {
        return Err(Error::invalid(format!(
            "invalid mount path: '{path}' mount path must be absolute"
        )));
    }
    let mut parts: Vec<&str> = Vec::new();
    for component in Path::new(path).components() {
        match component {
            Component::Normal(part) => parts.push(part.to_str().unwrap_or_default()),
            Component::ParentDir => {
                parts.pop();
            }
            _ => {}
        }
    }
    Ok(format!("/{}", parts.join("/")))
}

fn destination(path: &str, kind: &str) -> Result<String> {
    let config = |e: &str| Error::invalid(format!("invalid mount config for type \"{kind}\": {e}"));
    let cleaned = clean(path).map_err(|e| config(e.message()))?;
    if cleaned == "/" {
        return Err(config("invalid specification: destination can't be '/'"));
    }
    Ok(cleaned)
}

fn anonymous(destination: String, driver: &str) -> Mount {
    Mount {
        point: MountPointRecord {
            kind: "volume".into(),
            destination,
            driver: local(driver),
            rw: true,
            ..MountPointRecord::default()
        },
        anonymous: true,
        ..Mount::default()
    }
}

fn local(driver: &str) -> String {
    if driver.is_empty() { "local".into() } else { driver.into() }
}

/// `source:target[:options]` or `target`.
fn bind(text: &str, driver: &str) -> Result<Mount> {
    let specification = || Error::invalid(format!("invalid volume specification: '{text}'"));
    let within = |e: Error| {
        Error::invalid(format!("invalid volume specification: '{text}': {}", e.message()))
    };
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, options) = match parts.as_slice() {
        [target] if !target.is_empty() => {
            return Ok(anonymous(destination(target, "volume").map_err(within)?, driver));
        }
        [source, target] if !source.is_empty() && !target.is_empty() => (*source, *target, ""),
        [source, target, options] if !source.is_empty() && !target.is_empty() => {
            (*source, *target, *options)
        }
        _ => return Err(specification()),
    };
    let is_path = source.starts_with('/');
    let kind = if is_path { "bind" } else { "volume" };
    let destination = destination(target, kind).map_err(within)?;
    let mut mount = Mount {
        point: MountPointRecord {
            kind: kind.into(),
            destination,
            mode: options.to_string(),
            rw: true,
            ..MountPointRecord::default()
        },
        ..Mount::default()
    };
    for option in options.split(',').filter(|o| !o.is_empty()) {
        match option {
            "rw" | "z" | "Z" | "consistent" | "cached" | "delegated" | "default" => {}
            "ro" => mount.point.rw = false,
            "nocopy" if !is_path => mount.no_copy = true,
            "bind" | "rbind" if is_path => mount.non_recursive = option == "bind",
            propagation if is_path && PROPAGATIONS.contains(&propagation) => {
                mount.point.propagation = propagation.into();
            }
            _ => return Err(Error::invalid(format!("invalid mode: {options}"))),
        }
    }
    if is_path {
        mount.point.source = clean(source)?;
        mount.make_source = true;
        if mount.point.propagation.is_empty() {
            mount.point.propagation = "rprivate".into();
        }
        mount.recursive_read_only = !mount.point.rw && !mount.non_recursive;
    } else {
        volume_name(source)?;
        mount.point.name = source.into();
        mount.point.driver = local(driver);
        if mount.point.mode.is_empty() {
            // Docker shows the SELinux option that it would use.
            mount.point.mode = "z".into();
        }
    }
    Ok(mount)
}

/// Refuses what cannot be a volume's name.
pub(crate) fn volume_name(name: &str) -> Result<()> {
    if names::is_valid(name) {
        return Ok(());
    }
    if name.len() == 1 {
        return Err(Error::invalid(
            "volume name is too short, names should be at least two alphanumeric characters",
        ));
    }
    Err(Error::invalid(format!(
        "create {name}: \"{name}\" includes invalid characters for a local volume name, only \"{}\" are allowed. If you \
         intended to pass a host directory, use absolute path",
        names::ALLOWED
    )))
}

/// One `--mount`.
fn mount(asked: &MountSpec) -> Result<Mount> {
    let kind = match asked.kind {
        MountKind::Bind => "bind",
        MountKind::Volume => "volume",
        MountKind::Tmpfs => "tmpfs",
        MountKind::Image => "image",
    };
    let config = |e: &str| Error::invalid(format!("invalid mount config for type \"{kind}\": {e}"));
    if asked.target.is_empty() {
        return Err(config("field Target must not be empty"));
    }
    let mut mount = Mount {
        point: MountPointRecord {
            kind: kind.into(),
            destination: destination(&asked.target, kind)?,
            rw: !asked.read_only,
            ..MountPointRecord::default()
        },
        ..Mount::default()
    };
    match asked.kind {
        MountKind::Bind => mount_bind(asked, &mut mount, &config)?,
        MountKind::Volume => mount_volume(asked, &mut mount, &config)?,
        MountKind::Tmpfs => {
            if !asked.source.is_empty() {
                return Err(config("field Source must not be specified"));
            }
            mount.options = tmpfs_options(asked);
        }
        MountKind::Image => {
            if asked.source.is_empty() {
                return Err(config("field Source must not be empty"));
            }
            mount.point.source.clone_from(&asked.source);
            mount.point.rw = false;
            mount.subpath = subpath(&asked.subpath, &config)?;
        }
    }
    Ok(mount)
}

fn mount_bind(asked: &MountSpec, mount: &mut Mount, config: &dyn Fn(&str) -> Error) -> Result<()> {
    if asked.source.is_empty() {
        return Err(config("field Source must not be empty"));
    }
    let source = clean(&asked.source).map_err(|e| config(e.message()))?;
    if !asked.propagation.is_empty() && !PROPAGATIONS.contains(&asked.propagation.as_str()) {
        return Err(config(&format!("invalid propagation mode: {}", asked.propagation)));
    }
    let own_socket = DOCKER_SOCKETS.contains(&source.as_str());
    if !asked.create_mountpoint && !own_socket && !Path::new(&source).exists() {
        return Err(config(&format!("bind source path does not exist: {source}")));
    }
    mount.point.source = source;
    mount.point.propagation =
        if asked.propagation.is_empty() { "rprivate".into() } else { asked.propagation.clone() };
    mount.non_recursive = asked.non_recursive;
    mount.make_source = asked.create_mountpoint;
    mount.recursive_read_only =
        asked.read_only && !asked.non_recursive && !asked.read_only_non_recursive;
    Ok(())
}

fn mount_volume(
    asked: &MountSpec,
    mount: &mut Mount,
    config: &dyn Fn(&str) -> Error,
) -> Result<()> {
    mount.no_copy = asked.no_copy;
    mount.subpath = subpath(&asked.subpath, config)?;
    mount.point.driver = local(&asked.driver);
    mount.point.mode = "z".into();
    if asked.source.is_empty() {
        if !asked.subpath.is_empty() {
            return Err(config("must not set Subpath when using anonymous volumes"));
        }
        mount.anonymous = true;
        return Ok(());
    }
    volume_name(&asked.source)?;
    mount.point.name.clone_from(&asked.source);
    Ok(())
}

/// A folder inside a volume: relative, and not out of it.
fn subpath(text: &str, config: &dyn Fn(&str) -> Error) -> Result<String> {
    let inside =
        Path::new(text).components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
    if inside {
        Ok(text.to_string())
    } else {
        Err(config("subpath must be a relative path within the volume"))
    }
}

fn tmpfs_options(asked: &MountSpec) -> Vec<String> {
    let mut out = tmpfs_defaults();
    if asked.tmpfs_size > 0 {
        out.push(format!("size={}", asked.tmpfs_size));
    }
    if asked.tmpfs_mode > 0 {
        out.push(format!("mode={:o}", asked.tmpfs_mode));
    }
    for option in &asked.tmpfs_options {
        lay_over(&mut out, &option.join("="));
    }
    out
}

fn tmpfs_defaults() -> Vec<String> {
    ["noexec", "nosuid", "nodev"].map(str::to_string).to_vec()
}

/// A later option takes its opposite away.
fn lay_over(options: &mut Vec<String>, option: &str) {
    let opposite = match option.strip_prefix("no") {
        Some(positive) => positive.to_string(),
        None => format!("no{option}"),
    };
    options.retain(|o| *o != opposite && o != option);
    options.push(option.to_string());
}

const TMPFS_FLAGS: &[&str] = &[
    "ro",
    "rw",
    "exec",
    "noexec",
    "suid",
    "nosuid",
    "dev",
    "nodev",
    "async",
    "sync",
    "atime",
    "noatime",
    "diratime",
    "nodiratime",
    "relatime",
    "norelatime",
    "strictatime",
    "nostrictatime",
    "mand",
    "nomand",
    "dirsync",
    "remount",
    "bind",
    "rbind",
    "noswap",
    "defaults",
];
const TMPFS_KEYS: &[&str] =
    &["size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol", "huge"];

/// One `--tmpfs`.
fn tmpfs(path: &str, options: &str) -> Result<Mount> {
    let destination = destination(path, "tmpfs")?;
    let mut merged = tmpfs_defaults();
    let mut rw = true;
    for option in options.split(',').filter(|o| !o.is_empty()) {
        let key = option.split_once('=').map(|(key, _)| key);
        let known = match key {
            Some(key) => TMPFS_KEYS.contains(&key),
            None => TMPFS_FLAGS.contains(&option) || PROPAGATIONS.contains(&option),
        };
        if !known {
            return Err(Error::invalid(format!("invalid tmpfs option {:?}", [option])));
        }
        match option {
            "ro" => rw = false,
            "rw" | "defaults" => {}
            other => lay_over(&mut merged, other),
        }
    }
    Ok(Mount {
        point: MountPointRecord {
            kind: "tmpfs".into(),
            destination,
            mode: options.to_string(),
            rw,
            ..MountPointRecord::default()
        },
        options: merged,
        ..Mount::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(binds: &[&str]) -> ContainerSpec {
        ContainerSpec {
            binds: binds.iter().map(|b| (*b).to_string()).collect(),
            ..ContainerSpec::default()
        }
    }

    fn none(_: &str) -> Result<Vec<Mount>> {
        Ok(Vec::new())
    }

    fn refusal(spec: &ContainerSpec) -> String {
        collect(spec, none).unwrap_err().message().to_string()
    }

    #[test]
    fn binds_are_parsed_as_dockers() {
        let mounts = collect(&spec(&["/a/../b:/x/:ro,rslave", "vol:/y", "/z"]), none).unwrap();
        let [a, b, c] = mounts.as_slice() else { panic!("{mounts:?}") };
        assert_eq!((a.point.source.as_str(), a.point.destination.as_str()), ("/b", "/x"));
        assert!(!a.point.rw && a.point.propagation == "rslave" && a.make_source);
        assert_eq!((b.point.kind.as_str(), b.point.name.as_str()), ("volume", "vol"));
        assert!(c.anonymous);
    }

    #[test]
    fn bad_ones_are_refused_in_dockers_words() {
        assert_eq!(refusal(&spec(&["a:b:c:d"])), "invalid volume specification: 'a:b:c:d'");
        assert_eq!(refusal(&spec(&["/a:/b:x"])), "invalid mode: x");
        assert_eq!(refusal(&spec(&["/a:/x", "/b:/x/"])), "Duplicate mount point: /x");
        assert_eq!(
            refusal(&spec(&["/a:/"])),
            "invalid volume specification: '/a:/': invalid mount config for type \"bind\": invalid specification: \
             destination can't be '/'"
        );
        assert!(
            refusal(&spec(&["./a:/b"]))
                .starts_with("create ./a: \"./a\" includes invalid characters")
        );
        let mount =
            MountSpec { source: "/nosuch".into(), target: "/x".into(), ..MountSpec::default() };
        assert_eq!(
            refusal(&ContainerSpec { mounts: vec![mount], ..ContainerSpec::default() }),
            "invalid mount config for type \"bind\": bind source path does not exist: /nosuch"
        );
    }

    #[test]
    fn tmpfs_options_replace_their_opposites() {
        let mount = tmpfs("/t", "exec,size=1m").unwrap();
        assert_eq!(mount.options, ["nosuid", "nodev", "exec", "size=1m"]);
        assert!(tmpfs("/t", "nonsense").is_err());
    }

    #[test]
    fn what_volumes_from_brings_is_replaced_by_own_mounts() {
        let other = |_: &str| collect(&spec(&["/a:/x", "/b:/y"]), none);
        let mut mine = spec(&["/c:/x"]);
        mine.volumes_from = vec!["other:ro".into()];
        let mounts = collect(&mine, other).unwrap();
        assert_eq!(mounts.len(), 2);
        let x = mounts.iter().find(|m| m.point.destination == "/x").unwrap();
        let y = mounts.iter().find(|m| m.point.destination == "/y").unwrap();
        assert!(x.point.source == "/c" && x.point.rw);
        assert!(y.point.source == "/b" && !y.point.rw);
    }
}
