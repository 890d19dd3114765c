//! Limits as the files of a cgroup v2, as the OCI runtimes write them.

use std::os::unix::fs::MetadataExt;

use serde_json::Value;

use super::support::{By, Support};
use crate::model::Resources;

/// Files and values in the order in which they are written. Only of controllers that are there; with `all` also those of limits that
/// are not set, with the kernel's default: that is what an update writes, which may have lifted a limit.
pub(crate) fn files(r: &Resources, can: &Support, all: bool) -> Vec<(String, String)> {
    let mut out: Vec<(String, Option<String>, &str)> = Vec::new();
    if can.memory == By::Kernel {
        memory(r, can, &mut out);
    }
    if can.pids == By::Kernel {
        out.push(("pids.max".into(), r.pids_limit.and_then(positive), "max"));
    }
    if can.cpu == By::Kernel {
        out.push(("cpu.max".into(), cpu_max(r), "max 100000"));
        out.push((
            "cpu.weight".into(),
            positive(r.cpu_shares).map(|_| weight(r.cpu_shares)),
            "100",
        ));
    }
    if can.cpuset_cpus == By::Kernel {
        out.push(("cpuset.cpus".into(), text(&r.cpuset_cpus), "\n"));
        out.push(("cpuset.mems".into(), text(&r.cpuset_mems), "\n"));
    }
    let mut files: Vec<(String, String)> = out
        .into_iter()
        .filter(|(_, value, _)| all || value.is_some())
        .map(|(file, value, default)| (file, value.unwrap_or_else(|| default.into())))
        .collect();
    if can.io_weight == By::Kernel {
        io_weight(r, &mut files);
    }
    if can.io_max == By::Kernel {
        io_max(r, &mut files);
    }
    files
}

fn memory(r: &Resources, can: &Support, out: &mut Vec<(String, Option<String>, &'static str)>) {
    let limit = positive(r.memory);
    if can.swap == By::Kernel {
        // Docker's number is memory and swap together, the kernel's is swap alone.
        let swap = (r.memory > 0 && r.memory_swap >= r.memory)
            .then(|| (r.memory_swap - r.memory).to_string());
        out.push(("memory.swap.max".into(), swap, "max"));
    }
    out.push(("memory.max".into(), limit, "max"));
    out.push(("memory.low".into(), positive(r.memory_reservation), "0"));
}

fn positive(n: i64) -> Option<String> {
    (n > 0).then(|| n.to_string())
}

fn text(t: &str) -> Option<String> {
    (!t.is_empty()).then(|| t.to_owned())
}

/// Quota and period in microseconds.
fn cpu_max(r: &Resources) -> Option<String> {
    const PERIOD: i64 = 100_000;
    if r.nano_cpus > 0 {
        let quota = i128::from(r.nano_cpus) * i128::from(PERIOD) / 1_000_000_000;
        return Some(format!("{} {PERIOD}", quota.max(1000)));
    }
    let period = if r.cpu_period > 0 { r.cpu_period } else { PERIOD };
    match (r.cpu_quota > 0, r.cpu_period > 0) {
        (true, _) => Some(format!("{} {period}", r.cpu_quota)),
        (false, true) => Some(format!("max {period}")),
        (false, false) => None,
    }
}

/// Shares (2–262144, usually 1024) as a weight (1–10000, usually 100): the curve of runc 1.3 and crun, on which the usual values
/// and both ends meet.
fn weight(shares: i64) -> String {
    let shares = u32::try_from(shares.clamp(2, 262_144)).unwrap_or(1024);
    let log = f64::from(shares).log2();
    let weight = 10_f64.powf((log * log + 125.0 * log) / 612.0 - 7.0 / 34.0).ceil();
    format!("{:.0}", weight.clamp(1.0, 10_000.0))
}

fn io_weight(r: &Resources, files: &mut Vec<(String, String)>) {
    // 10–1000 becomes 1–10000.
    let scaled = |w: i64| 1 + (w.clamp(10, 1000) - 10) * 9999 / 990;
    if r.blkio_weight > 0 {
        files.push(("io.weight".into(), format!("default {}", scaled(r.blkio_weight.into()))));
    }
    for (device, weight) in devices(r, "BlkioWeightDevice", "Weight") {
        files.push(("io.weight".into(), format!("{device} {}", scaled(weight))));
    }
}

fn io_max(r: &Resources, files: &mut Vec<(String, String)>) {
    for (field, word) in [
        ("BlkioDeviceReadBps", "rbps"),
        ("BlkioDeviceWriteBps", "wbps"),
        ("BlkioDeviceReadIOps", "riops"),
        ("BlkioDeviceWriteIOps", "wiops"),
    ] {
        for (device, rate) in devices(r, field, "Rate") {
            let rate = if rate > 0 { rate.to_string() } else { "max".into() };
            files.push(("io.max".into(), format!("{device} {word}={rate}")));
        }
    }
}

/// `MAJOR:MINOR` and a number. A device that is not there is refused when the container is made ([`check_devices`]).
fn devices(r: &Resources, field: &str, number: &str) -> Vec<(String, i64)> {
    let list = r.blkio_devices.get(field).and_then(Value::as_array).into_iter().flatten();
    list.filter_map(|entry| {
        let meta = std::fs::metadata(entry.get("Path")?.as_str()?).ok()?;
        let device = meta.rdev();
        let numbers = format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device));
        Some((numbers, entry.get(number)?.as_i64()?))
    })
    .collect()
}

