//! Further processes in running containers.
//!
//! An exec is made (`exec_create`), started once, and looked at afterwards. Its state is shared between the table here, which
//! finds it by id, and the container's owner, which hears of its start and end.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bryo_monitor::messages::{Failure, FailureKind, StreamConfig};
use tokio::io::AsyncReadExt;
use tokio::sync::{oneshot, watch};

use crate::containers::Attachment;
use crate::containers::actions::{Action, ExecFailure, ExecLaunch, Join};
use crate::containers::attach::detach_keys;
use crate::containers::registry::Handle;
use crate::engine::{Engine, Inner};
use crate::model::{ExecSpec, ExecView, Status};
use crate::requests::ExecStart;
use crate::spec::{process, user};
use crate::util::{lock, random_id};
use crate::{Error, Result};

/// Execs that ended are remembered until their container goes, at most so many of one container.
const REMEMBERED: usize = 256;

/// Where an exec is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Made,
    Starting,
    Running(u32),
    Ended(i32),
}

/// An exec.
pub(crate) struct Exec {
    pub id: String,
    container: String,
    spec: ExecSpec,
    /// Made by the engine for itself (a health check).
    internal: bool,
    phase: watch::Sender<Phase>,
}

impl Exec {
    fn new(container: &str, spec: ExecSpec, internal: bool) -> Exec {
        let (phase, _) = watch::channel(Phase::Made);
        Exec { id: random_id(), container: container.to_string(), spec, internal, phase }
    }

    /// One that an earlier engine started; what it was asked is not known any more.
    pub(crate) fn found(id: &str, container: &str, pid: u32) -> Exec {
        let (phase, _) = watch::channel(Phase::Running(pid));
        let spec = ExecSpec::default();
        Exec { id: id.into(), container: container.into(), spec, internal: false, phase }
    }

    fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    pub(crate) fn is_running(&self) -> bool {
        matches!(self.phase(), Phase::Running(_))
    }

    pub(crate) fn is_internal(&self) -> bool {
        self.internal
    }

    pub(crate) fn started(&self, pid: u32) {
        self.phase.send_if_modified(|phase| {
            let starting = *phase == Phase::Starting;
            if starting {
                *phase = Phase::Running(pid);
            }
            starting
        });
    }

    pub(crate) fn failed(&self, kind: FailureKind) {
        self.ended(match kind {
            FailureKind::CommandNotFound => 127,
            _ => 126,
        });
    }

    pub(crate) fn ended(&self, code: i32) {
        self.phase.send_replace(Phase::Ended(code));
    }

    /// The container ended and it with it.
    pub(crate) fn lost(&self) {
        if matches!(self.phase(), Phase::Running(_) | Phase::Starting) {
            self.ended(137);
        }
    }

    /// The command as events show it.
    pub(crate) fn line(&self) -> String {
        let mut words = self.spec.cmd.iter();
        let first = words.next().cloned().unwrap_or_default();
        format!("{first} {}", words.cloned().collect::<Vec<_>>().join(" "))
    }

    pub(crate) fn attributes(&self) -> BTreeMap<String, String> {
        BTreeMap::from([("execID".to_string(), self.id.clone())])
    }

    /// Whether a container in this state takes execs.
    pub(crate) fn may_start(container: &str, status: Status) -> Result<()> {
        let why = match status {
            Status::Running => return Ok(()),
            Status::Paused => "is paused, unpause the container before exec",
            Status::Restarting => "is restarting, wait until the container is running",
            _ => "is not running",
        };
        Err(Error::conflict(format!("container {container} {why}")))
    }

    fn view(&self) -> ExecView {
        let phase = self.phase();
        ExecView {
            id: self.id.clone(),
            container: self.container.clone(),
            spec: self.spec.clone(),
            running: matches!(phase, Phase::Running(_)),
            exit_code: if let Phase::Ended(code) = phase { Some(code) } else { None },
            pid: if let Phase::Running(pid) = phase { pid } else { 0 },
        }
    }
}

/// All execs by id.
#[derive(Default)]
pub(crate) struct Execs {
    by_id: Mutex<HashMap<String, Arc<Exec>>>,
}

impl Execs {
    pub(crate) fn add(&self, exec: Arc<Exec>) {
        let mut by_id = lock(&self.by_id);
        let ended: Vec<String> = by_id
            .values()
            .filter(|e| e.container == exec.container && matches!(e.phase(), Phase::Ended(_)))
            .map(|e| e.id.clone())
            .collect();
        if ended.len() >= REMEMBERED {
            for id in ended {
                by_id.remove(&id);
            }
        }
        by_id.insert(exec.id.clone(), exec);
    }

    pub(crate) fn forget(&self, execs: &BTreeMap<String, Arc<Exec>>) {
        let mut by_id = lock(&self.by_id);
        for id in execs.keys() {
            by_id.remove(id);
        }
    }

    fn find(&self, id: &str) -> Result<Arc<Exec>> {
        let found = lock(&self.by_id).get(id).cloned();
        found.ok_or_else(|| Error::not_found(format!("No such exec instance: {id}")))
    }
}

