//! What a container uses: processor time, memory, processes, disks, network. Measured when somebody asks, never else.
//!
//! ```text
//! Usage ──▶ cgroup v2 folder of the container, file by file ──┐
//!              │ no cgroup, or its controller not delegated   ├──▶ messages::Usage
//!              └──▶ /proc of the container's processes ───────┤
//!           /proc/PID/net/dev of its network namespace ───────┤
//!           /proc/stat of the machine ────────────────────────┘
//! ```
//!
//! Only the container's own numbers are reported: what cannot be read of it is zero and never another scope's.
//! Processes that end while they are looked at are left out.

mod cgroup;
mod machine;
mod processes;

use std::path::Path;

use crate::log::time;
use crate::messages::{Failure, NetworkSetup, Usage};
use crate::monitor::Monitor;

impl Monitor {
    /// One sample.
    pub(crate) fn usage(&self) -> Result<Usage, Failure> {
        let pid = self.running()?.pid;
        let execs = self.execs.values().filter_map(|exec| exec.pid);
        let roots: Vec<u32> = std::iter::once(pid).chain(execs).collect();
        let config = &self.bundle.config;
        let folder = config.cgroup.as_deref().map(Path::new);
        let own_network = !matches!(config.network, NetworkSetup::Host);
        let mut usage = measure(&roots, folder)?;
        if own_network {
            usage.interfaces = machine::interfaces(pid);
        }
        Ok(usage)
    }
}

/// Everything but the network.
fn measure(roots: &[u32], folder: Option<&Path>) -> Result<Usage, Failure> {
    let (machine_cpu, online_cpus) = machine::processors();
    let mut usage = Usage { time: time::now(), machine_cpu, online_cpus, ..Usage::default() };
    let missing = match folder {
        Some(folder) => cgroup::read(folder, &mut usage),
        None => cgroup::Missing::ALL,
    };
    if missing != cgroup::Missing::NOTHING {
        let pids = match (folder, roots.first()) {
            (Some(_), Some(first)) => bryo_runtime::processes(*first, folder)?,
            _ => bryo_runtime::family(roots),
        };
        processes::read(&pids, missing, &mut usage);
    }
    Ok(usage)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::messages::DiskUsage;

    #[test]
    fn without_a_cgroup_this_process_own_work_and_memory_show() {
        let own = std::process::id();
        let mut before = Usage::default();
        processes::read(&[own], cgroup::Missing::ALL, &mut before);
        let block = std::hint::black_box(vec![1_u8; 32 << 20]);
        let begin = Instant::now();
        let mut rounds = 0_u64;
        while begin.elapsed() < Duration::from_millis(300) {
            rounds = std::hint::black_box(rounds + 1);
        }
        let mut after = Usage::default();
        processes::read(&[own], cgroup::Missing::ALL, &mut after);
        // Other tests share the process and the machine, so only lower bounds hold.
        let worked = after.cpu.total - before.cpu.total;
        assert!(worked > 20_000_000, "{worked} ns");
        assert!(after.cpu.total >= after.cpu.user, "{:?}", after.cpu);
        let grown = after.memory.usage.saturating_sub(before.memory.usage);
        assert!(grown > 24 << 20, "{grown} of {}", block.len());
        assert_eq!(after.memory.usage, after.memory.detail["anon"] + after.memory.detail["shmem"]);
        assert!(after.pids >= 2, "the test's own thread and main: {}", after.pids);
        assert_eq!(after.pids_limit, None);
    }

    #[test]
    fn a_cgroup_is_read_file_by_file_and_the_rest_from_proc() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        file(
            "cpu.stat",
            "usage_usec 7\nuser_usec 4\nsystem_usec 3\nnr_periods 5\nnr_throttled 2\nthrottled_usec 9\n",
        );
        file("memory.current", "4096\n");
        file("memory.max", "8192\n");
        file("memory.stat", "anon 100\ninactive_file 30\n");
        file("memory.events", "low 0\noom 2\noom_kill 1\n");
        file("pids.current", "3\n");
        file("pids.max", "max\n");
        file("io.stat", "254:0 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=0 dios=0\n8:16 \n");
        let mut usage = Usage::default();
        assert_eq!(cgroup::read(dir.path(), &mut usage), cgroup::Missing::NOTHING);
        assert_eq!((usage.cpu.total, usage.cpu.user, usage.cpu.system), (7000, 4000, 3000));
        assert_eq!(usage.cpu.throttled, (5, 2, 9000));
        assert_eq!(
            (usage.memory.usage, usage.memory.limit, usage.memory.kills),
            (4096, Some(8192), 1)
        );
        assert_eq!(usage.memory.detail["inactive_file"], 30);
        assert_eq!((usage.pids, usage.pids_limit), (3, Some(u64::MAX)));
        assert_eq!(usage.disks, [DiskUsage { major: 254, minor: 0, read: 10, written: 20 }]);

        // Controllers that are not delegated have no files.
        for name in ["memory.current", "pids.current", "io.stat"] {
            std::fs::remove_file(dir.path().join(name)).unwrap();
        }
        let mut usage = Usage::default();
        let missing = cgroup::read(dir.path(), &mut usage);
        assert_eq!(missing, cgroup::Missing { cpu: false, memory: true, pids: true, disks: true });
        processes::read(&[std::process::id()], missing, &mut usage);
        assert_eq!(usage.cpu.total, 7000);
        assert!(usage.memory.usage > 4096 && usage.pids > 0);
    }

    #[test]
    fn a_process_that_is_gone_counts_nothing() {
        let mut usage = Usage::default();
        processes::read(&[u32::MAX], cgroup::Missing::ALL, &mut usage);
        assert_eq!((usage.memory.usage, usage.pids), (0, 0));
    }
}
