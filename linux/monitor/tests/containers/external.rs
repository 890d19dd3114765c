//! The same with an OCI runtime that is not ours.

use std::path::Path;

use bryo_monitor::messages::*;

use crate::harness::{Container, read_all, read_frames, read_until, send};

const RUNC: &str = "/usr/sbin/runc";

/// A container under runc, or nothing (and a note) if runc is not installed.
fn runc(
    args: &[&str],
    change: impl FnOnce(&mut MonitorConfig, &mut serde_json::Value),
) -> Option<Container> {
    let path = [RUNC, "/usr/bin/runc"].into_iter().find(|p| Path::new(p).exists());
    let Some(path) = path else {
        println!("SKIPPED: runc is not installed");
        return None;
    };
    Some(Container::with(args, |config, spec| {
        config.runtime = Some(ExternalRuntime { path: path.to_owned(), args: Vec::new() });
        change(config, spec);
    }))
}

#[test]
fn runc_runs_the_same_spec() {
    let script = "echo out; cat; exit 4";
    let stdin = |config: &mut MonitorConfig, _: &mut serde_json::Value| {
        config.open_stdin = true;
        config.stdin_once = true;
    };
    let Some(mut c) = runc(&["sh", "-c", script], stdin) else { return };
    let mut client = c.attach_with(|s| s.stdin = true);
    c.start();
    send(&mut client, "typed\n");
    crate::harness::end_input(&client);
    assert_eq!(read_frames(&mut client).0, b"out\ntyped\n");
    assert_eq!(c.exit_code(), 4);
    c.monitor_ends();
    assert_eq!(std::fs::read_dir(c.bundle().join("runtime")).unwrap().count(), 0);
}

#[test]
fn runc_gets_an_overlay_of_many_layers() {
    let layers = tempfile::tempdir().unwrap();
    let make = |name: String| {
        let path = layers.path().join(name);
        std::fs::create_dir(&path).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let mut lower: Vec<_> = (0..60).map(|i| make(format!("{i}-{}", "x".repeat(100)))).collect();
    std::fs::write(format!("{}/top", lower[0]), "found\n").unwrap();
    let (upper, work) = (make("upper".into()), make("work".into()));
    let Some(mut c) = runc(&["sh", "-c", "cat /top; echo new > /file"], |config, _| {
        let Rootfs::Folder(base) = &config.rootfs else { unreachable!() };
        lower.push(base.clone());
        config.rootfs = Rootfs::Overlay { lower, upper: upper.clone(), work };
    }) else {
        return;
    };
    c.start();
    assert_eq!(c.exit_code(), 0);
    assert_eq!(c.log(), "found\n");
    assert_eq!(std::fs::read_to_string(format!("{upper}/file")).unwrap(), "new\n");
    c.monitor_ends();
    // Nothing is mounted outside of the monitor's own mount namespace.
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts.contains(c.bundle().to_str().unwrap()));
}

#[test]
fn runc_gives_a_terminal() {
    let Some(mut c) = runc(&["sh", "-c", "tty; read x; echo got $x"], |config, _| {
        config.tty = true;
        config.open_stdin = true;
    }) else {
        return;
    };
    let mut client = c.attach_with(|s| {
        s.stdin = true;
        s.multiplexed = false;
    });
    c.start();
    read_until(&mut client, "/dev/pts/0");
    send(&mut client, "it\r");
    assert!(read_all(&mut client).contains("got it"));
    assert_eq!(c.exit_code(), 0);
}

#[test]
fn runc_execs_and_is_killed() {
    let Some(mut c) = runc(&["sleep", "60"], |_, _| {}) else { return };
    c.start();
    let (reply, mut client) = c.exec("e", &["sh", "-c", "echo hi; exit 6"], false, false);
    assert!(matches!(reply, Reply::Started { .. }), "{reply:?}");
    assert_eq!(read_frames(&mut client).0, b"hi\n");
    assert_eq!(c.exec_code("e"), 6);
    c.ok(RequestBody::Signal { signal: 9 });
    assert_eq!(c.exit_code(), 137);
}

#[test]
fn runcs_errors_come_back() {
    let Some(mut c) = runc(&["nosuch"], |_, _| {}) else { return };
    match c.ask(RequestBody::Start, &[]) {
        Reply::Failed(f) => assert_eq!(f.kind, FailureKind::CommandNotFound, "{f:?}"),
        other => panic!("{other:?}"),
    }
    c.monitor_ends();
}
