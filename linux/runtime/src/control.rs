//! A running container's processes: listing, freezing, signals.

use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use bryo_sys::pidfd;
use rustix::io::Errno;

use crate::error::{Context, Error, Result};

const SIGCONT: i32 = 18;
const SIGSTOP: i32 = 19;

/// Rounds of stopping until no process is left that was not stopped; each round stops those that the ones before it made.
const MAX_ROUNDS: usize = 100;

/// How long the cgroup freezer may take.
const FREEZE_LIMIT: Duration = Duration::from_secs(10);

/// The pids (in the caller's pid namespace) of all processes of the container whose first process is `pid`: the members of
/// `cgroup` if there is one, else those in the same pid namespace, else (host pid namespace) `pid` and its
/// descendants. Sorted.
pub fn processes(pid: u32, cgroup: Option<&Path>) -> Result<Vec<u32>> {
    let mut pids = match cgroup {
        Some(folder) => members(folder)?,
        None => {
            let theirs = namespace(pid).ok_or_else(|| {
                Error::new(crate::ErrorKind::WrongState, format!("process {pid} is not running"))
            })?;
            let own =
                std::fs::read_link("/proc/self/ns/pid").context(|| "reading my pid namespace")?;
            if theirs == own { family(&[pid]) } else { in_namespace(&theirs)? }
        }
    };
    pids.sort_unstable();
    pids.dedup();
    Ok(pids)
}

fn members(folder: &Path) -> Result<Vec<u32>> {
    let file = folder.join("cgroup.procs");
    let text = std::fs::read_to_string(&file).context(|| format!("reading {}", file.display()))?;
    let mut pids = numbers(&text);
    // A container may have made cgroups of its own below.
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            pids.extend(members(&entry.path())?);
        }
    }
    Ok(pids)
}

fn namespace(pid: u32) -> Option<std::path::PathBuf> {
    std::fs::read_link(format!("/proc/{pid}/ns/pid")).ok()
}

fn in_namespace(wanted: &Path) -> Result<Vec<u32>> {
    let all = std::fs::read_dir("/proc").context(|| "reading /proc")?;
    let pids = all.flatten().filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok());
    Ok(pids.filter(|p| namespace(*p).is_some_and(|n| n == wanted)).collect())
}

/// `roots` and all their descendants, each once. It reads only their own files in /proc, so it costs the same on a machine with
/// many other processes; a process that is made or ends meanwhile may be missed or be gone already.
pub fn family(roots: &[u32]) -> Vec<u32> {
    let mut found = roots.to_vec();
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        next += 1;
        let tasks = format!("/proc/{parent}/task");
        // A folder has a link for each folder in it, and two more: most processes have one thread, whose id is the process'.
        let single = rustix::fs::stat(&tasks).is_ok_and(|s| s.st_nlink == 3);
        let mut take = |thread: &Path| {
            let children = std::fs::read_to_string(thread.join("children")).unwrap_or_default();
            found.extend(numbers(&children));
        };
        if single {
            take(&Path::new(&tasks).join(parent.to_string()));
        } else {
            let threads = std::fs::read_dir(&tasks).into_iter().flatten().flatten();
            threads.for_each(|thread| take(&thread.path()));
        }
    }
    found
}

fn numbers(text: &str) -> Vec<u32> {
    text.split_ascii_whitespace().filter_map(|n| n.parse().ok()).collect()
}

/// Freezes every process of a container: by the freezer of `cgroup` (v2), else by SIGSTOP to each (which the processes'
/// parents can see, unlike the freezer).
pub fn pause(pid: u32, cgroup: Option<&Path>) -> Result<()> {
    if let Some(folder) = cgroup {
        return freeze(folder, true);
    }
    let mut stopped = Vec::new();
    for _ in 0..MAX_ROUNDS {
        let new: Vec<u32> =
            processes(pid, None)?.into_iter().filter(|p| !stopped.contains(p)).collect();
        if new.is_empty() {
            return Ok(());
        }
        for process in new {
            send(process, SIGSTOP)?;
            stopped.push(process);
        }
    }
    resume(pid)?;
    Err(Error::other("the container makes processes faster than they can be stopped"))
}

/// The reverse of [`pause`].
pub fn unpause(pid: u32, cgroup: Option<&Path>) -> Result<()> {
    match cgroup {
        Some(folder) => freeze(folder, false),
        None => resume(pid),
    }
}

fn resume(pid: u32) -> Result<()> {
    for process in processes(pid, None)? {
        send(process, SIGCONT)?;
    }
    Ok(())
}

/// Writes `cgroup.freeze` and waits until the kernel says that it is done.
fn freeze(folder: &Path, on: bool) -> Result<()> {
    let what = || format!("{} {}", if on { "freezing" } else { "thawing" }, folder.display());
    std::fs::write(folder.join("cgroup.freeze"), if on { "1" } else { "0" }).context(what)?;
    let wanted = if on { "frozen 1" } else { "frozen 0" };
    let start = Instant::now();
    loop {
        let events = std::fs::read_to_string(folder.join("cgroup.events")).context(what)?;
        if events.lines().any(|l| l == wanted) {
            return Ok(());
        }
        if start.elapsed() > FREEZE_LIMIT {
            return Err(Error::other(format!("{}: not done after {FREEZE_LIMIT:?}", what())));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Signals a process of the list; one that has ended needs none.
fn send(pid: u32, number: i32) -> Result<()> {
    let fd = match pidfd::open(pid) {
        Err(e) if Errno::from_io_error(&e) == Some(Errno::SRCH) => return Ok(()),
        other => other.context(|| format!("opening process {pid}"))?,
    };
    signal(std::os::fd::AsFd::as_fd(&fd), number).map(drop)
}

/// Sends a signal by number (1–64). `Ok(false)`: the process has ended.
pub fn signal(pidfd: BorrowedFd<'_>, number: i32) -> Result<bool> {
    match pidfd::signal(pidfd, number) {
        Ok(()) => Ok(true),
        Err(e) if Errno::from_io_error(&e) == Some(Errno::SRCH) => Ok(false),
        Err(e) => Err(e).context(|| format!("sending signal {number}")),
    }
}
