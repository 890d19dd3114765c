//! What create and update say of limits that are not, or not wholly, held by the kernel.
//!
//! Texts of discarded limits are Docker's, which clients show and users search for; the others are Bryo's.

use super::support::{By, Support};
use crate::cgroups::Cgroups;
use crate::model::Resources;

/// Of a memory limit that the watcher holds.
const WATCHED: &str = "Memory limit is held by Bryo's watcher and not by the kernel, because no cgroup v2 is delegated to it: \
                       a program can pass the limit for a moment before it is killed, and swap is not limited.";

/// Of a limit of processes by RLIMIT_NPROC.
const COUNTED: &str = "PIDs limit is held by RLIMIT_NPROC and not by a cgroup, because none is delegated: it counts the \
                       processes of each user id of the container by itself.";

/// Of a CPU set by affinity.
const BOUND: &str = "Cpuset is held by CPU affinity and not by a cgroup, because the cpuset controller is not delegated: a \
                     program that sets its own affinity can leave it.";

/// The sentences for `r`; after those of a controller that could be delegated comes how.
pub(crate) fn of(r: &Resources, can: &Support, cgroups: &Cgroups) -> Vec<String> {
    let mut out = Vec::new();
    let mut lost = Vec::new();
    let mut part = |controller, say: fn(&Resources, &Support, &mut Vec<String>)| {
        let before = out.len();
        say(r, can, &mut out);
        if out.len() > before {
            lost.push(controller);
        }
    };
    part("memory", memory);
    part("pids", processes);
    part("cpu", cpu_time);
    part("cpuset", cpu_set);
    part("io", io);
    out.extend(cgroups.remedy(&lost));
    never(r, can, &mut out);
    out
}

/// `Your kernel does not support …`
fn discarded(out: &mut Vec<String>, asked: bool, what: &str, so: &str) {
    if asked {
        out.push(format!("Your kernel does not support {what} or the cgroup is not mounted. {so}"));
    }
}

fn memory(r: &Resources, can: &Support, out: &mut Vec<String>) {
    let asked = r.memory > 0;
    match can.memory {
        By::Kernel => {
            let swap = asked && r.memory_swap != -1 && !can.swap.holds();
            discarded(out, swap, "swap limit capabilities", "Memory limited without swap.");
        }
        By::Bryo if asked => out.push(WATCHED.into()),
        By::Bryo => {}
        By::Nobody => {
            discarded(out, asked, "memory limit capabilities", "Limitation discarded.");
        }
    }
    discarded(
        out,
        r.memory_reservation > 0 && !can.reservation.holds(),
        "memory soft limit capabilities",
        "Limitation discarded.",
    );
}

/// What no cgroup v2 has.
fn never(r: &Resources, can: &Support, out: &mut Vec<String>) {
    let swappiness = r.memory_swappiness.is_some_and(|s| s >= 0);
    discarded(out, swappiness, "memory swappiness capabilities", "Memory swappiness discarded.");
    if swappiness && can.memory == By::Kernel {
        out.push("Swappiness belongs to cgroup v1; in v2 a group has memory.swap.max instead: see --memory-swap.".into());
    }
    if r.kernel_memory > 0 {
        out.push("Specifying a kernel memory limit is deprecated and will be removed in a future release.".into());
        discarded(out, true, "kernel memory limit capabilities", "Limitation discarded.");
    }
    if r.oom_kill_disable {
        out.push("Your kernel does not support OomKillDisable. OomKillDisable discarded.".into());
    }
}

fn processes(r: &Resources, can: &Support, out: &mut Vec<String>) {
    let asked = r.pids_limit.is_some_and(|p| p > 0);
    match can.pids {
        By::Bryo if asked => out.push(COUNTED.into()),
        By::Kernel | By::Bryo => {}
        By::Nobody => {
            discarded(out, asked, "PIDs limit capabilities", "PIDs limit discarded.");
        }
    }
}

fn cpu_time(r: &Resources, can: &Support, out: &mut Vec<String>) {
    discarded(out, r.cpu_shares > 0 && !can.shares.holds(), "CPU shares", "Shares discarded.");
    let quota = r.cpu_quota > 0 || r.cpu_period > 0 || r.nano_cpus > 0;
    if quota && !can.cpu.holds() {
        out.push(
            "Your kernel does not support CPU CFS scheduler. CPU period/quota discarded.".into(),
        );
    }
}

fn cpu_set(r: &Resources, can: &Support, out: &mut Vec<String>) {
    let (cpus, mems) = (!r.cpuset_cpus.is_empty(), !r.cpuset_mems.is_empty());
    let lost = (cpus && !can.cpuset_cpus.holds()) || (mems && !can.cpuset_mems.holds());
    if cpus && can.cpuset_cpus == By::Bryo {
        out.push(BOUND.into());
    }
    discarded(out, lost, "cpuset", "Cpuset discarded.");
}

fn io(r: &Resources, can: &Support, out: &mut Vec<String>) {
    let no_weight = !can.io_weight.holds();
    discarded(out, r.blkio_weight > 0 && no_weight, "Block I/O weight", "Weight discarded.");
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
        let list = r.blkio_devices.get(field).and_then(|v| v.as_array());
        let lost = if field == "BlkioWeightDevice" { no_weight } else { !can.io_max.holds() };
        discarded(out, lost && list.is_some_and(|a| !a.is_empty()), what, so);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn discarded_limits_are_told_in_dockers_words() {
        let r = Resources {
            memory: 32 << 20,
            memory_swap: 64 << 20,
            pids_limit: Some(20),
            ..Resources::default()
        };
        let nothing = Support::without_cgroup(false);
        assert_eq!(
            of(&r, &nothing, &Cgroups::default()),
            [
                "Your kernel does not support memory limit capabilities or the cgroup is not mounted. Limitation discarded.",
                "Your kernel does not support PIDs limit capabilities or the cgroup is not mounted. PIDs limit discarded.",
            ]
        );
        let no_swap = Support { memory: By::Kernel, pids: By::Kernel, ..nothing };
        assert_eq!(
            of(&r, &no_swap, &Cgroups::default()),
            [
                "Your kernel does not support swap limit capabilities or the cgroup is not mounted. Memory limited without swap."
            ]
        );
        assert!(of(&Resources::default(), &Support::default(), &Cgroups::default()).is_empty());
    }

    #[test]
    fn what_bryo_holds_is_said() {
        let r = Resources { memory: 32 << 20, cpuset_cpus: "0".into(), ..Resources::default() };
        let told = of(&r, &Support::without_cgroup(true), &Cgroups::default());
        assert_eq!(told, [WATCHED, BOUND]);
    }
}
