//! Limits that need no cgroup: the kernel keeps them for each process, and children inherit them.
//!
//! A number of processes is `RLIMIT_NPROC`. Since Linux 5.14 the kernel counts it for each user id of each user namespace
//! (`ucounts`), so in a container's own user namespace it holds for that container alone, for each of its user ids. The
//! exemption for privileged processes asks for capabilities in the first user namespace and for the host's root
//! (`copy_process`), so a container's root is not exempt.
//!
//! CPUs are an affinity mask (sched_setaffinity(2)): a program may narrow or widen its own, as with any process of the user.
//!
//! On failure of [`Limits::take`] the program is not started: a limit that was asked for and could not be set is an error.

use bryo_sys::pidfd;
use rustix::process::{Pid, Resource, Rlimit};
use rustix::thread::CpuSet;

use crate::control::family;
use crate::error::{Context, Error, Result};

/// Rounds in which [`Limits::apply`] looks for processes that were made while it set the others' limits.
const MAX_ROUNDS: usize = 20;

/// What a process and all its descendants are held to. The default is nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    /// Processes and threads of each user id in the container's user namespace.
    pub processes: Option<u64>,
    /// The CPUs it may run on; empty: all.
    pub cpus: Vec<u32>,
}

impl Limits {
    /// Takes the limits on for the calling process.
    pub(crate) fn take(&self) -> Result<()> {
        if !self.cpus.is_empty() {
            rustix::thread::sched_setaffinity(None, &self.cpu_set()?)
                .context(|| format!("binding to the CPUs {:?}", self.cpus))?;
        }
        if let Some(wanted) = self.processes {
            let limit = lower(rustix::process::getrlimit(Resource::Nproc), wanted);
            rustix::process::setrlimit(Resource::Nproc, limit)
                .context(|| format!("limiting processes to {wanted}"))?;
        }
        Ok(())
    }

    /// Sets the limits of running processes that had the limits `before`: `roots` and all their descendants. The result is
    /// false if a process keeps a lower limit of processes, which the kernel lets nobody raise who is not the host's root.
    pub fn apply(&self, before: &Limits, roots: &[u32]) -> Result<bool> {
        if self == before {
            return Ok(true);
        }
        let own = rustix::process::getrlimit(Resource::Nproc);
        let processes = match (self.processes, self.processes == before.processes) {
            (_, true) => None,
            (Some(wanted), false) => Some(lower(own, wanted)),
            (None, false) => Some(own),
        };
        let mut done = Vec::new();
        let mut whole = true;
        for _ in 0..MAX_ROUNDS {
            let new: Vec<u32> = family(roots).into_iter().filter(|p| !done.contains(p)).collect();
            if new.is_empty() {
                break;
            }
            for pid in new {
                whole &= self.apply_to(pid, processes)?;
                done.push(pid);
            }
        }
        Ok(whole)
    }

    fn apply_to(&self, pid: u32, processes: Option<Rlimit>) -> Result<bool> {
        let Ok(process) = pidfd::to_pid(pid) else { return Ok(true) };
        if !self.cpus.is_empty() {
            let set = self.cpu_set()?;
            for thread in threads(pid) {
                // A thread that has ended meanwhile needs no affinity.
                let _ = rustix::thread::sched_setaffinity(Some(thread), &set);
            }
        }
        let Some(wanted) = processes else { return Ok(true) };
        match rustix::process::prlimit(Some(process), Resource::Nproc, wanted) {
            Ok(_) | Err(rustix::io::Errno::SRCH) => Ok(true),
            Err(rustix::io::Errno::PERM) => Ok(false),
            Err(e) => Err(e).context(|| format!("limiting the processes of process {pid}")),
        }
    }

    fn cpu_set(&self) -> Result<CpuSet> {
        let mut set = CpuSet::new();
        for cpu in &self.cpus {
            let number = usize::try_from(*cpu).unwrap_or(usize::MAX);
            if number >= CpuSet::MAX_CPU {
                return Err(Error::bad(format!("CPU {cpu} is beyond what the kernel knows")));
            }
            set.set(number);
        }
        Ok(set)
    }
}

/// A limit of `wanted` within what there is: a hard limit cannot be raised.
fn lower(now: Rlimit, wanted: u64) -> Rlimit {
    let within = |bound: Option<u64>| Some(bound.map_or(wanted, |b| b.min(wanted)));
    Rlimit { current: within(now.maximum), maximum: within(now.maximum) }
}

fn threads(pid: u32) -> Vec<Pid> {
    let list = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    list.filter_map(|e| pidfd::to_pid(e.file_name().to_str()?.parse().ok()?).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_never_exceeds_the_hard_one() {
        let now = Rlimit { current: Some(5), maximum: Some(10) };
        assert_eq!(lower(now, 20).maximum, Some(10));
        assert_eq!(lower(now, 7), Rlimit { current: Some(7), maximum: Some(7) });
        let open = Rlimit { current: None, maximum: None };
        assert_eq!(lower(open, 20).maximum, Some(20));
    }

    #[test]
    fn a_cpu_that_no_mask_can_hold_is_refused() {
        let limits = Limits { cpus: vec![70_000], ..Limits::default() };
        assert!(limits.cpu_set().is_err());
    }
}
