//! Filters that several calls share, and those of the container list.

use std::collections::BTreeMap;

use super::health;
use super::record::Snapshot;
use regex::Regex;

use crate::engine::Engine;
use crate::model::{Filters, Port, Protocol};
use crate::util::now;
use crate::{Error, Result};

/// Filters of the list.
const KNOWN: &[&str] = &[
    "ancestor",
    "before",
    "exited",
    "expose",
    "health",
    "id",
    "is-task",
    "isolation",
    "label",
    "name",
    "network",
    "publish",
    "since",
    "status",
    "volume",
];

const STATUSES: &[&str] =
    &["created", "running", "paused", "restarting", "removing", "exited", "dead"];

/// `label` (all must be there) and `label!` (none may).
pub(crate) fn labels(filters: &Filters, have: &BTreeMap<String, String>) -> bool {
    let has = |wanted: &String| match wanted.split_once('=') {
        Some((key, value)) => have.get(key).is_some_and(|v| v == value),
        None => have.contains_key(wanted),
    };
    filters.get("label").iter().all(has) && !filters.get("label!").iter().any(has)
}

/// A time of an `until` filter: seconds since the epoch (with a fraction), RFC 3339, or a duration before now (`24h`).
pub(crate) fn time(text: &str) -> Result<i128> {
    let wrong = || {
        Error::invalid(format!("invalid time {text:?}: want a duration (24h), seconds or RFC 3339"))
    };
    if let Some(before) = go_duration(text) {
        return Ok(now() - before);
    }
    if let Ok(t) = text.parse::<jiff::Timestamp>() {
        return Ok(t.as_nanosecond());
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i128 = whole.parse().map_err(|_| wrong())?;
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let nanos: i128 = digits.parse().map_err(|_| wrong())?;
    Ok(seconds * 1_000_000_000 + nanos)
}

/// `1h30m`, `10s`, `5ms` in nanoseconds; numbers without a unit are none.
fn go_duration(text: &str) -> Option<i128> {
    let mut rest = text;
    let mut total: i128 = 0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(end);
        let unit_end = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, next) = after.split_at(unit_end);
        let scale: i128 = match unit {
            "ns" => 1,
            "us" | "µs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            "d" => 86_400_000_000_000,
            _ => return None,
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        total += whole.parse::<i128>().ok()? * scale;
        if !fraction.is_empty() {
            let digits = u32::try_from(fraction.len()).ok().filter(|d| *d < 10)?;
            total += fraction.parse::<i128>().ok()? * scale / 10i128.pow(digits);
        }
        rest = next;
    }
    Some(total)
}

/// The list's filters, checked and resolved once.
pub(crate) struct Wanted<'a> {
    filters: &'a Filters,
    names: Vec<Regex>,
    /// Image ids and names of `ancestor`.
    ancestors: Vec<String>,
    /// Creation times of `before` and `since`.
    before: Option<i128>,
    since: Option<i128>,
    exited: Vec<i32>,
    ports: [Vec<(u16, u16, Option<Protocol>)>; 2],
}