/// A client that may attach to an exec, which starts with it.
pub(crate) struct ExecAttachment {
    inner: Arc<Inner>,
    handle: Handle,
    exec: Arc<Exec>,
    tty: bool,
    size: Option<(u16, u16)>,
}

impl ExecAttachment {
    /// Starts the exec with the client's stream. A program that cannot be executed is told to the client on its stdout, as Docker
    /// does, and is no error here.
    pub(crate) async fn run(self, client: OwnedFd, early_stdin: Vec<u8>) -> Result<()> {
        let (stdin, stdout, stderr) = self.exec.spec.attach;
        let keys = detach_keys(Some(&self.exec.spec.detach_keys))?;
        let config = StreamConfig {
            id: rand::random(),
            stdin,
            stdout,
            stderr,
            multiplexed: !self.tty,
            detach_keys: keys,
            early_stdin,
        };
        let again = client.try_clone().map_err(|e| Error::internal(format!("exec: {e}")))?;
        let (done, ended) = oneshot::channel();
        let stream = Some(Join { socket: client, config, done });
        match start(&self.inner, &self.handle, &self.exec, stream, self.size).await? {
            Ok(_) => {
                drop(again);
                let _ = ended.await;
            }
            Err(failure) => tell(again, failure_text(&failure), self.tty).await,
        }
        Ok(())
    }
}

/// Writes a line to the client as output of the exec.
async fn tell(client: OwnedFd, text: String, tty: bool) {
    let _ = tokio::task::spawn_blocking(move || -> std::io::Result<()> {
        let mut client = UnixStream::from(client);
        client.set_nonblocking(false)?;
        let line = format!("{text}\r\n");
        if !tty {
            client.write_all(&bryo_monitor::log::Stream::Stdout.frame_header(line.len()))?;
        }
        client.write_all(line.as_bytes())
    })
    .await;
}

fn failure_text(failure: &Failure) -> String {
    format!(
        "OCI runtime exec failed: exec failed: unable to start container process: {}",
        failure.message
    )
}

/// Has the owner start it; the inner result is the monitor's.
async fn start(
    inner: &Arc<Inner>,
    handle: &Handle,
    exec: &Arc<Exec>,
    stream: Option<Join>,
    size: Option<(u16, u16)>,
) -> Result<std::result::Result<u32, Failure>> {
    let begun = exec.phase.send_if_modified(|phase| {
        let made = *phase == Phase::Made;
        if made {
            *phase = Phase::Starting;
        }
        made
    });
    if !begun {
        return Err(already(exec));
    }
    let outcome = launch(inner, handle, exec, stream, size).await;
    if outcome.is_err() && exec.phase() == Phase::Starting {
        exec.ended(126);
    }
    outcome
}

fn already(exec: &Exec) -> Error {
    let text = if matches!(exec.phase(), Phase::Ended(_)) {
        "has already run"
    } else {
        "is already running"
    };
    Error::conflict(format!("Error: Exec command {} {text}", exec.id))
}

async fn launch(
    inner: &Arc<Inner>,
    handle: &Handle,
    exec: &Arc<Exec>,
    stream: Option<Join>,
    size: Option<(u16, u16)>,
) -> Result<std::result::Result<u32, Failure>> {
    let (inner, record, spec) =
        (inner.clone(), handle.snapshot().record.clone(), exec.spec.clone());
    let process = tokio::task::spawn_blocking(move || {
        let layer = inner.images.writable(&record.id).map_err(Error::from)?;
        let layers: Vec<_> = std::iter::once(layer.upper).chain(layer.lowers).collect();
        let (name, groups) = if spec.user.is_empty() {
            (&record.spec.user, record.spec.group_add.as_slice())
        } else {
            (&spec.user, &[][..])
        };
        let user = user::Files::read(&layers).resolve(name, groups)?;
        process::exec(&record, &spec, &user, &crate::containers::defaults(&inner))
    });
    let process =
        process.await.map_err(|e| Error::internal(format!("prepare the exec: {e}")))??;
    let (started, outcome) = oneshot::channel();
    let tty_size = size.or(exec.spec.console_size).unwrap_or_default();
    let launch = ExecLaunch { exec: exec.clone(), process, stream, tty_size, started };
    handle.send(Action::Exec(Box::new(launch)))?;
    match outcome.await {
        Ok(Ok(pid)) => Ok(Ok(pid)),
        Ok(Err(ExecFailure::Monitor(failure))) => Ok(Err(failure)),
        Ok(Err(ExecFailure::Refused(e))) => Err(e),
        Err(_) => Err(Error::conflict(format!("container {} is not running", handle.id))),
    }
}

