//! Further processes in the running container.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use bryo_runtime::{ExecOptions, Namespaces};
use oci_spec::runtime::Process;

use crate::messages::{Event, Failure, Reply, StreamConfig};
use crate::monitor::Monitor;
use crate::poller::MAX_PROCESS;
use crate::requests::Outcome;
use crate::start::stdio;
use crate::streams::{Ends, InputPolicy, Streams};

/// Ended execs that `state.json` remembers. Healthchecks alone make thousands a day; an engine that was away
/// for longer than this many can only learn that they ended.
const MOST_REMEMBERED: usize = 128;

/// A process made by an exec, or what is left of it while its clients take their last output.
#[derive(Debug)]
pub(crate) struct Exec {
    pub(crate) id: String,
    /// None once it has ended.
    pub(crate) pid: Option<u32>,
    pub(crate) streams: Streams,
}

/// What is asked for.
pub(crate) struct ExecRequest {
    pub(crate) id: String,
    pub(crate) process: Process,
    pub(crate) tty_size: (u16, u16),
    pub(crate) open_stdin: bool,
    pub(crate) stream: Option<(StreamConfig, OwnedFd)>,
}

impl Monitor {
    /// Starts a process. If that fails the client's descriptor is closed but its connection is not shut down, so that an
    /// engine which kept a copy can still write the error to it.
    pub(crate) fn exec(&mut self, request: ExecRequest) -> Outcome {
        self.running()?;
        if self.state.paused {
            return Err(Failure::state("the container is paused"));
        }
        if self.execs.values().any(|e| e.id == request.id && e.pid.is_some()) {
            return Err(Failure::state("the exec is running already"));
        }
        let number = (1..=MAX_PROCESS)
            .find(|n| !self.execs.contains_key(n))
            .ok_or_else(|| Failure::state("there are too many execs"))?;
        let tty = request.process.terminal().unwrap_or(false);
        let input =
            if request.open_stdin { InputPolicy::EndsWithClient } else { InputPolicy::None };
        let mut streams = Streams::new(number, tty, input);
        if let Some((config, fd)) = request.stream {
            streams
                .attach(&self.poller, config, fd)
                .map_err(|e| Failure::other("cannot attach the client's stream", e))?;
        }
        let (process, size) = (&request.process, request.tty_size);
        let launched = match self.launch(process, tty, size, request.open_stdin) {
            Ok(launched) => launched,
            Err(failure) => {
                let closed = streams.abandon(&self.poller);
                self.report_closed(closed);
                return Err(failure);
            }
        };
        let (pid, ends) = launched;
        streams
            .open(&self.poller, ends)
            .map_err(|e| Failure::other("cannot open the process' streams", e))?;
        self.state.execs.push((request.id.clone(), pid));
        self.execs.insert(number, Exec { id: request.id, pid: Some(pid), streams });
        self.write_state();
        Ok(Reply::Started { pid })
    }

    fn launch(
        &self,
        process: &Process,
        tty: bool,
        size: (u16, u16),
        open_stdin: bool,
    ) -> Result<(u32, Ends), Failure> {
        let (stdio, ends) = stdio(tty, size, open_stdin)
            .map_err(|e| Failure::other("cannot make the process' pipes", e))?;
        let running = self.running()?;
        let (pid, terminal) = if let Some(external) = &running.external {
            let (pid, terminal) = external.exec(process, stdio)?;
            if let Some(folder) = self.cgroup() {
                // Over its limits it stays outside, as nothing can be started there.
                let _ = bryo_cgroup::enter(&folder, pid);
            }
            (pid, terminal)
        } else {
            let spec = self.bundle.spec().map_err(|e| Failure::other("cannot exec", e))?;
            let options = ExecOptions {
                stdio,
                cgroup: self.bundle.config.cgroup.as_ref().map(PathBuf::from),
                seccomp: self.seccomp.clone(),
                limits: self.bundle.config.limits.of_processes(),
            };
            let run = match &running.namespaces {
                Some(namespaces) => bryo_runtime::exec(namespaces, &spec, process, options)?,
                None => {
                    let namespaces = Namespaces::of_process(running.pid)?;
                    bryo_runtime::exec(&namespaces, &spec, process, options)?
                }
            };
            (run.pid, run.terminal)
        };
        match (ends, terminal) {
            (Some(ends), _) => Ok((pid, ends)),
            (None, Some(terminal)) => Ok((pid, Ends::Terminal(terminal))),
            (None, None) => {
                Err(Failure::other("cannot open the terminal", "the runtime gave none"))
            }
        }
    }

    /// A process that an exec made has ended with `code`. False if `pid` is none.
    pub(crate) fn exec_ended(&mut self, pid: u32, code: i32) -> bool {
        let found = self.execs.iter().find(|(_, e)| e.pid == Some(pid)).map(|(&n, _)| n);
        let Some(number) = found else { return false };
        self.drain_streams(number);
        let Some(exec) = self.execs.get_mut(&number) else { return false };
        exec.pid = None;
        let id = exec.id.clone();
        self.state.execs.retain(|(running, _)| *running != id);
        self.state.ended_execs.push((id.clone(), code));
        let surplus = self.state.ended_execs.len().saturating_sub(MOST_REMEMBERED);
        self.state.ended_execs.drain(..surplus);
        self.write_state();
        // Told before the clients see the end: they ask for the exit code as soon as they do.
        self.engines.broadcast(&self.poller, &Event::ExecExited { id, code });
        self.finish_streams(number);
        true
    }
}
