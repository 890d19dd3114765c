//! `ps`.

use bryo_spec::docker::units::{human_duration, human_size};
use bryo_spec::docker::{ContainerSummary, PortSummary};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::client::{self, query};
use super::super::context::Context;
use super::super::error::{CliError, Result};
use super::super::flags::{FILTER, Flag, LIST_FORMAT, Parsed, switch, value};
use super::super::format::{Columns, LABELS, ellipsis, print_list, short_id};
use super::super::template::{Template, json_text};

/// Its flags.
pub const FLAGS: &[Flag] = &[
    switch("all", Some('a'), "Show all containers (default shows just running)"),
    FILTER,
    LIST_FORMAT,
    value(
        "last",
        Some('n'),
        "int",
        "Show n last created containers (includes all states) (default -1)",
    ),
    switch("latest", Some('l'), "Show the latest created container (includes all states)"),
    switch("no-trunc", None, "Don't truncate output"),
    switch("quiet", Some('q'), "Only display container IDs"),
    switch("size", Some('s'), "Display total file sizes"),
];

/// Fields of a row and their titles.
pub const TITLES: &[(&str, &str)] = &[
    ("ID", "CONTAINER ID"),
    ("Image", "IMAGE"),
    ("Command", "COMMAND"),
    ("CreatedAt", "CREATED AT"),
    ("RunningFor", "CREATED"),
    ("Status", "STATUS"),
    ("State", "STATE"),
    ("Ports", "PORTS"),
    ("Names", "NAMES"),
    ("Size", "SIZE"),
    ("Labels", "LABELS"),
    ("Mounts", "MOUNTS"),
    ("LocalVolumes", "LOCAL VOLUMES"),
    ("Networks", "NETWORKS"),
    ("HealthStatus", "HEALTH STATUS"),
    ("Platform", "PLATFORM"),
];

const DEFAULT: Columns = Columns {
    kind: "*formatter.ContainerContext",
    default: "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}",
    titles: TITLES,
};

const WITH_SIZE: Columns = Columns {
    kind: "*formatter.ContainerContext",
    default: "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}\t{{.Size}}",
    titles: TITLES,
};

/// Lists containers.
pub async fn ps(context: Context, p: Parsed) -> Result<u8> {
    let mut pairs = Vec::new();
    let size = p.is("size")
        || p.get("format").is_some_and(|f| f.contains(".Size") || f.contains("json ."));
    if p.is("all") {
        pairs.push(("all", "1".to_owned()));
    }
    let last = if p.is("latest") { Some(1) } else { p.number::<i64>("last")?.filter(|n| *n > 0) };
    if let Some(n) = last {
        pairs.push(("limit", n.to_string()));
    }
    if size {
        pairs.push(("size", "1".to_owned()));
    }
    if let Some(filters) = client::filters(&p.all("filter"))? {
        pairs.push(("filters", filters));
    }
    if let Some(format) = p.get("format").filter(|f| !matches!(*f, "json" | "table" | "")) {
        check(format)?;
    }
    let path = format!("/containers/json{}", query(&pairs));
    let containers: Vec<ContainerSummary> = context.client.get(&path).await?;
    if p.is("quiet") {
        ignored_format(&p);
        for c in &containers {
            println!("{}", if p.is("no-trunc") { &c.id } else { short_id(&c.id) });
        }
        return Ok(0);
    }
    let now = Timestamp::now().as_second();
    let rows: Vec<Value> = containers.iter().map(|c| row(c, p.is("no-trunc"), now)).collect();
    let columns = if p.is("size") { &WITH_SIZE } else { &DEFAULT };
    print_list(&rows, p.get("format"), columns).map_err(|e| {
        let e = e.to_string();
        CliError::new(e.replacen("template parsing error", "failed to execute template", 1))
    })?;
    Ok(0)
}

/// Refuses a template that is none before anything is asked for, in docker's words.
fn check(format: &str) -> Result<()> {
    let text = format.strip_prefix("table").unwrap_or(format);
    let failed = |e: String| {
        CliError::new(e.replacen("template parsing error", "failed to parse template", 1))
    };
    Template::parse(text).map(drop).map_err(failed)
}

/// docker's warning when `--quiet` makes a format useless.
pub fn ignored_format(p: &Parsed) {
    if p.get("format").is_some_and(|f| !f.is_empty()) {
        eprintln!("WARNING: Ignoring custom format, because both --format and --quiet are set.");
    }
}

