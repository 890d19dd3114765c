//! The engine that runs now: which process it is, what it answers, how it is ended or replaced.
//!
//! An engine is found by its lock file in the exec root, which holds its pid, and by its socket; the first is there when it
//! does not answer, the second when it was given another exec root.

use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bryo_rootless::SetupError;
use bryo_spec::docker::Version;
use bryo_sys::pidfd;
use serde::de::DeserializeOwned;

use super::place::{Place, file_error};
use crate::cli::client::{Client, Host};
use crate::cli::error::CliError;

/// How long an engine may take to answer after its start.
const START: Duration = Duration::from_secs(20);

/// A `bryo daemon`.
#[derive(Debug, Clone)]
pub struct Engine {
    /// Its process.
    pub pid: u32,
    /// Its command line.
    pub args: Vec<std::ffi::OsString>,
}

/// The engine of that exec root, if it is alive.
pub fn engine(exec_root: &Path) -> Option<Engine> {
    let pid = std::fs::read_to_string(exec_root.join("engine.lock")).ok()?;
    let pid: u32 = pid.trim().parse().ok()?;
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let words = line.strip_suffix(b"\0").unwrap_or(&line).split(|b| *b == 0);
    let args: Vec<_> = words.map(|w| std::ffi::OsString::from_vec(w.to_vec())).collect();
    args.get(1).is_some_and(|word| word == "daemon").then_some(Engine { pid, args })
}

/// Asks the API.
pub fn ask<T: DeserializeOwned>(socket: &Path, path: &str) -> Result<T, CliError> {
    let client = Client::new(Host::Unix(socket.to_owned()), "");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let answer = tokio::time::timeout(Duration::from_secs(10), client.get(path)).await;
        answer.unwrap_or_else(|_| Err(CliError::new("no answer within 10 s")))
    })
}

/// What serves the socket, if anything does.
pub fn version(socket: &Path) -> Option<Version> {
    ask(socket, "/version").ok()
}

/// Whether anybody listens on a socket.
pub fn serves(socket: &Path) -> bool {
    std::os::unix::net::UnixStream::connect(socket).is_ok()
}

/// Bryo's version among the components; none if it is another engine.
pub fn bryo_version(version: &Version) -> Option<&str> {
    version.components.iter().find(|c| c.name == "bryo").map(|c| c.version.as_str())
}

/// Ids of the running containers; empty if the engine does not answer.
pub fn containers(socket: &Path) -> Vec<String> {
    let list: Vec<serde_json::Value> = ask(socket, "/containers/json").unwrap_or_default();
    let id = |c: &serde_json::Value| c.get("Id").and_then(|id| id.as_str()).map(str::to_owned);
    list.iter().filter_map(id).collect()
}

impl Engine {
    /// Whether the program file is newer than the process.
    pub fn is_older_than(&self, program: &Path) -> bool {
        use std::os::unix::fs::MetadataExt;
        let (Some(ticks), Ok(file)) = (pidfd::start_time(self.pid), std::fs::metadata(program))
        else {
            return false;
        };
        let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
        let boot =
            stat.lines().find_map(|l| l.strip_prefix("btime ")).and_then(|t| t.parse::<u64>().ok());
        let started = boot.unwrap_or(0) + ticks / rustix::param::clock_ticks_per_second();
        // The change time: moving a file into its place sets it, however old its content is.
        // One second more, for the time of the boot is rounded.
        u64::try_from(file.ctime()).is_ok_and(|changed| changed > started + 1)
    }

    /// Sends a signal.
    pub fn signal(&self, signal: i32) {
        let _ = pidfd::open(self.pid).and_then(|process| pidfd::signal(process, signal));
    }

    /// Whether it ended within that time.
    pub fn ended_within(&self, time: Duration) -> bool {
        // No handle: it is gone already.
        pidfd::open(self.pid)
            .map_or(true, |process| pidfd::wait(process, Some(time)).unwrap_or(true))
    }

    /// A new engine of this program takes over: the old one is killed, which no container notices, and the new one gets its
    /// command line. Waits until it answers.
    pub fn replace(&self, program: &Path, place: &Place) -> Result<(), SetupError> {
        self.signal(9);
        self.ended_within(Duration::from_secs(10));
        start(program, self.args.get(1..).unwrap_or_default(), place)
    }
}

/// Starts an engine in the background and waits until it answers.
fn start(program: &Path, args: &[std::ffi::OsString], place: &Place) -> Result<(), SetupError> {
    let folder = place.log.parent().unwrap_or(Path::new("/"));
    let log = std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::OpenOptions::new().create(true).append(true).open(&place.log));
    let log = log.map_err(|e| file_error("write", &place.log, &e))?;
    let both = log.try_clone().map_err(|e| file_error("write", &place.log, &e))?;
    // setsid(1): the end of this terminal is not the end of the engine.
    let child = Command::new("setsid")
        .arg(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(both)
        .spawn();
    let mut child = child.map_err(|e| file_error("start", program, &e))?;
    let begun = Instant::now();
    while begun.elapsed() < START {
        if version(&place.socket).is_some() {
            return Ok(());
        }
        if let Ok(Some(status)) = child.try_wait() {
            let seen = format!("{status}; its words are at the end of {}", place.log.display());
            return Err(SetupError::new(
                "the new engine ended at once",
                seen,
                format!("{} daemon", program.display()),
            ));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let seen = format!("no answer at {} after {} s", place.host(), START.as_secs());
    Err(SetupError::new(
        "the new engine does not answer",
        seen,
        format!("tail {}", place.log.display()),
    ))
}
