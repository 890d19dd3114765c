//! Limits: what is refused and what is filled in.
//!
//! Texts are Docker's, which clients show and users search for.

use crate::model::Resources;
use crate::{Error, Result};

/// Docker's smallest memory limit.
const MIN_MEMORY: i64 = 6 * 1024 * 1024;

/// Refuses limits that contradict each other and fills in what Docker fills in.
pub(crate) fn check(r: &mut Resources, cpus: u64) -> Result<()> {
    memory(r)?;
    cpu(r, cpus)?;
    if r.cpu_realtime_period != 0 || r.cpu_realtime_runtime != 0 {
        // cgroup v2 has no real-time group scheduling; in v1 only the host's root may set it.
        return Err(Error::invalid("Your kernel does not support CPU real-time scheduler"));
    }
    super::cgroup::check_devices(r)?;
    if r.blkio_weight > 0 && !(10..=1000).contains(&r.blkio_weight) {
        return Err(Error::invalid("Range of blkio weight is from 10 to 1000"));
    }
    Ok(())
}

fn memory(r: &mut Resources) -> Result<()> {
    let refuse = |text: &str| Err(Error::invalid(text));
    // -1 is "no limit" in a cgroup's files and in some clients; other negative numbers mean nothing.
    r.memory = if r.memory == -1 { 0 } else { r.memory };
    if r.memory != 0 && r.memory < MIN_MEMORY {
        return refuse("Minimum memory limit allowed is 6MB");
    }
    if r.memory > 0 && r.memory_swap != -1 && r.memory_swap != 0 && r.memory_swap < r.memory {
        return refuse("Minimum memoryswap limit should be larger than memory limit, see usage");
    }
    if r.memory == 0 && r.memory_swap > 0 {
        return refuse(
            "You should always set the Memory limit when using Memoryswap limit, see usage",
        );
    }
    if let Some(swappiness) = r.memory_swappiness {
        if !(-1..=100).contains(&swappiness) {
            return Err(Error::invalid(format!(
                "Invalid value: {swappiness}, valid memory swappiness range is 0-100"
            )));
        }
    }
    if r.memory_reservation != 0 && r.memory_reservation < MIN_MEMORY {
        return refuse("Minimum memory reservation allowed is 6MB");
    }
    if r.memory > 0 && r.memory_reservation > 0 && r.memory < r.memory_reservation {
        return refuse(
            "Minimum memory limit can not be less than memory reservation limit, see usage",
        );
    }
    if r.memory > 0 && r.memory_swap == 0 {
        r.memory_swap = r.memory.saturating_mul(2);
    }
    Ok(())
}

fn cpu(r: &Resources, cpus: u64) -> Result<()> {
    let refuse = |text: &str| Err(Error::invalid(text));
    if r.nano_cpus > 0 && r.cpu_period != 0 {
        return refuse("Conflicting options: Nano CPUs and CPU Period cannot both be set");
    }
    if r.nano_cpus > 0 && r.cpu_quota != 0 {
        return refuse("Conflicting options: Nano CPUs and CPU Quota cannot both be set");
    }
    let most = i64::try_from(cpus).unwrap_or(i64::MAX).saturating_mul(1_000_000_000);
    if r.nano_cpus < 0 || (r.nano_cpus > 0 && r.nano_cpus > most) {
        return Err(Error::invalid(format!(
            "range of CPUs is from 0.01 to {cpus}.00, as there are only {cpus} CPUs available"
        )));
    }
    if r.cpu_shares < 0 {
        return Err(Error::invalid(format!(
            "invalid CPU shares ({}): value must be a positive integer",
            r.cpu_shares
        )));
    }
    if r.cpu_period != 0 && !(1000..=1_000_000).contains(&r.cpu_period) {
        return refuse(
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)",
        );
    }
    if r.cpu_quota > 0 && r.cpu_quota < 1000 {
        return refuse("CPU cfs quota can not be less than 1ms (i.e. 1000)");
    }
    cpuset(&r.cpuset_cpus, "cpuset cpus", &Available::cpus(cpus))?;
    cpuset(&r.cpuset_mems, "cpuset mems", &Available::memory_nodes())
}

/// What a set may have, as the kernel lists it (`0-3`), and Docker's word for it.
struct Available {
    word: &'static str,
    list: String,
}

impl Available {
    fn read(word: &'static str, file: &str, otherwise: impl FnOnce() -> String) -> Available {
        let list = std::fs::read_to_string(file).map(|text| text.trim().to_string());
        Available { word, list: list.unwrap_or_else(|_| otherwise()) }
    }

