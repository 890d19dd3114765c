//! Measures what monitors of idle containers cost: starts some with `sleep` in them and prints their memory.
//!
//! `cargo run --release -p bryo-monitor --example idle [COUNT]`

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "it fails by panicking")]
#![allow(dead_code, reason = "the tests' harness has more than is needed here")]

#[path = "../tests/containers/harness.rs"]
mod harness;

use harness::Container;

fn main() {
    let count = std::env::args().nth(1).map_or(10, |n| n.parse().unwrap());
    let mut containers = Vec::new();
    for _ in 0..count {
        let mut container = Container::sh("echo up; exec sleep 600");
        container.start();
        containers.push(container);
    }
    std::thread::sleep(std::time::Duration::from_millis(500));
    let mut total = 0;
    for container in &containers {
        let pid = container.monitor.as_raw_nonzero();
        let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
        let field = |name: &str| -> u64 {
            let line = rollup.lines().find(|l| l.starts_with(name)).unwrap();
            line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
        };
        let pss = field("Pss:");
        total += pss;
        println!(
            "monitor {pid}: PSS {pss} KiB (anonymous {}, files {}), RSS {} KiB, private dirty {} KiB",
            field("Pss_Anon:"),
            field("Pss_File:"),
            field("Rss:"),
            field("Private_Dirty:"),
        );
    }
    println!("mean PSS {} KiB of {count}", total / count);
}
