//! A container for a test: a busybox root, a bundle, a monitor forked into a user namespace, and the engine's side.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use bryo_monitor::client::Client;
use bryo_monitor::log::{Next, ReadOptions, Reader};
use bryo_monitor::messages::*;
use bryo_sys::channel::Channel;
use bryo_sys::fork::{Fork, fork};
use bryo_sys::ns;
use rustix::process::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;

/// How long anything may take.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A container and its engine's connection.
pub struct Container {
    pub dir: TempDir,
    pub config: MonitorConfig,
    pub client: Client,
    pub monitor: Pid,
    /// Events that came while something else was waited for.
    events: Vec<Event>,
    streams: u64,
}

/// One root filesystem for all tests of this process; it is only read, or written where tests do not meet.
fn rootfs() -> &'static Path {
    static ROOT: OnceLock<TempDir> = OnceLock::new();
    ROOT.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        for name in ["bin", "proc", "dev", "sys", "tmp", "etc"] {
            std::fs::create_dir(root.join(name)).unwrap();
        }
        let busybox = ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|p| Path::new(p).exists());
        std::fs::copy(busybox.expect("busybox-static is needed"), root.join("bin/busybox")).unwrap();
        let applets = "sh cat echo printf head sleep yes dd tty stty true false kill seq ls test wc md5sum id ip tr";
        for applet in applets.split(' ') {
            std::os::unix::fs::symlink("busybox", root.join("bin").join(applet)).unwrap();
        }
        std::fs::write(root.join("etc/passwd"), "root:x:0:0::/:/bin/sh\n").unwrap();
        // The container's root is the user that runs the test; others must be able to search the way here.
        std::fs::set_permissions(root, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        dir
    })
    .path()
}

fn process(args: &[&str], terminal: bool) -> Value {
    let capabilities = ["CAP_CHOWN", "CAP_KILL", "CAP_SETUID", "CAP_SETGID", "CAP_DAC_OVERRIDE"];
    json!({
        "terminal": terminal,
        "user": {"uid": 0, "gid": 0},
        "args": args,
        "env": ["PATH=/bin", "TERM=xterm"],
        "cwd": "/",
        "capabilities": {
            "bounding": capabilities, "effective": capabilities, "permitted": capabilities,
        },
        "noNewPrivileges": true,
    })
}

/// The process of an exec.
pub fn exec_process(args: &[&str], terminal: bool) -> Box<oci_spec::runtime::Process> {
    serde_json::from_value(process(args, terminal)).unwrap()
}

fn spec(args: &[&str]) -> Value {
    json!({
        "ociVersion": "1.0.2",
        "process": process(args, false),
        "root": {"path": rootfs(), "readonly": false},
        "hostname": "test",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc",
             "options": ["nosuid", "noexec", "nodev"]},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
             "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
             "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]},
            {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid"]},
        ],
        "linux": {
            "namespaces": [
                {"type": "user"}, {"type": "pid"}, {"type": "mount"}, {"type": "uts"},
                {"type": "ipc"}, {"type": "network"},
            ],
        },
    })
}

impl Container {
    /// A container that runs `args`; its monitor waits.
    pub fn new(args: &[&str]) -> Container {
        Container::with(args, |_, _| {})
    }

    /// A container that runs a script.
    pub fn sh(script: &str) -> Container {
        Container::new(&["sh", "-c", script])
    }

    /// The same with other settings than `docker run` without options would give.
    pub fn with(args: &[&str], change: impl FnOnce(&mut MonitorConfig, &mut Value)) -> Container {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log.json").to_str().unwrap().to_owned();
        let mut config = MonitorConfig {
            version: VERSION,
            id: "0123456789abcdef".repeat(4),
            tty: false,
            tty_size: (0, 0),
            open_stdin: false,
            stdin_once: false,
            log: LogConfig::JsonFile(LogFile {
                path: log,
                max_size: None,
                max_file: 1,
                compress: false,
                attrs: Default::default(),
            }),
            rootfs: Rootfs::Folder(rootfs().to_str().unwrap().to_owned()),
            network: NetworkSetup::None,
            init: false,
            // The whole suite can be run with another runtime.
            runtime: std::env::var("BRYO_TEST_RUNTIME")
                .ok()
                .map(|path| ExternalRuntime { path, args: Vec::new() }),
            cgroup: None,
            limits: Default::default(),
        };
        let mut spec = spec(args);
        change(&mut config, &mut spec);
        spec["process"]["terminal"] = config.tty.into();
        let write =
            |name: &str, bytes: Vec<u8>| std::fs::write(dir.path().join(name), bytes).unwrap();
        write("config.json", serde_json::to_vec(&spec).unwrap());
        write("monitor.json", serde_json::to_vec(&config).unwrap());
        let (ours, theirs) = Channel::pair().unwrap();
        let bridge = matches!(config.network, NetworkSetup::Bridge { .. });
        let monitor = spawn(theirs, dir.path().to_owned(), bridge);
        let mut container = Container {
            dir,
            config,
            client: Client::new(ours).unwrap(),
            monitor,
            events: Vec::new(),
            streams: 0,
        };
        assert!(matches!(container.ask(RequestBody::Sync, &[]), Reply::Ok));
        let ready = container.event(|e| matches!(e, Event::Ready(_)));
        assert!(
            matches!(ready, Event::Ready(state) if state.pid.is_none() && state.exit.is_none())
        );
        container
    }

