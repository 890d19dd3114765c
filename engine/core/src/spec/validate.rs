//! What a request must not say, in Docker's words. Volumes, limits, logs and names have places of their own.

use crate::model::{ContainerSpec, NetworkMode, RestartPolicy, Ulimit};
use crate::spec::{caps, logging, security, signals};
use crate::{Error, Result};

const MILLISECOND: i64 = 1_000_000;

/// Checks a merged request and brings names into their kept form.
pub(crate) fn check(spec: &mut ContainerSpec) -> Result<()> {
    process(spec)?;
    health(spec)?;
    modes(spec)?;
    network(spec)?;
    ports(spec)?;
    spec.cap_add = caps::normalize(&spec.cap_add, "CapAdd")?;
    spec.cap_drop = caps::normalize(&spec.cap_drop, "CapDrop")?;
    security::check(&spec.security_opt)?;
    logging::check(&spec.log)?;
    for ulimit in &spec.ulimits {
        limit(ulimit)?;
    }
    if let RestartPolicy::Always | RestartPolicy::UnlessStopped | RestartPolicy::OnFailure(_) =
        spec.restart
    {
        if spec.auto_remove {
            return Err(Error::invalid("can't create 'AutoRemove' container with restart policy"));
        }
    }
    if let Some(key) = spec.storage_opt.keys().next() {
        return Err(Error::invalid(format!(
            "--storage-opt {key} is not supported: quotas of a container's layer need project quotas, which a user namespace \
             may not set"
        )));
    }
    if !(-1000..=1000).contains(&spec.oom_score_adj) {
        return Err(Error::invalid(format!(
            "Invalid value {}, range for oom score adj is [-1000, 1000]",
            spec.oom_score_adj
        )));
    }
    Ok(())
}

fn process(spec: &ContainerSpec) -> Result<()> {
    if !spec.working_dir.is_empty() && !spec.working_dir.starts_with('/') {
        return Err(Error::invalid(format!(
            "the working directory '{}' is invalid, it needs to be an absolute path",
            spec.working_dir
        )));
    }
    for entry in &spec.env {
        if entry.is_empty() || entry.starts_with('=') {
            return Err(Error::invalid(format!("invalid environment variable: {entry}")));
        }
        if entry.contains('\0') {
            return Err(Error::invalid("invalid environment variable: it has a null byte"));
        }
    }
    let words = spec.entrypoint.iter().flatten().chain(spec.cmd.iter().flatten());
    if words.into_iter().any(|w| w.contains('\0')) {
        return Err(Error::invalid("invalid command: an argument has a null byte"));
    }
    if let Some(signal) = spec.stop_signal.as_deref().filter(|s| !s.is_empty()) {
        signals::parse(signal)?;
    }
    if spec.hostname.len() > 63 {
        return Err(Error::invalid(format!(
            "invalid hostname: {} is longer than 63 bytes",
            spec.hostname
        )));
    }
    Ok(())
}

fn health(spec: &ContainerSpec) -> Result<()> {
    let Some(check) = &spec.healthcheck else { return Ok(()) };
    for (name, value) in [
        ("Interval", check.interval),
        ("Timeout", check.timeout),
        ("StartPeriod", check.start_period),
        ("StartInterval", check.start_interval),
    ] {
        if value != 0 && value < MILLISECOND {
            return Err(Error::invalid(format!("{name} in Healthcheck cannot be less than 1ms")));
        }
    }
    if check.retries < 0 {
        return Err(Error::invalid("Retries in Healthcheck cannot be negative"));
    }
    Ok(())
}

