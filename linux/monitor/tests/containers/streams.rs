//! Attached clients: frames, stdin, many at once, slow ones.

use std::io::{Read, Write};
use std::time::Duration;

use bryo_monitor::messages::*;

use crate::harness::{Container, PATIENCE, end_input, read_all, read_frames, send};

fn with_stdin(script: &str) -> Container {
    Container::with(&["sh", "-c", script], |config, _| {
        config.open_stdin = true;
        config.stdin_once = true;
    })
}

#[test]
fn every_client_gets_what_it_asked_for() {
    let mut c = Container::sh("echo out; echo err >&2");
    let mut framed = c.attach();
    let mut raw = c.attach_with(|s| s.multiplexed = false);
    let mut errors = c.attach_with(|s| s.stdout = false);
    c.start();
    assert_eq!(read_frames(&mut framed), (b"out\n".to_vec(), b"err\n".to_vec()));
    let mut lines: Vec<_> = read_all(&mut raw).lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines, ["err", "out"]);
    assert_eq!(read_frames(&mut errors), (Vec::new(), b"err\n".to_vec()));
    assert_eq!(c.exit_code(), 0);
    for id in 1..=3 {
        c.event(|e| matches!(e, Event::StreamClosed { id: i, detached: false } if *i == id));
    }
}

#[test]
fn stdin_reaches_the_program_and_its_end_does_too() {
    let mut c = with_stdin("cat; echo end");
    let mut client = c.attach_with(|s| {
        s.stdin = true;
        s.early_stdin = b"early ".to_vec();
    });
    send(&mut client, "before ");
    c.start();
    send(&mut client, "after\n");
    end_input(&client);
    assert_eq!(read_frames(&mut client).0, b"early before after\nend\n");
    assert_eq!(c.exit_code(), 0);
}

#[test]
fn without_stdin_the_program_reads_nothing() {
    let mut c = Container::sh("cat; echo end");
    let mut client = c.attach();
    end_input(&client);
    c.start();
    assert_eq!(read_frames(&mut client).0, b"end\n");
}

#[test]
fn a_client_that_offers_input_to_a_program_without_stdin_stays_attached() {
    let mut c = Container::sh("sleep 0.1; echo end");
    let mut client = c.attach_with(|s| s.stdin = true);
    c.start();
    send(&mut client, "nobody reads this");
    end_input(&client);
    assert_eq!(read_frames(&mut client).0, b"end\n");
}

#[test]
fn stdin_that_is_kept_open_detaches_a_client_that_ends() {
    let mut c = Container::with(&["cat"], |config, _| config.open_stdin = true);
    c.start();
    let mut first = c.attach_with(|s| s.stdin = true);
    send(&mut first, "one\n");
    let mut frame = [0; 12];
    first.read_exact(&mut frame).unwrap();
    end_input(&first);
    assert_eq!(read_frames(&mut first).0, b"");
    let mut second = c.attach_with(|s| s.stdin = true);
    send(&mut second, "two\n");
    second.read_exact(&mut frame).unwrap();
    assert_eq!(&frame[8..], b"two\n");
}

#[test]
fn a_client_that_sends_a_line_and_ends_gets_the_answer() {
    let mut c =
        Container::with(&["sh", "-c", "read x; sleep 0.05; echo got $x; sleep 60"], |config, _| {
            config.open_stdin = true;
        });
    c.start();
    let mut client = c.attach_with(|s| s.stdin = true);
    send(&mut client, "word\n");
    end_input(&client);
    assert_eq!(read_frames(&mut client).0, b"got word\n");
    assert!(c.state().exit.is_none());
}

#[test]
fn input_that_nobody_reads_is_dropped_once_stdin_is_closed() {
    let mut c = with_stdin("exec <&-; sleep 0.2; echo done");
    let mut client = c.attach_with(|s| s.stdin = true);
    c.start();
    client.set_write_timeout(Some(PATIENCE)).unwrap();
    std::thread::sleep(Duration::from_millis(100));
    client.write_all(&vec![b'x'; 1 << 20]).unwrap();
    assert_eq!(read_frames(&mut client).0, b"done\n");
}

#[test]
fn a_client_that_sends_and_goes_away_is_heard_to_the_end() {
    let mut c = with_stdin("sleep 0.1; wc -c");
    let mut client = c.attach_with(|s| s.stdin = true);
    c.start();
    let writer = std::thread::spawn(move || {
        client.write_all(&vec![b'x'; 300_000]).unwrap();
        drop(client);
    });
    assert_eq!(c.exit_code(), 0);
    writer.join().unwrap();
    assert_eq!(c.log().trim(), "300000");
}

#[test]
fn sixty_four_megabytes_pass_both_ways_unchanged() {
    const SIZE: usize = 64 << 20;
    let mut c = Container::with(&["cat"], |config, _| {
        config.open_stdin = true;
        config.stdin_once = true;
        config.log = LogConfig::None;
    });
    let mut client = c.attach_with(|s| s.stdin = true);
    c.start();
    let byte = |i: usize| i.wrapping_mul(2_654_435_761).to_le_bytes()[2];
    let sent: Vec<u8> = (0..SIZE).map(byte).collect();
    let mut input = client.try_clone().unwrap();
    let data = sent.clone();
    let writer = std::thread::spawn(move || {
        input.write_all(&data).unwrap();
        end_input(&input);
    });
    let got = read_frames(&mut client).0;
    writer.join().unwrap();
    assert_eq!(got.len(), SIZE);
    assert!(got == sent);
    assert_eq!(c.exit_code(), 0);
}

#[test]
fn a_slow_client_stops_the_program_and_loses_nothing() {
    let mut c = Container::sh("seq 1 200000; echo end >&2");
    let mut slow = c.attach();
    c.start();
    std::thread::sleep(Duration::from_millis(300));
    assert!(c.client.try_recv().unwrap().is_none(), "the program went on although nobody read");
    let held = c.log().len();
    assert!(held > 0 && held < 1_200_000, "{held} bytes were logged");
    let mut other = c.attach();
    let reader = std::thread::spawn(move || read_frames(&mut other));
    let (out, err) = read_frames(&mut slow);
    let want: String = (1..=200_000).map(|i| format!("{i}\n")).collect();
    assert!(out == want.as_bytes());
    assert_eq!(err, b"end\n");
    assert_eq!(c.exit_code(), 0);
    let (rest, _) = reader.join().unwrap();
    assert!(want.as_bytes().ends_with(&rest) && !rest.is_empty());
    assert_eq!(c.log().len(), want.len() + 4);
}

#[test]
fn a_client_that_never_reads_does_not_hold_up_the_exit() {
    let mut c = Container::sh("head -c 200000 /dev/zero; exit 4");
    let mut lazy = c.attach();
    c.start();
    assert_eq!(c.exit_code(), 4);
    assert_eq!(read_frames(&mut lazy).0.len(), 200_000);
}

#[test]
fn output_of_a_dead_namespace_is_complete() {
    let mut c = Container::sh("(while true; do echo x; done) & sleep 0.1; echo last >&2; exit 0");
    let mut client = c.attach();
    c.start();
    let (out, err) = read_frames(&mut client);
    assert_eq!(c.exit_code(), 0);
    assert_eq!(err, b"last\n");
    assert_eq!(c.log().len(), out.len() + err.len());
}
