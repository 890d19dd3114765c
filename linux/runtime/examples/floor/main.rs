//! The kernel's floor beside the runtime: what starting one container takes at least, and what we take.
//!
//! `floor [ROUNDS [WHAT]]` starts busybox' `true` with Docker's default set-up, in turns: by `kernel::Floor`, which makes
//! the same calls without a spec, checks or messages, and by `bryo_runtime::create`. It prints for both the time to the
//! exec and to the program's end, median and fastest tenth, in microseconds; turns make the two comparable on a busy
//! machine. WHAT leaves a part out of the runtime's side: `noseccomp`, `nonet`, `nomasks`, `init`, `host-user`; `only`
//! measures the floor alone. Run it as a plain user; it enters a user namespace of its own.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    dead_code,
    reason = "a measuring program that shares the tests' stage"
)]

mod kernel;
#[path = "../../tests/kernel/stage.rs"]
mod stage;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use bryo_runtime::seccomp::{self, Filter};
use bryo_runtime::{Rootfs, create};
use kernel::Floor;
use oci_spec::runtime::{Capability, Spec};

fn main() {
    let mut words = std::env::args().skip(1);
    let rounds: usize = words.next().and_then(|w| w.parse().ok()).unwrap_or(300);
    let what = words.next().unwrap_or_else(|| "full".to_owned());
    if let Err(reason) = stage::enter() {
        println!("SKIPPED: {reason}");
        return;
    }
    let bench = Bench::new(what);
    let mut floor = Times::default();
    let mut runtime = Times::default();
    for round in 0..rounds {
        let times = bench.floor(bench.folders(&format!("f{round}")));
        floor.add(times);
        if bench.what != "only" {
            runtime.add(bench.runtime(bench.folders(&format!("r{round}"))));
        }
    }
    println!("{} ({rounds} rounds, {:?})", bench.what, bench.filter);
    println!("              to exec            to end");
    println!("              median  fast 10th  median  fast 10th");
    floor.print("floor");
    if bench.what != "only" {
        runtime.print("runtime");
    }
}

struct Bench {
    stage: stage::Stage,
    what: String,
    spec: Spec,
    filter: Filter,
    map: String,
}

impl Bench {
    fn new(what: String) -> Bench {
        let profile = seccomp::default_profile(&[Capability::Chown, Capability::SysChroot]);
        let began = Instant::now();
        let filter = seccomp::compile(&profile).unwrap();
        println!("compiling the seccomp filter: {} µs", began.elapsed().as_micros());
        let own = std::fs::read_to_string("/proc/self/uid_map").unwrap();
        let map = own.lines().map(|line| {
            let fields: Vec<&str> = line.split_ascii_whitespace().collect();
            format!("{} {} {}\n", fields[0], fields[0], fields[2])
        });
        let map = map.collect();
        let spec = spec(&what, serde_json::to_value(&profile).unwrap());
        Bench { stage: stage::Stage::new(), spec, what, filter, map }
    }

    fn folders(&self, name: &str) -> (PathBuf, PathBuf) {
        let (upper, work) =
            (self.stage.path(&format!("{name}u")), self.stage.path(&format!("{name}w")));
        std::fs::create_dir(&upper).unwrap();
        std::fs::create_dir(&work).unwrap();
        (upper, work)
    }

    fn floor(&self, (upper, work): (PathBuf, PathBuf)) -> (Duration, Duration) {
        let lower = self.stage.path("lower");
        let filter = self.filter.instructions();
        let floor = Floor { lower: &lower, upper, work, filter, map: &self.map };
        let began = Instant::now();
        let pid = floor.start();
        let executed = began.elapsed();
        let pid = bryo_sys::pidfd::to_pid(pid).unwrap();
        assert_eq!(bryo_sys::fork::wait(pid).unwrap().code(), 0);
        (executed, began.elapsed())
    }

    fn runtime(&self, (upper, work): (PathBuf, PathBuf)) -> (Duration, Duration) {
        let lower = vec![self.stage.path("lower")];
        let (mut options, output) = stage::options(Rootfs::Overlay { lower, upper, work });
        options.seccomp = Some(self.filter.clone());
        options.init = self.what == "init";
        let began = Instant::now();
        let running = create(&self.spec, options).unwrap().start().unwrap();
        let executed = began.elapsed();
        assert_eq!(stage::wait(&running), 0);
        // Its namespaces end with this: the mounts are taken down here.
        drop(running);
        let ended = began.elapsed();
        drop(output);
        (executed, ended)
    }
}

fn spec(what: &str, profile: serde_json::Value) -> Spec {
    let mut value = stage::spec(&["true"]);
    if what != "noseccomp" {
        value["linux"]["seccomp"] = profile;
    }
    if what == "nomasks" {
        value["linux"]["maskedPaths"] = serde_json::json!([]);
        value["linux"]["readonlyPaths"] = serde_json::json!([]);
    }
    let leave_out = match what {
        "nonet" => "network",
        "host-user" => "user",
        _ => "",
    };
    let list = value["linux"]["namespaces"].as_array_mut().unwrap();
    list.retain(|n| n["type"] != leave_out);
    serde_json::from_value(value).unwrap()
}

#[derive(Default)]
struct Times {
    to_exec: Vec<Duration>,
    to_end: Vec<Duration>,
}

impl Times {
    fn add(&mut self, (to_exec, to_end): (Duration, Duration)) {
        self.to_exec.push(to_exec);
        self.to_end.push(to_end);
    }

    fn print(mut self, name: &str) {
        let at = |list: &mut Vec<Duration>, part: usize| {
            list.sort();
            list.get(list.len() / part).map_or(0, Duration::as_micros)
        };
        println!(
            "  {name:10}  {:>6}  {:>9}  {:>6}  {:>9}",
            at(&mut self.to_exec, 2),
            at(&mut self.to_exec, 10),
            at(&mut self.to_end, 2),
            at(&mut self.to_end, 10)
        );
    }
}
