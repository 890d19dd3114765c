//! What create and update say of limits that are not, or not wholly, held by the kernel.
//!
//! Texts of discarded limits are Docker's, which clients show and users search for; the others are Bryo's.

use super::support::{By, Support};
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

/// The sentences for `r`.
pub(crate) fn of(r: &Resources, can: &Support) -> Vec<String> {
    let mut out = Vec::new();
    memory(r, can, &mut out);
    processes(r, can, &mut out);
    cpu(r, can, &mut out);
    io(r, can, &mut out);
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
        r.memory_swappiness.is_some_and(|s| s >= 0),
        "memory swappiness capabilities",
        "Memory swappiness discarded.",
    );
    discarded(
        out,
        r.memory_reservation > 0 && !can.reservation.holds(),
        "memory soft limit capabilities",
        "Limitation discarded.",
    );
    if r.kernel_memory > 0 {
        out.push(
            "Specifying a kernel memory limit is deprecated and will be removed in a future release."
                .into(),
        );
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

fn cpu(r: &Resources, can: &Support, out: &mut Vec<String>) {
    discarded(out, r.cpu_shares > 0 && !can.shares.holds(), "CPU shares", "Shares discarded.");
    let quota = r.cpu_quota > 0 || r.cpu_period > 0 || r.nano_cpus > 0;
    if quota && !can.cpu.holds() {
        out.push(
            "Your kernel does not support CPU CFS scheduler. CPU period/quota discarded.".into(),
        );
    }
    let (cpus, mems) = (!r.cpuset_cpus.is_empty(), !r.cpuset_mems.is_empty());
    let lost = (cpus && !can.cpuset_cpus.holds()) || (mems && !can.cpuset_mems.holds());
    if cpus && can.cpuset_cpus == By::Bryo {
        out.push(BOUND.into());
    }
    discarded(out, lost, "cpuset", "Cpuset discarded.");
}

fn io(r: &Resources, can: &Support, out: &mut Vec<String>) {
    if can.io.holds() {
        return;
    }
    discarded(out, r.blkio_weight > 0, "Block I/O weight", "Weight discarded.");
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
        discarded(out, list.is_some_and(|a| !a.is_empty()), what, so);
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
            of(&r, &nothing),
            [
                "Your kernel does not support memory limit capabilities or the cgroup is not mounted. Limitation discarded.",
                "Your kernel does not support PIDs limit capabilities or the cgroup is not mounted. PIDs limit discarded.",
            ]
        );
        let no_swap = Support { memory: By::Kernel, pids: By::Kernel, ..nothing };
        assert_eq!(
            of(&r, &no_swap),
            [
                "Your kernel does not support swap limit capabilities or the cgroup is not mounted. Memory limited without swap."
            ]
        );
        assert!(of(&Resources::default(), &Support::default()).is_empty());
    }

    #[test]
    fn what_bryo_holds_is_said() {
        let r = Resources { memory: 32 << 20, cpuset_cpus: "0".into(), ..Resources::default() };
        let told = of(&r, &Support::without_cgroup(true));
        assert_eq!(told, [WATCHED, BOUND]);
    }
}