    fn cpus(count: u64) -> Available {
        let all = || format!("0-{}", count.saturating_sub(1));
        Available::read("CPUs", "/sys/devices/system/cpu/online", all)
    }

    /// A kernel without NUMA has one node and no file.
    fn memory_nodes() -> Available {
        Available::read("memory nodes", "/sys/devices/system/node/online", || "0".into())
    }
}

/// `0-2,4`.
fn cpuset(text: &str, what: &str, available: &Available) -> Result<()> {
    let invalid = || Error::invalid(format!("Invalid value {text} for {what}"));
    let mut have = None;
    for part in text.split(',').filter(|p| !p.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |n: &str| n.trim().parse::<u32>().map_err(|_| invalid());
        let (first, last) = (number(first)?, number(last)?);
        if first > last {
            return Err(invalid());
        }
        let have = have.get_or_insert_with(|| list(&available.list));
        if !have.contains(&first) || !have.contains(&last) {
            return Err(Error::invalid(format!(
                "Requested {} are not available - requested {text}, available: {}",
                available.word, available.list
            )));
        }
    }
    Ok(())
}

/// The numbers of a list that was checked (`0-2,4`).
pub(crate) fn list(text: &str) -> Vec<u32> {
    let mut out = Vec::new();
    for part in text.split(',').filter(|p| !p.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(first), Ok(last)) = (first.trim().parse::<u32>(), last.trim().parse::<u32>()) {
            out.extend(first..=last);
        }
    }
    out
}

/// Lays the changes of `update` over limits: fields that are not zero or empty replace.
pub(crate) fn lay_over(old: &Resources, new: &Resources) -> Resources {
    fn number(old: i64, new: i64) -> i64 {
        if new == 0 { old } else { new }
    }
    fn text(old: &str, new: &str) -> String {
        if new.is_empty() { old.to_string() } else { new.to_string() }
    }
    Resources {
        cpu_shares: number(old.cpu_shares, new.cpu_shares),
        memory: number(old.memory, new.memory),
        nano_cpus: number(old.nano_cpus, new.nano_cpus),
        cgroup_parent: text(&old.cgroup_parent, &new.cgroup_parent),
        blkio_weight: if new.blkio_weight == 0 { old.blkio_weight } else { new.blkio_weight },
        blkio_devices: if new.blkio_devices.is_empty() {
            old.blkio_devices.clone()
        } else {
            new.blkio_devices.clone()
        },
        cpu_period: number(old.cpu_period, new.cpu_period),
        cpu_quota: number(old.cpu_quota, new.cpu_quota),
        cpu_realtime_period: number(old.cpu_realtime_period, new.cpu_realtime_period),
        cpu_realtime_runtime: number(old.cpu_realtime_runtime, new.cpu_realtime_runtime),
        cpuset_cpus: text(&old.cpuset_cpus, &new.cpuset_cpus),
        cpuset_mems: text(&old.cpuset_mems, &new.cpuset_mems),
        memory_reservation: number(old.memory_reservation, new.memory_reservation),
        memory_swap: number(old.memory_swap, new.memory_swap),
        memory_swappiness: new.memory_swappiness.or(old.memory_swappiness),
        kernel_memory: number(old.kernel_memory, new.kernel_memory),
        oom_kill_disable: old.oom_kill_disable || new.oom_kill_disable,
        pids_limit: new.pids_limit.or(old.pids_limit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(mut r: Resources) -> String {
        check(&mut r, 2).unwrap_err().message().to_string()
    }

    #[test]
    fn contradictions_are_refused_in_dockers_words() {
        let r = Resources::default;
        assert_eq!(
            refusal(Resources { memory: 1 << 20, ..r() }),
            "Minimum memory limit allowed is 6MB"
        );
        assert!(refusal(Resources { memory_swap: 1, ..r() }).starts_with("You should always set"));
        assert!(refusal(Resources { nano_cpus: 3_000_000_000, ..r() }).contains("only 2 CPUs"));
        assert!(refusal(Resources { cpuset_cpus: "0-2".into(), ..r() }).contains("not available"));
        assert!(refusal(Resources { cpuset_cpus: "x".into(), ..r() }).contains("Invalid value x"));
    }

    #[test]
    fn swap_is_twice_the_memory() {
        let mut r = Resources { memory: 32 << 20, ..Resources::default() };
        check(&mut r, 2).unwrap();
        assert_eq!(r.memory_swap, 64 << 20);
    }
}
