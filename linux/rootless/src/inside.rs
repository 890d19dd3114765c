//! Work in namespaces of its own, made as the engine's are and gone with the work: what a check tries, and what touches files
//! of subordinate ids while no engine runs.

use std::path::Path;

use bryo_sys::channel::Channel;
use bryo_sys::fork;

use crate::birth::{make_namespaces, send};
use crate::error::SetupError;
use crate::messages::Birth;
use crate::parent::{Newborn, internal};
use crate::preflight::Plan;

/// How the work ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// What it returned, or 128 + the signal that ended it, or 101 for a panic.
    pub code: i32,
    /// The last message it sent on its channel; empty if none.
    pub message: Vec<u8>,
}

/// Forks; the child makes a user namespace with the plan's ids and a mount namespace, runs `work` there as uid 0 and ends
/// with its result. The working folder, the standard streams and the network stay those of the caller.
///
/// # Errors
/// A step that the kernel or newuidmap refused, worded as the engine's start would word it.
pub fn inside(
    plan: &Plan,
    program: &Path,
    work: impl FnOnce(&Channel) -> i32,
) -> Result<Outcome, SetupError> {
    let broken = |e: std::io::Error| internal("could not start a child process", e.to_string());
    let (ours, theirs) = Channel::pair().map_err(broken)?;
    let mut ours = Some(ours);
    let pid = fork::spawn(|| {
        drop(ours.take()); // Else the child would wait for itself when the parent gives up.
        match make_namespaces(&theirs, &plan.ids, plan.tools.is_some()) {
            Ok(()) => match send(&theirs, &Birth::Ready) {
                Ok(()) => work(&theirs),
                Err(_) => 1,
            },
            Err(stillborn) => {
                let _ = send(&theirs, &stillborn.message());
                1
            }
        }
    })
    .map_err(broken)?;
    let Some(ours) = ours else { return Err(internal("could not start a child process", "")) };
    drop(theirs); // Else the end of the child would not be the end of the channel.
    let born = Newborn { pid, channel: &ours, program, log: None }.give_ids(plan);
    if !matches!(born, Ok(Ok(()))) {
        drop(ours);
        let _ = fork::wait(pid);
        return match born {
            Ok(Err(refused)) | Err(refused) => Err(refused),
            Ok(Ok(())) => Err(internal("could not start a child process", "")),
        };
    }
    let mut message = Vec::new();
    while let Ok(next) = ours.recv() {
        message = next.data;
    }
    let code = fork::wait(pid).map_err(broken)?.code();
    Ok(Outcome { code, message })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::IdMaps;

    fn single() -> Plan {
        let uid = rustix::process::getuid().as_raw();
        let gid = rustix::process::getgid().as_raw();
        Plan { ids: IdMaps::new(uid, gid, &[], &[]), tools: None, warnings: Vec::new() }
    }

    #[test]
    fn the_work_runs_as_root_of_its_own_mounts_and_answers() {
        let outside = std::fs::read_link("/proc/self/ns/mnt").unwrap();
        let outcome = inside(&single(), Path::new("/usr/bin/bryo"), |channel| {
            let other = std::fs::read_link("/proc/self/ns/mnt").is_ok_and(|l| l != outside);
            let root = rustix::process::geteuid().is_root();
            let _ = channel.send(format!("{root} {other}").as_bytes(), &[]);
            7
        });
        match outcome {
            Ok(outcome) => {
                assert_eq!(outcome, Outcome { code: 7, message: b"true true".to_vec() })
            }
            Err(e) if e.seen.contains("unshare(CLONE_NEWUSER)") => {
                println!("SKIPPED: user namespaces are forbidden here");
            }
            Err(e) => panic!("{e}"),
        }
    }

    #[test]
    fn a_helper_that_refuses_is_named() {
        let mut plan = single();
        plan.tools = Some(("/bin/false".into(), "/bin/false".into()));
        let e = inside(&plan, Path::new("/usr/bin/bryo"), |_| 0).unwrap_err();
        assert!(e.cause.contains("UID/GID map") || e.seen.contains("unshare"), "{e}");
    }
}
