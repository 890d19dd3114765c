//! Further processes in a running container.

use std::io::Write;

use bryo_monitor::messages::*;

use crate::harness::{Container, end_input, exec_process, read_all, read_frames, send};

fn sleeping() -> Container {
    let mut c = Container::new(&["sleep", "60"]);
    c.start();
    c
}

fn started(reply: Reply) -> u32 {
    match reply {
        Reply::Started { pid } => pid,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_exec_has_streams_and_a_code_of_its_own() {
    let mut c = sleeping();
    let (reply, mut client) = c.exec("a", &["sh", "-c", "cat; echo err >&2; exit 5"], true, false);
    started(reply);
    send(&mut client, "typed\n");
    end_input(&client);
    assert_eq!(read_frames(&mut client), (b"typed\n".to_vec(), b"err\n".to_vec()));
    assert_eq!(c.exec_code("a"), 5);
    assert_eq!(c.log(), "");
    let state = c.state();
    assert_eq!(state.ended_execs, [("a".to_owned(), 5)]);
    assert!(state.execs.is_empty());
}

#[test]
fn an_exec_can_have_a_terminal() {
    let mut c = sleeping();
    let (reply, mut client) =
        c.exec("t", &["sh", "-c", "stty size; read x; stty size"], true, true);
    started(reply);
    let first = crate::harness::read_until(&mut client, "33 44");
    c.ok(RequestBody::Resize { exec: Some("t".into()), rows: 5, cols: 6 });
    send(&mut client, "\r");
    let rest = read_all(&mut client);
    assert!(rest.contains("5 6"), "{first:?} {rest:?}");
    assert_eq!(c.exec_code("t"), 0);
}

#[test]
fn many_run_at_once() {
    let mut c = sleeping();
    let mut clients = Vec::new();
    for i in 0..20 {
        let (reply, mut client) = c.exec(&format!("e{i}"), &["cat"], true, false);
        started(reply);
        client.write_all(format!("number {i}\n").as_bytes()).unwrap();
        clients.push(client);
    }
    assert_eq!(c.state().execs.len(), 20);
    for (i, client) in clients.iter_mut().enumerate() {
        end_input(client);
        assert_eq!(read_frames(client).0, format!("number {i}\n").into_bytes());
    }
    for i in 0..20 {
        assert_eq!(c.exec_code(&format!("e{i}")), 0);
    }
}

#[test]
fn an_exec_without_a_client_runs_alone() {
    let mut c = sleeping();
    let request = RequestBody::Exec {
        id: "d".into(),
        process: exec_process(&["sh", "-c", "echo lost; exit 3"], false),
        tty_size: (0, 0),
        open_stdin: false,
        stream: None,
    };
    started(c.ask(request, &[]));
    assert_eq!(c.exec_code("d"), 3);
}

#[test]
fn a_program_that_is_not_there_is_said_and_the_client_can_still_be_written_to() {
    let mut c = sleeping();
    let (reply, mut client) = c.exec("n", &["nosuch"], false, false);
    match reply {
        Reply::Failed(f) => assert_eq!(f.kind, FailureKind::CommandNotFound, "{f:?}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(read_all(&mut client), "");
    assert!(c.state().execs.is_empty());
}

#[test]
fn execs_end_with_the_container() {
    let mut c = sleeping();
    let (reply, mut client) = c.exec("x", &["sh", "-c", "echo up; sleep 60"], false, false);
    started(reply);
    c.ok(RequestBody::Signal { signal: 9 });
    assert_eq!(c.exit_code(), 137);
    assert_eq!(c.exec_code("x"), 137);
    assert!(read_frames(&mut client).0.len() <= 3);
    c.monitor_ends();
}

#[test]
fn a_background_process_of_an_exec_does_not_hold_it_up() {
    let mut c = sleeping();
    let (reply, mut client) = c.exec("b", &["sh", "-c", "sleep 30 & echo up"], false, false);
    started(reply);
    assert_eq!(read_frames(&mut client).0, b"up\n");
    assert_eq!(c.exec_code("b"), 0);
}