/// A row of the list; `full` keeps ids and commands as they are.
pub fn row(c: &ContainerSummary, full: bool, now: i64) -> Value {
    let command = if full { c.command.clone() } else { ellipsis(&c.command, 20) };
    let names: Vec<&str> = c
        .names
        .iter()
        .map(|n| n.trim_start_matches('/'))
        // Names with a second slash are links of other containers.
        .filter(|n| full || !n.contains('/'))
        .collect();
    let labels: Vec<String> = c.labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
    let mounts: Vec<String> = c
        .mounts
        .iter()
        .map(|m| if m.name.is_empty() { m.source.clone() } else { m.name.clone() })
        .map(|name| if full { name } else { ellipsis(&name, 15) })
        .collect();
    let networks: Vec<&str> = c.network_settings.networks.keys().map(String::as_str).collect();
    let written = c.size_rw.unwrap_or(0);
    let size = match c.size_root_fs {
        Some(all) if all > 0 => {
            format!("{} (virtual {})", human_size(written, 3), human_size(all, 3))
        }
        _ => human_size(written, 3),
    };
    json!({
        "ID": if full { &c.id } else { short_id(&c.id) },
        "Image": if c.image.is_empty() { "<no image>" } else { &c.image },
        "Command": json_text(&command),
        "CreatedAt": created_at(c.created),
        "RunningFor": format!("{} ago", human_duration(now - c.created)),
        "Status": c.status,
        "State": c.state,
        "Ports": ports(&c.ports),
        "Names": names.join(","),
        "Size": size,
        "Labels": labels.join(","),
        "Mounts": mounts.join(","),
        "LocalVolumes": c.mounts.iter().filter(|m| m.driver == "local").count().to_string(),
        "Networks": networks.join(","),
        "Platform": null,
        "\0HealthStatus": c.health.as_ref().map_or("none", |h| h.status.as_str()),
        LABELS: c.labels,
    })
}

/// `2026-11-23 14:18:06 +0000 UTC`.
pub fn created_at(seconds: i64) -> String {
    Timestamp::from_second(seconds)
        .map(|t| t.strftime("%Y-%m-%d %H:%M:%S +0000 UTC").to_string())
        .unwrap_or_default()
}

/// `0.0.0.0:8080->80/tcp, [::]:8080->80/tcp, 443/tcp`; neighbours become ranges.
fn ports(list: &[PortSummary]) -> String {
    let mut list: Vec<&PortSummary> = list.iter().collect();
    list.sort_by_key(|p| (p.r#type.clone(), p.ip.clone(), p.private_port, p.public_port));
    let mut groups: Vec<(&PortSummary, u16)> = Vec::new();
    for port in list {
        let follows = groups.last_mut().filter(|(first, length)| {
            first.ip == port.ip
                && first.r#type == port.r#type
                && first.private_port.checked_add(*length) == Some(port.private_port)
                && (port.public_port == 0 && first.public_port == 0
                    || first.public_port > 0
                        && first.public_port.checked_add(*length) == Some(port.public_port))
        });
        match follows {
            Some((_, length)) => *length += 1,
            None => groups.push((port, 1)),
        }
    }
    // Published ones first, as docker has them.
    groups.sort_by_key(|(first, _)| first.public_port == 0);
    groups.iter().map(|(first, length)| group(first, *length)).collect::<Vec<_>>().join(", ")
}

fn group(first: &PortSummary, length: u16) -> String {
    let range = |start: u16| match length {
        1 => start.to_string(),
        n => format!("{start}-{}", start.saturating_add(n - 1)),
    };
    let inside = format!("{}/{}", range(first.private_port), first.r#type);
    if first.public_port == 0 {
        return inside;
    }
    let ip = if first.ip.contains(':') { format!("[{}]", first.ip) } else { first.ip.clone() };
    format!("{ip}:{}->{inside}", range(first.public_port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(ip: &str, private_port: u16, public_port: u16) -> PortSummary {
        PortSummary { ip: ip.into(), private_port, public_port, r#type: "tcp".into() }
    }

    #[test]
    fn ports_read_as_dockers() {
        assert_eq!(
            ports(&[port("0.0.0.0", 8080, 18080), port("::", 8080, 18080), port("", 443, 0)]),
            "0.0.0.0:18080->8080/tcp, [::]:18080->8080/tcp, 443/tcp"
        );
        assert_eq!(
            ports(&[port("0.0.0.0", 80, 81), port("0.0.0.0", 81, 82)]),
            "0.0.0.0:81-82->80-81/tcp"
        );
        assert_eq!(ports(&[port("", 80, 0), port("", 81, 0)]), "80-81/tcp");
    }
}
