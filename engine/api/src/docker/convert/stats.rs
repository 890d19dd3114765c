//! A sample in Docker's JSON.

use bryo_core::{CpuUsage, Sample, Usage};
use bryo_spec::docker::{
    BlkioEntry, BlkioStats, CpuStats, MemoryStats, NetworkStats, PidsStats, Stats, Throttling,
};

use super::super::time;

/// One sample with the processor times of the one before; empty for a container that does not run.
pub fn wire(sample: &Sample, before: Option<&Sample>) -> Stats {
    let before = before.and_then(|sample| sample.usage.as_ref());
    let stats = Stats {
        id: sample.id.clone(),
        name: format!("/{}", sample.name),
        os_type: "linux".to_owned(),
        read: time::ZERO.to_owned(),
        preread: time::rfc3339_or_zero(before.map(|usage| usage.time)),
        precpu_stats: before.map(cpu).unwrap_or_default(),
        ..Stats::default()
    };
    let Some(usage) = &sample.usage else { return stats };
    Stats {
        read: time::rfc3339(usage.time),
        cpu_stats: cpu(usage),
        memory_stats: MemoryStats {
            usage: usage.memory.usage,
            stats: usage.memory.detail.clone(),
            failcnt: usage.memory.kills,
            limit: sample.memory_limit,
        },
        networks: usage.interfaces.iter().map(|(name, t)| (name.clone(), network(t))).collect(),
        pids_stats: PidsStats { current: usage.pids, limit: sample.pids_limit },
        blkio_stats: BlkioStats {
            io_service_bytes_recursive: disks(usage),
            ..BlkioStats::default()
        },
        ..stats
    }
}

fn cpu(usage: &Usage) -> CpuStats {
    let CpuUsage { total, user, system, throttled: (periods, throttled_periods, throttled_time) } =
        usage.cpu;
    CpuStats {
        cpu_usage: bryo_spec::docker::CpuUsage {
            total_usage: total,
            usage_in_kernelmode: system,
            usage_in_usermode: user,
        },
        system_cpu_usage: usage.machine_cpu,
        online_cpus: usage.online_cpus,
        throttling_data: Throttling { periods, throttled_periods, throttled_time },
    }
}

fn network(traffic: &bryo_core::Traffic) -> NetworkStats {
    let [rx_bytes, rx_packets, rx_errors, rx_dropped] = traffic.received;
    let [tx_bytes, tx_packets, tx_errors, tx_dropped] = traffic.sent;
    NetworkStats {
        rx_bytes,
        rx_packets,
        rx_errors,
        rx_dropped,
        tx_bytes,
        tx_packets,
        tx_errors,
        tx_dropped,
    }
}

/// None, which is `null`, without traffic.
fn disks(usage: &Usage) -> Option<Vec<BlkioEntry>> {
    let entries = usage.disks.iter().flat_map(|disk| {
        [("read", disk.read), ("write", disk.written)].map(|(op, value)| BlkioEntry {
            major: disk.major.into(),
            minor: disk.minor.into(),
            op: op.to_owned(),
            value,
        })
    });
    Some(entries.collect::<Vec<_>>()).filter(|list| !list.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Sample {
        let mut usage = Usage {
            time: 1_795_442_606_308_757_979,
            machine_cpu: 100,
            online_cpus: 2,
            pids: 3,
            ..Usage::default()
        };
        usage.cpu.total = 10;
        usage.memory.usage = 4096;
        usage.memory.detail.insert("inactive_file".to_owned(), 1024);
        let traffic = bryo_core::Traffic { received: [1, 2, 3, 4], sent: [5, 6, 7, 8] };
        usage.interfaces.insert("eth0".to_owned(), traffic);
        Sample {
            id: "53".to_owned(),
            name: "tw".to_owned(),
            memory_limit: 8192,
            pids_limit: 0,
            usage: Some(usage),
        }
    }

    #[test]
    fn a_container_that_does_not_run_is_empty_as_dockers() {
        let empty = Sample { usage: None, ..sample() };
        let text = serde_json::to_string(&wire(&empty, None)).unwrap();
        let cpu = r#"{"cpu_usage":{"total_usage":0,"usage_in_kernelmode":0,"usage_in_usermode":0},"throttling_data":{"periods":0,"throttled_periods":0,"throttled_time":0}}"#;
        let blkio = r#"{"io_service_bytes_recursive":null,"io_serviced_recursive":null,"io_queue_recursive":null,"io_service_time_recursive":null,"io_wait_time_recursive":null,"io_merged_recursive":null,"io_time_recursive":null,"sectors_recursive":null}"#;
        let zero = time::ZERO;
        let expected = format!(
            r#"{{"id":"53","name":"/tw","os_type":"linux","read":"{zero}","cpu_stats":{cpu},"memory_stats":{{}},"pids_stats":{{}},"blkio_stats":{blkio},"num_procs":0,"storage_stats":{{}},"preread":"{zero}","precpu_stats":{cpu}}}"#
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn a_sample_carries_the_processor_times_before() {
        let second = wire(&sample(), Some(&sample()));
        assert_eq!(second.precpu_stats, second.cpu_stats);
        assert_eq!(second.preread, "2026-11-23T14:03:26.308757979Z");
        assert_eq!(wire(&sample(), None).precpu_stats, CpuStats::default());
        assert_eq!(second.memory_stats.limit, 8192);
        assert_eq!(second.networks["eth0"].tx_packets, 6);
        assert_eq!(second.blkio_stats.io_service_bytes_recursive, None);
    }
}