impl Engine {
    /// Prepares a process in a running container; the result is the exec's id (64 hex digits).
    pub async fn exec_create(&self, r: &str, spec: ExecSpec) -> Result<String> {
        let handle = self.inner().registry.find(r)?;
        if spec.cmd.is_empty() {
            return Err(Error::invalid("No exec command specified"));
        }
        detach_keys(Some(&spec.detach_keys))?;
        if !spec.working_dir.is_empty() && !spec.working_dir.starts_with('/') {
            return Err(Error::invalid(format!(
                "the working directory '{}' is invalid, it needs to be an absolute path",
                spec.working_dir
            )));
        }
        Exec::may_start(&handle.id, handle.snapshot().status())?;
        let exec = Arc::new(Exec::new(&handle.id, spec, false));
        self.inner().execs.add(exec.clone());
        let action = format!("exec_create: {}", exec.line());
        handle.send(Action::Emit { action, attributes: exec.attributes() })?;
        Ok(exec.id.clone())
    }

    /// Starts it. Detached: it was started, and there is no attachment. Otherwise [`Attachment::run`] starts it with the client's
    /// streams; a program that cannot be executed is written to the client as Docker does.
    pub async fn exec_start(&self, exec: &str, how: ExecStart) -> Result<Option<Attachment>> {
        let exec = self.inner().execs.find(exec)?;
        let handle = self.inner().registry.find(&exec.container)?;
        if exec.phase() != Phase::Made {
            return Err(already(&exec));
        }
        Exec::may_start(&handle.id, handle.snapshot().status())?;
        let tty = exec.spec.tty;
        if how.detach {
            return match start(self.inner(), &handle, &exec, None, how.console_size).await? {
                Ok(_) => Ok(None),
                Err(failure) => Err(Error::invalid(failure_text(&failure))),
            };
        }
        let attachment = ExecAttachment {
            inner: self.inner().clone(),
            handle,
            exec,
            tty,
            size: how.console_size,
        };
        Ok(Some(Attachment::to_exec(attachment, tty)))
    }

    /// Sets its terminal's size.
    pub async fn exec_resize(&self, exec: &str, rows: u16, cols: u16) -> Result<()> {
        let exec = self.inner().execs.find(exec)?;
        let handle = self.inner().registry.find(&exec.container)?;
        let id = Some(exec.id.clone());
        handle.ask(|reply| Action::Resize { exec: id, rows, cols, reply }).await
    }

    /// Everything about it.
    ///
    /// A client asks as soon as its stream has ended. The monitor tells of the exit before it ends the stream, but the news may
    /// still be on its way here: for an exec that seems to run, whatever the monitor has to say is heard first.
    pub async fn exec_inspect(&self, exec: &str) -> Result<ExecView> {
        let exec = self.inner().execs.find(exec)?;
        if matches!(exec.phase(), Phase::Starting | Phase::Running(_)) {
            if let Ok(handle) = self.inner().registry.find(&exec.container) {
                let _ = handle.ask(|reply| Action::Sync { reply }).await;
            }
        }
        Ok(exec.view())
    }

    /// Runs a command in a container for the engine itself: exit code and the first `limit` bytes of its output; none: it took
    /// too long and was killed.
    pub(crate) async fn exec_output(
        &self,
        container: &str,
        spec: ExecSpec,
        timeout: Duration,
        limit: usize,
    ) -> Result<Option<(i32, String)>> {
        let handle = self.inner().registry.find(container)?;
        let exec = Arc::new(Exec::new(&handle.id, spec, true));
        let action = format!("exec_create: {}", exec.line());
        handle.send(Action::Emit { action, attributes: exec.attributes() })?;
        let failed = |e: std::io::Error| Error::internal(format!("exec: {e}"));
        let (ours, theirs) = UnixStream::pair().map_err(failed)?;
        ours.set_nonblocking(true).map_err(failed)?;
        let mut ours = tokio::net::UnixStream::from_std(ours).map_err(failed)?;
        let config = StreamConfig {
            id: rand::random(),
            stdin: false,
            stdout: true,
            stderr: true,
            multiplexed: false,
            detach_keys: Vec::new(),
            early_stdin: Vec::new(),
        };
        let (done, _ended) = oneshot::channel();
        let stream = Some(Join { socket: theirs.into(), config, done });
        let pid = match start(self.inner(), &handle, &exec, stream, None).await? {
            Ok(pid) => pid,
            Err(failure) => return Err(Error::invalid(failure_text(&failure))),
        };
        let mut phase = exec.phase.subscribe();
        let finished = async {
            let mut output = Vec::new();
            let mut buffer = [0u8; 4096];
            while let Ok(n) = ours.read(&mut buffer).await {
                if n == 0 {
                    break;
                }
                let room = limit.saturating_sub(output.len()).min(n);
                output.extend_from_slice(buffer.get(..room).unwrap_or_default());
            }
            let code = match phase.wait_for(|p| matches!(p, Phase::Ended(_))).await.as_deref() {
                Ok(Phase::Ended(code)) => *code,
                _ => -1,
            };
            (code, String::from_utf8_lossy(&output).into_owned())
        };
        match tokio::time::timeout(timeout, finished).await {
            Ok(outcome) => Ok(Some(outcome)),
            Err(_) => {
                kill(pid);
                Ok(None)
            }
        }
    }
}

/// Ends a process of a container that is known by pid only.
fn kill(pid: u32) {
    if let Ok(pidfd) = bryo_sys::pidfd::open(pid) {
        let _ = bryo_sys::pidfd::signal(&pidfd, 9);
    }
}
