//! The process part of the runtime spec, for a container's program and for an exec.

use oci_spec::OciSpecError;
use oci_spec::runtime::{
    Box as Size, BoxBuilder, Capability, LinuxCapabilitiesBuilder, PosixRlimit, PosixRlimitBuilder,
    PosixRlimitType, Process, ProcessBuilder, UserBuilder,
};

use crate::containers::record::ContainerRecord;
use crate::model::{ExecSpec, Ulimit};
use crate::spec::user::User;
use crate::spec::{caps, merge, security};
use crate::util::short;
use crate::{Error, Result};

const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What an engine's settings add to every process.
#[derive(Debug, Clone, Default)]
pub(crate) struct Defaults {
    pub ulimits: Vec<Ulimit>,
    pub no_new_privileges: bool,
}

/// The container's program.
pub(crate) fn main(
    record: &ContainerRecord,
    user: &User,
    links: &[String],
    defaults: &Defaults,
) -> Result<Process> {
    let spec = &record.spec;
    let mut args = vec![record.path.clone()];
    args.extend(record.args.iter().cloned());
    let capabilities = caps::resolve(spec.privileged, &spec.cap_add, &spec.cap_drop);
    let env = environment(record, user, links, spec.tty, &[]);
    build(
        record,
        defaults,
        Parts {
            args,
            env,
            cwd: &spec.working_dir,
            user,
            capabilities: &capabilities,
            tty: spec.tty,
            size: spec.console_size,
        },
    )
}

/// A further process.
pub(crate) fn exec(
    record: &ContainerRecord,
    exec: &ExecSpec,
    user: &User,
    defaults: &Defaults,
) -> Result<Process> {
    let spec = &record.spec;
    let privileged = spec.privileged || exec.privileged;
    let capabilities = caps::resolve(privileged, &spec.cap_add, &spec.cap_drop);
    let env = environment(record, user, &[], exec.tty, &exec.env);
    build(
        record,
        defaults,
        Parts {
            args: exec.cmd.clone(),
            env,
            cwd: if exec.working_dir.is_empty() { &spec.working_dir } else { &exec.working_dir },
            user,
            capabilities: &capabilities,
            tty: exec.tty,
            size: exec.console_size.unwrap_or_default(),
        },
    )
}

struct Parts<'a> {
    args: Vec<String>,
    env: Vec<String>,
    cwd: &'a str,
    user: &'a User,
    capabilities: &'a [Capability],
    tty: bool,
    size: (u16, u16),
}

fn build(record: &ContainerRecord, defaults: &Defaults, parts: Parts<'_>) -> Result<Process> {
    let user = UserBuilder::default()
        .uid(parts.user.uid)
        .gid(parts.user.gid)
        .additional_gids(parts.user.groups.clone())
        .build()
        .map_err(broken)?;
    let held: std::collections::HashSet<Capability> = parts.capabilities.iter().copied().collect();
    // Only root starts with capabilities; others may gain them by programs with file capabilities.
    let own = if parts.user.uid == 0 { held.clone() } else { std::collections::HashSet::new() };
    let none = std::collections::HashSet::new;
    let capabilities = LinuxCapabilitiesBuilder::default()
        .bounding(held)
        .effective(own.clone())
        .permitted(own)
        .inheritable(none())
        .ambient(none())
        .build()
        .map_err(broken)?;
    let options = security::parse(&record.spec.security_opt)?;
    let mut builder = ProcessBuilder::default()
        .terminal(parts.tty)
        .user(user)
        .args(parts.args)
        .env(parts.env)
        .cwd(if parts.cwd.is_empty() { "/" } else { parts.cwd })
        .capabilities(capabilities)
        .rlimits(rlimits(&record.spec.ulimits, &defaults.ulimits)?)
        .no_new_privileges(options.no_new_privileges || defaults.no_new_privileges);
    if record.spec.oom_score_adj != 0 {
        let adj = i32::try_from(record.spec.oom_score_adj).unwrap_or(0);
        builder = builder.oom_score_adj(adj);
    }
    if parts.tty && parts.size != (0, 0) {
        builder = builder.console_size(size(parts.size)?);
    }
    builder.build().map_err(broken)
}

fn size((rows, cols): (u16, u16)) -> Result<Size> {
    BoxBuilder::default().height(rows).width(cols).build().map_err(broken)
}

pub(crate) fn broken(e: OciSpecError) -> Error {
    Error::internal(format!("build the runtime spec: {e}"))
}

/// Docker's order: PATH, HOSTNAME, TERM, links, then what the user and the image say, HOME last unless it was said.
fn environment(
    record: &ContainerRecord,
    user: &User,
    links: &[String],
    tty: bool,
    more: &[String],
) -> Vec<String> {
    let spec = &record.spec;
    let hostname = if spec.hostname.is_empty() {
        short(&record.id).to_string()
    } else {
        spec.hostname.clone()
    };
    let mut env = vec![PATH.to_string(), format!("HOSTNAME={hostname}")];
    if tty {
        env.push("TERM=xterm".into());
    }
    env.extend(links.iter().cloned());
    let env = merge::env(&merge::env(&env, &spec.env), more);
    if env.iter().any(|e| e.starts_with("HOME=")) {
        return env;
    }
    merge::env(&env, &[format!("HOME={}", user.home)])
}

fn rlimits(own: &[Ulimit], defaults: &[Ulimit]) -> Result<Vec<PosixRlimit>> {
    let inherited = defaults.iter().filter(|d| !own.iter().any(|o| o.name == d.name));
    own.iter().chain(inherited).map(rlimit).collect()
}

fn rlimit(limit: &Ulimit) -> Result<PosixRlimit> {
    let name = format!("RLIMIT_{}", limit.name.to_ascii_uppercase());
    let kind: PosixRlimitType = serde_json::from_value(serde_json::Value::String(name))
        .map_err(|_| Error::invalid(format!("invalid ulimit type: {}", limit.name)))?;
    // -1 is no limit, which the kernel writes as all ones.
    let value = |n: i64| u64::try_from(n).unwrap_or(u64::MAX);
    PosixRlimitBuilder::default()
        .typ(kind)
        .soft(value(limit.soft))
        .hard(value(limit.hard))
        .build()
        .map_err(broken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> ContainerRecord {
        let mut record = ContainerRecord {
            id: "abcdef0123456789".into(),
            path: "sh".into(),
            ..Default::default()
        };
        record.spec.env = vec!["A=b".into(), "PATH=/bin".into()];
        record.spec.tty = true;
        record
    }

    #[test]
    fn the_environment_has_dockers_variables() {
        let root = User { home: "/root".into(), ..User::default() };
        let env = environment(&record(), &root, &[], true, &["A=c".into()]);
        assert_eq!(env, ["PATH=/bin", "HOSTNAME=abcdef012345", "TERM=xterm", "A=c", "HOME=/root"]);
    }

    #[test]
    fn only_root_starts_with_capabilities() {
        let user = User { uid: 1000, ..User::default() };
        let process = main(&record(), &user, &[], &Defaults::default()).unwrap();
        let caps = process.capabilities().as_ref().unwrap();
        assert_eq!(caps.bounding().as_ref().unwrap().len(), 14);
        assert!(caps.effective().as_ref().unwrap().is_empty());
    }

    #[test]
    fn limits_become_rlimits() {
        let limit = Ulimit { name: "nofile".into(), soft: 10, hard: -1 };
        let rlimit = rlimit(&limit).unwrap();
        assert_eq!(
            (rlimit.typ(), rlimit.soft(), rlimit.hard()),
            (PosixRlimitType::RlimitNofile, 10, u64::MAX)
        );
    }
}
