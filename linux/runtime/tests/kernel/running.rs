//! Running containers: exec, terminals, init, shared namespaces, pause.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use crate::Case;
use crate::stage::{
    Outcome, Stage, create_with, end, finish, many_ids, options, pipe, shell, spec, wait,
};
use bryo_runtime::{
    CreateOptions, Error, ErrorKind, ExecOptions, Limits, Running, Stdio, create, exec, pause,
    processes, signal, unpause,
};
use oci_spec::runtime::{Process, Spec};
use serde_json::{Value, json};

pub const CASES: &[Case] = &[
    ("exec_joins_everything", exec_joins_everything),
    ("exec_into_a_concealed_init", exec_into_a_concealed_init),
    ("exec_of_missing_programs", exec_of_missing_programs),
    ("exec_as_another_user", exec_as_another_user),
    ("terminals", terminals),
    ("exec_with_a_terminal", exec_with_a_terminal),
    ("init_reaps_and_forwards", init_reaps_and_forwards),
    ("pausing", pausing),
    ("host_namespaces", host_namespaces),
    ("host_user_namespace", host_user_namespace),
    ("joined_network", joined_network),
    ("joined_pids", joined_pids),
    ("joined_ipc", joined_ipc),
    ("dropping_a_created_container_kills_it", dropping_a_created_container_kills_it),
];

const SLEEP: &str = "exec sleep 1000";

fn to_spec(value: &Value) -> Spec {
    serde_json::from_value(value.clone()).unwrap()
}

fn process(value: &Value) -> Process {
    serde_json::from_value(value["process"].clone()).unwrap()
}

fn run_exec(running: &Running, value: &Value) -> Result<Outcome, Error> {
    let (read, write) = pipe();
    let stderr = write.try_clone().unwrap();
    let stdin = std::fs::File::open("/dev/null").unwrap().into();
    let stdio = Stdio::Files { stdin, stdout: write, stderr };
    let options = ExecOptions { stdio, cgroup: None, seccomp: None, limits: Limits::default() };
    let running = exec(&running.namespaces, &to_spec(value), &process(value), options)?;
    Ok(finish(running, read))
}

fn exec_joins_everything() {
    let stage = Stage::new();
    let running = stage.waiting(&shell("echo mine >/tmp/mark; exec sleep 1000"));
    let script = "for n in user pid net ipc uts cgroup mnt; do readlink /proc/1/ns/$n; readlink /proc/self/ns/$n; \
                  done; cat /tmp/mark; hostname; ls /proc/self/fd; exit 9";
    let started = Instant::now();
    while !stage.path("upper/tmp/mark").exists() && started.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(5));
    }
    let outcome = run_exec(&running, &shell(script)).unwrap();
    let lines: Vec<&str> = outcome.out.lines().collect();
    for pair in lines[..14].chunks(2) {
        assert_eq!(pair[0], pair[1]);
    }
    assert_eq!(lines[14..16], ["mine", "stage"]);
    assert_eq!(lines[16..].len(), 4, "descriptors leaked: {}", outcome.out);
    assert_eq!(outcome.code, 9);
    end(&running);
}

fn exec_into_a_concealed_init() {
    let stage = Stage::new();
    let (mut options, _output) = options(stage.overlay());
    options.init = true;
    let running = create(&to_spec(&shell(SLEEP)), options).unwrap().start().unwrap();
    let script = "ps -o pid,comm | grep -c sleep; cat /proc/1/comm; tr '\\0' '\\n' </proc/1/cmdline | head -1";
    let outcome = run_exec(&running, &shell(script)).unwrap();
    assert!(outcome.out.starts_with("1\nbryo-init\n"), "{}", outcome.out);
    // A concealed process' command line is hidden from the container, or shows the same.
    assert!(!outcome.out.contains("kernel"), "{}", outcome.out);
    end(&running);
}

fn exec_of_missing_programs() {
    let stage = Stage::new();
    let running = stage.waiting(&shell(SLEEP));
    let e = run_exec(&running, &spec(&["nosuch"])).unwrap_err();
    assert_eq!(e.message(), "exec: \"nosuch\": executable file not found in $PATH");
    assert_eq!(e.kind(), ErrorKind::CommandNotFound);
    let mut value = shell("true");
    value["process"]["cwd"] = json!("/not/there");
    let e = run_exec(&running, &value).unwrap_err();
    assert!(e.message().contains("\"/not/there\""), "{e}");
    end(&running);
}

fn exec_as_another_user() {
    if !many_ids() {
        println!("SKIPPED: only one id is mapped");
        return;
    }
    let stage = Stage::new();
    let mut value = shell(SLEEP);
    value["process"]["user"] = json!({"uid": 33, "gid": 33});
    let running = stage.waiting(&value);
    let mut value = shell("id -u; grep CapEff /proc/self/status; echo $HOME");
    assert_eq!(run_exec(&running, &value).unwrap().out, "0\nCapEff:\t00000000a80425fb\n/root\n");
    value["process"]["user"] = json!({"uid": 33, "gid": 33});
    let outcome = run_exec(&running, &value).unwrap();
    assert_eq!(outcome.out, "33\nCapEff:\t0000000000000000\n/var/www\n");
    end(&running);
}

