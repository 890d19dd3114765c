//! Containers of an earlier engine: read, found again, or marked as ended.
//!
//! For each that ran, the monitor is asked first (its socket in the bundle); where none answers, what it wrote last (its
//! `state.json`); where there is nothing, the machine was started anew and the exit code is 255. Restart policies hold afterwards
//! for those that do not run.

use std::collections::HashMap;
use std::sync::Arc;

use bryo_monitor::messages::Exit;

use super::actions::Action;
use super::monitor;
use super::owner;
use super::record::{CONTAINER, ContainerRecord, STATE, StateRecord};
use super::restart;
use crate::Result;
use crate::engine::Inner;
use crate::model::Status;
use crate::util::now;

/// Exit code of a container whose end nobody saw.
const UNSEEN: i32 = 255;

/// Reads all containers and starts their owners.
pub(crate) async fn all(inner: &Arc<Inner>) -> Result<()> {
    let records: Vec<(String, ContainerRecord)> = inner.records.all(CONTAINER)?;
    let mut states: HashMap<String, StateRecord> = inner.records.all(STATE)?.into_iter().collect();
    let mut finding = Vec::new();
    for (id, record) in records {
        let state = states.remove(&id).unwrap_or_default();
        if let Err(e) = inner.registry.take_name(&record.name, &id) {
            tracing::error!("container {id} is left out: {e}");
            continue;
        }
        if inner.paths.bundle(&id).exists() || has_run(&state) {
            finding.push(tokio::spawn(found(inner.clone(), record, state)));
        } else {
            owner::spawn(inner, record, settled(state), None);
        }
    }
    for found in finding {
        if let Err(e) = found.await {
            tracing::error!("find containers again: {e}");
        }
    }
    let all = inner.registry.all();
    let running = all.iter().filter(|c| c.snapshot().is_running()).map(|c| c.id.to_string());
    inner.gate.keep(running.collect());
    Ok(())
}

fn has_run(state: &StateRecord) -> bool {
    matches!(state.state.status, Status::Running | Status::Paused)
}

/// States that end with an engine.
fn settled(mut state: StateRecord) -> StateRecord {
    if matches!(state.state.status, Status::Restarting | Status::Removing) {
        state.state.status =
            if state.state.status == Status::Removing { Status::Dead } else { Status::Exited };
    }
    state
}

async fn found(inner: Arc<Inner>, record: ContainerRecord, state: StateRecord) {
    let bundle = inner.paths.bundle(&record.id);
    if let Some(found) = monitor::find(&bundle).await {
        let handle = owner::spawn(&inner, record, state, Some(found));
        // Its state is known before anybody asks: the greeting is the first in its queue.
        let (reply, known) = tokio::sync::oneshot::channel();
        if handle.send(Action::Settle { reply }).is_ok() {
            let _ = known.await;
        }
        return;
    }
    let written = bryo_monitor::client::read_state(&bundle).ok().flatten();
    let _ = std::fs::remove_dir_all(&bundle);
    if !has_run(&state) {
        owner::spawn(&inner, record, settled(state), None);
        return;
    }
    let exit = written.and_then(|s| s.exit);
    let state = ended(state, exit);
    let auto_remove = record.spec.auto_remove;
    if let Err(e) = inner.records.put(STATE, &record.id, &state) {
        tracing::error!("container {}: {e}", record.id);
    }
    let handle = owner::spawn(&inner, record, state, None);
    if auto_remove {
        let options = crate::requests::RemoveOptions { volumes: true, ..Default::default() };
        let (reply, _) = tokio::sync::oneshot::channel();
        let _ = handle.send(Action::Remove { options, reply });
    }
}

/// The state after an end that no engine saw.
fn ended(mut record: StateRecord, exit: Option<Exit>) -> StateRecord {
    let exit = exit.unwrap_or(Exit { code: UNSEEN, oom_killed: false, finished_at: now() });
    record.state.status = Status::Exited;
    record.state.pid = 0;
    record.state.exit_code = exit.code;
    record.state.oom_killed |= exit.oom_killed;
    record.state.finished_at = Some(exit.finished_at);
    record.ports.clear();
    for endpoint in record.endpoints.values_mut() {
        *endpoint = crate::model::EndpointView {
            settings: std::mem::take(&mut endpoint.settings),
            network_id: std::mem::take(&mut endpoint.network_id),
            ..Default::default()
        };
    }
    record
}

/// Starts what its policy wants to run.
pub(crate) fn apply_policies(inner: &Arc<Inner>) {
    for handle in inner.registry.all() {
        let snapshot = handle.snapshot();
        let state = &snapshot.state;
        if state.state.status != Status::Exited {
            continue;
        }
        let policy = snapshot.record.spec.restart;
        if restart::again(policy, state.state.exit_code, state.restart_count, state.stopped_by_hand)
        {
            tokio::spawn(async move {
                if let Err(e) = handle.ask(|reply| Action::Start { reply }).await {
                    tracing::error!("start {} by its restart policy: {e}", handle.id);
                }
            });
        }
    }
}