/// Refuses rates of devices that do not exist, in the kernel's words as Docker passes them on.
pub(crate) fn check_devices(r: &Resources) -> crate::Result<()> {
    let entries = r.blkio_devices.values().filter_map(Value::as_array).flatten();
    for path in entries.filter_map(|e| e.get("Path")?.as_str()) {
        if let Err(e) = std::fs::metadata(path) {
            let why = e.to_string().to_lowercase();
            let why = why.split(" (os error").next().unwrap_or_default().to_owned();
            return Err(crate::Error::invalid(format!("stat {path}: {why}")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel() -> Support {
        let all = ["memory", "memory.swap.max", "pids", "cpu", "cpuset", "io.weight", "io.max"];
        Support::with(|c| all.contains(&c), false)
    }

    fn value(r: &Resources, file: &str, all: bool) -> Option<String> {
        files(r, &kernel(), all).into_iter().find(|(f, _)| f == file).map(|(_, v)| v)
    }

    #[test]
    fn dockers_numbers_become_the_kernels() {
        let r = Resources {
            memory: 32 << 20,
            memory_swap: 64 << 20,
            nano_cpus: 500_000_000,
            pids_limit: Some(20),
            cpu_shares: 1024,
            blkio_weight: 1000,
            ..Resources::default()
        };
        assert_eq!(value(&r, "memory.max", false).unwrap(), "33554432");
        assert_eq!(value(&r, "memory.swap.max", false).unwrap(), "33554432");
        assert_eq!(value(&r, "cpu.max", false).unwrap(), "50000 100000");
        assert_eq!(value(&r, "cpu.weight", false).unwrap(), "100");
        assert_eq!(value(&r, "pids.max", false).unwrap(), "20");
        assert_eq!(value(&r, "io.weight", false).unwrap(), "default 10000");
        assert_eq!(value(&r, "memory.low", false), None);
        assert_eq!(value(&r, "memory.low", true).unwrap(), "0");
        let unlimited = Resources { memory_swap: -1, ..r };
        assert_eq!(value(&unlimited, "memory.swap.max", true).unwrap(), "max");
    }

    #[test]
    fn the_ends_of_shares_meet_the_ends_of_weights() {
        assert_eq!((weight(2), weight(262_144)), ("1".into(), "10000".into()));
        assert!(files(&Resources::default(), &kernel(), false).is_empty());
        assert!(
            files(&Resources { memory: 1, ..Default::default() }, &Support::default(), true)
                .is_empty()
        );
    }
}
