//! Containers: what can be asked of one or all of them.
//!
//! `r` is a full id, the unique beginning of one, or a name, with or without a slash in front. Every call finds the container
//! in the [`registry`] and enqueues an action for its owner task ([`owner`], where the states are drawn); what takes long
//! (a graceful stop, waiting) is done here, on the caller's side, out of small actions.

pub(crate) mod actions;
pub(crate) mod attach;
mod bundle;
mod create;
mod ending;
pub(crate) mod filters;
mod health;
mod known;
mod launch;
mod list;
mod logs;
pub(crate) mod monitor;
mod ops;
pub(crate) mod owner;
mod ports;
pub(crate) mod record;
pub(crate) mod registry;
mod restart;
pub(crate) mod restore;
mod wait;

use std::sync::Arc;
use std::time::Duration;

use actions::{Action, Stopping};
use registry::Handle;

pub use attach::Attachment;
pub(crate) use bundle::defaults;

use crate::engine::Engine;
use crate::model::{ContainerUpdate, Status};
use crate::requests::RemoveOptions;
use crate::spec::signals;
use crate::{Error, Result, names};

/// The name of the runtime that is part of Bryo.
pub(crate) const BUILT_IN: &str = "bryo";

/// How long an end may take after SIGKILL before the call gives up.
const AFTER_KILL: Duration = Duration::from_secs(10);

/// Docker's pause between the stop signal and SIGKILL.
const STOP_TIMEOUT: i64 = 10;

impl Engine {
    /// Starts it. False: it runs already.
    pub async fn start(&self, r: &str) -> Result<bool> {
        let handle = self.inner().registry.find(r)?;
        handle.ask(|reply| Action::Start { reply }).await
    }

    /// Stops it by its (or the given) stop signal, and SIGKILL after `timeout` seconds (negative: never). False: it did not run.
    pub async fn stop(&self, r: &str, signal: Option<&str>, timeout: Option<i64>) -> Result<bool> {
        let handle = self.inner().registry.find(r)?;
        let plan = self.plan(&handle, signal, timeout)?;
        // A stop goes on when its client goes away.
        detached(async move { stop(&handle, plan, Stopping::Stop).await }).await
    }

    /// Stops and starts it.
    pub async fn restart(&self, r: &str, signal: Option<&str>, timeout: Option<i64>) -> Result<()> {
        let handle = self.inner().registry.find(r)?;
        let plan = self.plan(&handle, signal, timeout)?;
        detached(async move {
            stop(&handle, plan, Stopping::Restart).await?;
            handle.ask(|reply| Action::Start { reply }).await?;
            let attributes = std::collections::BTreeMap::new();
            handle.send(Action::Emit { action: "restart".into(), attributes })
        })
        .await
    }

    /// Sends a signal (name or number; none: SIGKILL).
    pub async fn kill(&self, r: &str, signal: Option<&str>) -> Result<()> {
        let signal = match signal.filter(|s| !s.is_empty()) {
            Some(text) => signals::parse(text)?,
            None => signals::KILL,
        };
        let handle = self.inner().registry.find(r)?;
        let ends = handle.snapshot().ends;
        handle.ask(|reply| Action::Signal { signal, by_hand: true, reply }).await.map_err(|e| {
            Error::new(e.kind(), format!("cannot kill container: {r}: {}", e.message()))
        })?;
        if signal == signals::KILL {
            // Docker answers when it is dead.
            ended(&handle, ends, Some(AFTER_KILL)).await;
        }
        Ok(())
    }

    /// Freezes it.
    pub async fn pause(&self, r: &str) -> Result<()> {
        self.inner().registry.find(r)?.ask(|reply| Action::Pause { reply }).await
    }

    /// The reverse.
    pub async fn unpause(&self, r: &str) -> Result<()> {
        self.inner().registry.find(r)?.ask(|reply| Action::Unpause { reply }).await
    }

    /// Gives it another name.
    pub async fn rename(&self, r: &str, name: &str) -> Result<()> {
        if name.is_empty() || name == "/" {
            return Err(Error::invalid("Neither old nor new names may be empty"));
        }
        let handle = self.inner().registry.find(r)?;
        let name = names::container(name)?;
        handle.ask(|reply| Action::Rename { name, reply }).await
    }

    /// Changes its restart policy and limits; the result is warnings.
    pub async fn update(&self, r: &str, update: ContainerUpdate) -> Result<Vec<String>> {
        let handle = self.inner().registry.find(r)?;
        handle.ask(|reply| Action::Update { update: Box::new(update), reply }).await
    }

    /// Sets its terminal's size.
    pub async fn resize(&self, r: &str, rows: u16, cols: u16) -> Result<()> {
        let handle = self.inner().registry.find(r)?;
        handle.ask(|reply| Action::Resize { exec: None, rows, cols, reply }).await
    }

