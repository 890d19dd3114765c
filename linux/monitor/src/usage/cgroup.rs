//! A container's numbers out of the files of its cgroup (cgroup-v2.rst). A controller that is not delegated has no
//! files; what is missing is named, so that it can be had elsewhere.

use std::path::Path;

use crate::messages::{DiskUsage, Usage};

/// What a cgroup did not tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "one for each controller")]
pub(super) struct Missing {
    pub(super) cpu: bool,
    pub(super) memory: bool,
    pub(super) pids: bool,
    pub(super) disks: bool,
}

impl Missing {
    pub(super) const ALL: Missing = Missing { cpu: true, memory: true, pids: true, disks: true };
    pub(super) const NOTHING: Missing =
        Missing { cpu: false, memory: false, pids: false, disks: false };
}

/// Reads what there is into `usage`.
pub(super) fn read(folder: &Path, usage: &mut Usage) -> Missing {
    Missing {
        cpu: cpu(folder, usage).is_none(),
        memory: memory(folder, usage).is_none(),
        pids: pids(folder, usage).is_none(),
        disks: disks(folder, usage).is_none(),
    }
}

fn text(folder: &Path, name: &str) -> Option<String> {
    std::fs::read_to_string(folder.join(name)).ok()
}

/// A file of one number; `max` is `u64::MAX`.
fn number(folder: &Path, name: &str) -> Option<u64> {
    match text(folder, name)?.trim() {
        "max" => Some(u64::MAX),
        digits => digits.parse().ok(),
    }
}

/// The value of a `name value` line.
fn value(text: &str, name: &str) -> Option<u64> {
    pairs(text).find_map(|(n, value)| (n == name).then_some(value))
}

fn pairs(text: &str) -> impl Iterator<Item = (&str, u64)> {
    text.lines().filter_map(|line| {
        let (name, value) = line.split_once(' ')?;
        Some((name, value.trim().parse().ok()?))
    })
}

fn cpu(folder: &Path, usage: &mut Usage) -> Option<()> {
    // There even without the controller; the throttling lines are the controller's.
    let text = text(folder, "cpu.stat")?;
    let micros = |name| value(&text, name).map(|micros| micros.saturating_mul(1000));
    let cpu = &mut usage.cpu;
    cpu.total = micros("usage_usec")?;
    cpu.user = micros("user_usec").unwrap_or(0);
    cpu.system = micros("system_usec").unwrap_or(0);
    let count = |name| value(&text, name).unwrap_or(0);
    let held_back = micros("throttled_usec").unwrap_or(0);
    cpu.throttled = (count("nr_periods"), count("nr_throttled"), held_back);
    Some(())
}

fn memory(folder: &Path, usage: &mut Usage) -> Option<()> {
    let memory = &mut usage.memory;
    memory.usage = number(folder, "memory.current")?;
    memory.limit = number(folder, "memory.max").filter(|limit| *limit != u64::MAX);
    let events = text(folder, "memory.events").unwrap_or_default();
    memory.kills = value(&events, "oom_kill").unwrap_or(0);
    let stat = text(folder, "memory.stat").unwrap_or_default();
    memory.detail = pairs(&stat).map(|(name, value)| (name.to_owned(), value)).collect();
    Some(())
}

fn pids(folder: &Path, usage: &mut Usage) -> Option<()> {
    usage.pids = number(folder, "pids.current")?;
    usage.pids_limit = number(folder, "pids.max");
    Some(())
}

fn disks(folder: &Path, usage: &mut Usage) -> Option<()> {
    let text = text(folder, "io.stat")?;
    usage.disks = text.lines().filter_map(disk).collect();
    Some(())
}

/// `254:0 rbytes=1 wbytes=2 rios=…`; a device without traffic may have its number alone.
fn disk(line: &str) -> Option<DiskUsage> {
    let (device, rest) = line.split_once(' ')?;
    let (major, minor) = device.split_once(':')?;
    let field = |name: &str| -> Option<u64> {
        let word = rest.split_ascii_whitespace().find_map(|w| w.strip_prefix(name))?;
        word.parse().ok()
    };
    Some(DiskUsage {
        major: major.parse().ok()?,
        minor: minor.parse().ok()?,
        read: field("rbytes=")?,
        written: field("wbytes=")?,
    })
}