    pub fn bundle(&self) -> &Path {
        self.dir.path()
    }

    /// The next answer, within [`PATIENCE`].
    fn answer(&self) -> Answer {
        let begin = Instant::now();
        loop {
            if let Some(answer) = self.client.try_recv().expect("the monitor is gone") {
                return answer;
            }
            assert!(begin.elapsed() < PATIENCE, "no answer from the monitor");
            let mut fds = [rustix::event::PollFd::new(&self.client, rustix::event::PollFlags::IN)];
            let wait = rustix::event::Timespec { tv_sec: 1, tv_nsec: 0 };
            rustix::event::poll(&mut fds, Some(&wait)).unwrap();
        }
    }

    /// Waits for an event.
    pub fn event(&mut self, wanted: impl Fn(&Event) -> bool) -> Event {
        if let Some(at) = self.events.iter().position(&wanted) {
            return self.events.remove(at);
        }
        loop {
            match self.answer() {
                Answer::Event(event) if wanted(&event) => return event,
                Answer::Event(event) => self.events.push(event),
                Answer::Reply { seq, body } => panic!("unexpected reply {seq}: {body:?}"),
            }
        }
    }

    /// Asks and waits for the reply.
    pub fn ask(&mut self, body: RequestBody, fds: &[&OwnedFd]) -> Reply {
        let fds: Vec<_> = fds.iter().map(|fd| fd.as_fd()).collect();
        let number = self.client.send(body, &fds).unwrap();
        loop {
            match self.answer() {
                Answer::Event(event) => self.events.push(event),
                Answer::Reply { seq, body } => {
                    assert_eq!(seq, number);
                    return body;
                }
            }
        }
    }

    pub fn ok(&mut self, body: RequestBody) {
        let reply = self.ask(body, &[]);
        assert!(matches!(reply, Reply::Ok), "{reply:?}");
    }

    /// Starts the container and gives its pid.
    pub fn start(&mut self) -> u32 {
        match self.ask(RequestBody::Start, &[]) {
            Reply::Started { pid } => pid,
            other => panic!("not started: {other:?}"),
        }
    }

    /// Waits for the end and gives the exit code.
    pub fn exit_code(&mut self) -> i32 {
        match self.event(|e| matches!(e, Event::Exited(_))) {
            Event::Exited(exit) => exit.code,
            _ => unreachable!(),
        }
    }

