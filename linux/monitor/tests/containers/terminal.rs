//! Containers with a terminal.

use bryo_monitor::messages::*;

use crate::harness::{Container, read_all, read_until, send};

fn terminal(script: &str) -> Container {
    Container::with(&["sh", "-c", script], |config, _| {
        config.tty = true;
        config.tty_size = (11, 22);
        config.open_stdin = true;
        config.stdin_once = true;
    })
}

fn typing(stream: &mut StreamConfig) {
    stream.stdin = true;
    stream.multiplexed = false;
}

#[test]
fn the_program_has_a_controlling_terminal_of_the_size_asked_for() {
    let mut c = terminal("tty; stty size; echo ok > /dev/tty");
    let mut client = c.attach_with(typing);
    c.start();
    assert_eq!(read_all(&mut client), "/dev/pts/0\r\n11 22\r\nok\r\n");
    assert_eq!(c.exit_code(), 0);
    assert_eq!(c.log(), "/dev/pts/0\r\n11 22\r\nok\r\n");
}

#[test]
fn a_resize_reaches_the_program_as_a_signal() {
    let mut c =
        terminal("trap 'stty size; exit 0' WINCH; echo up; while true; do sleep 0.05; done");
    let mut client = c.attach_with(typing);
    c.start();
    read_until(&mut client, "up");
    c.ok(RequestBody::Resize { exec: None, rows: 50, cols: 132 });
    assert!(read_all(&mut client).contains("50 132"));
}

#[test]
fn ctrl_c_interrupts() {
    let mut c = terminal("trap 'exit 9' INT; echo up; while true; do sleep 0.05; done");
    let mut client = c.attach_with(typing);
    c.start();
    read_until(&mut client, "up");
    send(&mut client, "\x03");
    assert_eq!(c.exit_code(), 9);
}

#[test]
fn the_detach_keys_detach_and_the_program_goes_on() {
    let mut c = terminal("cat");
    let mut client = c.attach_with(typing);
    c.start();
    send(&mut client, "hello\x10");
    std::thread::sleep(std::time::Duration::from_millis(50));
    send(&mut client, "\x11ignored");
    read_all(&mut client);
    c.event(|e| matches!(e, Event::StreamClosed { id: 1, detached: true }));
    let mut again = c.attach_with(typing);
    send(&mut again, " world\n");
    assert!(read_until(&mut again, "hello world").contains("world"));
    send(&mut again, "\x04");
    assert_eq!(c.exit_code(), 0);
}

#[test]
fn a_client_that_ends_its_input_is_detached() {
    let mut c = terminal("cat");
    let mut client = c.attach_with(typing);
    c.start();
    crate::harness::end_input(&client);
    read_all(&mut client);
    c.event(|e| matches!(e, Event::StreamClosed { id: 1, detached: false }));
    assert!(c.state().exit.is_none());
}