fn modes(spec: &ContainerSpec) -> Result<()> {
    let container = |mode: &str| mode.strip_prefix("container:").is_some_and(|c| !c.is_empty());
    let one_of = |mode: &str, known: &[&str]| mode.is_empty() || known.contains(&mode);
    if !one_of(&spec.ipc_mode, &["none", "private", "shareable", "host"])
        && !container(&spec.ipc_mode)
    {
        return Err(Error::invalid(format!("invalid IPC mode: {}", spec.ipc_mode)));
    }
    if !one_of(&spec.pid_mode, &["host"]) && !container(&spec.pid_mode) {
        return Err(Error::invalid(format!("invalid PID mode: {}", spec.pid_mode)));
    }
    if !one_of(&spec.uts_mode, &["host"]) {
        return Err(Error::invalid(format!("invalid UTS mode: {}", spec.uts_mode)));
    }
    if !one_of(&spec.cgroupns_mode, &["private", "host"]) {
        return Err(Error::invalid(format!(
            "invalid cgroup namespace mode: {}",
            spec.cgroupns_mode
        )));
    }
    if !one_of(&spec.userns_mode, &["host"]) {
        return Err(Error::invalid(format!("invalid user namespace mode: {}", spec.userns_mode)));
    }
    Ok(())
}

fn network(spec: &ContainerSpec) -> Result<()> {
    let conflict = |what: &str| Err(Error::invalid(format!("conflicting options: {what}")));
    if spec.uts_mode == "host" && !spec.hostname.is_empty() {
        return conflict("hostname and the UTS mode");
    }
    let undefined = |mode: &str| {
        format!("{mode} can't be used with links. This would result in undefined behavior")
    };
    match &spec.network_mode {
        NetworkMode::Host if !spec.links.is_empty() => conflict(&undefined("host type networking")),
        NetworkMode::Container(_) => {
            if !spec.hostname.is_empty() {
                return conflict("hostname and the network mode");
            }
            if !spec.links.is_empty() {
                return conflict(&undefined("container type network"));
            }
            if !spec.dns.is_empty() {
                return conflict("dns and the network mode");
            }
            if !spec.extra_hosts.is_empty() {
                return conflict("custom host-to-IP mapping and the network mode");
            }
            if !spec.mac_address.is_empty() {
                return conflict("mac-address and the network mode");
            }
            if !spec.port_bindings.is_empty() || spec.publish_all_ports {
                return conflict("port publishing and the container type network mode");
            }
            Ok(())
        }
        _ => Ok(()),
    }?;
    for host in &spec.extra_hosts {
        let bad = || Error::invalid(format!("bad format for add-host: \"{host}\""));
        let (name, ip) = host.split_once([':', '=']).ok_or_else(bad)?;
        if name.is_empty() {
            return Err(bad());
        }
        let bare = ip.trim_start_matches('[').trim_end_matches(']');
        if ip != "host-gateway" && bare.parse::<std::net::IpAddr>().is_err() {
            return Err(Error::invalid(format!("invalid IP address in add-host: \"{ip}\"")));
        }
    }
    for server in &spec.dns {
        if server.parse::<std::net::IpAddr>().is_err() {
            return Err(Error::invalid(format!("invalid IP address: {server}")));
        }
    }
    Ok(())
}

fn ports(spec: &ContainerSpec) -> Result<()> {
    for binding in &spec.port_bindings {
        if binding.port.port == 0 {
            return Err(Error::invalid("invalid port specification: \"0\""));
        }
        if !binding.host_ip.is_empty() && binding.host_ip.parse::<std::net::IpAddr>().is_err() {
            return Err(Error::invalid(format!("invalid IP address: {}", binding.host_ip)));
        }
        host_ports(&binding.host_port)?;
    }
    Ok(())
}

/// A host port as written: none (any), one, or a range.
pub(crate) fn host_ports(text: &str) -> Result<Option<(u16, u16)>> {
    let bad = || Error::invalid(format!("invalid port specification: \"{text}\""));
    if text.is_empty() || text == "0" {
        return Ok(None);
    }
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last): (u16, u16) =
        (first.parse().map_err(|_| bad())?, last.parse().map_err(|_| bad())?);
    if first == 0 || last < first { Err(bad()) } else { Ok(Some((first, last))) }
}

fn limit(ulimit: &Ulimit) -> Result<()> {
    let name = &ulimit.name;
    if !LIMITS.iter().any(|(known, _)| known == name) {
        return Err(Error::invalid(format!("invalid ulimit type: {name}")));
    }
    let (soft, hard) = (ulimit.soft, ulimit.hard);
    if hard != -1 && (soft == -1 || soft > hard) {
        return Err(Error::invalid(format!(
            "ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}"
        )));
    }
    Ok(())
}

