//! How the engine gets into Bryo's namespaces: finds the holder or starts one, then joins.
//!
//! Must run while the process has one thread (setns(2) of a user namespace). Order of what can go wrong: another engine has
//! the exec root (lock) → refuse; a holder answers → join; none answers but children of a killed one live → a new holder
//! in their namespaces; else a new holder in new namespaces, with the ids of the [`Plan`], and, when newuidmap refuses,
//! once more in single-id mode.

use std::fs::File;
use std::io;
use std::path::Path;

use bryo_sys::channel::Channel;
use bryo_sys::ns::{self, Kind};
use bryo_sys::{fork, process};

use crate::Programs;
use crate::birth::{Cradle, live};
use crate::client::{Greeting, HolderClient};
use crate::data_root::lock;
use crate::error::{SetupError, Warning};
use crate::holder::{end, read_survivors};
use crate::ids::IdMaps;
use crate::parent::{Newborn, internal};
use crate::preflight::Plan;

/// What entering needs.
#[derive(Debug)]
pub struct Enter<'a> {
    /// The exec root, absolute; made if missing.
    pub exec_root: &'a Path,
    /// From [`crate::preflight`].
    pub plan: &'a Plan,
    /// The user.
    pub uid: u32,
    /// The user's group.
    pub gid: u32,
    /// This program's version, for a later engine's messages.
    pub version: &'a str,
    /// This program's file, for the commands in refusals.
    pub program: &'a Path,
    /// The holder's children.
    pub programs: Programs,
}

/// The engine is inside.
#[derive(Debug)]
pub struct Entered {
    /// Connected to the holder.
    pub holder: HolderClient,
    /// No subordinate ids are mapped.
    pub single_id: bool,
    /// The maps of the namespace.
    pub ids: IdMaps,
    /// A holder was there already, or survivors of one.
    pub found: bool,
    /// Warnings that arose on the way.
    pub warnings: Vec<Warning>,
    /// Keeps other engines out of the exec root as long as it lives.
    pub lock: File,
}

/// Finds or starts the holder and joins its user and mount namespace; uid 0 afterwards.
pub fn enter(options: &Enter<'_>) -> Result<Entered, SetupError> {
    one_thread()?;
    let lock = take_exec_root(options.exec_root)?;
    let mut warnings = Vec::new();
    let mut found = true;
    let greeting = match greet(options.exec_root)? {
        Some(greeting) => greeting,
        None => {
            let survivors = read_survivors(options.exec_root);
            found = !survivors.is_empty();
            start_holder(options, survivors, &mut warnings)?;
            greet(options.exec_root)?.ok_or_else(|| {
                internal("the new holder does not answer", options.exec_root.display().to_string())
            })?
        }
    };
    join(&greeting).map_err(|e| cannot_join(&greeting, &e))?;
    let ids = IdMaps::current()
        .map_err(|e| internal("could not read the id maps", format!("/proc/self/uid_map: {e}")))?;
    let single_id = greeting.client.single_id();
    Ok(Entered { holder: greeting.client, single_id, ids, found, warnings, lock })
}

fn one_thread() -> Result<(), SetupError> {
    match process::thread_count() {
        Ok(1) => Ok(()),
        other => Err(internal("entering needs a process with one thread", format!("{other:?}"))),
    }
}

/// Makes the exec root (0700, sticky as the XDG specification asks of files that must stay) and locks it.
fn take_exec_root(exec_root: &Path) -> Result<File, SetupError> {
    let mend = "give another folder with --exec-root";
    let failed = |what: &str, e: io::Error| {
        SetupError::new(
            format!("could not {what} the exec root"),
            format!("{}: {e}", exec_root.display()),
            mend,
        )
    };
    std::fs::create_dir_all(exec_root).map_err(|e| failed("make", e))?;
    rustix::fs::chmod(exec_root, rustix::fs::Mode::from_raw_mode(0o1700))
        .map_err(|e| failed("set the mode of", e.into()))?;
    lock(&exec_root.join("engine.lock")).map_err(|e| failed("lock", e))?.map_err(|owner| {
        SetupError::new(
            "another bryo daemon uses this exec root",
            format!("{} is locked by pid {owner}", exec_root.join("engine.lock").display()),
            format!("kill {owner}\nor {mend}, --data-root and --host to run a second one"),
        )
    })
}

fn greet(exec_root: &Path) -> Result<Option<Greeting>, SetupError> {
    HolderClient::connect(exec_root).map_err(|e| {
        SetupError::new(
            "could not talk to the holder that is running",
            format!("{}: {e}", crate::client::socket_path(exec_root).display()),
            "bryo's holder is the process `bryo: holder` in `ps`; ending it ends no container, the next daemon starts \
             another in the same namespaces",
        )
    })
}