/// Waits for `cue` on a terminal, types `input`, and reads until the process ends.
fn talk(running: &Running, cue: &str, input: &str) -> String {
    let mut terminal = std::fs::File::from(running.terminal.as_ref().unwrap().try_clone().unwrap());
    let (mut out, mut typed) = (String::new(), false);
    let mut buffer = [0; 4096];
    // EIO is how a terminal ends.
    while let Ok(n) = terminal.read(&mut buffer) {
        out.push_str(std::str::from_utf8(&buffer[..n]).unwrap());
        if n == 0 {
            break;
        }
        if !typed && out.contains(cue) {
            terminal.write_all(input.as_bytes()).unwrap();
            typed = true;
        }
    }
    out
}

fn terminals() {
    let stage = Stage::new();
    let stdio = Stdio::Terminal { rows: 33, cols: 111 };
    let options = CreateOptions {
        rootfs: stage.overlay(),
        stdio,
        init: false,
        cgroup: None,
        seccomp: None,
        limits: Limits::default(),
    };
    let script = "tty; stty size; test -c /dev/console && echo console; read x; echo got $x";
    let running = create(&to_spec(&shell(script)), options).unwrap().start().unwrap();
    let out = talk(&running, "console", "hello\n");
    // The terminal echoes the input whenever it comes.
    assert!(out.contains("/dev/pts/0\r\n33 111\r\nconsole\r\n"), "{out:?}");
    assert!(out.ends_with("got hello\r\n"), "{out:?}");
    assert_eq!(wait(&running), 0);
}

fn exec_with_a_terminal() {
    let stage = Stage::new();
    let running = stage.waiting(&shell(SLEEP));
    let value = shell("tty; stty size; read x; cat");
    let stdio = Stdio::Terminal { rows: 10, cols: 20 };
    let options = ExecOptions { stdio, cgroup: None, seccomp: None, limits: Limits::default() };
    let inner = exec(&running.namespaces, &to_spec(&value), &process(&value), options).unwrap();
    // Control-D ends its input.
    let out = talk(&inner, "10 20", "x\n\x04");
    assert!(out.contains("/dev/pts/0\r\n10 20\r\n"), "{out:?}");
    assert_eq!(wait(&inner), 0);
    end(&running);
}

fn init_reaps_and_forwards() {
    let stage = Stage::new();
    let script = "sh -c 'sh -c \"exit 3\" & exec true'; sleep 0.2; ps -o stat | grep -c Z; exit 5";
    let outcome = create_with(&stage, &shell(script), |o| o.init = true);
    assert_eq!((outcome.out.as_str(), outcome.code), ("0\n", 5));
    let e = {
        let (mut options, _out) = options(stage.overlay());
        options.init = true;
        create(&to_spec(&spec(&["nosuch"])), options).unwrap().start().unwrap_err()
    };
    assert_eq!(e.kind(), ErrorKind::CommandNotFound);
    let (mut options, output) = options(stage.overlay());
    options.init = true;
    let script = "trap 'echo term; exit 4' TERM; echo up; while true; do sleep 0.05; done";
    let running = create(&to_spec(&shell(script)), options).unwrap().start().unwrap();
    let mut output = std::fs::File::from(output);
    let mut up = [0; 3];
    output.read_exact(&mut up).unwrap();
    assert!(signal(std::os::fd::AsFd::as_fd(&running.pidfd), 15).unwrap());
    let outcome = finish(running, output.into());
    assert_eq!((outcome.out.as_str(), outcome.code), ("term\n", 4));
}

fn state(pid: u32) -> char {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(") ").unwrap().1.chars().next().unwrap()
}

fn pausing() {
    let stage = Stage::new();
    let running = stage.waiting(&shell("sleep 1000 & sleep 1000 & wait"));
    let started = Instant::now();
    while processes(running.pid, None).unwrap().len() < 3 {
        assert!(started.elapsed() < Duration::from_secs(10));
        std::thread::sleep(Duration::from_millis(5));
    }
    let pids = processes(running.pid, None).unwrap();
    assert_eq!(pids.len(), 3);
    pause(running.pid, None).unwrap();
    // A stop takes effect when the process next runs.
    while pids.iter().any(|p| state(*p) != 'T') {
        assert!(started.elapsed() < Duration::from_secs(10));
        std::thread::sleep(Duration::from_millis(5));
    }
    unpause(running.pid, None).unwrap();
    while pids.iter().any(|p| state(*p) != 'S') {
        assert!(started.elapsed() < Duration::from_secs(10));
        std::thread::sleep(Duration::from_millis(5));
    }
    end(&running);
    let fd = std::os::fd::AsFd::as_fd(&running.pidfd);
    assert!(!signal(fd, 15).unwrap(), "an ended process is no error");
}

fn without(mut value: Value, kinds: &[&str]) -> Value {
    let list = value["linux"]["namespaces"].as_array_mut().unwrap();
    list.retain(|n| !kinds.contains(&n["type"].as_str().unwrap()));
    value
}

