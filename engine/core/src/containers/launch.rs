//! Starting a container: addresses, ports, files, a monitor, and the program.
//!
//! ```text
//! owner                              gate            blocking threads                monitor
//!   │ check, join networks             │                    │                            │
//!   │ ─ publish (only if asked) ─────▶ │                    │                            │
//!   │ ─ files, spec ─────────────────────────────────────▶  │                            │
//!   │ ─ and at the same time ────────────────────────────▶  │ ── holder forks ─────────▶ │
//!   │ ─ Attach … (queued streams), Start ──────────────────────────────────────────────▶ │
//!   │ ◀──────────────────────────────────────────────────────────── Started or Failed ── │
//! ```
//!
//! Whatever fails undoes what went before: ports closed, addresses given back, bundle removed, the monitor told to end. The
//! container stays as it was, with the error and an exit code (127: no such program, 126: cannot be executed, else 128).

use std::os::fd::AsFd;
use std::time::Instant;

use bryo_monitor::messages::{
    Failure as Refused, FailureKind, NetworkSetup, Reply as MonitorReply, RequestBody,
};
use bryo_sys::channel::Channel;

use super::actions::{Reply, Stopping};
use super::bundle::{self, Plan};
use super::monitor::{self, Monitor};
use super::owner::{Flow, Owner, Pending};
use super::record::path_text;
use crate::link::Link;
use crate::model::{EventKind, NetworkMode, Status};
use crate::networks::{self, endpoints};
use crate::spec::oci::Joined;
use crate::util::{now, short};
use crate::{Error, ErrorKind, Result};

/// Why a start failed, and the exit code that it leaves.
pub(super) struct Failure {
    pub error: Error,
    pub code: i32,
}

impl Failure {
    pub(super) fn new(error: Error, code: i32) -> Failure {
        Failure { error, code }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure { error, code: 128 }
    }
}

impl Owner {
    /// By hand.
    pub(super) async fn start(&mut self, reply: Reply<bool>) -> Flow {
        let refusal = match self.status() {
            Status::Running => {
                let _ = reply.send(Ok(false));
                return Flow::On;
            }
            Status::Paused => "cannot start a paused container, try unpause instead",
            Status::Removing | Status::Dead => {
                "container is marked for removal and cannot be started"
            }
            Status::Created | Status::Restarting | Status::Exited => "",
        };
        if !refusal.is_empty() {
            let _ = reply.send(Err(Error::conflict(refusal)));
            return Flow::On;
        }
        if let Some(waiting) = &mut self.starting {
            waiting.push(reply);
            return Flow::On;
        }
        self.backoff.reset();
        self.state.restart_count = 0;
        self.state.stopped_by_hand = false;
        self.begin(vec![reply]).await
    }

    /// By policy, when the pause is over.
    pub(super) async fn restart_now(&mut self, attempt: u64) -> Flow {
        let due = self.status() == Status::Restarting && attempt == self.backoff.attempt;
        if due && !self.is_shutting_down() { self.begin(Vec::new()).await } else { Flow::On }
    }

    async fn begin(&mut self, waiting: Vec<Reply<bool>>) -> Flow {
        self.stopping = None;
        self.starting = Some(waiting);
        self.began = Instant::now();
        match self.launch().await {
            Ok(()) => Flow::On,
            Err(failure) => {
                self.undo_launch().await;
                self.start_failed(failure).await
            }
        }
    }

    async fn launch(&mut self) -> Result<(), Failure> {
        if let Some(cleaning) = self.cleaning.take() {
            let _ = cleaning.await;
        }
        let joined = self.joined()?;
        let links = endpoints::link_env(&self.inner, &self.record)?;
        let network = self.network().await?;
        for (name, _) in self.state.endpoints.iter().filter(|(_, e)| !e.endpoint_id.is_empty()) {
            if let Ok(record) = self.inner.networks.find(name) {
                networks::emit(&self.inner, "connect", &record, Some(&self.record.id));
            }
        }
        self.publish_ports().await?;
        let plan = Plan {
            inner: self.inner.clone(),
            record: self.record.clone(),
            endpoints: self.state.endpoints.clone(),
            network,
            joined,
            links,
        };
        // Side by side: the monitor looks at the bundle when it gets its first request, and ends if the channel is dropped before.
        let (channel, mounted) = tokio::join!(
            self.fork_monitor(),
            tokio::task::spawn_blocking(move || bundle::write(&plan))
        );
        let mounted =
            mounted.map_err(|e| Error::internal(format!("prepare the container: {e}")))??;
        let channel = channel?;
        let link = Link::new(channel)
            .map_err(|e| Error::internal(format!("talk to the container's monitor: {e}")))?;
        self.run += 1;
        self.monitor = Some(Monitor::new(link, self.run, self.queue.clone()));
        for attributes in mounted {
            let name = attributes.get("name").cloned().unwrap_or_default();
            self.inner.events.emit(EventKind::Volume, "mount", name, attributes);
        }
        for join in std::mem::take(&mut self.joins) {
            self.join(join).await;
        }
        let resolver = self.announce_names();
        let resolver: Vec<_> = resolver.iter().map(AsFd::as_fd).collect();
        self.request(RequestBody::Start, &resolver, Pending::Start).await;
        Ok(())
    }