/// The holder of an exec root, if one answers; joins nothing.
pub fn find_holder(exec_root: &Path) -> Result<Option<HolderClient>, SetupError> {
    Ok(greet(exec_root)?.map(|greeting| greeting.client))
}

/// Ends what an engine left behind when it went: the holder with all its children, or the children of a dead holder; removes
/// the files of this boot, and the exec root if nothing else is in it. How many processes that were.
pub fn end_leftovers(exec_root: &Path) -> Result<usize, SetupError> {
    let survivors = read_survivors(exec_root);
    let mut ended = survivors.len();
    if let Some(holder) = find_holder(exec_root)? {
        ended += 1;
        holder.quit().map_err(|e| {
            let pid = holder.pid();
            SetupError::new("could not end the holder", e.to_string(), format!("kill -9 {pid}"))
        })?;
    }
    for (pid, start) in survivors {
        end(pid, Some(start));
    }
    let files = [
        "engine.lock",
        "holder.sock",
        "holder.log",
        "gate.sock",
        "children",
        "netns",
        "containers",
    ];
    for path in files.map(|name| exec_root.join(name)) {
        // What is there of a container (sockets) is nothing to anybody now.
        let _ =
            if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
    }
    let _ = std::fs::remove_dir(exec_root);
    Ok(ended)
}

/// Moves the calling process (one thread) into the namespaces of the holder that answers; none if none does. The working
/// folder is `/` afterwards.
pub fn join_holder(exec_root: &Path) -> Result<Option<HolderClient>, SetupError> {
    one_thread()?;
    let Some(greeting) = greet(exec_root)? else { return Ok(None) };
    join(&greeting).map_err(|e| cannot_join(&greeting, &e))?;
    Ok(Some(greeting.client))
}

fn cannot_join(greeting: &Greeting, e: &io::Error) -> SetupError {
    internal(
        "could not join the holder's namespaces",
        format!("setns to those of pid {}: {e}", greeting.client.pid()),
    )
}

fn join(greeting: &Greeting) -> io::Result<()> {
    ns::join(&greeting.user_ns, Kind::User)?;
    ns::join(&greeting.mount_ns, Kind::Mount)
}

fn start_holder(
    options: &Enter<'_>,
    survivors: Vec<(u32, u64)>,
    warnings: &mut Vec<Warning>,
) -> Result<(), SetupError> {
    match attempt(options, options.plan, survivors)? {
        Ok(()) => Ok(()),
        Err(warning) => {
            let single = options.plan.single(options.uid, options.gid, warning.clone());
            warnings.push(warning);
            match attempt(options, &single, Vec::new())? {
                Ok(()) => Ok(()),
                Err(again) => Err(again),
            }
        }
    }
}

