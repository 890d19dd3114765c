//! Samples of what containers use, as `stats` and the dashboard show them.
//!
//! The daemon sends a sample a second on one answer a container. A [`Sampler`] keeps such an answer open for each container that
//! is asked for, and holds the newest sample of each; one that ends or fails leaves its container without figures.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bryo_spec::docker::Stats;
use serde_json::Value;

use super::client::{Client, JsonLines, chunks, empty, request, segment};
use super::error::Result;

/// Figures of one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sample {
    /// The container's name, without its slash.
    pub name: String,
    /// Its id.
    pub id: String,
    /// Share of a processor, in percent: 200 is two of them.
    pub cpu: f64,
    /// Memory that cannot be had back at once, in bytes.
    pub memory: u64,
    /// Most memory it may have, in bytes; 0: not known.
    pub limit: u64,
    /// Bytes received and sent.
    pub network: (u64, u64),
    /// Bytes read from and written to block devices.
    pub block: (u64, u64),
    /// Processes and threads.
    pub pids: u64,
}

impl Sample {
    /// Share of the memory it may have, in percent.
    pub fn memory_share(&self) -> f64 {
        if self.limit == 0 { 0.0 } else { float(self.memory) / float(self.limit) * 100.0 }
    }

    /// Reads one line of the daemon's answer.
    pub fn read(line: &Value) -> Sample {
        let stats: Stats = serde_json::from_value(line.clone()).unwrap_or_default();
        let memory = &stats.memory_stats;
        // Caches that the kernel gives back when asked: the name is cgroup v1's, then v2's.
        let cache = memory.stats.get("total_inactive_file").or(memory.stats.get("inactive_file"));
        let cache = cache.copied().filter(|cache| *cache < memory.usage).unwrap_or_default();
        Sample {
            name: stats.name.trim_start_matches('/').to_owned(),
            id: stats.id.clone(),
            cpu: processor(&stats),
            memory: memory.usage - cache,
            limit: memory.limit,
            network: stats
                .networks
                .values()
                .fold((0, 0), |(rx, tx), n| (rx + n.rx_bytes, tx + n.tx_bytes)),
            block: block(line),
            pids: stats.pids_stats.current,
        }
    }
}

fn processor(stats: &Stats) -> f64 {
    let (now, before) = (&stats.cpu_stats, &stats.precpu_stats);
    let used = now.cpu_usage.total_usage.saturating_sub(before.cpu_usage.total_usage);
    let passed = now.system_cpu_usage.saturating_sub(before.system_cpu_usage);
    if passed == 0 {
        0.0
    } else {
        float(used) / float(passed) * f64::from(now.online_cpus.max(1)) * 100.0
    }
}

fn block(line: &Value) -> (u64, u64) {
    let list = line.pointer("/blkio_stats/io_service_bytes_recursive").and_then(Value::as_array);
    let mut sum = (0, 0);
    for entry in list.into_iter().flatten() {
        let value = entry.get("value").and_then(Value::as_u64).unwrap_or_default();
        match entry.get("op").and_then(Value::as_str).and_then(|op| op.chars().next()) {
            Some('r' | 'R') => sum.0 += value,
            Some('w' | 'W') => sum.1 += value,
            _ => {}
        }
    }
    sum
}

#[allow(clippy::cast_precision_loss, reason = "shown with two digits behind the point")]
fn float(n: u64) -> f64 {
    n as f64
}

type Newest = Arc<Mutex<BTreeMap<String, Option<Sample>>>>;

/// Keeps samples of containers fresh.
pub struct Sampler {
    client: Client,
    newest: Newest,
    tasks: BTreeMap<String, tokio::task::JoinHandle<Result<()>>>,
}

impl Sampler {
    /// One that samples nothing yet.
    pub fn new(client: Client) -> Sampler {
        Sampler { client, newest: Arc::default(), tasks: BTreeMap::new() }
    }

    /// Samples exactly these from now on.
    pub fn watch(&mut self, ids: &[String]) {
        let gone: Vec<String> = self.tasks.keys().filter(|id| !ids.contains(id)).cloned().collect();
        for id in gone {
            if let Some(task) = self.tasks.remove(&id) {
                task.abort();
            }
            self.samples().remove(&id);
        }
        for id in ids {
            if self.tasks.get(id).is_none_or(tokio::task::JoinHandle::is_finished) {
                let task =
                    tokio::spawn(follow(self.client.clone(), id.clone(), self.newest.clone()));
                self.tasks.insert(id.clone(), task);
            }
        }
    }

    /// The newest sample of each; `None` where there is none yet or no more.
    pub fn samples(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Option<Sample>>> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why a container has no figures, once its answer has ended with an error.
    pub async fn failure(&mut self) -> Option<super::error::CliError> {
        let finished =
            self.tasks.iter().find(|(_, task)| task.is_finished()).map(|(id, _)| id.clone())?;
        self.tasks.remove(&finished)?.await.ok()?.err()
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.tasks.values().for_each(tokio::task::JoinHandle::abort);
    }
}

async fn follow(client: Client, id: String, newest: Newest) -> Result<()> {
    let path = format!("/containers/{}/stats?stream=1", segment(&id));
    let response = client.call(request(http::Method::GET, &path, empty())?).await?;
    let mut lines = JsonLines::new(chunks(response));
    let set = |sample| {
        newest.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), sample);
    };
    while let Some(line) = lines.next::<Value>().await? {
        set(Some(Sample::read(&line)));
    }
    set(None);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn figures_are_dockers() {
        let line = json!({
            "id": "abc", "name": "/web", "pids_stats": {"current": 3},
            "cpu_stats": {"cpu_usage": {"total_usage": 600}, "system_cpu_usage": 2000, "online_cpus": 2},
            "precpu_stats": {"cpu_usage": {"total_usage": 100}, "system_cpu_usage": 1000},
            "memory_stats": {"usage": 1000, "limit": 4000, "stats": {"inactive_file": 200}},
            "networks": {"eth0": {"rx_bytes": 5, "tx_bytes": 6}, "eth1": {"rx_bytes": 1, "tx_bytes": 1}},
            "blkio_stats": {"io_service_bytes_recursive": [{"op": "read", "value": 7}, {"op": "Write", "value": 8}]},
        });
        let sample = Sample::read(&line);
        assert_eq!((sample.name.as_str(), sample.memory, sample.pids), ("web", 800, 3));
        assert_eq!((sample.network, sample.block), ((6, 7), (7, 8)));
        assert!((sample.cpu - 100.0).abs() < 1e-9 && (sample.memory_share() - 20.0).abs() < 1e-9);
        assert_eq!(Sample::read(&json!({})), Sample::default());
    }
}
