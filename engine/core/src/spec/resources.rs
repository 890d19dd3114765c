//! Limits: what is refused, what is filled in, and what is kept but cannot be enforced here.
//!
//! Texts are Docker's, which clients show and users search for.

use crate::model::Resources;
use crate::{Error, Result};

/// Docker's smallest memory limit.
const MIN_MEMORY: i64 = 6 * 1024 * 1024;

/// Which limits the kernel and the delegated cgroup let Bryo set. At present none: containers run in the user's own cgroup.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Support {
    pub memory: bool,
    pub swap: bool,
    pub cpu_period: bool,
    pub cpu_quota: bool,
    pub cpu_shares: bool,
    pub cpuset: bool,
    pub pids: bool,
    pub io: bool,
}

/// Refuses limits that contradict each other and fills in what Docker fills in.
pub(crate) fn check(r: &mut Resources, cpus: u64) -> Result<()> {
    memory(r)?;
    cpu(r, cpus)?;
    if r.blkio_weight > 0 && !(10..=1000).contains(&r.blkio_weight) {
        return Err(Error::invalid("Range of blkio weight is from 10 to 1000"));
    }
    Ok(())
}

fn memory(r: &mut Resources) -> Result<()> {
    let refuse = |text: &str| Err(Error::invalid(text));
    if r.memory > 0 && r.memory < MIN_MEMORY {
        return refuse("Minimum memory limit allowed is 6MB");
    }
    if r.memory > 0 && r.memory_swap > 0 && r.memory_swap < r.memory {
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
    if r.memory_reservation > 0 && r.memory_reservation < MIN_MEMORY {
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
    cpuset(&r.cpuset_cpus, "cpuset cpus", Some(cpus))?;
    cpuset(&r.cpuset_mems, "cpuset mems", None)
}

/// `0-2,4`.
fn cpuset(text: &str, what: &str, count: Option<u64>) -> Result<()> {
    for part in text.split(',').filter(|p| !p.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let numbers = (first.trim().parse::<u64>(), last.trim().parse::<u64>());
        let (Ok(first), Ok(last)) = numbers else {
            return Err(Error::invalid(format!("Invalid value {text} for {what}")));
        };
        if first > last {
            return Err(Error::invalid(format!("Invalid value {text} for {what}")));
        }
        if let Some(count) = count.filter(|count| last >= *count) {
            return Err(Error::invalid(format!(
                "Requested CPUs are not available - requested {text}, available: 0-{}",
                count.saturating_sub(1)
            )));
        }
    }
    Ok(())
}

/// What is asked for and will not hold.
pub(crate) fn warnings(r: &Resources, can: Support) -> Vec<String> {
    const OR_CGROUP: &str = "or the cgroup is not mounted.";
    let mut out = Vec::new();
    let mut say = |asked: bool, what: &str, so: &str| {
        if asked {
            out.push(format!("Your kernel does not support {what} {OR_CGROUP} {so}"));
        }
    };
    say(r.memory > 0 && !can.memory, "memory limit capabilities", "Limitation discarded.");
    say(
        r.memory > 0 && r.memory_swap != 0 && can.memory && !can.swap,
        "swap limit capabilities",
        "Memory limited without swap.",
    );
    say(
        r.memory_swappiness.is_some_and(|s| s >= 0),
        "memory swappiness capabilities",
        "Memory swappiness discarded.",
    );
    say(
        r.memory_reservation > 0 && !can.memory,
        "memory soft limit capabilities",
        "Limitation discarded.",
    );
    say(
        r.pids_limit.is_some_and(|p| p > 0) && !can.pids,
        "PIDs limit capabilities",
        "PIDs limit discarded.",
    );
    say(r.cpu_shares > 0 && !can.cpu_shares, "CPU shares", "Shares discarded.");
    say(r.cpu_period > 0 && !can.cpu_period, "CPU CFS period", "Period discarded.");
    let quota = r.cpu_quota > 0 || r.nano_cpus > 0;
    say(quota && !can.cpu_quota, "CPU CFS quota", "Quota discarded.");
    let cpuset = !r.cpuset_cpus.is_empty() || !r.cpuset_mems.is_empty();
    say(cpuset && !can.cpuset, "cpuset", "Cpuset discarded.");
    say(r.blkio_weight > 0 && !can.io, "Block I/O weight", "Weight discarded.");
    for (field, what, so) in [
        ("BlkioWeightDevice", "Block I/O weight_device", "Weight-device discarded."),
        ("BlkioDeviceReadBps", "BPS Block I/O read limit", "Block I/O BPS read limit discarded."),
        (
            "BlkioDeviceWriteBps",
            "BPS Block I/O write limit",
            "Block I/O BPS write limit discarded.",
        ),
        ("BlkioDeviceReadIOps", "IOPS Block read limit", "Block I/O IOPS read limit discarded."),
        ("BlkioDeviceWriteIOps", "IOPS Block write limit", "Block I/O IOPS write limit discarded."),
    ] {
        let asked =
            r.blkio_devices.get(field).and_then(|v| v.as_array()).is_some_and(|a| !a.is_empty());
        say(asked && !can.io, what, so);
    }
    if r.oom_kill_disable {
        out.push("Your kernel does not support OomKillDisable. OomKillDisable discarded.".into());
    }
    if r.kernel_memory > 0 {
        out.push(
            "Kernel memory TCP limit is not supported by the kernel. Limitation discarded.".into(),
        );
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
    fn swap_is_twice_the_memory_and_the_warning_is_dockers() {
        let mut r = Resources { memory: 32 << 20, ..Resources::default() };
        check(&mut r, 2).unwrap();
        assert_eq!(r.memory_swap, 64 << 20);
        assert_eq!(
            warnings(&r, Support::default()),
            [
                "Your kernel does not support memory limit capabilities or the cgroup is not mounted. Limitation discarded."
            ]
        );
        assert!(warnings(&Resources::default(), Support::default()).is_empty());
    }
}