/// One fork. The inner error: newuidmap or newgidmap refused, worth another try without them.
fn attempt(
    options: &Enter<'_>,
    plan: &Plan,
    survivors: Vec<(u32, u64)>,
) -> Result<Result<(), Warning>, SetupError> {
    let broken = |e: io::Error| internal("could not start the holder", e.to_string());
    let adopt = survivors.iter().find_map(|&(pid, _)| {
        Some((ns::of_process(pid, Kind::User).ok()?, ns::of_process(pid, Kind::Mount).ok()?))
    });
    let adopting = adopt.is_some();
    let (ours, theirs) = Channel::pair().map_err(broken)?;
    let cradle = Cradle {
        exec_root: options.exec_root,
        ids: &plan.ids,
        mapped_outside: plan.tools.is_some(),
        adopt,
        survivors,
        version: options.version,
        programs: options.programs,
    };
    let pid = fork::spawn(move || live(theirs, cradle)).map_err(broken)?;
    let log = options.exec_root.join("holder.log");
    let child = Newborn { pid, channel: &ours, program: options.program, log: Some(&log) };
    if adopting {
        return child.next_word().map(Ok);
    }
    let mapped = child.give_ids(plan)?;
    if mapped.is_err() {
        drop(ours); // The child takes the end of the channel for the end of its life.
        let _ = fork::wait(pid);
    }
    Ok(mapped)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bryo_sys::pidfd;
    use std::time::{Duration, Instant};

    /// Stays until its channel ends, as a monitor that waits for its engine.
    fn child(channel: Channel, _bundle: &Path) -> i32 {
        let _ = channel.send(b"hello", &[]);
        std::thread::sleep(Duration::from_secs(60));
        0
    }

    fn gate(channel: Channel, config: &str) -> i32 {
        let _ = channel.send(config.as_bytes(), &[]);
        std::thread::sleep(Duration::from_secs(60));
        0
    }

    fn enter_here(exec_root: &Path) -> Result<Entered, SetupError> {
        let uid = rustix::process::getuid().as_raw();
        let gid = rustix::process::getgid().as_raw();
        let plan = Plan { ids: IdMaps::new(uid, gid, &[], &[]), tools: None, warnings: Vec::new() };
        let programs = Programs { monitor: child, gate };
        let program = Path::new("/usr/bin/bryo");
        enter(&Enter { exec_root, plan: &plan, uid, gid, version: "test", program, programs })
    }

    /// Runs `engine` in a forked process, which is what `bryo daemon` is to these tests; 0 is success.
    fn engine(exec_root: &Path, engine: impl FnOnce(Entered) -> bool) -> i32 {
        let ended = fork::in_child(|| match enter_here(exec_root) {
            Ok(entered) => i32::from(!engine(entered)),
            Err(e) if e.seen.contains("unshare(CLONE_NEWUSER)") => 77,
            Err(e) => {
                eprintln!("{e}");
                2
            }
        });
        ended.unwrap().code()
    }

    fn alive(pid: u32) -> bool {
        pidfd::start_time(pid).is_some()
    }

    #[test]
    fn holder_and_monitor_outlive_engines_and_quit_ends_all() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let note = root.join("monitor.pid");
        let first = engine(root, |entered| {
            let (channel, pid) = entered.holder.spawn_monitor("c0ffee", root).unwrap();
            assert_eq!(channel.recv().unwrap().data, b"hello");
            std::fs::write(&note, pid.to_string()).unwrap();
            let uid = rustix::process::geteuid().as_raw();
            // As if by kill -9: no destructor, no word to the holder.
            uid == 0 && !entered.found
        });
        if first == 77 {
            println!("SKIPPED: user namespaces are forbidden here");
            return;
        }
        assert_eq!(first, 0);
        let monitor: u32 = std::fs::read_to_string(&note).unwrap().parse().unwrap();
        assert!(alive(monitor));

        let second = engine(root, |entered| {
            let (channel, _) = entered.holder.spawn_gate("settings").unwrap();
            assert_eq!(channel.recv().unwrap().data, b"settings");
            assert!(entered.holder.spawn_gate("again").is_err());
            // The network namespace is mounted inside, and another than ours.
            let inside = rustix::fs::stat(root.join("netns")).unwrap().st_ino;
            let ours = rustix::fs::stat("/proc/self/ns/net").unwrap().st_ino;
            assert_ne!(inside, ours);
            entered.found && alive(monitor)
        });
        assert_eq!(second, 0);
        assert!(alive(monitor));

        let third = engine(root, |entered| {
            let pid = entered.holder.pid();
            let began = Instant::now();
            entered.holder.quit().unwrap();
            assert!(began.elapsed() < Duration::from_secs(5));
            !alive(monitor) && !alive(pid)
        });
        assert_eq!(third, 0);
        let left: Vec<_> =
            std::fs::read_dir(root).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left.len(), 2, "engine.lock and the note: {left:?}");
    }

    #[test]
    fn a_new_holder_moves_in_with_the_survivors_of_a_killed_one() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let first = engine(root, |entered| {
            let (channel, _) = entered.holder.spawn_monitor("c0ffee", root).unwrap();
            channel.recv().unwrap();
            let user = std::fs::read_link("/proc/self/ns/user").unwrap();
            std::fs::write(root.join("ns"), user.to_str().unwrap()).unwrap();
            let holder = pidfd::open(entered.holder.pid()).unwrap();
            pidfd::signal(&holder, 9).unwrap();
            pidfd::wait(&holder, Some(Duration::from_secs(5))).unwrap()
        });
        if first == 77 {
            println!("SKIPPED: user namespaces are forbidden here");
            return;
        }
        assert_eq!(first, 0);
        let second = engine(root, |entered| {
            let user = std::fs::read_link("/proc/self/ns/user").unwrap();
            let same = std::fs::read_to_string(root.join("ns")).unwrap() == user.to_str().unwrap();
            entered.holder.quit().unwrap();
            entered.found && same && read_survivors(root).is_empty()
        });
        assert_eq!(second, 0);
    }

    #[test]
    fn a_second_engine_is_refused_while_the_first_lives() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let held = lock(&root.join("engine.lock")).unwrap().unwrap();
        let code = engine(root, |_| true);
        assert_eq!(code, 2);
        drop(held);
    }
}
