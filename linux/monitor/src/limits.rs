//! The limits of the container that this monitor keeps: at the start, in execs, and when they change.

use std::path::PathBuf;
use std::time::Instant;

use oci_spec::runtime::Spec;

use crate::messages::{Failure, Limits, Reply};
use crate::monitor::{Monitor, Phase};
use crate::requests::Outcome;
use crate::watcher::Watcher;

impl Limits {
    /// What the runtime gives to each process.
    pub(crate) fn of_processes(&self) -> bryo_runtime::Limits {
        bryo_runtime::Limits { processes: self.processes, cpus: self.cpus.clone() }
    }
}

impl Monitor {
    /// The container's cgroup, if it has one.
    pub(crate) fn cgroup(&self) -> Option<PathBuf> {
        self.bundle.config.cgroup.as_ref().map(PathBuf::from)
    }

    /// Makes the cgroup in which the container is born.
    pub(crate) fn make_cgroup(&self) -> Result<(), Failure> {
        let Some(folder) = self.cgroup() else { return Ok(()) };
        bryo_cgroup::make(&folder, &self.bundle.config.limits.cgroup)
            .map_err(|e| Failure::other("cannot limit the container", e))
    }

    /// Takes it away, when everything in it has ended.
    pub(crate) fn remove_cgroup(&self) {
        if let Some(folder) = self.cgroup() {
            // What cannot be removed is swept by the next engine.
            let _ = bryo_cgroup::remove(&folder);
        }
    }

    /// Starts to look at the memory of the container that has just been started.
    pub(crate) fn begin_watch(&mut self, pid: u32, spec: &Spec) {
        let limit = self.bundle.config.limits.memory;
        self.watcher = limit.map(|limit| Watcher::new(limit, pid, spec));
    }

    /// Looks, if it is time to.
    pub(crate) fn watch(&mut self, now: Instant) {
        let Phase::Running(running) = &self.phase else { return };
        let (Some(watcher), false) = (&mut self.watcher, self.state.paused) else { return };
        let first = running.pid;
        let execs = &self.execs;
        let roots = || std::iter::once(first).chain(execs.values().filter_map(|e| e.pid)).collect();
        if watcher.look(now, roots) {
            self.note_oom();
        }
    }

    /// When to look next; a paused container's memory does not grow.
    pub(crate) fn watch_deadline(&self) -> Option<Instant> {
        let watched = matches!(self.phase, Phase::Running(_)) && !self.state.paused;
        self.watcher.as_ref().filter(|_| watched).map(Watcher::deadline)
    }

    /// Other limits from now on, for what runs and for what will.
    pub(crate) fn update(&mut self, limits: Limits) -> Outcome {
        let pid = self.running()?.pid;
        if let Some(folder) = self.cgroup() {
            for (file, value) in &limits.cgroup {
                bryo_cgroup::write(&folder, file, value)
                    .map_err(|e| Failure::other("cannot change the container's limits", e))?;
            }
        }
        let before = std::mem::replace(&mut self.bundle.config.limits, limits);
        let now = &self.bundle.config.limits;
        match (&mut self.watcher, now.memory) {
            (Some(watcher), Some(limit)) => watcher.set_limit(limit),
            (None, Some(limit)) => {
                let spec = self.bundle.spec();
                let spec = spec.map_err(|e| Failure::other("cannot watch the memory", e))?;
                self.watcher = Some(Watcher::new(limit, pid, &spec));
            }
            (watcher, None) => *watcher = None,
        }
        let mut roots = vec![pid];
        roots.extend(self.execs.values().filter_map(|e| e.pid));
        let now = self.bundle.config.limits.of_processes();
        if now.apply(&before.of_processes(), &roots)? {
            return Ok(Reply::Ok);
        }
        Ok(Reply::Partly(
            "Running processes keep their lower limit of processes: without a cgroup it is RLIMIT_NPROC, which nobody but the \
             host's root may raise. New execs have the new limit, and so has everything after a restart of the container."
                .into(),
        ))
    }
}
