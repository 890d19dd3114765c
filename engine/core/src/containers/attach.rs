//! A client's connection on its way to a monitor.
//!
//! The door checks first ([`Engine::attach`], [`Engine::exec_start`]), sends its `101`, and then hands the socket over
//! ([`Attachment::run`]): the monitor owns it from then on and it survives this engine. A container that does not run yet keeps
//! the stream in its owner's hands until it starts.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use bryo_monitor::log::ReadOptions;
use bryo_monitor::messages::{RequestBody, StreamConfig};
use tokio::sync::oneshot;

use super::actions::{Action, Join};
use super::logs;
use super::owner::{Owner, Pending};
use super::registry::Handle;
use crate::engine::Engine;
use crate::exec::{Exec, ExecAttachment};
use crate::model::Status;
use crate::requests::AttachOptions;
use crate::{Error, Result};

/// A client that may attach to a container or an exec. Everything that can be refused was checked before this exists, so the
/// door answers `101` (or `200`) first and then calls [`Attachment::run`].
pub struct Attachment {
    tty: bool,
    to: Target,
}

enum Target {
    Container(Box<ContainerTarget>),
    Exec(Box<ExecAttachment>),
}

struct ContainerTarget {
    engine: Engine,
    handle: Handle,
    options: AttachOptions,
    keys: Vec<u8>,
}

impl Attachment {
    pub(crate) fn to_exec(exec: ExecAttachment, tty: bool) -> Attachment {
        Attachment { tty, to: Target::Exec(Box::new(exec)) }
    }

    /// The streams are a terminal's: raw, not framed.
    pub fn tty(&self) -> bool {
        self.tty
    }

    /// Hands the client's socket to the monitor, with what was already read from it, and returns when the stream ended.
    pub async fn run(self, client: OwnedFd, early_stdin: Vec<u8>) -> Result<()> {
        match self.to {
            Target::Container(target) => target.run(client, early_stdin, self.tty).await,
            Target::Exec(exec) => exec.run(client, early_stdin).await,
        }
    }
}

impl ContainerTarget {
    async fn run(self, client: OwnedFd, early_stdin: Vec<u8>, tty: bool) -> Result<()> {
        let ContainerTarget { engine, handle, options, keys } = self;
        let client = if options.logs {
            past(&engine, &handle, &options, client, tty).await?
        } else {
            client
        };
        if !options.stream {
            return Ok(());
        }
        let (done, ended) = oneshot::channel();
        let open_stdin = handle.snapshot().record.spec.open_stdin;
        let config = StreamConfig {
            id: rand::random(),
            stdin: options.stdin && open_stdin,
            stdout: options.stdout,
            stderr: options.stderr,
            multiplexed: !tty,
            detach_keys: keys,
            early_stdin,
        };
        handle.send(Action::Emit { action: "attach".into(), attributes: BTreeMap::new() })?;
        handle.send(Action::Attach(Box::new(Join { socket: client, config, done })))?;
        if matches!(ended.await, Ok(true)) {
            let _ =
                handle.send(Action::Emit { action: "detach".into(), attributes: BTreeMap::new() });
        }
        Ok(())
    }
}

/// Writes the log so far to the client, before the stream goes on. Blocking, in a thread of its own.
async fn past(
    engine: &Engine,
    handle: &Handle,
    options: &AttachOptions,
    client: OwnedFd,
    tty: bool,
) -> Result<OwnedFd> {
    let config = logs::config(engine, &handle.snapshot().record)?;
    let read = ReadOptions {
        stdout: options.stdout,
        stderr: options.stderr,
        framed: !tty,
        ..ReadOptions::default()
    };
    let written = tokio::task::spawn_blocking(move || -> std::io::Result<OwnedFd> {
        let mut client = UnixStream::from(client);
        client.set_nonblocking(false)?;
        let mut reader =
            bryo_monitor::log::Reader::open(&config, read).map_err(std::io::Error::other)?;
        let mut next = || reader.next(std::time::Duration::ZERO).map_err(std::io::Error::other);
        while let bryo_monitor::log::Next::Batch(batch) = next()? {
            client.write_all(&batch.bytes)?;
        }
        client.set_nonblocking(true)?;
        Ok(client.into())
    });
    let failed = |e: String| Error::internal(format!("send the log so far: {e}"));
    written.await.map_err(|e| failed(e.to_string()))?.map_err(|e| failed(e.to_string()))
}

impl Engine {
    /// Checks that a client may attach; [`Attachment::run`] then joins its connection.
    pub async fn attach(&self, r: &str, options: AttachOptions) -> Result<Attachment> {
        let handle = self.inner().registry.find(r)?;
        let snapshot = handle.snapshot();
        match snapshot.status() {
            Status::Paused => {
                return Err(Error::conflict(format!(
                    "container {r} is paused, unpause the container before attach"
                )));
            }
            Status::Restarting => {
                return Err(Error::conflict(format!(
                    "container {r} is restarting, wait until the container is running"
                )));
            }
            Status::Removing | Status::Dead => {
                return Err(Error::conflict(format!("container {r} is being removed")));
            }
            Status::Created | Status::Running | Status::Exited => {}
        }
        let tty = snapshot.record.spec.tty;
        let keys = detach_keys(options.detach_keys.as_deref())?;
        let target = ContainerTarget { engine: self.clone(), handle, options, keys };
        Ok(Attachment { tty, to: Target::Container(Box::new(target)) })
    }
}

