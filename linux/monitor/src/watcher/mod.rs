//! A memory limit without a cgroup: the monitor looks at the container's memory and kills, as the kernel would.
//!
//! ```text
//! deadline ─▶ look: bound of all processes + tmpfs ── below the limit ──▶ next deadline
//!                        │ above
//!                        ▼
//!                  exact shares ── below ──▶ next deadline
//!                        │ above
//!                        ▼
//!                  SIGKILL by pidfd to the largest process; OOMKilled, the `oom` event; look again at once
//! ```
//!
//! What counts is what only killing brings back: anonymous memory, shared memory, and the content of the container's own
//! tmpfs mounts. Page cache and the kernel's own memory do not, unlike in a cgroup.
//!
//! **How often.** Between two looks a program can go beyond the limit; how far is the overshoot. So the pause is the time
//! in which the room that is left could be filled, at [`FILL_RATE`], within bounds of cost: a container that does not grow
//! is looked at as seldom as keeps the cost below [`CALM_SHARE`] of a CPU, one that grows as often as [`BUSY_SHARE`] allows.
//! The cost is measured at each look, so a container with a thousand processes is looked at less often.
//!
//! Pressure-stall information is not used: without a cgroup it exists for the whole machine only, and says nothing of
//! one container. Neither are `RLIMIT_AS` and `RLIMIT_DATA`: they count what is reserved, and ordinary programs (Go, Java,
//! Node, every thread's stack) reserve many times what they touch.
//!
//! On failure: a process that cannot be read counts by its last bound or not at all; one that cannot be killed is tried
//! again at each look.

pub(crate) mod census;

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use bryo_sys::pidfd;
use bryo_sys::rooted::Root;
use oci_spec::runtime::Spec;
use rustix::time::{ClockId, clock_gettime};

use census::Census;

/// Bytes a second that a program on one CPU fills at most, by measurement (page faults with 4 KiB pages: 1–1.5 GB/s).
const FILL_RATE: u64 = 2 << 30;

/// The share of one CPU that watching may cost while the container's memory stays as it is: a thousandth.
const CALM_SHARE: u32 = 1000;

/// The same while it grows: a twentieth.
const BUSY_SHARE: u32 = 20;

/// What a wake-up costs beside the look itself.
const WAKE: Duration = Duration::from_micros(30);

/// The shortest pause.
const SHORTEST: Duration = Duration::from_millis(1);

/// The longest pause for want of anything to see.
const LONGEST: Duration = Duration::from_millis(250);

/// The longest pause to save: many hundred processes.
const LONGEST_TO_SAVE: Duration = Duration::from_secs(2);

/// Looks without growth until a container counts as calm.
const CALM_AFTER: u32 = 8;

/// How long a killed process may take to give its memory back before the next one is killed.
const DYING: Duration = Duration::from_secs(1);

/// The watch on one container.
#[derive(Debug)]
pub(crate) struct Watcher {
    limit: u64,
    census: Census,
    /// The container's tmpfs mounts, `O_PATH`.
    tmpfs: Vec<OwnedFd>,
    next: Instant,
    /// What the last look found, in bytes.
    usage: u64,
    /// Looks in a row that found no growth.
    calm: u32,
    /// CPU time of a look, smoothed.
    cost: Duration,
    victim: Option<(OwnedFd, Instant)>,
}

impl Watcher {
    /// Watches the container whose first process is `pid`.
    pub(crate) fn new(limit: u64, pid: u32, spec: &Spec) -> Watcher {
        Watcher {
            limit,
            census: Census::new(),
            tmpfs: tmpfs(pid, spec),
            next: Instant::now(),
            usage: 0,
            calm: 0,
            cost: Duration::ZERO,
            victim: None,
        }
    }

    /// Another limit from now on.
    pub(crate) fn set_limit(&mut self, limit: u64) {
        self.limit = limit;
        self.calm = 0;
        self.next = Instant::now();
    }

    /// When to look next.
    pub(crate) fn deadline(&self) -> Instant {
        self.next
    }