    /// Removes it.
    pub async fn remove(&self, r: &str, options: RemoveOptions) -> Result<()> {
        let began = std::time::Instant::now();
        let handle = self.inner().registry.find(r)?;
        if options.link {
            return Err(Error::not_found(format!("no such link: {r}")));
        }
        if handle.snapshot().status() == Status::Removing {
            return Err(Error::conflict(format!(
                "removal of container {} is already in progress",
                handle.id
            )));
        }
        if options.force && handle.snapshot().is_running() {
            let handle = handle.clone();
            detached(async move { kill_for_removal(&handle).await }).await?;
        }
        // The owner goes on when the caller goes away.
        match handle.ask(|reply| Action::Remove { options, reply }).await {
            // Auto-remove was faster.
            Err(e) if e.kind() == crate::ErrorKind::NotFound => {}
            other => other?,
        }
        self.inner().metrics.action("delete", began);
        Ok(())
    }

    /// Signal and timeout of a stop.
    fn plan(&self, handle: &Handle, signal: Option<&str>, timeout: Option<i64>) -> Result<Plan> {
        let record = handle.snapshot().record.clone();
        let signal = match signal.filter(|s| !s.is_empty()) {
            Some(text) => signals::parse(text)?,
            None => match record.spec.stop_signal.as_deref() {
                Some(own) => signals::parse(own)?,
                None => signals::TERM,
            },
        };
        let default = match self.inner().settings.default_stop_timeout {
            0 => STOP_TIMEOUT,
            set => set,
        };
        Ok(Plan { signal, timeout: timeout.or(record.spec.stop_timeout).unwrap_or(default) })
    }

    /// Stops everything, for the engine's end.
    pub(crate) async fn stop_all(&self) {
        let mut stops = Vec::new();
        for handle in self.inner().registry.all() {
            if !handle.snapshot().is_running() && handle.snapshot().status() != Status::Restarting {
                continue;
            }
            match self.plan(&handle, None, None) {
                Ok(plan) => stops.push(tokio::spawn(async move {
                    if let Err(e) = stop(&handle, plan, Stopping::Shutdown).await {
                        tracing::warn!("stop {}: {e}", handle.id);
                    }
                })),
                Err(e) => tracing::warn!("stop {}: {e}", handle.id),
            }
        }
        for stop in stops {
            let _ = stop.await;
        }
    }
}

#[derive(Clone, Copy)]
struct Plan {
    signal: i32,
    /// Seconds; negative: for ever.
    timeout: i64,
}

/// Runs to its end even when the caller goes away.
async fn detached<T: Send + 'static>(
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    let done = tokio::spawn(work).await;
    done.map_err(|e| Error::internal(format!("a task failed: {e}")))?
}

/// Signal, wait, SIGKILL, wait.
async fn stop(handle: &Handle, plan: Plan, why: Stopping) -> Result<bool> {
    let before = handle.snapshot().ends;
    let was_restarting = handle.snapshot().status() == Status::Restarting;
    if !handle.ask(|reply| Action::Stopping { why, reply }).await? {
        return Ok(was_restarting);
    }
    let sent =
        handle.ask(|reply| Action::Signal { signal: plan.signal, by_hand: false, reply }).await;
    if sent.is_err() && handle.snapshot().ends > before {
        return Ok(true);
    }
    let patience = u64::try_from(plan.timeout).ok().map(Duration::from_secs);
    if ended(handle, before, patience).await {
        return Ok(true);
    }
    // An end between the two is no error.
    let _ =
        handle.ask(|reply| Action::Signal { signal: signals::KILL, by_hand: false, reply }).await;
    if ended(handle, before, Some(AFTER_KILL)).await {
        return Ok(true);
    }
    Err(Error::internal(format!(
        "cannot stop container: {}: tried to kill container, but did not receive an exit event",
        handle.id
    )))
}

async fn kill_for_removal(handle: &Handle) -> Result<()> {
    let before = handle.snapshot().ends;
    if !handle
        .ask(|reply| Action::Stopping { why: Stopping::Removal, reply })
        .await
        .unwrap_or(false)
    {
        return Ok(());
    }
    let _ =
        handle.ask(|reply| Action::Signal { signal: signals::KILL, by_hand: false, reply }).await;
    if ended(handle, before, Some(AFTER_KILL)).await {
        return Ok(());
    }
    Err(Error::internal(format!(
        "cannot remove container \"/{}\": could not kill: it did not end within {} s of SIGKILL",
        handle.snapshot().record.name,
        AFTER_KILL.as_secs()
    )))
}

/// Waits for a further end; false: not in time.
async fn ended(handle: &Handle, before: u64, patience: Option<Duration>) -> bool {
    let mut view = handle.view.clone();
    let end = view.wait_for(|s: &Arc<record::Snapshot>| s.ends > before || s.removed.is_some());
    match patience {
        // An owner that is gone: the container is, too.
        Some(patience) => tokio::time::timeout(patience, end).await.is_ok(),
        None => {
            let _ = end.await;
            true
        }
    }
}
