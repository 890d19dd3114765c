//! What the engine and a container's monitor say to each other.
//!
//! The bundle folder `EXEC_ROOT/containers/ID/` is the other half of this boundary:
//!
//! | file | written by | what |
//! |---|---|---|
//! | `config.json` | engine | the OCI runtime spec |
//! | `monitor.json` | engine | [`MonitorConfig`] |
//! | `seccomp.filter` | engine | the compiled profile ([`bryo_runtime::seccomp::Filter`]); not there: unconfined, or an external runtime's |
//! | `monitor.sock` | monitor | listens for engines that come later (restart, upgrade) |
//! | `state.json` | monitor | [`MonitorState`], replaced at each change, last of all with the exit |
//!
//! ```text
//! engine                                  monitor
//!   │ (holder forks it on a channel)        │ waits: the engine still writes the files
//!   │ ─── Attach{…} + [stream], or Start ─▶ │ reads the files, listens on monitor.sock
//!   │ ◀── Event::Ready ──────────────────── │
//!   │ ◀── Reply ─────────────────────────── │
//!   │ ─── Attach{…} + [stream] ───────────▶ │ any number, also before the start
//!   │ ─── Start ──────────────────────────▶ │ namespaces, mounts, network; exec
//!   │ ◀── Reply::Started{pid} / Failed ──── │ (Failed: the monitor ends, nothing is left)
//!   │ ─── Exec, Signal, Resize, Pause … ──▶ │
//!   │ ◀── Event::ExecExited … ───────────── │
//!   │ ◀── Event::Exited{…} ──────────────── │ after the log is complete and state.json is written
//!   ╳                                       ╳ monitor ends
//! ```
//!
//! Each request carries a `seq`; its reply repeats it. Replies come in the order of the requests,
//! but for `Start` and `Exec`, whose reply waits for the exec of the program. Events have no `seq`.
//! A monitor that cannot use its bundle answers `Reply { seq: 0, Failed }` instead of `Event::Ready` and ends.
//! A monitor whose engine closes the channel without a request ends.
//! An engine that dies closes the channel: the monitor goes on alone and accepts the next engine,
//! which gets `Event::Ready` with the state as it is and nothing that happened before is lost:
//! `state.json` has it. Several engines at once are served alike (each gets every event).

use serde::{Deserialize, Serialize};

/// The protocol's version; a newer engine speaks every older one. Since 2 the seccomp profile lies compiled in the bundle: an
/// older monitor, which would start the container without, refuses such a bundle.
pub const VERSION: u32 = 2;

/// The bundle's file with the compiled seccomp profile. The spec has none then.
pub const SECCOMP_FILTER: &str = "seccomp.filter";

/// How the monitor treats its container; `monitor.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MonitorConfig {
    /// [`VERSION`] of the engine that wrote it.
    pub version: u32,
    /// The container's id, 64 hex digits.
    pub id: String,
    /// Give the first process a pseudo terminal.
    pub tty: bool,
    /// Terminal size at start, rows and columns; 0 leaves it to the kernel.
    pub tty_size: (u16, u16),
    /// Keep stdin open (docker's `-i`); otherwise stdin is /dev/null.
    pub open_stdin: bool,
    /// Close stdin when the first attached client ends its side.
    pub stdin_once: bool,
    /// Where output goes besides the attached clients.
    pub log: LogConfig,
    /// The root filesystem.
    pub rootfs: Rootfs,
    /// The network of the container.
    pub network: NetworkSetup,
    /// Put a small init (docker's `--init`) in front of the program as pid 1.
    pub init: bool,
    /// An external OCI runtime (absolute path of the program and extra arguments) instead of the built-in one.
    pub runtime: Option<ExternalRuntime>,
    /// The container's cgroup, which the monitor makes and removes: absolute path of a cgroup v2 folder. Its events set
    /// `State.OOMKilled`.
    pub cgroup: Option<String>,
    /// What it is held to.
    #[serde(default)]
    pub limits: Limits,
}

/// What the monitor holds a container to. The first three are for hosts where no cgroup does it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Bytes of memory beyond which the monitor kills; none: it does not look.
    pub memory: Option<u64>,
    /// Processes and threads of each user id (RLIMIT_NPROC).
    pub processes: Option<u64>,
    /// CPUs that it may run on (affinity); empty: all.
    pub cpus: Vec<u32>,
    /// Files of its cgroup and what is written to them, in order; for [`MonitorConfig::cgroup`].
    pub cgroup: Vec<(String, String)>,
}

/// An OCI runtime that is not ours.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ExternalRuntime {
    /// Absolute path.
    pub path: String,
    /// Arguments before the sub-command.
    pub args: Vec<String>,
}

/// Log drivers that the monitor writes itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum LogConfig {
    /// Nothing is kept.
    None,
    /// Docker's json-file lines (`{"log":…,"stream":…,"time":…}`), rotated to `path.1`, `path.2` …
    JsonFile(LogFile),
    /// Bryo's compact format (see `log::local`), rotated alike.
    Local(LogFile),
}