/// Names of ulimits and the rows of /proc/self/limits.
pub(crate) const LIMITS: &[(&str, &str)] = &[
    ("core", "Max core file size"),
    ("cpu", "Max cpu time"),
    ("data", "Max data size"),
    ("fsize", "Max file size"),
    ("locks", "Max file locks"),
    ("memlock", "Max locked memory"),
    ("msgqueue", "Max msgqueue size"),
    ("nice", "Max nice priority"),
    ("nofile", "Max open files"),
    ("nproc", "Max processes"),
    ("rss", "Max resident set"),
    ("rtprio", "Max realtime priority"),
    ("rttime", "Max realtime timeout"),
    ("sigpending", "Max pending signals"),
    ("stack", "Max stack size"),
];

/// Refuses ulimits above this process' hard limits, which only real root may raise.
pub(crate) fn ulimits_within(ulimits: &[Ulimit], own_limits: &str, user: &str) -> Result<()> {
    for ulimit in ulimits {
        let Some((_, row)) = LIMITS.iter().find(|(name, _)| *name == ulimit.name) else { continue };
        let Some(line) = own_limits.lines().find(|l| l.starts_with(row)) else { continue };
        let rest = line.get(row.len()..).unwrap_or_default();
        let Some(most) = rest.split_whitespace().nth(1) else { continue };
        let Ok(most) = most.parse::<i64>() else { continue };
        if ulimit.hard == -1 || ulimit.hard > most {
            let asked = |n: i64| if n == -1 { "unlimited".to_string() } else { n.to_string() };
            return Err(Error::invalid(format!(
                "ulimit {}={}:{} is above this user's hard limit of {most}, which only the administrator can raise (a line `{} \
                 hard {} {}` in /etc/security/limits.conf, then log in again): ask for at most {most}",
                ulimit.name,
                asked(ulimit.soft),
                asked(ulimit.hard),
                user,
                ulimit.name,
                asked(ulimit.hard),
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(change: impl FnOnce(&mut ContainerSpec)) -> String {
        let mut spec = ContainerSpec::default();
        spec.log.driver = "json-file".into();
        check(&mut spec).unwrap();
        change(&mut spec);
        check(&mut spec).unwrap_err().message().to_string()
    }

    #[test]
    fn bad_input_is_refused_in_dockers_words() {
        assert_eq!(
            refusal(|s| s.working_dir = "x".into()),
            "the working directory 'x' is invalid, it needs to be an absolute path"
        );
        assert_eq!(refusal(|s| s.env = vec!["=x".into()]), "invalid environment variable: =x");
        assert_eq!(refusal(|s| s.ipc_mode = "x".into()), "invalid IPC mode: x");
        assert_eq!(
            refusal(|s| s.extra_hosts = vec!["a:b".into()]),
            "invalid IP address in add-host: \"b\""
        );
        assert_eq!(refusal(|s| s.stop_signal = Some("NOPE".into())), "invalid signal: NOPE");
        assert_eq!(
            refusal(|s| {
                s.auto_remove = true;
                s.restart = RestartPolicy::Always;
            }),
            "can't create 'AutoRemove' container with restart policy"
        );
        assert_eq!(
            refusal(|s| {
                s.network_mode = NetworkMode::Container("x".into());
                s.hostname = "h".into();
            }),
            "conflicting options: hostname and the network mode"
        );
    }

    #[test]
    fn ranges_of_host_ports() {
        assert_eq!(host_ports("").unwrap(), None);
        assert_eq!(host_ports("80").unwrap(), Some((80, 80)));
        assert_eq!(host_ports("8000-8010").unwrap(), Some((8000, 8010)));
        assert!(host_ports("9-8").is_err() && host_ports("x").is_err());
    }

    #[test]
    fn a_ulimit_above_the_users_is_refused_with_the_limit() {
        let own = "Limit Soft Hard Units\nMax open files            1024                 4096                 files\n";
        let asked = |hard| vec![Ulimit { name: "nofile".into(), soft: 1, hard }];
        ulimits_within(&asked(4096), own, "me").unwrap();
        assert!(ulimits_within(&asked(5000), own, "me").unwrap_err().message().contains("4096"));
        assert!(ulimits_within(&asked(-1), own, "me").is_err());
    }
}
