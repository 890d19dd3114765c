//! Kernel parameters of the container's own namespaces.
//!
//! They are written through the procfs that was mounted here, by a path that cannot leave it, before `/proc/sys` is
//! made read-only. Parameters that are not part of a namespace would be the host's, and are refused.

use std::collections::HashMap;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use bryo_sys::ns::Kind;
use rustix::fs::{Mode, OFlags, ResolveFlags};

use crate::error::{Context, Error, Result, plain};
use crate::mounts::Mounted;
use crate::namespaces;

/// Parameters of the ipc namespace (sysvipc and POSIX message queues).
const IPC: [&str; 8] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
];

/// Checks that each parameter belongs to a namespace that the container does not share with the host.
pub(crate) fn check(sysctls: &HashMap<String, String>, spaces: &namespaces::Plan) -> Result<()> {
    for name in sysctls.keys() {
        let dotted = dotted(name);
        let kind = if IPC.contains(&dotted.as_str()) || dotted.starts_with("fs.mqueue.") {
            Kind::Ipc
        } else if dotted.starts_with("net.") {
            Kind::Net
        } else if dotted == "kernel.domainname" || dotted == "kernel.hostname" {
            Kind::Uts
        } else {
            return Err(Error::bad(format!(
                "sysctl {name:?} is not in a separate kernel namespace"
            )));
        };
        if !spaces.makes(kind) && !spaces.joins(kind) {
            return Err(Error::bad(format!(
                "sysctl {name:?} not allowed in host {} namespace",
                kind.file()
            )));
        }
    }
    Ok(())
}

/// Writes them.
pub(crate) fn write(sysctls: &HashMap<String, String>, mounted: &Mounted) -> Result<()> {
    if sysctls.is_empty() {
        return Ok(());
    }
    let proc = mounted.proc.as_ref().ok_or_else(|| {
        Error::bad(
            "sysctls need a proc of the container's own, which the host's pid namespace rules out",
        )
    })?;
    for (name, value) in sysctls {
        one(proc, name, value)?;
    }
    Ok(())
}

fn one(proc: &OwnedFd, name: &str, value: &str) -> Result<()> {
    let path =
        PathBuf::from(format!("sys/{}", dotted(name).replace('.', "/").replace('\u{1}', ".")));
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    let what = || format!("setting sysctl {name}={value}");
    let fd = rustix::fs::openat2(proc, &path, flags, Mode::empty(), resolve).context(what)?;
    std::fs::File::from(fd)
        .write_all(value.as_bytes())
        .map_err(|e| Error::bad(format!("{}: {}", what(), plain(&e))))
}

/// A name with dots between its parts; a dot inside a part (of an interface `eth0.1`) is \u{1} meanwhile. As with
/// sysctl(8), the separator that comes first is *the* separator.
fn dotted(name: &str) -> String {
    let slash = name.find('/').unwrap_or(usize::MAX);
    let dot = name.find('.').unwrap_or(usize::MAX);
    if slash < dot {
        name.replace('.', "\u{1}").replace('/', ".")
    } else {
        name.replace('/', "\u{1}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_of_a_name() {
        assert_eq!(
            dotted("net/ipv4/conf/eth0.1/forwarding"),
            "net.ipv4.conf.eth0\u{1}1.forwarding"
        );
        assert_eq!(dotted("net.ipv4.ip_forward"), "net.ipv4.ip_forward");
        assert_eq!(
            dotted("net.ipv4.conf.eth0/1.forwarding"),
            "net.ipv4.conf.eth0\u{1}1.forwarding"
        );
    }

    #[test]
    fn parameters_of_the_host_are_refused() {
        let spaces = namespaces::Plan { new: vec![Kind::Net], joined: Vec::new() };
        let one = |name: &str| HashMap::from([(name.to_owned(), "1".to_owned())]);
        assert!(check(&one("net.core.somaxconn"), &spaces).is_ok());
        let e = check(&one("vm.swappiness"), &spaces).unwrap_err();
        assert_eq!(e.message(), "sysctl \"vm.swappiness\" is not in a separate kernel namespace");
        let e = check(&one("kernel.shmmax"), &spaces).unwrap_err();
        assert_eq!(e.message(), "sysctl \"kernel.shmmax\" not allowed in host ipc namespace");
    }
}
