//! What is not of single processes: the machine's processors, and the interfaces of a network namespace.

use std::collections::BTreeMap;

use crate::messages::Traffic;

/// Nanoseconds that all processors have spent since boot, idle or not, and how many there are.
pub(super) fn processors() -> (u64, u32) {
    let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let mut lines = text.lines().take_while(|line| line.starts_with("cpu"));
    let all = lines.next().unwrap_or_default();
    // user, nice, system, idle, iowait, irq, softirq; guest time is part of user time (proc_stat(5)).
    let ticks: u64 =
        all.split_ascii_whitespace().skip(1).take(7).filter_map(|n| n.parse::<u64>().ok()).sum();
    let tick = 1_000_000_000 / rustix::param::clock_ticks_per_second().max(1);
    let cpus = u32::try_from(lines.count()).unwrap_or(u32::MAX);
    (ticks.saturating_mul(tick), cpus)
}

/// Traffic of each interface of the process' network namespace, loopback left out; none if the process is gone.
pub(super) fn interfaces(pid: u32) -> BTreeMap<String, Traffic> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/net/dev")).unwrap_or_default();
    text.lines().skip(2).filter_map(interface).filter(|(name, _)| name != "lo").collect()
}

/// A line of /proc/net/dev: eight numbers received, eight sent; bytes, packets, errors and drops come first.
fn interface(line: &str) -> Option<(String, Traffic)> {
    let (name, numbers) = line.split_once(':')?;
    let numbers: Vec<u64> =
        numbers.split_ascii_whitespace().filter_map(|n| n.parse().ok()).collect();
    let four = |at: usize| -> Option<[u64; 4]> { numbers.get(at..at + 4)?.try_into().ok() };
    Some((name.trim().to_owned(), Traffic { received: four(0)?, sent: four(8)? }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_has_processors_that_have_worked() {
        let (time, cpus) = processors();
        let known = std::thread::available_parallelism().unwrap().get();
        assert!(time > 0 && cpus as usize >= known, "{time} {cpus}");
    }

    #[test]
    fn a_line_of_net_dev_is_read() {
        let line = " eth0: 2232 26 1 2 0 0 0 0 1362 16 3 4 0 0 0 0";
        let traffic = Traffic { received: [2232, 26, 1, 2], sent: [1362, 16, 3, 4] };
        assert_eq!(interface(line), Some(("eth0".to_owned(), traffic)));
        assert_eq!(interface("Inter-|   Receive"), None);
        assert_eq!(interface(" eth0: 1 2"), None);
    }
}
