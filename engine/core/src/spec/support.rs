//! Who holds each limit on this host: the kernel by a cgroup, Bryo itself where there is none, or nobody.
//!
//! | limit | by the kernel | by Bryo | |
//! |---|---|---|---|
//! | memory | `memory.max` | the monitor's watcher kills | swap and the soft limit need the kernel |
//! | processes | `pids.max` | RLIMIT_NPROC in the container's user namespace, for each of its user ids | not without a namespace of its own |
//! | CPU set | `cpuset.cpus` | affinity | memory nodes need the kernel |
//! | CPU time, shares, block I/O | `cpu.*`, `io.*` | – | nice values count within a session only, and stopping processes in turns is seen by their parents |
//!
//! Nothing here is refused: what nobody holds is discarded, and said ([`super::warnings`]).

use bryo_monitor::messages::Limits;

use crate::containers::BUILT_IN;
use crate::containers::record::ContainerRecord;
use crate::model::{ContainerSpec, Resources};
use crate::spec::{cgroup, resources};

/// Who holds a limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum By {
    /// A cgroup.
    Kernel,
    /// The monitor, without a cgroup.
    Bryo,
    /// It is discarded.
    #[default]
    Nobody,
}

impl By {
    pub(crate) fn holds(self) -> bool {
        self != By::Nobody
    }
}

/// For each kind of limit, who holds it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Support {
    pub memory: By,
    pub swap: By,
    pub reservation: By,
    pub cpu: By,
    pub shares: By,
    pub cpuset_cpus: By,
    pub cpuset_mems: By,
    pub pids: By,
    pub io_weight: By,
    pub io_max: By,
}

impl Support {
    /// By the controllers and files that containers' cgroups have.
    pub(crate) fn with(has: impl Fn(&str) -> bool, emulate: bool) -> Support {
        let own = if emulate { By::Bryo } else { By::Nobody };
        let by = |controller: &str, otherwise: By| {
            if has(controller) { By::Kernel } else { otherwise }
        };
        Support {
            memory: by("memory", own),
            swap: by("memory.swap.max", By::Nobody),
            reservation: by("memory", By::Nobody),
            cpu: by("cpu", By::Nobody),
            shares: by("cpu", By::Nobody),
            cpuset_cpus: by("cpuset", own),
            cpuset_mems: by("cpuset", By::Nobody),
            pids: by("pids", own),
            io_weight: by("io.weight", By::Nobody),
            io_max: by("io.max", By::Nobody),
        }
    }

    /// Without any cgroup.
    #[cfg(test)]
    pub(crate) fn without_cgroup(emulate: bool) -> Support {
        Support::with(|_| false, emulate)
    }

    /// For one container.
    pub(crate) fn of(&self, record: &ContainerRecord) -> Support {
        self.of_spec(&record.spec, &record.runtime)
    }

    /// For a container that is to be.
    pub(crate) fn of_spec(&self, spec: &ContainerSpec, runtime: &str) -> Support {
        let mut own = self.clone();
        let built_in = runtime == BUILT_IN;
        if own.pids == By::Bryo && (spec.userns_mode == "host" || !built_in) {
            own.pids = By::Nobody;
        }
        if own.cpuset_cpus == By::Bryo && !built_in {
            own.cpuset_cpus = By::Nobody;
        }
        own
    }

    /// The same for a container that runs and whose limits change: what is lifted is written too.
    pub(crate) fn changed(&self, r: &Resources) -> Limits {
        Limits { cgroup: cgroup::files(r, self, true), ..self.limits(r) }
    }

    /// What the monitor has to hold of these limits.
    pub(crate) fn limits(&self, r: &Resources) -> Limits {
        let positive = |n: i64| u64::try_from(n).ok().filter(|n| *n > 0);
        let mut limits = Limits { cgroup: cgroup::files(r, self, false), ..Limits::default() };
        if self.memory == By::Bryo {
            limits.memory = positive(r.memory);
        }
        if self.pids == By::Bryo {
            limits.processes = r.pids_limit.and_then(positive);
        }
        if self.cpuset_cpus == By::Bryo {
            limits.cpus = resources::list(&r.cpuset_cpus);
        }
        limits
    }

    /// How the limits that were asked for are held, for inspect: Docker's field and a few words.
    pub(crate) fn told(&self, r: &Resources) -> Vec<(&'static str, &'static str)> {
        let cpu = r.nano_cpus > 0 || r.cpu_quota > 0 || r.cpu_period > 0;
        let weight = r.blkio_weight > 0 || r.blkio_devices.contains_key("BlkioWeightDevice");
        let rates = r.blkio_devices.keys().any(|k| k != "BlkioWeightDevice");
        [
            ("Memory", r.memory > 0, self.memory, "watcher: killed when seen above the limit"),
            ("MemorySwap", r.memory > 0 && r.memory_swap > 0, self.swap, ""),
            ("MemoryReservation", r.memory_reservation > 0, self.reservation, ""),
            ("CpuQuota", cpu, self.cpu, ""),
            ("CpuShares", r.cpu_shares > 0, self.shares, ""),
            ("CpusetCpus", !r.cpuset_cpus.is_empty(), self.cpuset_cpus, "affinity"),
            ("CpusetMems", !r.cpuset_mems.is_empty(), self.cpuset_mems, ""),
            (
                "PidsLimit",
                r.pids_limit.is_some_and(|p| p > 0),
                self.pids,
                "RLIMIT_NPROC: for each user id of the container",
            ),
            ("BlkioWeight", weight, self.io_weight, ""),
            ("BlkioDevice", rates, self.io_max, ""),
        ]
        .into_iter()
        .filter(|(_, asked, _, _)| *asked)
        .map(|(field, _, by, words)| {
            let how = match by {
                By::Kernel => "cgroup",
                By::Bryo => words,
                By::Nobody => "discarded",
            };
            (field, how)
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked() -> Resources {
        Resources {
            memory: 32 << 20,
            pids_limit: Some(20),
            cpuset_cpus: "0-1,3".into(),
            nano_cpus: 500_000_000,
            ..Resources::default()
        }
    }

    #[test]
    fn without_a_cgroup_the_monitor_holds_three_limits() {
        let support = Support::without_cgroup(true);
        let limits = support.limits(&asked());
        assert_eq!(limits.memory, Some(32 << 20));
        assert_eq!(limits.processes, Some(20));
        assert_eq!(limits.cpus, [0, 1, 3]);
        assert!(support.told(&asked()).contains(&("CpuQuota", "discarded")));
        assert_eq!(Support::without_cgroup(false).limits(&asked()), Limits::default());
    }

    #[test]
    fn processes_cannot_be_counted_in_the_hosts_user_namespace() {
        let support = Support::without_cgroup(true);
        let host = ContainerSpec { userns_mode: "host".into(), ..ContainerSpec::default() };
        assert_eq!(support.of_spec(&host, BUILT_IN).pids, By::Nobody);
        assert_eq!(support.of_spec(&host, BUILT_IN).memory, By::Bryo);
        assert_eq!(support.of_spec(&ContainerSpec::default(), "runc").cpuset_cpus, By::Nobody);
    }
}