    /// Number for the next stream, and our end and theirs.
    fn socket(&mut self) -> (u64, UnixStream, OwnedFd) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_read_timeout(Some(PATIENCE)).unwrap();
        self.streams += 1;
        (self.streams, ours, theirs.into())
    }

    /// Attaches a client with everything but stdin, in frames.
    pub fn attach(&mut self) -> UnixStream {
        self.attach_with(|_| {})
    }

    /// The same with changes.
    pub fn attach_with(&mut self, change: impl FnOnce(&mut StreamConfig)) -> UnixStream {
        let (id, ours, theirs) = self.socket();
        let mut config = stream(id);
        change(&mut config);
        let reply = self.ask(RequestBody::Attach(config), &[&theirs]);
        assert!(matches!(reply, Reply::Ok), "{reply:?}");
        ours
    }

    /// Starts an exec with a client attached.
    pub fn exec(
        &mut self,
        id: &str,
        args: &[&str],
        stdin: bool,
        terminal: bool,
    ) -> (Reply, UnixStream) {
        let (number, ours, theirs) = self.socket();
        let config = StreamConfig { stdin, multiplexed: !terminal, ..stream(number) };
        let request = RequestBody::Exec {
            id: id.to_owned(),
            process: exec_process(args, terminal),
            tty_size: (33, 44),
            open_stdin: stdin,
            stream: Some(config),
        };
        (self.ask(request, &[&theirs]), ours)
    }

    pub fn exec_code(&mut self, wanted: &str) -> i32 {
        match self.event(|e| matches!(e, Event::ExecExited { id, .. } if id == wanted)) {
            Event::ExecExited { code, .. } => code,
            _ => unreachable!(),
        }
    }

    /// What the log holds, without regard to streams.
    pub fn log(&self) -> String {
        let options = ReadOptions { stdout: true, stderr: true, ..Default::default() };
        let mut reader = Reader::open(&self.config.log, options).unwrap();
        let mut text = Vec::new();
        while let Next::Batch(batch) = reader.next(Duration::ZERO).unwrap() {
            text.extend(batch.bytes);
        }
        String::from_utf8_lossy(&text).into_owned()
    }

    pub fn state(&self) -> MonitorState {
        bryo_monitor::client::read_state(self.bundle()).unwrap().unwrap()
    }

    /// Waits until the monitor's process has ended.
    pub fn monitor_ends(&mut self) {
        let begin = Instant::now();
        loop {
            let options = rustix::process::WaitOptions::NOHANG;
            match rustix::process::waitpid(Some(self.monitor), options) {
                Ok(None) => {}
                _ => return,
            }
            assert!(begin.elapsed() < PATIENCE, "the monitor runs on");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = rustix::process::kill_process(self.monitor, rustix::process::Signal::KILL);
        let _ = rustix::process::waitpid(Some(self.monitor), rustix::process::WaitOptions::empty());
        if let Ok(Some(pid)) =
            bryo_monitor::client::read_state(self.bundle()).map(|s| s.and_then(|s| s.pid))
        {
            // Left behind only by an external runtime.
            if let Ok(pid) = bryo_sys::pidfd::to_pid(pid) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
    }
}

fn stream(id: u64) -> StreamConfig {
    StreamConfig {
        id,
        stdin: false,
        stdout: true,
        stderr: true,
        multiplexed: true,
        detach_keys: vec![16, 17],
        early_stdin: Vec::new(),
    }
}

/// What the holder does: a process in a user and mount namespace where it is root, which becomes the monitor.
/// With `bridge` it has a network namespace too, with a bridge `br0` in it.
pub fn spawn(channel: Channel, bundle: PathBuf, bridge: bool) -> Pid {
    let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    match fork().unwrap() {
        Fork::Parent(pid) => pid,
        Fork::Child => {
            let enter = || -> std::io::Result<()> {
                ns::unshare(&[ns::Kind::User, ns::Kind::Mount])?;
                std::fs::write("/proc/self/setgroups", "deny")?;
                std::fs::write("/proc/self/uid_map", format!("0 {uid} 1"))?;
                std::fs::write("/proc/self/gid_map", format!("0 {gid} 1"))?;
                if bridge {
                    ns::unshare(&[ns::Kind::Net])?;
                    for command in ["link add br0 type bridge", "link set br0 up"] {
                        let status = Command::new("ip").args(command.split(' ')).status()?;
                        if !status.success() {
                            return Err(std::io::Error::other(format!("ip {command}: {status}")));
                        }
                    }
                }
                Ok(())
            };
            if let Err(e) = enter() {
                eprintln!("cannot make a user namespace for the test: {e}");
                bryo_sys::fork::exit(1);
            }
            bryo_monitor::run(channel, &bundle)
        }
    }
}

/// Reads a client's frames to the end: stdout, stderr.
pub fn read_frames(stream: &mut UnixStream) -> (Vec<u8>, Vec<u8>) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut header = [0; 8];
    loop {
        match stream.read(&mut header[..1]).unwrap() {
            0 => return (out, err),
            _ => stream.read_exact(&mut header[1..]).unwrap(),
        }
        let length = u32::from_be_bytes(header[4..].try_into().unwrap());
        assert_eq!(header[1..4], [0, 0, 0]);
        let target = match header[0] {
            1 => &mut out,
            2 => &mut err,
            other => panic!("stream {other}"),
        };
        let start = target.len();
        target.resize(start + length as usize, 0);
        stream.read_exact(&mut target[start..]).unwrap();
    }
}

/// Reads a client's raw bytes to the end.
pub fn read_all(stream: &mut UnixStream) -> String {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    String::from_utf8_lossy(&all).into_owned()
}

/// Reads raw bytes until `text` has come.
pub fn read_until(stream: &mut UnixStream, text: &str) -> String {
    let mut all = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let so_far = String::from_utf8_lossy(&all).into_owned();
        if so_far.contains(text) {
            return so_far;
        }
        match stream.read(&mut buffer) {
            Ok(0) => panic!("the stream ended before {text:?}: {so_far:?}"),
            Ok(n) => all.extend_from_slice(&buffer[..n]),
            Err(e) => panic!("{e} before {text:?}: {so_far:?}"),
        }
    }
}

pub fn send(stream: &mut UnixStream, text: &str) {
    stream.write_all(text.as_bytes()).unwrap();
}

pub fn end_input(stream: &UnixStream) {
    stream.shutdown(Shutdown::Write).unwrap();
}
