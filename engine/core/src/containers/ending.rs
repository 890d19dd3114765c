//! The end of a run, and of a container.

use std::collections::BTreeMap;

use bryo_monitor::messages::{Exit, MonitorState};

use super::actions::{Action, Reply, Stopping};
use super::owner::{Flow, Owner};
use super::record::{CONTAINER, STATE};
use super::restart;
use crate::model::{EventKind, Status};
use crate::requests::RemoveOptions;
use crate::util::now;
use crate::{Error, Result};

impl Owner {
    /// The program ended; its log is complete.
    pub(super) async fn ended(&mut self, exit: Exit) -> Flow {
        if !self.is_running() {
            return Flow::On;
        }
        self.end_health();
        self.monitor = None;
        let state = &mut self.state.state;
        let ran = exit.finished_at - state.started_at.unwrap_or(exit.finished_at);
        state.pid = 0;
        state.exit_code = exit.code;
        state.oom_killed |= exit.oom_killed;
        state.finished_at = Some(exit.finished_at);
        let code = exit.code;
        let again = self.wants_again(code);
        self.state.state.status = if again { Status::Restarting } else { Status::Exited };
        self.ends += 1;
        // Closed before anybody hears of the end, so that whoever listens then finds the ports free.
        if !self.state.ports.is_empty() {
            self.inner.gate.unpublish(&self.record.id).await;
        }
        for exec in self.execs.values() {
            exec.lost();
        }
        let seconds = ran / 1_000_000_000;
        self.emit(
            "die",
            BTreeMap::from([
                ("exitCode".to_string(), code.to_string()),
                ("execDuration".to_string(), seconds.to_string()),
            ]),
        );
        self.leave_networks().await;
        self.volumes_unmounted();
        if again {
            self.state.restart_count += 1;
        }
        let removal = self.record.spec.auto_remove
            && !again
            && !matches!(self.stopping, Some(Stopping::Restart));
        if !removal {
            self.save();
        }
        self.publish(None);
        if matches!(self.stopping, Some(Stopping::Stop | Stopping::Shutdown | Stopping::Restart)) {
            self.emit("stop", BTreeMap::new());
        }
        self.finish_streams();
        self.clean_bundle();
        if again {
            self.plan_restart(ran);
        }
        if removal { self.remove_everything(true).await } else { Flow::On }
    }

    fn wants_again(&self, code: i32) -> bool {
        self.stopping.is_none()
            && !self.state.stopped_by_hand
            && !self.is_shutting_down()
            && restart::again(self.record.spec.restart, code, self.state.restart_count, false)
    }