/// A log file and its rotation.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LogFile {
    /// Absolute path.
    pub path: String,
    /// Rotate when the file passes this many bytes; none: never.
    pub max_size: Option<u64>,
    /// Files kept in all, the current one included; at least 1.
    pub max_file: u32,
    /// gzip rotated files.
    pub compress: bool,
    /// Extra attributes (docker's `labels`, `env`, `tag` log options), repeated in every record's `attrs`.
    pub attrs: std::collections::BTreeMap<String, String>,
}

/// Where the root filesystem comes from. It is mounted in the container's own mount namespace.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Rootfs {
    /// overlayfs with `userxattr`; `lower` is topmost first, as the kernel wants it.
    Overlay {
        /// Layer folders, topmost first.
        lower: Vec<String>,
        /// The writable layer.
        upper: String,
        /// overlayfs' work folder, on the same filesystem as `upper`.
        work: String,
    },
    /// The same through the program `fuse-overlayfs`.
    FuseOverlay {
        /// Absolute path of the program.
        program: String,
        /// Layer folders, topmost first.
        lower: Vec<String>,
        /// The writable layer.
        upper: String,
        /// The work folder.
        work: String,
    },
    /// A plain folder.
    Folder(String),
}

/// How the container's network namespace comes about.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum NetworkSetup {
    /// The host's own (docker's `--network host`).
    Host,
    /// A new one with loopback only.
    None,
    /// The namespace of another container's process: `/proc/PID/ns/net`.
    Join(String),
    /// A new one, joined to bridges.
    Bridge {
        /// Path of the network namespace that holds the bridges.
        bridges: String,
        /// One per network; the first is the default route's.
        endpoints: Vec<bryo_net::Endpoint>,
    },
}

/// Engine to monitor.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Request {
    /// Repeated in the reply.
    pub seq: u64,
    /// What is asked.
    pub body: RequestBody,
}

/// What is asked of a monitor.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum RequestBody {
    /// Starts the container. Answered by `Started` once the program was executed, or `Failed`. With a descriptor, the
    /// container gets a resolver: it is a channel, on which its UDP and TCP socket (`bryo_net::resolver_sockets`) are
    /// sent before the program runs, or a message without descriptors that says why there are none.
    Start,
    /// Joins a client to the first process' streams. One descriptor: the client's stream socket,
    /// which the monitor owns from now on (it survives the engine).
    Attach(StreamConfig),
    /// Starts a further process. With `stream` set, one descriptor as in `Attach`; if the exec fails that is closed
    /// but not shut down, so that an engine which kept a copy can write the error to the client.
    Exec {
        /// The exec's id, 64 hex digits.
        id: String,
        /// The process, as in the OCI runtime spec (user, args, env, cwd, capabilities, terminal …).
        process: Box<oci_spec::runtime::Process>,
        /// Terminal size at start, rows and columns.
        tty_size: (u16, u16),
        /// Open stdin.
        open_stdin: bool,
        /// The client's stream, if it is attached.
        stream: Option<StreamConfig>,
    },
    /// Sets a terminal's size.
    Resize {
        /// An exec's id, or none for the container's own terminal.
        exec: Option<String>,
        /// Rows.
        rows: u16,
        /// Columns.
        cols: u16,
    },
    /// Sends a signal to the first process (by pidfd).
    Signal {
        /// Its number.
        signal: i32,
    },
    /// Freezes every process of the container: the cgroup's freezer, else SIGSTOP to each.
    Pause,
    /// The reverse.
    Unpause,
    /// Other limits from now on.
    Update {
        /// All of them, not only what changes.
        limits: Limits,
    },
    /// Attaches a further bridge network to the running container.
    ConnectNetwork {
        /// Path of the network namespace that holds the bridges.
        bridges: String,
        /// The interface to make.
        endpoint: bryo_net::Endpoint,
    },
    /// Takes an interface away.
    DisconnectNetwork {
        /// Its name inside the container.
        interface: String,
    },
    /// Measures what the container uses. Answered by `Usage`.
    Usage,
    /// Does nothing. Its reply comes after the events of all that has happened before: an engine that is asked for an
    /// exec's exit code by a client which has just seen the exec's end uses it to hear of that end first.
    Sync,
    /// Ends a monitor whose container was not started, or has ended and waits for a client to take its last output;
    /// closes attached streams.
    Abandon,
}

/// How a client's stream is joined.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StreamConfig {
    /// Names the stream in `Event::StreamClosed`, which every engine hears: unique over engines too.
    pub id: u64,
    /// Forward the client's bytes to stdin.
    pub stdin: bool,
    /// Send stdout.
    pub stdout: bool,
    /// Send stderr.
    pub stderr: bool,
    /// Docker's 8-byte frame headers; false with a terminal.
    pub multiplexed: bool,
    /// Bytes that detach when the client types them (empty: none); only looked for with a terminal.
    pub detach_keys: Vec<u8>,
    /// Bytes of stdin that the engine has already read from the client.
    pub early_stdin: Vec<u8>,
}

/// Monitor to engine.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Answer {
    /// To one request.
    Reply {
        /// The request's.
        seq: u64,
        /// The outcome.
        body: Reply,
    },
    /// To nobody in particular.
    Event(Event),
}