    async fn fork_monitor(&self) -> Result<Channel> {
        let holder = self.inner.settings.holder.clone();
        let (id, bundle) = (self.record.id.clone(), self.inner.paths.bundle(&self.record.id));
        let forked = tokio::task::spawn_blocking(move || holder.spawn_monitor(&id, &bundle));
        let failed = |e: &dyn std::fmt::Display| {
            Error::internal(format!("start the container's monitor: {e}"))
        };
        let (channel, pid) = forked.await.map_err(|e| failed(&e))?.map_err(|e| failed(&e))?;
        tracing::debug!("monitor of {} is pid {pid}", short(&self.record.id));
        Ok(channel)
    }

    /// Containers whose namespaces are shared must run.
    fn joined(&self) -> Result<Joined> {
        let spec = &self.record.spec;
        let target = |r: &str, what: &str| -> Result<u32> {
            let other = self.inner.registry.find(r)?.snapshot();
            if !other.is_running() {
                return Err(Error::conflict(format!(
                    "cannot join {what} of a non running container: {}",
                    other.id()
                )));
            }
            if what == "ipc namespace"
                && !matches!(other.record.spec.ipc_mode.as_str(), "shareable" | "host")
            {
                return Err(Error::invalid(format!(
                    "cannot join IPC namespace of container {}: non-shareable IPC (hint: use IpcMode:shareable for the donor \
                     container)",
                    other.id()
                )));
            }
            Ok(other.state.state.pid)
        };
        let of = |mode: &str, what: &str| match mode.strip_prefix("container:") {
            Some(r) => target(r, what).map(Some),
            None => Ok(None),
        };
        Ok(Joined {
            network: match &spec.network_mode {
                NetworkMode::Container(r) => Some(target(r, "network namespace")?),
                _ => None,
            },
            ipc: of(&spec.ipc_mode, "ipc namespace")?,
            pid: of(&spec.pid_mode, "PID namespace")?,
        })
    }

    /// Joins the networks and says what the monitor is to set up.
    async fn network(&mut self) -> Result<NetworkSetup> {
        match &self.record.spec.network_mode {
            NetworkMode::Host => return Ok(NetworkSetup::Host),
            NetworkMode::Container(r) => {
                let other = self.inner.registry.find(r)?.snapshot();
                return Ok(NetworkSetup::Join(format!("/proc/{}/ns/net", other.state.state.pid)));
            }
            _ if self.record.spec.network_disabled => return Ok(NetworkSetup::None),
            _ => {}
        }
        let mut interfaces = Vec::new();
        for name in endpoints::order(&self.record, &self.state) {
            let record = self.inner.networks.find(&name)?;
            let Some(network) = record.gate_network(networks::mtu(&self.inner)) else { continue };
            let within = |e: Error| {
                Error::new(
                    e.kind(),
                    format!("failed to set up container networking: {}", e.message()),
                )
            };
            self.inner.gate.add(network.clone()).await.map_err(within)?;
            let settings =
                self.state.endpoints.get(&name).map(|e| e.settings.clone()).unwrap_or_default();
            let names = endpoints::dns_names(&self.record, &name, &settings);
            let (id, own) = (&self.record.id, &self.record.name);
            let mut view =
                self.inner.networks.join(&record.id, id, own, &settings, names).map_err(within)?;
            view.interface = format!("eth{}", interfaces.len());
            interfaces.push(endpoints::interface(&network, &view, interfaces.is_empty())?);
            self.state.endpoints.insert(name, view);
        }
        if interfaces.is_empty() {
            return Ok(NetworkSetup::None);
        }
        Ok(NetworkSetup::Bridge {
            bridges: path_text(&self.inner.paths.bridges()),
            endpoints: interfaces,
        })
    }

    /// The monitor's answer to the start.
    pub(super) async fn start_answered(&mut self, reply: MonitorReply) -> Flow {
        let pid = match reply {
            MonitorReply::Started { pid } => pid,
            MonitorReply::Ok | MonitorReply::Partly(_) | MonitorReply::Usage(_) => 0,
            MonitorReply::Failed(failure) => {
                self.undo_launch().await;
                return self.start_failed(worded(&failure)).await;
            }
        };
        let state = &mut self.state.state;
        state.status = Status::Running;
        state.pid = pid;
        state.exit_code = 0;
        state.error.clear();
        state.oom_killed = false;
        state.started_at = Some(now());
        self.enter_ports();
        self.serve_names();
        self.begin_health();
        self.save();
        self.publish(None);
        self.emit("start", std::collections::BTreeMap::new());
        self.inner.metrics.action("start", self.began);
        for reply in self.starting.take().unwrap_or_default() {
            let _ = reply.send(Ok(true));
        }
        self.deferred_stops().await;
        Flow::On
    }