fn own(kind: &str) -> String {
    std::fs::read_link(format!("/proc/self/ns/{kind}")).unwrap().display().to_string()
}

/// Docker's `--network host --pid host --ipc host --uts host --cgroupns host`.
fn host_namespaces() {
    let stage = Stage::new();
    let value = shell(
        "for n in net pid ipc uts cgroup; do readlink /proc/self/ns/$n; done; test -d /sys/class/net && echo sys; \
         test -d /proc/1 && echo proc; echo x >/sys/power/state",
    );
    let mut value = without(value, &["network", "pid", "ipc", "uts", "cgroup"]);
    value.as_object_mut().unwrap().remove("hostname");
    let outcome = stage.run(&value);
    let wanted: Vec<String> = ["net", "pid", "ipc", "uts", "cgroup"].map(own).to_vec();
    let lines: Vec<&str> = outcome.out.lines().collect();
    assert_eq!(lines[..5], wanted, "{}", outcome.out);
    assert_eq!(lines[5..7], ["sys", "proc"]);
}

fn host_user_namespace() {
    let stage = Stage::new();
    let before = std::fs::read_to_string("/proc/self/mounts").unwrap();
    let value =
        without(shell("readlink /proc/self/ns/user; cat /proc/self/uid_map | wc -l"), &["user"]);
    let outcome = stage.run(&value);
    assert!(outcome.out.starts_with(&own("user")), "{}", outcome.out);
    assert_eq!(std::fs::read_to_string("/proc/self/mounts").unwrap(), before, "mounts leaked");
}

fn joining(script: &str, kind: &str, path: String) -> Value {
    let mut value = shell(script);
    for namespace in value["linux"]["namespaces"].as_array_mut().unwrap() {
        if namespace["type"] == kind {
            namespace["path"] = json!(path);
        }
    }
    value
}

/// `--network container:`: capabilities must count in the joined namespace.
fn joined_network() {
    let stage = Stage::new();
    let first = stage.waiting(&shell(SLEEP));
    let path = format!("/proc/{}/ns/net", first.pid);
    let second = Stage::new();
    let mut value = joining(
        "readlink /proc/self/ns/net; ip link set lo down && echo may; id -u",
        "network",
        path,
    );
    value["process"]["capabilities"] = crate::stage::all_capabilities();
    let outcome = second.run(&value);
    let theirs = std::fs::read_link(format!("/proc/{}/ns/net", first.pid)).unwrap();
    assert_eq!(outcome.out, format!("{}\nmay\n0\n", theirs.display()));
    end(&first);
    let e =
        second.try_run(&joining("true", "network", "/proc/999999999/ns/net".into())).unwrap_err();
    assert!(e.message().contains("is that container still running?"), "{e}");
}

/// `--pid container:`: one process tree, and no way into the newcomer while it is set up.
fn joined_pids() {
    let stage = Stage::new();
    let first = stage.waiting(&shell(SLEEP));
    let second = Stage::new();
    let path = format!("/proc/{}/ns/pid", first.pid);
    let value = joining("cat /proc/1/cmdline; echo; test $$ -gt 1 && echo child", "pid", path);
    // Set up but not started: the first container's root sees a process that still runs our code with the host's
    // files, and must not get at it.
    let (options, _output) = options(second.overlay());
    let mut created = create(&to_spec(&value), options).unwrap();
    created.ready().unwrap();
    let mut spy = shell(
        "for p in /proc/[0-9]*; do grep -q sleep $p/comm || test $p = /proc/$$ || for f in exe root cwd; do \
         readlink $p/$f && echo $p/$f is open; done; done; ls -d /proc/[0-9]* | wc -l",
    );
    spy["process"]["capabilities"] = crate::stage::all_capabilities();
    let seen = run_exec(&first, &spy).unwrap().out;
    assert!(!seen.contains("is open"), "{seen}");
    assert!(
        seen.lines().last().unwrap().parse::<u32>().unwrap() >= 3,
        "the newcomer was there: {seen}"
    );
    drop(created);
    let second = Stage::new();
    let outcome = second.run(&value);
    assert_eq!(outcome.out, "sleep\x001000\0\nchild\n");
    end(&first);
}

fn joined_ipc() {
    let stage = Stage::new();
    let first = stage.waiting(&shell(SLEEP));
    let second = Stage::new();
    let path = format!("/proc/{}/ns/ipc", first.pid);
    let theirs = std::fs::read_link(&path).unwrap();
    let outcome =
        second.run(&joining("readlink /proc/self/ns/ipc; ls -d /dev/mqueue", "ipc", path));
    assert_eq!(outcome.out, format!("{}\n/dev/mqueue\n", theirs.display()));
    end(&first);
}

fn dropping_a_created_container_kills_it() {
    let stage = Stage::new();
    let (options, output) = options(stage.overlay());
    let mut created = create(&to_spec(&shell("echo never")), options).unwrap();
    created.ready().unwrap();
    let pid = created.pid();
    created.network_namespace().unwrap();
    drop(created);
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
    let mut out = String::new();
    std::fs::File::from(output).read_to_string(&mut out).unwrap();
    assert_eq!(out, "");
}
