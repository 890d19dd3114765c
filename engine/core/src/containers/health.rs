//! Health checks: a task per running container that has one, which executes the check and tells the owner.
//!
//! `starting` until the first success, or until so many failures in a row outside the start period. The task only runs
//! checks; the owner decides, publishes and emits `health_status: …`. Output is kept to its first 4096 bytes, the log to its
//! last five results, as in Docker. A check that takes too long is killed.

use std::sync::Arc;
use std::time::Duration;

use super::actions::Action;
use super::owner::Owner;
use crate::engine::{Engine, Inner};
use crate::model::{ExecSpec, Health, HealthCheck, HealthResult};
use crate::util::now;

const KEPT: usize = 5;
const OUTPUT: usize = 4096;
const INTERVAL: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(30);
const START_INTERVAL: Duration = Duration::from_secs(5);
const RETRIES: i64 = 3;

/// The command of a check; none: there is none.
fn command(check: &HealthCheck) -> Option<Vec<String>> {
    match check.test.split_first()? {
        (kind, words) if kind == "CMD" && !words.is_empty() => Some(words.to_vec()),
        (kind, words) if kind == "CMD-SHELL" => {
            let line = words.first()?;
            Some(vec!["/bin/sh".into(), "-c".into(), line.clone()])
        }
        _ => None,
    }
}

fn duration(nanoseconds: i64, default: Duration) -> Duration {
    match u64::try_from(nanoseconds) {
        Ok(n) if n > 0 => Duration::from_nanos(n),
        _ => default,
    }
}

/// Whether a container has a check that runs.
pub(crate) fn is_checked(check: Option<&HealthCheck>) -> bool {
    check.and_then(command).is_some()
}

impl Owner {
    /// The program runs: starts checking.
    pub(super) fn begin_health(&mut self) {
        self.end_health();
        let Some(check) = self.record.spec.healthcheck.clone().filter(|c| is_checked(Some(c)))
        else {
            self.state.state.health = None;
            return;
        };
        // A new run begins anew; a container that was found goes on where it was.
        let fresh = self.starting.is_some();
        self.state.state.health = Some(match self.state.state.health.take() {
            Some(found) if !fresh && !found.status.is_empty() => found,
            _ => Health { status: "starting".into(), ..Health::default() },
        });
        let watch = Watch {
            inner: self.inner.clone(),
            id: self.record.id.clone(),
            run: self.run,
            started: self.state.state.started_at.unwrap_or_else(now),
            check,
            queue: self.queue.clone(),
        };
        self.health = Some(tokio::spawn(watch.work()));
    }

    pub(super) fn end_health(&mut self) {
        if let Some(task) = self.health.take() {
            task.abort();
        }
    }

    /// A check ended.
    pub(super) fn health_result(&mut self, result: HealthResult) {
        if !self.is_running() {
            return;
        }
        self.inner.metrics.health_check(result.exit_code == 0);
        let Some(check) = self.record.spec.healthcheck.clone() else { return };
        let started = self.state.state.started_at.unwrap_or(0);
        let Some(health) = &mut self.state.state.health else { return };
        let was = health.status.clone();
        if result.exit_code == 0 {
            health.failing_streak = 0;
            health.status = "healthy".into();
        } else {
            let excused =
                was == "starting" && result.end - started < i128::from(check.start_period);
            if !excused {
                health.failing_streak += 1;
                let retries = if check.retries == 0 { RETRIES } else { check.retries };
                if i64::from(health.failing_streak) >= retries {
                    health.status = "unhealthy".into();
                }
            }
        }
        if health.log.len() == KEPT {
            health.log.remove(0);
        }
        health.log.push(result);
        let is = health.status.clone();
        self.publish(None);
        if is != was {
            self.save();
            self.emit(&format!("health_status: {is}"), std::collections::BTreeMap::new());
        }
    }
}

struct Watch {
    inner: Arc<Inner>,
    id: String,
    run: u64,
    started: i128,
    check: HealthCheck,
    queue: tokio::sync::mpsc::UnboundedSender<Action>,
}

impl Watch {
    async fn work(self) {
        loop {
            tokio::time::sleep(self.pause()).await;
            // A frozen container is not asked how it is.
            if self.is_paused() {
                continue;
            }
            let result = self.probe().await;
            let (run, result) = (self.run, Box::new(result));
            if self.queue.send(Action::Health { run, result }).is_err() {
                return;
            }
        }
    }

    fn is_paused(&self) -> bool {
        let found = self.inner.registry.find(&self.id);
        found.is_ok_and(|c| c.snapshot().status() == crate::model::Status::Paused)
    }

    /// In the start period, and not healthy yet, checks come faster.
    fn pause(&self) -> Duration {
        let starting = self.inner.registry.find(&self.id).is_ok_and(|c| {
            c.snapshot().state.state.health.as_ref().is_some_and(|h| h.status == "starting")
        });
        let period = i128::from(self.check.start_period);
        if starting && period > 0 && now() - self.started < period {
            return duration(self.check.start_interval, START_INTERVAL);
        }
        duration(self.check.interval, INTERVAL)
    }

    async fn probe(&self) -> HealthResult {
        let start = now();
        let spec = ExecSpec {
            cmd: command(&self.check).unwrap_or_default(),
            attach: (false, true, true),
            ..ExecSpec::default()
        };
        let timeout = duration(self.check.timeout, TIMEOUT);
        let engine = Engine::from_inner(self.inner.clone());
        let outcome = engine.exec_output(&self.id, spec, timeout, OUTPUT).await;
        let (exit_code, output) = match outcome {
            Ok(Some((code, output))) => (code, output),
            Ok(None) => (
                -1,
                format!("Health check exceeded timeout ({})", crate::util::go_duration(timeout)),
            ),
            Err(e) => (-1, e.message().to_string()),
        };
        HealthResult { start, end: now(), exit_code, output }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_of_checks() {
        let of = |test: &[&str]| {
            let test = test.iter().map(|t| (*t).to_string()).collect();
            command(&HealthCheck { test, ..HealthCheck::default() })
        };
        assert_eq!(of(&["CMD", "a", "b"]).unwrap(), ["a", "b"]);
        assert_eq!(of(&["CMD-SHELL", "x y"]).unwrap(), ["/bin/sh", "-c", "x y"]);
        assert!(of(&["NONE"]).is_none() && of(&[]).is_none());
    }
}