    /// What was asked while it started.
    async fn deferred_stops(&mut self) {
        for (why, reply) in std::mem::take(&mut self.deferred) {
            self.be_stopping(why, reply).await;
        }
    }

    pub(super) async fn start_failed(&mut self, failure: Failure) -> Flow {
        let Failure { error, code } = failure;
        tracing::debug!("start of {}: {error}", self.record.id);
        let by_policy = self.status() == Status::Restarting;
        self.state.state.error = error.message().to_string();
        self.state.state.exit_code = code;
        self.state.state.pid = 0;
        if by_policy {
            self.state.state.status = Status::Exited;
            self.state.state.finished_at = Some(now());
        }
        self.save();
        self.publish(None);
        let waiting = self.starting.take().unwrap_or_default();
        self.deferred_stops().await;
        if self.record.spec.auto_remove && self.stopping != Some(Stopping::Restart) {
            let flow = self.remove_everything(true).await;
            answer_all(waiting, &error);
            return flow;
        }
        answer_all(waiting, &error);
        Flow::On
    }

    /// Takes back what a start that failed has set up.
    pub(super) async fn undo_launch(&mut self) {
        self.leave_networks().await;
        if let Some(mut monitor) = self.monitor.take() {
            let _ = monitor.send(RequestBody::Abandon, &[]).await;
        }
        self.pending.clear();
        self.streams.clear();
        self.joins.clear();
        self.clean_bundle();
    }

    /// Ports closed, addresses given back.
    pub(super) async fn leave_networks(&mut self) {
        if !self.state.ports.is_empty() {
            self.inner.gate.unpublish(&self.record.id).await;
            self.state.ports.clear();
        }
        self.resolver = None;
        self.inner.gate.unname(&self.record.id);
        let mut left = Vec::new();
        for (name, endpoint) in &mut self.state.endpoints {
            if endpoint.endpoint_id.is_empty() {
                continue;
            }
            self.inner.networks.leave(&endpoint.network_id, &self.record.id);
            left.push(name.clone());
            *endpoint = crate::model::EndpointView {
                settings: endpoint.settings.clone(),
                network_id: endpoint.network_id.clone(),
                ..crate::model::EndpointView::default()
            };
        }
        for name in left {
            if let Ok(record) = self.inner.networks.find(&name) {
                networks::emit(&self.inner, "disconnect", &record, Some(&self.record.id));
            }
        }
    }

    /// Removes the bundle in the background; a next start waits for it.
    pub(super) fn clean_bundle(&mut self) {
        let bundle = self.inner.paths.bundle(&self.record.id);
        self.cleaning = Some(tokio::task::spawn_blocking(move || {
            if let Err(e) = std::fs::remove_dir_all(&bundle) {
                if e.kind() != std::io::ErrorKind::NotFound {
                    tracing::warn!("remove {}: {e}", bundle.display());
                }
            }
        }));
    }

    /// Takes over a container that an earlier engine started.
    pub(super) fn adopt(&mut self, found: monitor::Found) {
        self.run += 1;
        self.monitor = Some(Monitor::new(found.link, self.run, self.queue.clone()));
        for (name, endpoint) in &self.state.endpoints {
            if !endpoint.endpoint_id.is_empty() {
                tracing::debug!("{} is on {name} again", self.record.id);
                self.inner.networks.adopt(&self.record.id, &self.record.name, endpoint);
            }
        }
        let run = self.run;
        let answer = bryo_monitor::messages::Answer::Event(bryo_monitor::messages::Event::Ready(
            found.state,
        ));
        let _ = self.queue.send(super::actions::Action::Monitor { run, answer: Box::new(answer) });
    }
}

fn answer_all(waiting: Vec<Reply<bool>>, error: &Error) {
    for reply in waiting {
        let _ = reply.send(Err(Error::new(error.kind(), error.message())));
    }
}

/// A monitor's refusal in the words that Docker's clients look for.
fn worded(failure: &Refused) -> Failure {
    let (kind, code) = match failure.kind {
        FailureKind::CommandNotFound => (ErrorKind::InvalidParameter, 127),
        FailureKind::CommandNotExecutable => (ErrorKind::InvalidParameter, 126),
        FailureKind::BadRequest => (ErrorKind::InvalidParameter, 128),
        FailureKind::WrongState | FailureKind::Other => (ErrorKind::Internal, 128),
    };
    // An external runtime's words begin with its own name.
    let own = if failure.message.contains(" create failed: ") {
        ""
    } else {
        "bryo create failed: unable to start container process: error during container init: "
    };
    let text = format!(
        "failed to create task for container: failed to create shim task: OCI runtime create failed: {own}{}",
        failure.message
    );
    Failure::new(Error::new(kind, text), code)
}
