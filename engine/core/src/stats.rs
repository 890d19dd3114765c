//! Samples of what a container uses: its monitor measures, once for each sample that somebody asks for.
//!
//! A container that does not run gives empty samples, as in Docker, and so does one whose monitor is of an older version
//! that cannot measure: a client that watches many containers must not lose them all over one.

use std::sync::Arc;
use std::time::Duration;

use bryo_monitor::messages::{Reply, RequestBody};
use futures_util::stream;
use tokio::time::Instant;

use crate::Result;
use crate::containers::monitor::ask_once;
use crate::containers::record::Snapshot;
use crate::containers::registry::Handle;
use crate::engine::{Engine, Inner};
use crate::requests::{Sample, Samples};

/// Docker's time between samples.
const PERIOD: Duration = Duration::from_secs(1);

impl Engine {
    /// One sample, now.
    pub async fn sample(&self, r: &str) -> Result<Sample> {
        let handle = self.inner().registry.find(r)?;
        Ok(sample(self.inner(), &handle).await)
    }

    /// A sample at once and one each second; ends when the container is removed.
    pub fn samples(&self, r: &str) -> Result<Samples> {
        let handle = self.inner().registry.find(r)?;
        let inner = self.inner().clone();
        let begin = (inner, handle, Instant::now());
        Ok(Box::pin(stream::unfold(begin, |(inner, mut handle, due)| async move {
            let gone = |s: &Arc<Snapshot>| s.removed.is_some();
            tokio::select! {
                // Removed, or its owner is gone.
                _ = handle.view.wait_for(gone) => return None,
                () = tokio::time::sleep_until(due) => {}
            }
            let sample = sample(&inner, &handle).await;
            // A slow client gets its samples later, not faster afterwards.
            let next = (due + PERIOD).max(Instant::now());
            Some((sample, (inner, handle, next)))
        })))
    }
}

async fn sample(inner: &Arc<Inner>, handle: &Handle) -> Sample {
    let snapshot = handle.snapshot();
    let limits = &snapshot.record.spec.resources;
    let usage = if snapshot.is_running() {
        match ask_once(&inner.paths.bundle(&handle.id), RequestBody::Usage).await {
            Ok(Reply::Usage(usage)) => Some(*usage),
            Ok(_) => None,
            Err(e) => {
                tracing::debug!("measure container {}: {e}", handle.id);
                None
            }
        }
    } else {
        None
    };
    let asked = u64::try_from(limits.memory).ok().filter(|bytes| *bytes > 0);
    let memory_limit = usage.as_ref().and_then(|u| u.memory.limit).or(asked);
    let pids_limit = limits.pids_limit.and_then(|n| u64::try_from(n).ok()).filter(|n| *n > 0);
    Sample {
        id: handle.id.to_string(),
        name: snapshot.record.name.clone(),
        memory_limit: memory_limit.unwrap_or(u64::MAX).min(inner.facts.memory),
        pids_limit: usage.as_ref().and_then(|u| u.pids_limit).or(pids_limit).unwrap_or(0),
        usage,
    }
}