impl<'a> Wanted<'a> {
    pub(crate) fn new(engine: &Engine, filters: &'a Filters) -> Result<Wanted<'a>> {
        if let Some(key) = filters.0.keys().find(|k| !KNOWN.contains(&k.as_str())) {
            return Err(Error::invalid(format!("invalid filter '{key}'")));
        }
        for status in filters.get("status") {
            if !STATUSES.contains(&status.as_str()) {
                return Err(Error::invalid(format!("invalid filter 'status={status}'")));
            }
        }
        for health in filters.get("health") {
            if !matches!(health.as_str(), "none" | "starting" | "healthy" | "unhealthy") {
                return Err(Error::invalid(format!("invalid filter 'health={health}'")));
            }
        }
        let created = |key: &str| -> Result<Option<i128>> {
            let found = filters.get(key).iter().map(|r| engine.inner().registry.find(r));
            let times = found.map(|c| c.map(|c| c.snapshot().record.created));
            Ok(times.collect::<Result<Vec<i128>>>()?.first().copied())
        };
        let mut ancestors = Vec::new();
        for name in filters.get("ancestor") {
            ancestors.push(name.clone());
            if let Ok(image) = engine.images().resolve(name, None) {
                ancestors.push(image.id.to_string());
            }
        }
        let exited = filters.get("exited").iter().map(|code| {
            code.parse().map_err(|_| Error::invalid(format!("invalid filter 'exited={code}'")))
        });
        let ports =
            |key: &str| filters.get(key).iter().map(|p| port_range(p)).collect::<Result<Vec<_>>>();
        Ok(Wanted {
            filters,
            names: filters.get("name").iter().filter_map(|n| name_pattern(n)).collect(),
            ancestors,
            before: created("before")?,
            since: created("since")?,
            exited: exited.collect::<Result<Vec<i32>>>()?,
            ports: [ports("publish")?, ports("expose")?],
        })
    }

    /// A state is asked for, so containers that do not run count, too.
    pub(crate) fn asks_for_state(&self) -> bool {
        self.filters.has("status") || self.filters.has("exited")
    }

    pub(crate) fn matches(&self, c: &Snapshot) -> bool {
        self.by_name(c) && self.by_state(c) && self.by_surroundings(c)
    }

    fn any(&self, key: &str, test: impl Fn(&str) -> bool) -> bool {
        !self.filters.has(key) || self.filters.get(key).iter().any(|v| test(v))
    }

    fn by_name(&self, c: &Snapshot) -> bool {
        let record = &c.record;
        let image = |wanted: &String| {
            record.image_id == *wanted
                || record.spec.image == *wanted
                || record.spec.image.strip_suffix(":latest").is_some_and(|i| i == wanted)
                || wanted.strip_suffix(":latest").is_some_and(|w| w == record.spec.image)
        };
        self.any("id", |v| record.id.starts_with(v))
            && (!self.filters.has("name")
                || self.names.iter().any(|pattern| name_matches(&record.name, pattern)))
            && (self.ancestors.is_empty() || self.ancestors.iter().any(image))
            && self.before.is_none_or(|t| record.created < t)
            && self.since.is_none_or(|t| record.created > t)
            && labels(self.filters, &record.spec.labels)
    }

    fn by_state(&self, c: &Snapshot) -> bool {
        let state = &c.state.state;
        let checked = health::is_checked(c.record.spec.healthcheck.as_ref());
        let health =
            state.health.as_ref().filter(|_| checked).map_or("none", |h| h.status.as_str());
        let ended = !c.is_running() && state.finished_at.is_some();
        self.any("status", |v| state.status.as_str() == v)
            && self.any("health", |v| health == v)
            && (self.exited.is_empty() || (ended && self.exited.contains(&state.exit_code)))
            && self.any("is-task", |v| matches!(v, "false" | "0"))
    }

    fn by_surroundings(&self, c: &Snapshot) -> bool {
        let [publish, expose] = &self.ports;
        let hit = |ranges: &[(u16, u16, Option<Protocol>)], port: Port| {
            ranges.iter().any(|(first, last, protocol)| {
                (*first..=*last).contains(&port.port) && protocol.is_none_or(|p| p == port.protocol)
            })
        };
        let published = |p: &crate::model::PortBinding| {
            let number = p.host_port.parse().unwrap_or(p.port.port);
            hit(publish, Port { port: number, protocol: p.port.protocol }) || hit(publish, p.port)
        };
        self.any("network", |v| {
            c.state.endpoints.iter().any(|(name, e)| name == v || e.network_id.starts_with(v))
        }) && self.any("volume", |v| {
            c.record
                .mounts
                .iter()
                .any(|m| m.point.name == v || m.point.destination == v || m.point.source == v)
        }) && (publish.is_empty() || c.state.ports.iter().any(published))
            && (expose.is_empty() || c.record.spec.exposed_ports.iter().any(|p| hit(expose, *p)))
    }
}

/// Docker matches names by regular expression, with and without the slash in front. What is none matches nothing.
fn name_pattern(text: &str) -> Option<Regex> {
    Regex::new(text).ok()
}

fn name_matches(name: &str, pattern: &Regex) -> bool {
    pattern.is_match(name) || pattern.is_match(&format!("/{name}"))
}

/// `80`, `80/tcp`, `8000-8010/udp`.
fn port_range(text: &str) -> Result<(u16, u16, Option<Protocol>)> {
    let wrong = || Error::invalid(format!("invalid port filter '{text}'"));
    let (range, protocol) = match text.split_once('/') {
        Some((range, "tcp")) => (range, Some(Protocol::Tcp)),
        Some((range, "udp")) => (range, Some(Protocol::Udp)),
        Some(_) => return Err(wrong()),
        None => (text, Some(Protocol::Tcp)),
    };
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    Ok((first.parse().map_err(|_| wrong())?, last.parse().map_err(|_| wrong())?, protocol))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_in_part_or_anchored() {
        let matches = |pattern| name_pattern(pattern).is_some_and(|p| name_matches("web-1", &p));
        for pattern in ["web", "^/web-1$", "^/?web-1$", "^(a|web-1)$", r"^web-\d$", "w.b", ".*"] {
            assert!(matches(pattern), "{pattern}");
        }
        for pattern in ["^web$", r"^\d", "("] {
            assert!(!matches(pattern), "{pattern}");
        }
    }

    #[test]
    fn times_are_durations_seconds_or_dates() {
        assert_eq!(time("1700000000.5").unwrap(), 1_700_000_000_500_000_000);
        assert_eq!(time("2023-11-14T22:13:20Z").unwrap(), 1_700_000_000_000_000_000);
        let hour = now() - time("1h").unwrap();
        assert!((3_590_000_000_000..=3_600_000_000_000).contains(&hour));
        assert!(time("soon").is_err());
    }

    #[test]
    fn ports() {
        assert_eq!(port_range("80-81/udp").unwrap(), (80, 81, Some(Protocol::Udp)));
        assert!(port_range("x").is_err());
    }
}