    fn plan_restart(&mut self, ran: i128) {
        let pause = self.backoff.after(ran);
        let (queue, attempt) = (self.queue.clone(), self.backoff.attempt);
        tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            let _ = queue.send(Action::RestartNow { attempt });
        });
    }

    /// Volumes with driver options are unmounted when their last container ends.
    fn volumes_unmounted(&self) {
        let mine = self.record.mounts.iter().filter(|m| m.point.kind == "volume");
        for mount in mine {
            let name = &mount.point.name;
            let others = crate::volumes::users(&self.inner);
            let used = others.get(name).into_iter().flatten().any(|id| {
                *id != self.record.id
                    && self.inner.registry.find(id).is_ok_and(|c| c.snapshot().is_running())
            });
            if !used {
                self.inner.volumes.release(name);
            }
            let attributes = BTreeMap::from([
                ("container".to_string(), self.record.id.clone()),
                ("driver".to_string(), mount.point.driver.clone()),
            ]);
            self.inner.events.emit(
                EventKind::Volume,
                "unmount",
                mount.point.name.clone(),
                attributes,
            );
        }
    }

    /// Streams and requests that nobody will answer any more.
    fn finish_streams(&mut self) {
        self.pending.clear();
        for (_, done) in self.streams.drain() {
            let _ = done.send(false);
        }
    }

    /// It is about to be stopped; true: it runs, so an end will come.
    pub(super) async fn be_stopping(&mut self, why: Stopping, reply: Reply<bool>) {
        if self.starting.is_some() {
            self.deferred.push((why, reply));
            return;
        }
        if why == Stopping::Stop {
            self.state.stopped_by_hand = true;
        }
        if self.status() == Status::Restarting {
            self.backoff.reset();
            self.state.state.status = Status::Exited;
            self.save();
            self.publish(None);
            if why == Stopping::Stop {
                self.emit("stop", BTreeMap::new());
            }
            let _ = reply.send(Ok(false));
            return;
        }
        if !self.is_running() {
            let _ = reply.send(Ok(false));
            return;
        }
        self.stopping = Some(why);
        self.save();
        if self.status() == Status::Paused {
            self.thaw_or_say().await;
        }
        let _ = reply.send(Ok(true));
    }

    /// Removes it if its state allows.
    pub(super) async fn remove(&mut self, options: RemoveOptions, reply: Reply<()>) -> Flow {
        let refused = |why: &str| {
            Error::conflict(format!("cannot remove container \"/{}\": {why}", self.record.name))
        };
        let refusal = match self.status() {
            _ if self.starting.is_some() => Some(refused("container is starting: try again")),
            Status::Paused => Some(refused("container is paused and must be unpaused first")),
            Status::Running => Some(refused(
                "container is running: stop the container before removing or force remove",
            )),
            Status::Restarting if !options.force => Some(refused(
                "container is restarting: stop the container before removing or force remove",
            )),
            _ => None,
        };
        if let Some(error) = refusal {
            let _ = reply.send(Err(error));
            return Flow::On;
        }
        let flow = self.remove_everything(options.volumes).await;
        let _ = reply.send(if flow == Flow::End {
            Ok(())
        } else {
            Err(Error::internal(format!(
                "cannot remove container \"/{}\": {}",
                self.record.name, self.state.state.error
            )))
        });
        flow
    }

    /// Takes everything of it away. What cannot be taken away makes it dead, and it can be removed again.
    pub(super) async fn remove_everything(&mut self, volumes: bool) -> Flow {
        self.backoff.reset();
        self.state.state.status = Status::Removing;
        self.publish(None);
        // The bundle goes in the background; nothing else ever has its name.
        self.cleaning = None;
        let (inner, id) = (self.inner.clone(), self.record.id.clone());
        let removed = tokio::task::spawn_blocking(move || -> Result<()> {
            inner.images.remove_writable(&id).map_err(Error::from)?;
            let folder = inner.paths.container(&id);
            match std::fs::remove_dir_all(&folder) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                    Err(Error::internal(format!("remove {}: {e}", folder.display())))
                }
                _ => Ok(()),
            }
        });
        let removed = match removed.await {
            Ok(outcome) => outcome,
            Err(e) => Err(Error::internal(format!("remove the container's files: {e}"))),
        };
        if let Err(e) = removed {
            tracing::error!("container {}: {e}", self.record.id);
            self.state.state.status = Status::Dead;
            self.state.state.error = e.message().to_string();
            self.save();
            self.publish(Some(Err(e.message().to_string())));
            return Flow::On;
        }
        let id = self.record.id.as_str();
        if let Err(e) = self.inner.records.remove(&[(CONTAINER, id), (STATE, id)]) {
            tracing::error!("container {id}: {e}");
        }
        self.inner.registry.remove(id, &self.record.name);
        self.inner.execs.forget(&self.execs);
        if volumes {
            self.remove_anonymous_volumes().await;
        }
        self.emit("destroy", BTreeMap::new());
        self.publish(Some(Ok(())));
        Flow::End
    }

    async fn remove_anonymous_volumes(&self) {
        let names: Vec<String> = self
            .record
            .mounts
            .iter()
            .filter(|m| m.anonymous)
            .map(|m| m.point.name.clone())
            .collect();
        if names.is_empty() {
            return;
        }
        let inner = self.inner.clone();
        let removed = tokio::task::spawn_blocking(move || {
            for name in names {
                if let Err(e) = crate::volumes::remove(&inner, &name) {
                    tracing::debug!("anonymous volume {name}: {e}");
                }
            }
        });
        let _ = removed.await;
    }

    /// What a monitor that was found says of its container.
    pub(super) async fn found_state(&mut self, found: MonitorState) -> Flow {
        // The greeting on a channel of our own start says nothing new.
        if self.starting.is_some() {
            return Flow::On;
        }
        if let Some(exit) = found.exit {
            self.state.state.status = Status::Running;
            return self.ended(exit).await;
        }
        let Some(pid) = found.pid else {
            // The engine died between the fork and the start.
            if let Some(mut monitor) = self.monitor.take() {
                let _ = monitor.send(bryo_monitor::messages::RequestBody::Abandon, &[]).await;
            }
            self.leave_networks().await;
            self.clean_bundle();
            return Flow::On;
        };
        let state = &mut self.state.state;
        state.status = if found.paused { Status::Paused } else { Status::Running };
        state.pid = pid;
        state.oom_killed |= found.oom_killed;
        state.started_at = found.started_at.or(state.started_at).or_else(|| Some(now()));
        self.enter_ports();
        self.serve_names();
        self.adopt_execs(&found.execs);
        self.begin_health();
        self.save();
        self.publish(None);
        Flow::On
    }
}
