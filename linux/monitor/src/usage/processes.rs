//! A container's numbers out of /proc, for hosts without a cgroup of the container's own.
//!
//! | number | where from | those that have ended |
//! |---|---|---|
//! | processor time | `stat`, user and system time | in the time that their parents waited for; execs' in this monitor's own |
//! | memory | what the memory limit's watcher counts: anonymous memory, and each process' part of shared memory | have none |
//! | processes | the threads in `stat` | |
//! | disks | `io`, which needs the right to trace the process | in their parents', which waited for them |
//!
//! A process whose parent ignores SIGCHLD takes its times with it: the kernel adds them to nobody's.

use crate::messages::{DiskUsage, Usage};

use super::cgroup::Missing;
use crate::watcher::census::Census;

/// Adds up what is `missing` over the processes.
pub(super) fn read(pids: &[u32], missing: Missing, usage: &mut Usage) {
    let ticks = 1_000_000_000 / rustix::param::clock_ticks_per_second().max(1);
    if missing.cpu {
        // What execs used that have ended: nobody waits for them but the monitor.
        if let Some(stat) = Stat::read("self") {
            usage.cpu.user += stat.children.0 * ticks;
            usage.cpu.system += stat.children.1 * ticks;
        }
    }
    let mut disk = DiskUsage::default();
    for pid in pids {
        let pid = pid.to_string();
        let Some(stat) = Stat::read(&pid) else { continue };
        if missing.cpu {
            usage.cpu.user += (stat.own.0 + stat.children.0) * ticks;
            usage.cpu.system += (stat.own.1 + stat.children.1) * ticks;
        }
        if missing.pids {
            usage.pids += stat.threads;
        }
        if missing.disks {
            io(&pid, &mut disk);
        }
    }
    if missing.memory {
        let (memory, _) = Census::new().exact(pids);
        usage.memory.usage = memory.sum();
        let detail = [("anon", memory.anonymous), ("shmem", memory.shared)];
        usage.memory.detail = detail.map(|(name, bytes)| (name.to_owned(), bytes)).into();
    }
    if missing.cpu {
        usage.cpu.total = usage.cpu.user + usage.cpu.system;
    }
    if missing.disks && disk != DiskUsage::default() {
        usage.disks = vec![disk];
    }
}

/// Fields of /proc/PID/stat: user and system time in ticks, its own and that of the children it waited for.
struct Stat {
    own: (u64, u64),
    children: (u64, u64),
    threads: u64,
}

impl Stat {
    fn read(pid: &str) -> Option<Stat> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name (field 2) is in parentheses and may hold anything, so count from the last one.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Stat {
            own: (field(14)?, field(15)?),
            children: (field(16)?, field(17)?),
            threads: field(20)?,
        })
    }
}

fn io(pid: &str, disk: &mut DiskUsage) {
    let Ok(text) = std::fs::read_to_string(format!("/proc/{pid}/io")) else { return };
    let field = |name| {
        text.lines().find_map(|l| l.strip_prefix(name)?.trim().parse::<u64>().ok()).unwrap_or(0)
    };
    disk.read += field("read_bytes:");
    // What was written and then thrown away before it reached the disk does not count.
    disk.written += field("write_bytes:").saturating_sub(field("cancelled_write_bytes:"));
}
