//! The runtime on the real kernel, as a plain user.
//!
//! Every case runs in a forked process that enters a user namespace of its own first (see `stage`), since the
//! runtime's caller has one thread and is uid 0 of Bryo's user namespace. Started by root, the process first becomes an
//! ordinary user. Arguments are libtest's as far as they make sense: words select cases, `--list` lists them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a test whose runner is our own, so clippy does not see that it is one"
)]

mod basics;
mod cgroup;
mod limits;
mod mounts;
mod running;
mod security;
mod stage;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use bryo_sys::fork;

/// A named case.
type Case = (&'static str, fn());

/// A case that could not run, and why; printed, counted, and not a failure.
const SKIPPED: i32 = 77;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let cases: Vec<Case> = [
        basics::CASES,
        mounts::CASES,
        security::CASES,
        running::CASES,
        cgroup::CASES,
        limits::CASES,
    ]
    .concat();
    if words.iter().any(|w| w == "--list") {
        cases.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    let filters: Vec<&String> = words.iter().filter(|w| !w.starts_with("--")).collect();
    let wanted = |name: &str| filters.is_empty() || filters.iter().any(|f| name.contains(*f));
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for (name, case) in cases.into_iter().filter(|(name, _)| wanted(name)) {
        match run(case) {
            0 => passed += 1,
            SKIPPED => skipped += 1,
            code => {
                failed += 1;
                println!("FAILED: {name} (code {code})");
            }
        }
    }
    println!("kernel: {passed} passed; {failed} failed; {skipped} skipped");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run(case: fn()) -> i32 {
    let root = rustix::process::getuid().is_root();
    let prepare = || match root {
        true => cgroup::delegate(stage::USER).map_err(|e| format!("delegating a cgroup: {e}")),
        false => Ok(()),
    };
    let child = fork::spawn(|| match prepare().and_then(|()| stage::enter()) {
        Ok(()) => i32::from(catch_unwind(AssertUnwindSafe(case)).is_err()),
        Err(reason) => {
            println!("SKIPPED: {reason}");
            SKIPPED
        }
    });
    let Ok(child) = child else { return 1 };
    let ended = fork::wait(child);
    if root {
        cgroup::remove(bryo_sys::pidfd::to_u32(child));
    }
    ended.map_or(1, fork::Ended::code)
}
