//! The end of processes: execs, and the container itself.
//!
//! A pid namespace ends with its first process: the kernel kills the others and reports the first only when they are
//! gone (`zap_pid_ns_processes`), so whatever they wrote is in the pipes by then. Processes that an exec made are our
//! children, and the kernel waits for us to reap them first; hence children are reaped in any order here.

use bryo_sys::fork::{self, Ended};
use bryo_sys::pidfd;

use crate::log::time;
use crate::messages::{Event, Exit};
use crate::monitor::{FIRST, Monitor, Phase, Running};

impl Monitor {
    /// Children have ended (or somebody sent a signal that does not concern us).
    pub(crate) fn on_signals(&mut self) {
        while let Ok(Some(_)) = self.signals.next() {}
        self.reap();
    }

    /// Notes the end of every child that has ended.
    pub(crate) fn reap(&mut self) {
        while let Ok(Some((pid, ended))) = fork::reap() {
            self.reaped(pidfd::to_u32(pid), ended);
        }
    }

    fn reaped(&mut self, pid: u32, ended: Ended) {
        let first = match &self.phase {
            Phase::Running(running) => running.pid == pid,
            _ => false,
        };
        if first {
            self.container_ended(ended);
        } else if !self.exec_ended(pid, ended.code()) {
            if let Some(log) = &mut self.log {
                log.child_ended(pid);
            }
        }
    }

    fn container_ended(&mut self, ended: Ended) {
        self.end_execs();
        self.drain_streams(FIRST);
        let finished_at = time::now();
        if let Some(log) = &mut self.log {
            let _ = log.finish(finished_at);
        }
        self.on_oom();
        let ended_run = std::mem::replace(&mut self.phase, Phase::Ended);
        if let Phase::Running(Running { external: Some(external), .. }) = &ended_run {
            external.delete();
        }
        self.remove_cgroup();
        let exit = Exit { code: ended.code(), oom_killed: self.state.oom_killed, finished_at };
        self.state.paused = false;
        self.state.exit = Some(exit.clone());
        self.write_state();
        self.stop_listening();
        self.engines.broadcast(&self.poller, &Event::Exited(exit));
        self.finish_streams(FIRST);
        // Last, since it closes the last descriptor of the mount namespace: taking the mounts apart costs a millisecond that
        // nobody needs to wait for.
        drop(ended_run);
    }

    /// Ends what execs have made. With a pid namespace of its own they are dead already; in the host's they may run on.
    fn end_execs(&mut self) {
        let left: Vec<u32> = self.execs.values().filter_map(|e| e.pid).collect();
        for pid in left {
            let Ok(child) = pidfd::to_pid(pid) else { continue };
            // Our unreaped child, so the pid is surely still its own.
            let _ = rustix::process::kill_process(child, rustix::process::Signal::KILL);
            if let Ok(ended) = fork::wait(child) {
                self.exec_ended(pid, ended.code());
            }
        }
    }
}
