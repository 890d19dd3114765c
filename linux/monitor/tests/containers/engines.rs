//! Engines come and go; the container stays.

use bryo_monitor::client::Client;
use bryo_monitor::messages::*;

use crate::harness::{Container, end_input, read_frames, send};

#[test]
fn an_engine_dies_and_the_next_one_goes_on() {
    let mut c = Container::with(&["cat"], |config, _| {
        config.open_stdin = true;
        config.stdin_once = true;
    });
    let mut client = c.attach_with(|s| s.stdin = true);
    let pid = c.start();
    let (reply, mut exec) = c.exec("e", &["cat"], true, false);
    assert!(matches!(reply, Reply::Started { .. }));
    // The old connection is closed here; the clients' are not.
    c.client = Client::connect(c.bundle()).unwrap();
    match c.event(|e| matches!(e, Event::Ready(_))) {
        Event::Ready(state) => {
            assert_eq!(state.pid, Some(pid));
            assert_eq!(state.execs.len(), 1);
        }
        _ => unreachable!(),
    }
    send(&mut exec, "exec\n");
    end_input(&exec);
    assert_eq!(read_frames(&mut exec).0, b"exec\n");
    assert_eq!(c.exec_code("e"), 0);
    send(&mut client, "hello\n");
    end_input(&client);
    assert_eq!(read_frames(&mut client).0, b"hello\n");
    assert_eq!(c.exit_code(), 0);
}

#[test]
fn an_exit_that_no_engine_saw_is_in_the_record() {
    let mut c = Container::sh("sleep 0.1; echo late; exit 6");
    c.start();
    let (nobody, _) = bryo_sys::channel::Channel::pair().unwrap();
    c.client = Client::new(nobody).unwrap();
    c.monitor_ends();
    let exit = c.state().exit.unwrap();
    assert_eq!(exit.code, 6);
    assert_eq!(c.log(), "late\n");
    assert!(Client::connect(c.bundle()).is_err());
}

#[test]
fn two_engines_hear_the_same() {
    let mut c = Container::sh("sleep 0.2; exit 2");
    let second = Client::connect(c.bundle()).unwrap();
    c.start();
    assert_eq!(c.exit_code(), 2);
    loop {
        match second.recv().unwrap() {
            Answer::Event(Event::Exited(exit)) => break assert_eq!(exit.code, 2),
            Answer::Event(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_message_that_is_not_understood_is_answered() {
    let c = Container::new(&["true"]);
    let (client, channel) = {
        let folder = std::fs::File::open(c.bundle()).unwrap();
        use std::os::fd::AsRawFd;
        let path = format!("/proc/self/fd/{}/monitor.sock", folder.as_raw_fd());
        (&c.client, bryo_sys::channel::Channel::connect(path.as_ref()).unwrap())
    };
    channel.recv().unwrap();
    channel.send(br#"{"seq":41,"body":"NewAndUnknown"}"#, &[]).unwrap();
    let answer: Answer = serde_json::from_slice(&channel.recv().unwrap().data).unwrap();
    assert!(matches!(answer, Answer::Reply { seq: 41, body: Reply::Failed(_) }));
    assert!(client.try_recv().unwrap().is_none());
}
