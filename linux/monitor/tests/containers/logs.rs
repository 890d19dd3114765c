//! The log of a running container.

use std::time::Duration;

use bryo_monitor::log::{Next, ReadOptions, Reader};
use bryo_monitor::messages::*;

use crate::harness::{Container, PATIENCE};

fn rotating(compress: bool) -> impl FnOnce(&mut MonitorConfig, &mut serde_json::Value) {
    move |config, _| {
        let LogConfig::JsonFile(file) = &mut config.log else { unreachable!() };
        (file.max_size, file.max_file, file.compress) = (Some(100_000), 4, compress);
    }
}

#[test]
fn a_rotated_log_keeps_whole_lines() {
    for compress in [false, true] {
        let mut c = Container::with(&["seq", "1", "20000"], rotating(compress));
        c.start();
        assert_eq!(c.exit_code(), 0);
        c.monitor_ends();
        let numbers: Vec<u32> = c.log().lines().map(|l| l.parse().unwrap()).collect();
        assert_eq!(*numbers.last().unwrap(), 20_000);
        assert!(numbers.windows(2).all(|w| w[1] == w[0] + 1));
        assert!(numbers.len() > 3000 && numbers.len() < 7000, "{} lines kept", numbers.len());
        let gz = c.bundle().join("log.json.1.gz").exists();
        assert_eq!(gz, compress);
    }
}

#[test]
fn a_follower_gets_all_and_the_end() {
    let mut c = Container::sh("for i in 1 2 3 4 5; do seq 1 500; sleep 0.02; done");
    let options = ReadOptions { stdout: true, follow: true, ..Default::default() };
    c.start();
    let mut reader = Reader::open(&c.config.log, options).unwrap();
    let handle = reader.follow_handle().unwrap();
    let follower = std::thread::spawn(move || {
        let mut text = Vec::new();
        loop {
            match reader.next(PATIENCE).unwrap() {
                Next::Batch(batch) => text.extend(batch.bytes),
                Next::Idle => panic!("nothing came"),
                Next::End => return String::from_utf8(text).unwrap(),
            }
        }
    });
    assert_eq!(c.exit_code(), 0);
    handle.container_ended();
    let once: String = (1..=500).map(|i| format!("{i}\n")).collect();
    assert_eq!(follower.join().unwrap(), once.repeat(5));
}

#[test]
fn the_formats_agree() {
    let script = "printf 'a\\tb\\n\\n'; printf 'no end'; head -c 40000 /dev/zero";
    let mut texts = Vec::new();
    for local in [false, true] {
        let mut c = Container::with(&["sh", "-c", script], |config, _| {
            if let (true, LogConfig::JsonFile(file)) = (local, config.log.clone()) {
                config.log = LogConfig::Local(file);
            }
        });
        c.start();
        assert_eq!(c.exit_code(), 0);
        texts.push(c.log());
    }
    assert_eq!(texts[0].len(), 5 + 6 + 40_000);
    assert!(texts[0] == texts[1]);
}

#[test]
fn no_log_is_no_file() {
    let mut c = Container::with(&["echo", "x"], |config, _| config.log = LogConfig::None);
    c.start();
    assert_eq!(c.exit_code(), 0);
    assert!(!c.bundle().join("log.json").exists());
    std::thread::sleep(Duration::from_millis(1));
}
