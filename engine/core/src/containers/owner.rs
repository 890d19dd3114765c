//! The owner task of a container: the only one who changes its state.
//!
//! ```text
//!            create                     Started                      Pause
//!   ┌─────────▶ Created ──Start──▶ (starting) ─────────▶ Running ◀─────────────▶ Paused
//!   │             │  ▲                 │                  │    ▲    Unpause       │
//!   │             │  └── Failed ◀──────┘            Exited│    │Started           │Exited
//!   │             │                                       ▼    │                  ▼
//!   │             │      policy says again ◀── Exited ◀───┴────┼──────────────────┘
//!   │             │             │                 │  ▲         │
//!   │             │             ▼                 │  │ Stopping│
//!   │             │         Restarting ───────────┼──┴─────────┤
//!   │             │             └── after a pause ┼─▶ (starting)
//!   │           Remove                          Remove, or auto-remove
//!   │             └──────────▶ Removing ◀─────────┘
//!   │                             │ everything gone        │ something stays
//!   └── (a new one)               ▼                        ▼
//!                            task ends                    Dead ── Remove again
//! ```
//!
//! Actions are done one after the other, and none waits for the container's program: what takes as long as the program likes
//! (its end, a graceful stop) comes back as an action. While it starts, the monitor's answer is awaited the same way.
//!
//! Every change is published as a [`Snapshot`] and, where it must survive the engine, written as a record, in this order:
//! record, publish, event, answer.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bryo_monitor::messages::{Answer, Event, Exit, Reply as MonitorReply, RequestBody};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::actions::{Action, ExecFailure, Join, Reply, Stopping};
use super::monitor::Monitor;
use super::record::{CONTAINER, ContainerRecord, STATE, Snapshot, StateRecord};
use super::registry::Handle;
use super::restart::Backoff;
use crate::engine::Inner;
use crate::exec::Exec;
use crate::model::{EventKind, Status};
use crate::{Error, Result};

/// What waits for a monitor's reply.
pub(super) enum Pending {
    /// The program's start.
    Start,
    /// An exec's.
    Exec(Arc<Exec>, oneshot::Sender<Result<u32, ExecFailure>>),
    /// Something that is done or not.
    Done(Reply<()>),
    /// Nothing.
    Nobody,
}

/// Whether the owner goes on.
#[derive(PartialEq, Eq)]
pub(super) enum Flow {
    On,
    End,
}

/// See the module's text.
pub(super) struct Owner {
    pub inner: Arc<Inner>,
    pub record: Arc<ContainerRecord>,
    pub state: StateRecord,
    pub queue: mpsc::UnboundedSender<Action>,
    pub publisher: watch::Sender<Arc<Snapshot>>,
    /// Number of the present or last run; answers of older ones are dropped.
    pub run: u64,
    pub monitor: Option<Monitor>,
    pub pending: HashMap<u64, Pending>,
    /// Who waits for the start that is under way.
    pub starting: Option<Vec<Reply<bool>>>,
    /// When the last start began.
    pub began: std::time::Instant,
    pub stopping: Option<Stopping>,
    /// Stops that came while it starts; they follow the start.
    pub deferred: Vec<(Stopping, Reply<bool>)>,
    /// Streams that wait for the start.
    pub joins: Vec<Join>,
    /// Streams that are joined.
    pub streams: HashMap<u64, oneshot::Sender<bool>>,
    pub execs: BTreeMap<String, Arc<Exec>>,
    pub backoff: Backoff,
    pub health: Option<JoinHandle<()>>,
    /// Our end of the channel by which the resolver's sockets come, while it starts.
    pub resolver: Option<bryo_sys::channel::Channel>,
    /// The last run's bundle being taken away.
    pub cleaning: Option<JoinHandle<()>>,
    pub ends: u64,
}

