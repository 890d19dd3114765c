//! Start, exit codes, signals, the record, and what is left afterwards.

use bryo_monitor::messages::*;

use crate::harness::{Container, PATIENCE};

#[test]
fn output_exit_code_and_record() {
    let mut c = Container::sh("echo out; echo err >&2; exit 7");
    let pid = c.start();
    assert_eq!(c.exit_code(), 7);
    let state = c.state();
    let exit = state.exit.unwrap();
    assert_eq!((state.pid, exit.code, exit.oom_killed), (Some(pid), 7, false));
    assert!(exit.finished_at >= state.started_at.unwrap());
    assert!(state.pid_start.unwrap() > 0);
    let mut lines: Vec<_> = c.log().lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines, ["err", "out"]);
    c.monitor_ends();
    assert!(!c.bundle().join("monitor.sock").exists());
}

#[test]
fn a_killed_program_counts_128_and_the_signal() {
    let mut c = Container::new(&["sleep", "60"]);
    c.start();
    c.ok(RequestBody::Signal { signal: 9 });
    assert_eq!(c.exit_code(), 137);
}

#[test]
fn a_program_that_is_not_there_fails_the_start_and_leaves_nothing() {
    let mut c = Container::new(&["nosuch"]);
    let mut client = c.attach();
    match c.ask(RequestBody::Start, &[]) {
        Reply::Failed(failure) => {
            assert_eq!(failure.kind, FailureKind::CommandNotFound, "{failure:?}");
            assert!(failure.message.contains("executable file not found"), "{failure:?}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(crate::harness::read_all(&mut client), "");
    c.monitor_ends();
}

#[test]
fn a_folder_cannot_be_executed() {
    let mut c = Container::new(&["/bin"]);
    match c.ask(RequestBody::Start, &[]) {
        Reply::Failed(failure) => assert_eq!(failure.kind, FailureKind::CommandNotExecutable),
        other => panic!("{other:?}"),
    }
}

#[test]
fn requests_that_do_not_fit_the_state_are_refused() {
    let mut c = Container::new(&["sleep", "60"]);
    let wrong = |reply: Reply| match reply {
        Reply::Failed(f) => assert_eq!(f.kind, FailureKind::WrongState),
        other => panic!("{other:?}"),
    };
    wrong(c.ask(RequestBody::Signal { signal: 15 }, &[]));
    wrong(c.ask(RequestBody::Pause, &[]));
    c.start();
    wrong(c.ask(RequestBody::Start, &[]));
    wrong(c.ask(RequestBody::Abandon, &[]));
    wrong(c.ask(RequestBody::Unpause, &[]));
}

#[test]
fn a_bundle_that_cannot_be_used_is_said() {
    let empty = tempfile::tempdir().unwrap();
    let (ours, theirs) = bryo_sys::channel::Channel::pair().unwrap();
    let monitor = crate::harness::spawn(theirs, empty.path().to_owned(), false);
    let mut client = bryo_monitor::client::Client::new(ours).unwrap();
    client.send(RequestBody::Start, &[]).unwrap();
    match client.recv().unwrap() {
        Answer::Reply { seq: 0, body: Reply::Failed(failure) } => {
            assert!(failure.message.contains("monitor.json"), "{failure:?}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(bryo_sys::fork::wait(monitor).unwrap().code(), 1);
}

#[test]
fn a_monitor_that_nobody_asks_anything_ends() {
    let (ours, theirs) = bryo_sys::channel::Channel::pair().unwrap();
    let monitor = crate::harness::spawn(theirs, "/no/such/bundle".into(), false);
    // Not only dropped: monitors of other tests may have a copy of it.
    rustix::net::shutdown(&ours, rustix::net::Shutdown::Both).unwrap();
    assert_eq!(bryo_sys::fork::wait(monitor).unwrap().code(), 0);
}

#[test]
fn an_abandoned_monitor_ends_and_closes_its_clients() {
    let mut c = Container::new(&["true"]);
    let mut client = c.attach();
    c.ok(RequestBody::Abandon);
    assert_eq!(crate::harness::read_all(&mut client), "");
    c.monitor_ends();
    assert!(bryo_monitor::client::read_state(c.bundle()).unwrap().is_none());
}

#[test]
fn a_paused_container_stands_still() {
    let mut c = Container::sh("while true; do echo x; sleep 0.01; done");
    c.start();
    std::thread::sleep(std::time::Duration::from_millis(100));
    c.ok(RequestBody::Pause);
    assert!(c.state().paused);
    std::thread::sleep(std::time::Duration::from_millis(50));
    let before = c.log().len();
    std::thread::sleep(std::time::Duration::from_millis(100));
    assert_eq!(c.log().len(), before);
    c.ok(RequestBody::Unpause);
    std::thread::sleep(std::time::Duration::from_millis(100));
    assert!(c.log().len() > before);
    assert!(!c.state().paused);
}

#[test]
fn the_container_dies_with_its_monitor() {
    let mut c = Container::new(&["sleep", "60"]);
    if c.config.runtime.is_some() {
        return println!("SKIPPED: other runtimes do not tie the container to its monitor");
    }
    let pid = c.start();
    let held = bryo_sys::pidfd::open(pid).unwrap();
    rustix::process::kill_process(c.monitor, rustix::process::Signal::KILL).unwrap();
    assert!(bryo_sys::pidfd::wait(&held, Some(PATIENCE)).unwrap());
    assert!(c.state().exit.is_none());
}

#[test]
fn the_usual_signals_do_not_end_a_monitor() {
    let mut c = Container::sh("sleep 0.2; exit 3");
    c.start();
    for signal in [rustix::process::Signal::TERM, rustix::process::Signal::INT] {
        rustix::process::kill_process(c.monitor, signal).unwrap();
    }
    assert_eq!(c.exit_code(), 3);
}

#[test]
fn with_an_init_orphans_are_reaped_and_signals_forwarded() {
    let mut c = Container::with(
        &["sh", "-c", "trap 'exit 5' TERM; echo up; while true; do sleep 0.05; done"],
        |config, _| {
            config.init = true;
        },
    );
    let mut client = c.attach_with(|s| s.multiplexed = false);
    c.start();
    crate::harness::read_until(&mut client, "up");
    c.ok(RequestBody::Signal { signal: 15 });
    assert_eq!(c.exit_code(), 5);
}
