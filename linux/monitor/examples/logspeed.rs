//! Measures the log: writes 200 MB of 100-byte lines in reads of 64 KiB and reads them back, in both formats; then has a
//! container print them.
//!
//! `cargo run --release -p bryo-monitor --example logspeed [FOLDER]`

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "it fails by panicking")]
#![allow(dead_code, reason = "the tests' harness has more than is needed here")]

#[path = "../tests/containers/harness.rs"]
mod harness;

use std::time::{Duration, Instant};

use bryo_monitor::log::{Compression, Next, ReadOptions, Reader, Stream, Writer, time};
use bryo_monitor::messages::{LogConfig, LogFile};

const TOTAL: usize = 200_000_000;

fn main() {
    let folder = std::env::args().nth(1).unwrap_or_else(|| "/tmp".to_owned());
    let line = format!("{:x<99}\n", "GET /index.html HTTP/1.1 \"quoted\" 200 ");
    let read = line.repeat(65536 / line.len() + 1).into_bytes();
    for local in [false, true] {
        let path = format!("{folder}/bryo-logspeed.{}", std::process::id());
        let file = LogFile {
            path: path.clone(),
            max_size: None,
            max_file: 1,
            compress: false,
            attrs: Default::default(),
        };
        let (name, config) = match local {
            false => ("json-file", LogConfig::JsonFile(file)),
            true => ("local", LogConfig::Local(file)),
        };
        let begin = Instant::now();
        let mut writer = Writer::open(&config, Compression::Inline).unwrap();
        let mut at = 0;
        for _ in 0..TOTAL / 65536 {
            // A pipe's reads end anywhere in a line.
            let piece = &read[at..(at + 65536).min(read.len())];
            writer.write(Stream::Stdout, piece, time::now()).unwrap();
            at = (at + piece.len()) % line.len();
        }
        report(name, "written", begin.elapsed());
        for (what, timestamps) in [("read back", false), ("read with times", true)] {
            let options =
                ReadOptions { stdout: true, framed: true, timestamps, ..Default::default() };
            let begin = Instant::now();
            let mut reader = Reader::open(&config, options).unwrap();
            let mut records = 0;
            while let Next::Batch(batch) = reader.next(Duration::ZERO).unwrap() {
                records += batch.len();
            }
            report(name, what, begin.elapsed());
            assert!(records > TOTAL / 110);
        }
        let options = ReadOptions { stdout: true, tail: Some(100), ..Default::default() };
        let begin = Instant::now();
        let mut reader = Reader::open(&config, options).unwrap();
        while let Next::Batch(_) = reader.next(Duration::ZERO).unwrap() {}
        println!("{name:>9} tail 100: {:?}", begin.elapsed());
        std::fs::remove_file(path).unwrap();
        container(name, local);
    }
}

/// A container that prints the lines from a file in its memory.
fn container(name: &str, local: bool) {
    let script = "yes $(head -c 99 /dev/zero | tr '\\0' x) | head -c 20000000 > /tmp/lines
        read go; for i in 1 2 3 4 5 6 7 8 9 10; do cat /tmp/lines; done";
    let mut c = harness::Container::with(&["sh", "-c", script], |config, _| {
        config.open_stdin = true;
        config.stdin_once = true;
        if let (true, LogConfig::JsonFile(file)) = (local, config.log.clone()) {
            config.log = LogConfig::Local(file);
        }
    });
    let mut client = c.attach_with(|s| (s.stdin, s.stdout) = (true, false));
    c.start();
    std::thread::sleep(Duration::from_secs(1));
    let begin = Instant::now();
    harness::send(&mut client, "go\n");
    assert_eq!(c.exit_code(), 0);
    report(name, "printed by a container", begin.elapsed());
}

fn report(name: &str, what: &str, time: Duration) {
    let rate = 200.0 / time.as_secs_f64();
    println!("{name:>9} {what}: {:.3} s, {rate:.0} MB/s", time.as_secs_f64());
}