/// Starts the owner of a container and enters it into the registry. A running one comes with its monitor and the answers that
/// it gave already.
pub(crate) fn spawn(
    inner: &Arc<Inner>,
    record: ContainerRecord,
    state: StateRecord,
    found: Option<super::monitor::Found>,
) -> Handle {
    let (queue, actions) = mpsc::unbounded_channel();
    let record = Arc::new(record);
    let snapshot = Snapshot {
        record: record.clone(),
        state: Arc::new(state.clone()),
        execs: Vec::new(),
        ends: 0,
        removed: None,
    };
    let (publisher, view) = watch::channel(Arc::new(snapshot));
    let handle = Handle { id: record.id.as_str().into(), queue: queue.clone(), view };
    let mut owner = Owner {
        inner: inner.clone(),
        record,
        state,
        queue,
        publisher,
        run: 0,
        monitor: None,
        pending: HashMap::new(),
        starting: None,
        began: std::time::Instant::now(),
        stopping: None,
        deferred: Vec::new(),
        joins: Vec::new(),
        streams: HashMap::new(),
        execs: BTreeMap::new(),
        backoff: Backoff::default(),
        health: None,
        resolver: None,
        cleaning: None,
        ends: 0,
    };
    if let Some(found) = found {
        owner.adopt(found);
    }
    inner.registry.add(handle.clone());
    tokio::spawn(owner.work(actions));
    handle
}

impl Owner {
    async fn work(mut self, mut actions: mpsc::UnboundedReceiver<Action>) {
        while let Some(action) = actions.recv().await {
            if self.handle(action).await == Flow::End {
                return;
            }
        }
    }

    async fn handle(&mut self, action: Action) -> Flow {
        match action {
            Action::Start { reply } => return self.start(reply).await,
            Action::RestartNow { attempt } => return self.restart_now(attempt).await,
            Action::Stopping { why, reply } => self.be_stopping(why, reply).await,
            Action::Signal { signal, by_hand, reply } => self.signal(signal, by_hand, reply).await,
            Action::Pause { reply } => self.pause(reply).await,
            Action::Unpause { reply } => self.unpause(reply).await,
            Action::Rename { name, reply } => drop(reply.send(self.rename(&name).await)),
            Action::Update { update, reply } => drop(reply.send(self.update(&update).await)),
            Action::Sync { reply } => {
                self.request(RequestBody::Sync, &[], Pending::Done(reply)).await;
            }
            Action::Resize { exec, rows, cols, reply } => {
                self.resize(exec, rows, cols, reply).await
            }
            Action::Remove { options, reply } => return self.remove(options, reply).await,
            Action::Attach(join) => self.join(*join).await,
            Action::Exec(launch) => self.exec(*launch).await,
            Action::Connect { network, settings, reply } => {
                let outcome = self.connect(&network, *settings).await;
                let _ = reply.send(outcome);
            }
            Action::Disconnect { network, force, reply } => {
                let outcome = self.disconnect(&network, force).await;
                let _ = reply.send(outcome);
            }
            Action::Emit { action, attributes } => self.emit(&action, attributes),
            Action::Monitor { run, answer } if run == self.run => {
                return self.answer(*answer).await;
            }
            Action::MonitorGone { run } if run == self.run && self.monitor.is_some() => {
                return self.monitor_died().await;
            }
            Action::Health { run, result } if run == self.run => self.health_result(*result),
            Action::Monitor { .. } | Action::MonitorGone { .. } | Action::Health { .. } => {}
            Action::Settle { reply } => drop(reply.send(())),
            Action::Close => return Flow::End,
        }
        Flow::On
    }

    /// Something the monitor said.
    async fn answer(&mut self, answer: Answer) -> Flow {
        match answer {
            Answer::Reply { seq, body } => match self.pending.remove(&seq) {
                Some(Pending::Start) => return self.start_answered(body).await,
                Some(Pending::Exec(exec, started)) => self.exec_answered(&exec, body, started),
                Some(Pending::Done(reply)) => {
                    let _ = reply.send(done(body));
                }
                // Number 0 is nobody's: the monitor could not use its bundle.
                None if seq == 0 && self.starting.is_some() => {
                    return self.start_answered(body).await;
                }
                Some(Pending::Nobody) | None => {}
            },
            Answer::Event(Event::Ready(state)) => return self.found_state(state).await,
            Answer::Event(Event::StreamClosed { id, detached }) => {
                if let Some(done) = self.streams.remove(&id) {
                    let _ = done.send(detached);
                }
            }
            Answer::Event(Event::ExecExited { id, code }) => self.exec_ended(&id, code),
            Answer::Event(Event::OutOfMemory) => {
                self.state.state.oom_killed = true;
                self.save();
                self.publish(None);
                self.emit("oom", BTreeMap::new());
            }
            Answer::Event(Event::Exited(exit)) => return self.ended(exit).await,
        }
        Flow::On
    }

