//! Waiting for a container.
//!
//! A waiter is a clone of the owner's watch channel, taken before the call returns, so nothing that happens afterwards is missed:
//! ends are counted, and a removal is published as the last value.

use std::sync::Arc;

use super::record::Snapshot;
use crate::Result;
use crate::engine::Engine;
use crate::model::Status;
use crate::requests::{WaitCondition, WaitOutcome, Waiting};

impl Engine {
    /// Registers a waiter, which has happened when this returns; the future resolves at the condition.
    pub async fn wait(&self, r: &str, condition: WaitCondition) -> Result<Waiting> {
        let handle = self.inner().registry.find(r)?;
        let mut view = handle.view.clone();
        let first = handle.snapshot();
        Ok(Box::pin(async move {
            let ends = first.ends;
            let reached = view.wait_for(|now: &Arc<Snapshot>| reached(now, condition, ends)).await;
            match reached {
                Ok(now) => outcome(&now, condition),
                // The owner has ended without a word: the engine is shutting down.
                Err(_) => WaitOutcome {
                    code: i64::from(first.state.state.exit_code),
                    error: Some("the engine is shutting down".into()),
                },
            }
        }))
    }
}

fn reached(now: &Snapshot, condition: WaitCondition, ends: u64) -> bool {
    let runs = matches!(now.status(), Status::Running | Status::Paused | Status::Restarting);
    match condition {
        WaitCondition::NotRunning => !runs,
        WaitCondition::NextExit => now.ends > ends || now.removed.is_some(),
        WaitCondition::Removed => now.removed.is_some(),
    }
}

fn outcome(now: &Snapshot, condition: WaitCondition) -> WaitOutcome {
    let error = match (&now.removed, condition) {
        (Some(Err(why)), WaitCondition::Removed) => Some(why.clone()),
        _ => None,
    };
    WaitOutcome { code: i64::from(now.state.state.exit_code), error }
}
