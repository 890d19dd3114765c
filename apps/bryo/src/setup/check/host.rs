//! Settings of the host that limit or ease the work: none of them is required.

use std::path::Path;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType, bind, ipproto, socket};

use crate::setup::finding::{Finding, Level};
use crate::setup::{Setup, Systemd};

use Level::{Information, Recommended};

/// A container takes one inotify instance for each program that watches files; a few dozen use up the default of 128.
const INSTANCES: u64 = 512;
/// An editor or a build tool in one container can watch tens of thousands of files.
const WATCHES: u64 = 65536;
/// Each container has a session keyring of its own, charged to the user; the default of 200 is the most that run at once.
const KEYS: u64 = 1000;

/// All of them.
pub fn findings(setup: &Setup) -> Vec<Finding> {
    let mut found = vec![ping(), low_ports()];
    found.extend(
        [
            sysctl(
                "keyrings",
                "kernel.keys.maxkeys",
                KEYS,
                "each running container takes one key of the user's quota",
            ),
            sysctl(
                "inotify-instances",
                "fs.inotify.max_user_instances",
                INSTANCES,
                "shared by all containers of the user",
            ),
            sysctl(
                "inotify-watches",
                "fs.inotify.max_user_watches",
                WATCHES,
                "shared by all containers of the user",
            ),
        ]
        .into_iter()
        .flatten(),
    );
    found.push(cgroup(setup));
    found.extend(linger(setup));
    found
}

/// Opens the socket that `ping` opens. Containers' own ping goes through it.
fn ping() -> Finding {
    match socket(AddressFamily::INET, SocketType::DGRAM, Some(ipproto::ICMP)) {
        Ok(_) => Finding::good("ping", Recommended, "ping works without privileges"),
        Err(e) => {
            let seen = format!(
                "net.ipv4.ping_group_range = {} (socket: {})",
                value("net.ipv4.ping_group_range"),
                plain(e)
            );
            Finding::bad("ping", Recommended, "ping from containers to the outside is not possible")
                .seen(seen)
                .root(sysctl_lines("52-rootless.conf", "net.ipv4.ping_group_range = 0 2147483647"))
        }
    }
}

/// Binds port 80; nobody connects to it, for it is not listened on.
fn low_ports() -> Finding {
    let start = value("net.ipv4.ip_unprivileged_port_start");
    let address = std::net::SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, 80);
    let tried =
        socket(AddressFamily::INET, SocketType::STREAM, None).and_then(|fd| bind(fd, &address));
    if !matches!(tried, Err(Errno::ACCESS)) {
        return Finding::good(
            "low-ports",
            Information,
            format!("ports from {start} on can be published"),
        );
    }
    Finding::bad("low-ports", Information, "ports below 1024 cannot be published")
        .seen(format!("net.ipv4.ip_unprivileged_port_start = {start}"))
        .user(["add 'net.ipv4.ip_unprivileged_port_start=80' to /etc/sysctl.conf, then sudo sysctl --system"])
}

/// A count that may be too small; none where the kernel has no such setting.
fn sysctl(id: &'static str, name: &str, enough: u64, why: &str) -> Option<Finding> {
    let have: u64 = value(name).parse().ok()?;
    if have >= enough {
        return Some(Finding::good(id, Recommended, format!("{name} is {have}")));
    }
    let text = format!("{name} is small for many containers: {why}");
    let lines = sysctl_lines("53-rootless.conf", &format!("{name} = {enough}"));
    Some(
        Finding::bad(id, Recommended, text)
            .seen(format!("{name} = {have}, {enough} is comfortable"))
            .root(lines),
    )
}

/// Whether limits can be enforced by the kernel.
fn cgroup(setup: &Setup) -> Finding {
    if !Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        let text =
            "cgroup v1: limits are enforced by Bryo itself as far as it goes, not by the kernel";
        let line = "boot with systemd.unified_cgroup_hierarchy=1 to have cgroup v2";
        return Finding::bad("cgroup", Recommended, text)
            .seen("/sys/fs/cgroup is no cgroup2")
            .user([line]);
    }
    let own = format!(
        "/sys/fs/cgroup/user.slice/user-{0}.slice/user@{0}.service/cgroup.controllers",
        setup.user.uid
    );
    let Ok(text) = std::fs::read_to_string(&own) else {
        let text = "no cgroup is delegated to the user: limits are enforced by Bryo itself as far as it goes";
        return Finding::bad("cgroup", Recommended, text)
            .seen(format!("{own} does not exist"))
            .user(["start the engine by systemd --user (`bryo setup install`)"]);
    };
    let missing: Vec<&str> = ["cpu", "cpuset", "io", "memory", "pids"]
        .into_iter()
        .filter(|c| !text.split_whitespace().any(|w| w == *c))
        .collect();
    if missing.is_empty() {
        return Finding::good(
            "cgroup",
            Recommended,
            format!("delegated cgroup controllers: {}", text.trim()),
        );
    }
    let lines = [
        "# Delegate all controllers to users",
        "mkdir -p /etc/systemd/system/user@.service.d",
        "cat <<EOT > /etc/systemd/system/user@.service.d/delegate.conf",
        "[Service]",
        "Delegate=cpu cpuset io memory pids",
        "EOT",
        "systemctl daemon-reload",
    ];
    Finding::bad(
        "cgroup",
        Recommended,
        format!("cgroup controllers not delegated to the user: {}", missing.join(", ")),
    )
    .seen(format!("{own}: {}; new sessions see a change", text.trim()))
    .root(lines)
}

/// Whether the user's services start at boot and stay after the last logout.
fn linger(setup: &Setup) -> Option<Finding> {
    if setup.systemd == Systemd::None {
        return None;
    }
    let login = setup.login();
    if Path::new("/var/lib/systemd/linger").join(&login).exists() {
        return Some(Finding::good(
            "linger",
            Recommended,
            "the user's services run from boot to shutdown (linger)",
        ));
    }
    let text = "containers end at the last logout and do not start at boot (no linger)";
    Some(
        Finding::bad("linger", Recommended, text)
            .seen(format!("/var/lib/systemd/linger/{login} does not exist"))
            .root([format!("loginctl enable-linger {login}")]),
    )
}

fn sysctl_lines(file: &str, line: &str) -> Vec<String> {
    vec![format!("echo '{line}' >> /etc/sysctl.d/{file}"), "sysctl --system".into()]
}

/// A setting of /proc/sys, its fields parted by one blank; empty if there is none.
fn value(name: &str) -> String {
    let text = std::fs::read_to_string(Path::new("/proc/sys").join(name.replace('.', "/")));
    text.unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
}

fn plain(e: Errno) -> String {
    std::io::Error::from(e).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_compared_with_what_is_comfortable() {
        let few = sysctl("x", "kernel.pid_max", u64::MAX, "why").unwrap();
        assert!(!few.ok && few.seen.starts_with("kernel.pid_max = "), "{few:?}");
        assert!(sysctl("x", "kernel.pid_max", 1, "why").unwrap().ok);
        assert!(sysctl("x", "kernel.no_such_setting", 1, "why").is_none());
    }
}
