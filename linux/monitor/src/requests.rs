//! What engines ask for, one function a request.

use std::os::fd::{AsFd, OwnedFd};

use bryo_sys::channel::Message;
use bryo_sys::ns;

use crate::exec::ExecRequest;
use crate::messages::{Answer, Failure, FailureKind, Reply, Request, RequestBody, StreamConfig};
use crate::monitor::{FIRST, Monitor, Phase, Running, streams_of};

impl Failure {
    pub(crate) fn new(kind: FailureKind, message: impl Into<String>) -> Failure {
        Failure { kind, message: message.into() }
    }

    /// The request does not fit the state.
    pub(crate) fn state(message: &str) -> Failure {
        Failure::new(FailureKind::WrongState, message)
    }

    /// Anything else: what was tried, and why it failed.
    pub(crate) fn other(what: &str, why: impl std::fmt::Display) -> Failure {
        Failure::new(FailureKind::Other, format!("{what}: {why}"))
    }
}

impl From<bryo_runtime::Error> for Failure {
    fn from(error: bryo_runtime::Error) -> Failure {
        use bryo_runtime::ErrorKind;
        let kind = match error.kind() {
            ErrorKind::CommandNotFound => FailureKind::CommandNotFound,
            ErrorKind::CommandNotExecutable => FailureKind::CommandNotExecutable,
            ErrorKind::WrongState => FailureKind::WrongState,
            ErrorKind::BadRequest => FailureKind::BadRequest,
            ErrorKind::Other => FailureKind::Other,
        };
        Failure::new(kind, error.message())
    }
}

/// What a request comes to.
pub(crate) type Outcome = Result<Reply, Failure>;

impl Monitor {
    /// Does what a message asks for and answers it.
    pub(crate) fn on_message(&mut self, engine: u32, message: Message) {
        let (seq, outcome) = match serde_json::from_slice::<Request>(&message.data) {
            Ok(request) => (request.seq, self.act(request.body, message.fds)),
            // A newer engine's request that this monitor does not know. Its number can still be read, so that
            // the engine is not left waiting.
            Err(e) => {
                let seq = serde_json::from_slice::<serde_json::Value>(&message.data)
                    .ok()
                    .and_then(|v| v.get("seq")?.as_u64())
                    .unwrap_or(0);
                let text = format!("this container's monitor does not understand the request: {e}");
                (seq, Err(Failure::new(FailureKind::BadRequest, text)))
            }
        };
        let body = outcome.unwrap_or_else(Reply::Failed);
        self.engines.send(&self.poller, engine, &Answer::Reply { seq, body });
    }

    fn act(&mut self, request: RequestBody, fds: Vec<OwnedFd>) -> Outcome {
        let mut fds = fds.into_iter();
        match request {
            RequestBody::Start => self.start(fds.next()),
            RequestBody::Attach(config) => self.attach(config, fds.next()),
            RequestBody::Exec { id, process, tty_size, open_stdin, stream } => {
                let stream = stream.zip(fds.next());
                let process = *process;
                self.exec(ExecRequest { id, process, tty_size, open_stdin, stream })
            }
            RequestBody::Resize { exec, rows, cols } => self.resize(exec.as_deref(), rows, cols),
            RequestBody::Signal { signal } => self.signal(signal),
            RequestBody::Pause => self.pause(true),
            RequestBody::Unpause => self.pause(false),
            RequestBody::Update { limits } => self.update(limits),
            RequestBody::ConnectNetwork { bridges, endpoint } => {
                let bridges = ns::open(&bridges)
                    .map_err(|e| Failure::other("cannot open the bridges' network namespace", e))?;
                let container = self.network_namespace()?;
                bryo_net::attach(bridges.as_fd(), container.as_fd(), &endpoint).map_err(|e| {
                    Failure::other("cannot connect the container to the network", e)
                })?;
                Ok(Reply::Ok)
            }
            RequestBody::DisconnectNetwork { interface } => {
                let container = self.network_namespace()?;
                bryo_net::detach(container.as_fd(), &interface).map_err(|e| {
                    Failure::other("cannot disconnect the container from the network", e)
                })?;
                Ok(Reply::Ok)
            }
            RequestBody::Usage => {
                self.reap();
                self.usage().map(|usage| Reply::Usage(Box::new(usage)))
            }
            RequestBody::Sync => {
                self.reap();
                Ok(Reply::Ok)
            }
            RequestBody::Abandon => match self.phase {
                Phase::Running(_) => Err(Failure::state("the container is running")),
                Phase::Created | Phase::Ended => {
                    self.abandon();
                    Ok(Reply::Ok)
                }
            },
        }
    }

    /// The running container, or why the request does not fit.
    pub(crate) fn running(&self) -> Result<&Running, Failure> {
        match &self.phase {
            Phase::Running(running) => Ok(running),
            Phase::Created => Err(Failure::state("the container has not been started")),
            Phase::Ended => Err(Failure::state("the container has ended")),
        }
    }

    fn network_namespace(&self) -> Result<OwnedFd, Failure> {
        let running = self.running()?;
        if let Some(namespaces) = &running.namespaces {
            return namespaces
                .get(ns::Kind::Net)?
                .try_clone_to_owned()
                .map_err(|e| Failure::other("cannot open the container's network namespace", e));
        }
        ns::of_process(running.pid, ns::Kind::Net)
            .map_err(|e| Failure::other("cannot open the container's network namespace", e))
    }

    fn attach(&mut self, config: StreamConfig, fd: Option<OwnedFd>) -> Outcome {
        let Some(fd) = fd else {
            return Err(Failure::new(FailureKind::BadRequest, "attach came without a descriptor"));
        };
        self.streams
            .attach(&self.poller, config, fd)
            .map_err(|e| Failure::other("cannot attach the client's stream", e))?;
        Ok(Reply::Ok)
    }

    fn resize(&mut self, exec: Option<&str>, rows: u16, cols: u16) -> Outcome {
        self.running()?;
        let process = match exec {
            None => FIRST,
            Some(id) => {
                let found = self.execs.iter().find(|(_, e)| e.id == id && e.pid.is_some());
                *found.ok_or_else(|| Failure::state("the exec is not running"))?.0
            }
        };
        let streams = streams_of(&mut self.streams, &mut self.execs, process);
        match streams.map(|s| s.resize(rows, cols)) {
            Some(Err(e)) => Err(Failure::other("cannot set the terminal's size", e)),
            // Docker resizes what has no terminal without complaint.
            _ => Ok(Reply::Ok),
        }
    }

    fn signal(&self, signal: i32) -> Outcome {
        match bryo_runtime::signal(self.running()?.pidfd.as_fd(), signal)? {
            true => Ok(Reply::Ok),
            false => Err(Failure::state("the container has ended")),
        }
    }

    fn pause(&mut self, pause: bool) -> Outcome {
        let pid = self.running()?.pid;
        if self.state.paused == pause {
            let word = if pause { "already" } else { "not" };
            return Err(Failure::state(&format!("the container is {word} paused")));
        }
        let cgroup = self.bundle.config.cgroup.as_deref().map(std::path::Path::new);
        if pause {
            bryo_runtime::pause(pid, cgroup)?;
        } else {
            bryo_runtime::unpause(pid, cgroup)?;
        }
        self.state.paused = pause;
        self.write_state();
        Ok(Reply::Ok)
    }
}