    /// Looks if it is time to. True: a process was killed. `roots` are the container's first process and its execs.
    pub(crate) fn look(&mut self, now: Instant, roots: impl Fn() -> Vec<u32>) -> bool {
        if now < self.next {
            return false;
        }
        if !self.victim_is_gone(now) {
            self.next = now + SHORTEST;
            return false;
        }
        let before = cpu_time();
        let pids = bryo_runtime::family(&roots());
        let tmpfs = self.tmpfs_bytes();
        let total = |m: census::Memory| m.anonymous.saturating_add(m.shared.max(tmpfs));
        let mut usage = total(self.census.bound(&pids));
        let mut killed = false;
        if usage > self.limit {
            let (memory, each) = self.census.exact(&pids);
            usage = total(memory);
            killed = usage > self.limit && self.kill_largest(each, &roots, now);
        }
        let cost = cpu_time().saturating_sub(before);
        self.cost = if self.cost.is_zero() { cost } else { (self.cost * 7 + cost) / 8 };
        self.plan(now, usage, killed);
        killed
    }

    fn plan(&mut self, now: Instant, usage: u64, killed: bool) {
        let grown = usage > self.usage.saturating_add(self.limit / 256);
        self.calm = if grown || killed { 0 } else { self.calm.saturating_add(1) };
        self.usage = usage;
        let share = if self.calm >= CALM_AFTER { CALM_SHARE } else { BUSY_SHARE };
        let room = self.limit.saturating_sub(usage);
        let to_fill = Duration::from_micros(room.saturating_mul(1000) / (FILL_RATE / 1000));
        let affordable = (self.cost + WAKE) * share;
        let pause = to_fill.min(LONGEST).max(affordable.min(LONGEST_TO_SAVE));
        self.next = now + pause.max(SHORTEST);
    }

    fn victim_is_gone(&mut self, now: Instant) -> bool {
        let Some((pidfd, since)) = &self.victim else { return true };
        let ended = pidfd::wait(pidfd, Some(Duration::ZERO)).unwrap_or(true);
        let waited = now.saturating_duration_since(*since) > DYING;
        if ended || waited {
            self.victim = None;
        }
        ended || waited
    }

    /// Kills the process that the kernel would choose: the largest, shifted by its `oom_score_adj` (`oom_badness`).
    fn kill_largest(
        &mut self,
        mut each: Vec<(u32, u64)>,
        roots: &impl Fn() -> Vec<u32>,
        now: Instant,
    ) -> bool {
        let limit = i128::from(self.limit);
        each.sort_by_key(|&(pid, bytes)| {
            std::cmp::Reverse(i128::from(bytes) + i128::from(score(pid)) * limit / 1000)
        });
        for (pid, _) in each.into_iter().filter(|&(pid, _)| score(pid) > -1000) {
            let Ok(pidfd) = pidfd::open(pid) else { continue };
            // The pid may have gone to another process before the handle was open.
            if !bryo_runtime::family(&roots()).contains(&pid) {
                continue;
            }
            if pidfd::signal(&pidfd, rustix::process::Signal::KILL.as_raw()).is_ok() {
                // Its memory is freed now and not when its last thread gets to run.
                let _ = pidfd::release_memory(&pidfd);
                self.victim = Some((pidfd, now));
                return true;
            }
        }
        false
    }

    fn tmpfs_bytes(&self) -> u64 {
        let used = |fd: &OwnedFd| {
            let s = rustix::fs::fstatfs(fd).ok()?;
            let size = u64::try_from(s.f_bsize).ok()?;
            Some(s.f_blocks.saturating_sub(s.f_bfree).saturating_mul(size))
        };
        self.tmpfs.iter().filter_map(used).fold(0, u64::saturating_add)
    }
}

/// CPU time that this thread has used.
fn cpu_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

fn score(pid: u32) -> i64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/oom_score_adj"));
    text.ok().and_then(|t| t.trim().parse().ok()).unwrap_or(0)
}

/// The mounts that are the container's memory, as they are now.
fn tmpfs(pid: u32, spec: &Spec) -> Vec<OwnedFd> {
    const TMPFS_MAGIC: i128 = 0x0102_1994;
    let Ok(root) = Root::open(format!("/proc/{pid}/root")) else { return Vec::new() };
    let mounts = spec.mounts().iter().flatten();
    let wanted = mounts.filter(|m| m.typ().as_deref() == Some("tmpfs"));
    let open = wanted.filter_map(|m| root.resolve(m.destination()).ok());
    open.filter(|fd| rustix::fs::fstatfs(fd).is_ok_and(|s| i128::from(s.f_type) == TMPFS_MAGIC))
        .collect()
}
