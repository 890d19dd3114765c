//! `top`, `port`, `diff`, `update`.

use bryo_spec::docker::{FilesystemChange, TopResponse, UpdateRequest, UpdateResponse};

use super::super::client::{query, segment};
use super::super::context::Context;
use super::super::dashboard;
use super::super::error::{CliError, Result};
use super::super::flags::{Flag, Parsed, value};
use super::super::format::align;
use super::super::run;
use super::super::run::values;
use super::attach::inspect;
use super::for_each;

/// Flags of `update`.
pub const UPDATE: &[Flag] = &[
    value(
        "blkio-weight",
        None,
        "uint16",
        "Block IO (relative weight), between 10 and 1000, or 0 to disable (default 0)",
    ),
    value("cpu-period", None, "int", "Limit CPU CFS (Completely Fair Scheduler) period"),
    value("cpu-quota", None, "int", "Limit CPU CFS (Completely Fair Scheduler) quota"),
    value("cpu-rt-period", None, "int", "Limit the CPU real-time period in microseconds"),
    value("cpu-rt-runtime", None, "int", "Limit the CPU real-time runtime in microseconds"),
    value("cpu-shares", Some('c'), "int", "CPU shares (relative weight)"),
    value("cpus", None, "decimal", "Number of CPUs"),
    value("cpuset-cpus", None, "string", "CPUs in which to allow execution (0-3, 0,1)"),
    value("cpuset-mems", None, "string", "MEMs in which to allow execution (0-3, 0,1)"),
    value("memory", Some('m'), "bytes", "Memory limit"),
    value("memory-reservation", None, "bytes", "Memory soft limit"),
    value(
        "memory-swap",
        None,
        "bytes",
        "Swap limit equal to memory plus swap: -1 to enable unlimited swap",
    ),
    value("pids-limit", None, "int", "Tune container pids limit (set -1 for unlimited)"),
    value("restart", None, "string", "Restart policy to apply when a container exits"),
];

/// Processes.
pub async fn top(context: Context, p: Parsed) -> Result<u8> {
    let Some((name, args)) = p.args.split_first() else {
        return dashboard::run(context).await;
    };
    let pairs: Vec<_> =
        (!args.is_empty()).then(|| ("ps_args", args.join(" "))).into_iter().collect();
    let path = format!("/containers/{}/top{}", segment(name), query(&pairs));
    let top: TopResponse = context.client.get(&path).await?;
    let mut lines = vec![top.titles.join("\t")];
    lines.extend(top.processes.iter().map(|row| row.join("\t")));
    print!("{}", align(&lines, 20));
    Ok(0)
}

/// Published ports.
pub async fn port(context: Context, p: Parsed) -> Result<u8> {
    let name = p.args.first().cloned().unwrap_or_default();
    let container = inspect(&context, &name).await?;
    let ports = container.network_settings.ports;
    let host = |b: &bryo_spec::docker::PortBinding| match b.host_ip.contains(':') {
        true => format!("[{}]:{}", b.host_ip, b.host_port),
        false => format!("{}:{}", b.host_ip, b.host_port),
    };
    let Some(wanted) = p.args.get(1) else {
        for (port, bindings) in &ports {
            for binding in bindings.iter().flatten() {
                println!("{port} -> {}", host(binding));
            }
        }
        return Ok(0);
    };
    let key = if wanted.contains('/') { wanted.clone() } else { format!("{wanted}/tcp") };
    match ports.get(&key) {
        Some(Some(bindings)) if !bindings.is_empty() => {
            bindings.iter().for_each(|binding| println!("{}", host(binding)));
            Ok(0)
        }
        _ => Err(CliError::new(format!("Error: No public port '{wanted}' published for {name}"))),
    }
}

/// Changed paths.
pub async fn diff(context: Context, p: Parsed) -> Result<u8> {
    let path =
        format!("/containers/{}/changes", segment(p.args.first().map_or("", String::as_str)));
    let changes: Option<Vec<FilesystemChange>> = context.client.get(&path).await?;
    for change in changes.unwrap_or_default() {
        let letter = match change.kind {
            0 => 'C',
            1 => 'A',
            _ => 'D',
        };
        println!("{letter} {}", change.path);
    }
    Ok(0)
}

/// New limits or restart policy.
pub async fn update(context: Context, p: Parsed) -> Result<u8> {
    let restart = p.get("restart").map(values::restart).transpose()?;
    let body = UpdateRequest {
        resources: run::resources(&p)?,
        restart_policy: restart.unwrap_or_default(),
    };
    for_each(&p.args, |name| {
        let (client, body) = (context.client.clone(), body.clone());
        async move {
            let path = format!("/containers/{}/update", segment(&name));
            let answer: UpdateResponse = client.post_json(&path, &body).await?;
            answer.warnings.into_iter().flatten().for_each(|w| eprintln!("{w}"));
            Ok(())
        }
    })
    .await
}
