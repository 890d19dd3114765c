//! The engine's own figures for Prometheus, under Docker's names where Docker has them, else under `bryo_`.
//!
//! Counters and latencies are kept while the engine runs; what can be looked up (states of containers, flows of the gate) is
//! looked up when somebody reads. Where `metrics-addr` is not set nothing is kept and nothing is registered.

use std::time::{Duration, Instant};

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::engine::{Engine, Inner};
use crate::model::Status;
use crate::{Error, Result};

/// How long the gate may take to tell its flows before they are left unknown.
const PATIENCE: Duration = Duration::from_secs(1);

/// Bounds of the latency's buckets, in seconds; Docker's begin at 5 ms, where most starts are over here.
const BOUNDS: [f64; 13] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

type Labels = Vec<(&'static str, String)>;

/// What is kept; nothing where nobody reads it.
#[derive(Default)]
pub(crate) struct Metrics(Option<Box<Kept>>);

#[derive(Default)]
struct Kept {
    registry: Registry,
    actions: Actions,
    checks: Counter,
    failed_checks: Counter,
    events: Counter,
    listeners: Gauge,
    states: Family<Labels, Gauge>,
    engine: Family<Labels, Gauge>,
    cpus: Gauge,
    memory: Gauge,
    /// Not a number while the gate does not answer.
    flows: Gauge<f64, std::sync::atomic::AtomicU64>,
    ports: Gauge<f64, std::sync::atomic::AtomicU64>,
    path: Family<Labels, Gauge>,
}

struct Actions(Family<Labels, Histogram>);

impl Default for Actions {
    fn default() -> Actions {
        Actions(Family::new_with_constructor(|| Histogram::new(BOUNDS)))
    }
}

impl Metrics {
    /// Keeps figures if `on`.
    pub(crate) fn new(on: bool) -> Metrics {
        Metrics(on.then(|| Box::new(Kept::new())))
    }

    /// A container was created, started, deleted …, which began then.
    pub(crate) fn action(&self, name: &str, began: Instant) {
        if let Some(kept) = &self.0 {
            let labels = vec![("action", name.to_owned())];
            kept.actions.0.get_or_create(&labels).observe(began.elapsed().as_secs_f64());
        }
    }

    /// A healthcheck ended.
    pub(crate) fn health_check(&self, healthy: bool) {
        if let Some(kept) = &self.0 {
            kept.checks.inc();
            if !healthy {
                kept.failed_checks.inc();
            }
        }
    }
}

impl Kept {
    fn new() -> Kept {
        let mut kept = Kept::default();
        let r = &mut kept.registry;
        let daemon = r.sub_registry_with_prefix("engine_daemon");
        let other = |unit: &str| Unit::Other(unit.to_owned());
        daemon.register_with_unit(
            "container_actions",
            "The number of seconds it takes to process each container action",
            Unit::Seconds,
            kept.actions.0.clone(),
        );
        daemon.register_with_unit(
            "container_states",
            "The count of containers in various states",
            other("containers"),
            kept.states.clone(),
        );
        daemon.register("engine_info", "The engine and the system it runs on", kept.engine.clone());
        daemon.register_with_unit(
            "engine_cpus",
            "The number of cpus that the host system of the engine has",
            other("cpus"),
            kept.cpus.clone(),
        );
        daemon.register_with_unit(
            "engine_memory",
            "The number of bytes of memory that the host system of the engine has",
            Unit::Bytes,
            kept.memory.clone(),
        );
        daemon.register("events", "The number of events logged", kept.events.clone());
        daemon.register(
            "events_subscribers_total",
            "The number of current subscribers to events",
            kept.listeners.clone(),
        );
        let checks = "The total number of health checks";
        daemon.register("health_checks", checks, kept.checks.clone());
        let failed = "The total number of failed health checks";
        daemon.register("health_checks_failed", failed, kept.failed_checks.clone());
        let gate = r.sub_registry_with_prefix("bryo_gate");
        gate.register("flows", "Connections that the gate relays now", kept.flows.clone());
        gate.register("published_ports", "Ports that the gate listens on", kept.ports.clone());
        gate.register("path_info", "The data path in use", kept.path.clone());
        kept
    }

    /// Looks up what is not kept.
    async fn refresh(&self, inner: &Inner) {
        let mut counts = [("paused", 0), ("running", 0), ("stopped", 0)];
        for handle in inner.registry.all() {
            let at = match handle.snapshot().status() {
                Status::Paused => &mut counts[0],
                Status::Running | Status::Restarting => &mut counts[1],
                _ => &mut counts[2],
            };
            at.1 += 1;
        }
        for (state, count) in counts {
            self.states.get_or_create(&vec![("state", state.to_owned())]).set(count);
        }
        let signed = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let facts = &inner.facts;
        self.cpus.set(signed(facts.cpus));
        self.memory.set(signed(facts.memory));
        self.listeners.set(signed(inner.events.listeners()));
        self.events.inc_by(inner.events.count().saturating_sub(self.events.get()));
        let labels = [
            ("architecture", &facts.architecture),
            ("daemon_id", &inner.id),
            ("graphdriver", &inner.snapshotter.name().to_string()),
            ("kernel", &facts.kernel),
            ("os", &facts.operating_system.0),
            ("os_type", &"linux".to_owned()),
            ("os_version", &facts.operating_system.1),
            ("version", &inner.settings.version),
        ];
        let labels = labels.map(|(name, value)| (name, value.clone()));
        self.engine.get_or_create(&labels.to_vec()).set(1);
        self.ask_gate(inner).await;
    }

    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    async fn ask_gate(&self, inner: &Inner) {
        let asked = async { (inner.gate.ready().await, inner.gate.open_now().await) };
        let known = tokio::time::timeout(PATIENCE, asked).await;
        self.path.clear();
        if let Ok((Ok((path, _)), _)) = &known {
            self.path.get_or_create(&vec![("path", path.clone())]).set(1);
        }
        let (flows, ports) = match known {
            Ok((_, Ok((flows, ports)))) => (flows as f64, ports as f64),
            _ => (f64::NAN, f64::NAN),
        };
        self.flows.set(flows);
        self.ports.set(ports);
    }
}

impl Engine {
    /// All figures in the OpenMetrics text format; refused where the engine keeps none.
    pub async fn metrics(&self) -> Result<String> {
        let inner = self.inner();
        let Some(kept) = &inner.metrics.0 else {
            return Err(Error::not_found("metrics are off: start the engine with --metrics-addr"));
        };
        kept.refresh(inner).await;
        let mut text = String::new();
        encode(&mut text, &kept.registry)
            .map_err(|e| Error::internal(format!("write the metrics: {e}")))?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_has_dockers_names() {
        let metrics = Metrics::new(true);
        metrics.action("start", Instant::now());
        metrics.health_check(true);
        metrics.health_check(false);
        let mut text = String::new();
        encode(&mut text, &metrics.0.unwrap().registry).unwrap();
        for line in [
            "engine_daemon_container_actions_seconds_count{action=\"start\"} 1",
            "engine_daemon_container_actions_seconds_bucket{le=\"0.001\",action=\"start\"} 1",
            "engine_daemon_health_checks_total 2",
            "engine_daemon_health_checks_failed_total 1",
            "engine_daemon_engine_cpus_cpus 0",
            "engine_daemon_engine_memory_bytes 0",
            "engine_daemon_events_total 0",
            "# EOF",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
        Metrics::new(false).action("start", Instant::now());
    }
}
