//! The local driver's options: `type`, `o` and `device` as mount(8) has them, for what an unprivileged user namespace can
//! mount: binds and tmpfs. NFS, CIFS and disks need the host's root and are refused when they are used.

use std::collections::BTreeMap;
use std::path::Path;

use bryo_sys::mount::{self, Attributes, Change, Maker};
use rustix::fs::CWD;
use std::os::fd::AsFd;

use crate::{Error, Result};

const KNOWN: [&str; 4] = ["type", "o", "device", "size"];

/// Checks what `create` was given. Nothing is mounted before a container needs it.
pub(crate) fn check(options: &BTreeMap<String, String>) -> Result<()> {
    if let Some(bad) = options.keys().find(|k| !KNOWN.contains(&k.as_str())) {
        return Err(Error::invalid(format!("invalid option: {bad:?}")));
    }
    if options.contains_key("size") {
        return Err(Error::invalid(
            "quota size requested but no quota support: an unprivileged engine cannot set project quotas; use type=tmpfs with \
             o=size=… for a bounded volume in memory",
        ));
    }
    if options.is_empty() {
        return Ok(());
    }
    let missing =
        ["type", "device"].into_iter().find(|k| options.get(*k).is_none_or(String::is_empty));
    match missing {
        Some(key) if !is_bind(options) || key == "device" => {
            Err(Error::invalid(format!("missing required option: {key:?}")))
        }
        _ => Ok(()),
    }
}

fn is_bind(options: &BTreeMap<String, String>) -> bool {
    words(options).any(|w| w == "bind" || w == "rbind")
}

fn words(options: &BTreeMap<String, String>) -> impl Iterator<Item = &str> {
    options.get("o").map(String::as_str).unwrap_or_default().split(',').filter(|w| !w.is_empty())
}

/// Mounts what the options say on the folder `target`, for `name`.
pub(crate) fn mount(name: &str, options: &BTreeMap<String, String>, target: &Path) -> Result<()> {
    let kind = options.get("type").map(String::as_str).unwrap_or_default();
    let device = options.get("device").map(String::as_str).unwrap_or_default();
    let failed = |e: &dyn std::fmt::Display| {
        Error::internal(format!(
            "error while mounting volume '{}': failed to mount local volume: mount {device}:{}, data: {}: {e}",
            target.display(),
            target.display(),
            options.get("o").map(String::as_str).unwrap_or_default(),
        ))
    };
    let flags = Flags::parse(words(options));
    let tree = if is_bind(options) {
        let recursive = words(options).any(|w| w == "rbind");
        mount::clone_tree(CWD, device, recursive).map_err(|e| failed(&e))?
    } else if kind == "tmpfs" {
        let maker = Maker::new("tmpfs").map_err(|e| failed(&e))?;
        maker.set("source", device).map_err(|e| failed(&e))?;
        for word in &flags.data {
            let set = match word.split_once('=') {
                Some((key, value)) => maker.set(key, value),
                None => maker.flag(word),
            };
            set.map_err(|e| failed(&format!("option {word}: {e}")))?;
        }
        maker.mount(Attributes::NONE).map_err(|e| failed(&e))?
    } else {
        return Err(Error::invalid(format!(
            "the volume {name} is of type {kind}, which only the host's root may mount: mount it there (sudo mount -t {kind} \
             {device} /mnt/{name}) and use that folder as a bind: -v /mnt/{name}:…"
        )));
    };
    let change = Change { set: flags.attributes, ..Change::default() };
    if !change.is_empty() {
        mount::set_attributes(tree.as_fd(), false, change).map_err(|e| failed(&e))?;
    }
    let place = rustix::fs::openat(
        CWD,
        target,
        rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    )
    .map_err(|e| failed(&e))?;
    mount::attach(tree.as_fd(), place.as_fd()).map_err(|e| failed(&e))
}

/// `o`, sorted into flags of the mount and options of the filesystem.
struct Flags {
    attributes: Attributes,
    data: Vec<String>,
}

impl Flags {
    fn parse<'a>(words: impl Iterator<Item = &'a str>) -> Flags {
        let mut flags = Flags { attributes: Attributes::NONE, data: Vec::new() };
        for word in words {
            let attribute = match word {
                "ro" => Attributes::RDONLY,
                "nosuid" => Attributes::NOSUID,
                "nodev" => Attributes::NODEV,
                "noexec" => Attributes::NOEXEC,
                "rw" | "suid" | "dev" | "exec" | "bind" | "rbind" | "defaults" => continue,
                other => {
                    flags.data.push(other.to_owned());
                    continue;
                }
            };
            flags.attributes = flags.attributes.with(attribute);
        }
        flags
    }
}

/// Whether something is mounted on the folder.
pub(crate) fn is_mounted(folder: &Path) -> bool {
    let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
    let mask = rustix::fs::StatxFlags::BASIC_STATS;
    // STATX_ATTR_MOUNT_ROOT, Linux 5.8.
    const MOUNT_ROOT: u64 = 0x2000;
    rustix::fs::statx(CWD, folder, flags, mask)
        .is_ok_and(|s| s.stx_attributes.bits() & MOUNT_ROOT != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(list: &[(&str, &str)]) -> BTreeMap<String, String> {
        list.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn options_are_checked_at_create() {
        check(&options(&[])).unwrap();
        check(&options(&[("type", "tmpfs"), ("device", "tmpfs"), ("o", "size=1m")])).unwrap();
        check(&options(&[("o", "bind"), ("device", "/x"), ("type", "none")])).unwrap();
        let e = check(&options(&[("colour", "red")])).unwrap_err();
        assert_eq!(e.message(), "invalid option: \"colour\"");
        let e = check(&options(&[("type", "tmpfs")])).unwrap_err();
        assert_eq!(e.message(), "missing required option: \"device\"");
        assert!(check(&options(&[("size", "1g")])).is_err());
    }

    #[test]
    fn tmpfs_and_binds_are_mounted_in_a_namespace_of_their_own() {
        use bryo_sys::ns::{Kind, unshare, unshare_user_as_root};
        let dir = tempfile::tempdir().unwrap();
        let ended = bryo_sys::fork::in_child(|| {
            if unshare_user_as_root().and_then(|()| unshare(&[Kind::Mount])).is_err() {
                return 77;
            }
            let (a, b) = (dir.path().join("a"), dir.path().join("b"));
            for folder in [&a, &b] {
                std::fs::create_dir(folder).unwrap();
            }
            let tmpfs = options(&[("type", "tmpfs"), ("device", "tmpfs"), ("o", "size=1m,noexec")]);
            if let Err(e) = mount("v", &tmpfs, &a) {
                eprintln!("{e}");
                return 1;
            }
            std::fs::write(a.join("file"), "x").unwrap();
            let device = a.display().to_string();
            let bind = options(&[("type", "none"), ("device", &device), ("o", "bind,ro")]);
            if let Err(e) = mount("v", &bind, &b) {
                eprintln!("{e}");
                return 2;
            }
            let seen = std::fs::read_to_string(b.join("file")).is_ok_and(|t| t == "x");
            let read_only = std::fs::write(b.join("other"), "x").is_err();
            let nfs = options(&[("type", "nfs"), ("device", ":/x"), ("o", "addr=h")]);
            let refused = mount("v", &nfs, &b).is_err_and(|e| e.message().contains("sudo mount"));
            if seen && read_only && refused && is_mounted(&b) && !is_mounted(dir.path()) {
                0
            } else {
                3
            }
        });
        match ended.unwrap().code() {
            77 => println!("SKIPPED: user namespaces are forbidden here"),
            code => assert_eq!(code, 0),
        }
    }
}