    /// Sends the monitor a request; false: it is gone, which comes as an action of its own.
    pub(super) async fn request(
        &mut self,
        body: RequestBody,
        fds: &[std::os::fd::BorrowedFd<'_>],
        pending: Pending,
    ) {
        let failed = |why: &str| Error::internal(format!("the container's monitor {why}"));
        let Some(monitor) = &mut self.monitor else {
            refuse(pending, failed("does not run"));
            return;
        };
        match monitor.send(body, fds).await {
            Ok(seq) => drop(self.pending.insert(seq, pending)),
            Err(e) => refuse(pending, failed(&format!("cannot be reached: {e}"))),
        }
    }

    pub(super) fn status(&self) -> Status {
        self.state.state.status
    }

    pub(super) fn is_running(&self) -> bool {
        matches!(self.status(), Status::Running | Status::Paused)
    }

    /// Writes the state down.
    pub(super) fn save(&self) {
        if let Err(e) = self.inner.records.put(STATE, &self.record.id, &self.state) {
            tracing::error!("container {}: {e}", self.record.id);
        }
    }

    /// Writes the record down.
    pub(super) fn save_record(&self) -> Result<()> {
        self.inner.records.put(CONTAINER, &self.record.id, &*self.record)
    }

    /// Shows everybody how it is.
    pub(super) fn publish(&self, removed: Option<Result<(), String>>) {
        let running = self.execs.values().filter(|e| e.is_running()).map(|e| e.id.clone());
        self.publisher.send_replace(Arc::new(Snapshot {
            record: self.record.clone(),
            state: Arc::new(self.state.clone()),
            execs: running.collect(),
            ends: self.ends,
            removed,
        }));
    }

    /// An event about the container, with its name, image and labels.
    pub(super) fn emit(&self, action: &str, more: BTreeMap<String, String>) {
        let mut attributes = self.record.spec.labels.clone();
        attributes.insert("image".into(), self.record.spec.image.clone());
        attributes.insert("name".into(), self.record.name.clone());
        attributes.extend(more);
        self.inner.events.emit(EventKind::Container, action, self.record.id.clone(), attributes);
    }

    pub(super) fn is_shutting_down(&self) -> bool {
        self.inner.shutting_down.load(Ordering::Acquire)
    }

    async fn monitor_died(&mut self) -> Flow {
        let bundle = self.inner.paths.bundle(&self.record.id);
        let written = bryo_monitor::client::read_state(&bundle).ok().flatten();
        let exit = written.and_then(|s| s.exit).unwrap_or_else(|| {
            tracing::error!("the monitor of {} died; its container with it", self.record.id);
            Exit { code: 137, oom_killed: false, finished_at: crate::util::now() }
        });
        if self.starting.is_some() {
            let text = "the container's monitor died while it started; its words are in holder.log of the exec root";
            return self
                .start_failed(super::launch::Failure::new(Error::internal(text), 128))
                .await;
        }
        self.ended(exit).await
    }
}

fn done(body: MonitorReply) -> Result<()> {
    match body {
        MonitorReply::Ok
        | MonitorReply::Partly(_)
        | MonitorReply::Started { .. }
        | MonitorReply::Usage(_) => Ok(()),
        MonitorReply::Failed(failure) => Err(super::monitor::error(&failure)),
    }
}

fn refuse(pending: Pending, error: Error) {
    match pending {
        Pending::Exec(_, started) => drop(started.send(Err(ExecFailure::Refused(error)))),
        Pending::Done(reply) => drop(reply.send(Err(error))),
        Pending::Start | Pending::Nobody => tracing::error!("{error}"),
    }
}