/// The outcome of a request.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Reply {
    /// Done.
    Ok,
    /// The program (of `Start` or `Exec`) was executed.
    Started {
        /// Its pid in the host's pid namespace.
        pid: u32,
    },
    /// `Update` is done, but for what the sentence says.
    Partly(String),
    /// What the container uses.
    Usage(Box<Usage>),
    /// It could not be done.
    Failed(Failure),
}

/// One sample of what a container uses, from its cgroup or, where it has none, from its processes. Counters only grow.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// When it was taken, in nanoseconds since the epoch.
    pub time: i128,
    /// Processor time since the start.
    pub cpu: CpuUsage,
    /// Processor time of the whole machine since boot, idle time included, in nanoseconds.
    pub machine_cpu: u64,
    /// The machine's CPUs that are online.
    pub online_cpus: u32,
    /// Memory now.
    pub memory: MemoryUsage,
    /// Processes and threads now.
    pub pids: u64,
    /// The most there may be, where a cgroup says so; `u64::MAX`: a cgroup without a limit.
    pub pids_limit: Option<u64>,
    /// Bytes read from and written to disks since the start.
    pub disks: Vec<DiskUsage>,
    /// Traffic by interface, loopback left out; empty on the host's network.
    pub interfaces: std::collections::BTreeMap<String, Traffic>,
}

/// Processor time, in nanoseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CpuUsage {
    /// In all.
    pub total: u64,
    /// In programs.
    pub user: u64,
    /// In the kernel.
    pub system: u64,
    /// Periods of the CPU limit, those in which it was held back, and for how long.
    pub throttled: (u64, u64, u64),
}

/// Memory, in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MemoryUsage {
    /// All of it, page cache included where a cgroup tells it.
    pub usage: u64,
    /// The cgroup's limit; none: no limit there.
    pub limit: Option<u64>,
    /// Times that a process was killed for memory.
    pub kills: u64,
    /// The cgroup's `memory.stat`; without a cgroup `anon` and `shmem` alone.
    pub detail: std::collections::BTreeMap<String, u64>,
}

/// Bytes read from and written to a disk; without a cgroup all disks are one, 0:0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DiskUsage {
    /// Device number.
    pub major: u32,
    /// Device number.
    pub minor: u32,
    /// Bytes.
    pub read: u64,
    /// Bytes.
    pub written: u64,
}

/// Traffic of an interface, as the container sees it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Traffic {
    /// Bytes, packets, errors and drops received.
    pub received: [u64; 4],
    /// Bytes, packets, errors and drops sent.
    pub sent: [u64; 4],
}

/// Why something could not be done.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Failure {
    /// What kind, for exit codes.
    pub kind: FailureKind,
    /// What was tried, on what, why it failed, what to do. For a missing or bad program the text is runc's
    /// (`exec: "nosuch": executable file not found in $PATH`), which Docker's clients look for.
    pub message: String,
}

/// Kinds of failure that a client can tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailureKind {
    /// The program does not exist (exit code 127).
    CommandNotFound,
    /// The program cannot be executed: a folder, no permission, a bad format (exit code 126).
    CommandNotExecutable,
    /// The request does not fit the state (not running, paused …).
    WrongState,
    /// The request itself is wrong (a user that does not exist, a bad mount …).
    BadRequest,
    /// Anything else.
    Other,
}

/// Something happened.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Event {
    /// The first message on every connection.
    Ready(MonitorState),
    /// A client's stream ended.
    StreamClosed {
        /// [`StreamConfig::id`].
        id: u64,
        /// The client typed the detach keys.
        detached: bool,
    },
    /// A process made by `Exec` ended.
    ExecExited {
        /// The exec's id.
        id: String,
        /// 0–255; 128 + signal for a killed process.
        code: i32,
    },
    /// The kernel (or the memory watcher) killed a process for memory.
    OutOfMemory,
    /// The container ended.
    Exited(Exit),
}

/// What a monitor knows; `state.json`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct MonitorState {
    /// The monitor's [`VERSION`].
    pub version: u32,
    /// The container's first process, host pid; none before the start.
    pub pid: Option<u32>,
    /// Start time of `pid` in clock ticks since boot (/proc/PID/stat field 22), to recognise a reused pid.
    pub pid_start: Option<u64>,
    /// The monitor's own pid.
    pub monitor_pid: u32,
    /// Nanoseconds since the epoch at which the program was executed.
    pub started_at: Option<i128>,
    /// Paused.
    pub paused: bool,
    /// A process of the container was killed for memory.
    pub oom_killed: bool,
    /// Execs that run, id and host pid.
    pub execs: Vec<(String, u32)>,
    /// Execs that ended, id and code; the last 128.
    pub ended_execs: Vec<(String, i32)>,
    /// The end.
    pub exit: Option<Exit>,
}

/// The end of a container.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Exit {
    /// 0–255; 128 + signal for a killed process.
    pub code: i32,
    /// Killed for memory.
    pub oom_killed: bool,
    /// Nanoseconds since the epoch.
    pub finished_at: i128,
}