/// Docker's notation (`ctrl-p,ctrl-q`, `a,b`) as bytes; none: ctrl-p ctrl-q.
pub(crate) fn detach_keys(text: Option<&str>) -> Result<Vec<u8>> {
    let Some(text) = text.filter(|t| !t.is_empty()) else { return Ok(vec![16, 17]) };
    let wrong = |key: &str| {
        Error::invalid(format!("Invalid detach keys ({text}) provided: Unknown character: '{key}'"))
    };
    text.split(',')
        .map(|key| match key.as_bytes() {
            [one] => Ok(*one),
            _ => match key.strip_prefix("ctrl-").map(str::as_bytes) {
                Some([c @ b'a'..=b'z']) => Ok(c - b'a' + 1),
                Some([b'@']) => Ok(0),
                Some([b'[']) => Ok(27),
                Some([b'\\']) => Ok(28),
                Some([b']']) => Ok(29),
                Some([b'^']) => Ok(30),
                Some([b'_']) => Ok(31),
                _ if key == "DEL" => Ok(127),
                _ => Err(wrong(key)),
            },
        })
        .collect()
}

impl Owner {
    /// A client's stream: to the monitor, or kept for the start.
    pub(super) async fn join(&mut self, join: Join) {
        if self.monitor.is_none() {
            self.joins.push(join);
            return;
        }
        let Join { socket, config, done } = join;
        self.streams.insert(config.id, done);
        let fd = std::os::fd::AsFd::as_fd(&socket);
        self.request(RequestBody::Attach(config), &[fd], Pending::Nobody).await;
    }

    /// A further process.
    pub(super) async fn exec(&mut self, launch: super::actions::ExecLaunch) {
        let super::actions::ExecLaunch { exec, process, stream, tty_size, started } = launch;
        if let Err(e) = Exec::may_start(&self.record.id, self.status()) {
            let _ = started.send(Err(super::actions::ExecFailure::Refused(e)));
            return;
        }
        let open_stdin = stream.as_ref().is_some_and(|s| s.config.stdin);
        let (socket, config) = match stream {
            Some(Join { socket, config, done }) => {
                self.streams.insert(config.id, done);
                (Some(socket), Some(config))
            }
            None => (None, None),
        };
        let body = RequestBody::Exec {
            id: exec.id.clone(),
            process: Box::new(process),
            tty_size,
            open_stdin,
            stream: config,
        };
        let fds: Vec<_> = socket.iter().map(std::os::fd::AsFd::as_fd).collect();
        self.emit(&format!("exec_start: {}", exec.line()), exec.attributes());
        self.execs.insert(exec.id.clone(), exec.clone());
        self.request(body, &fds, Pending::Exec(exec, started)).await;
    }

    /// The monitor's answer to it.
    pub(super) fn exec_answered(
        &mut self,
        exec: &Arc<Exec>,
        reply: bryo_monitor::messages::Reply,
        started: oneshot::Sender<std::result::Result<u32, super::actions::ExecFailure>>,
    ) {
        use bryo_monitor::messages::Reply;
        let outcome = match reply {
            Reply::Started { pid } => {
                exec.started(pid);
                self.publish(None);
                Ok(pid)
            }
            Reply::Ok | Reply::Partly(_) | Reply::Usage(_) => Ok(0),
            Reply::Failed(failure) => {
                exec.failed(failure.kind);
                Err(super::actions::ExecFailure::Monitor(failure))
            }
        };
        let _ = started.send(outcome);
    }

    pub(super) fn exec_ended(&mut self, id: &str, code: i32) {
        let Some(exec) = self.execs.get(id).cloned() else { return };
        exec.ended(code);
        self.publish(None);
        let mut attributes = exec.attributes();
        attributes.insert("exitCode".into(), code.to_string());
        self.emit("exec_die", attributes);
        if exec.is_internal() {
            self.execs.remove(id);
        }
    }

    /// Execs that an earlier engine started and that still run.
    pub(super) fn adopt_execs(&mut self, found: &[(String, u32)]) {
        for (id, pid) in found {
            if !self.execs.contains_key(id) {
                let exec = Arc::new(Exec::found(id, &self.record.id, *pid));
                self.inner.execs.add(exec.clone());
                self.execs.insert(id.clone(), exec);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detach_keys_are_read_as_dockers() {
        assert_eq!(detach_keys(None).unwrap(), [16, 17]);
        assert_eq!(detach_keys(Some("ctrl-a,x")).unwrap(), [1, b'x']);
        assert!(detach_keys(Some("ctrl-1")).is_err());
    }
}
