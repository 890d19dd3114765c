//! Containers born in a cgroup: only where root prepares one for the ordinary user, as a delegation would.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::Case;
use crate::stage::{Stage, create_with, end, options, shell};
use bryo_runtime::{create, pause, processes, unpause};

pub const CASES: &[Case] = &[("born_in_a_cgroup", born_in_a_cgroup), ("freezing", freezing)];

/// The delegated folder of this case, if there is one: this process is in `self` below it, `child` is free.
static DELEGATED: OnceLock<PathBuf> = OnceLock::new();

/// As root, before becoming `user`: delegates a cgroup v2 folder and moves this process there.
pub fn delegate(user: u32) -> std::io::Result<()> {
    let mounts = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"];
    let Some(top) = mounts.iter().find(|m| Path::new(m).join("cgroup.procs").exists()) else {
        return Ok(());
    };
    let folder = Path::new(top).join(format!("bryo-test-{}", std::process::id()));
    for name in ["", "self", "child"] {
        let path = folder.join(name);
        std::fs::create_dir(&path)?;
        std::os::unix::fs::chown(&path, Some(user), Some(user))?;
        for file in ["cgroup.procs", "cgroup.freeze"] {
            std::os::unix::fs::chown(path.join(file), Some(user), Some(user))?;
        }
    }
    std::fs::write(folder.join("self/cgroup.procs"), "0")?;
    let _ = DELEGATED.set(folder);
    Ok(())
}

/// As root, after the case whose process was `pid`.
pub fn remove(pid: u32) {
    for top in ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"] {
        let folder = Path::new(top).join(format!("bryo-test-{pid}"));
        for name in ["self", "child", ""] {
            let _ = std::fs::remove_dir(folder.join(name));
        }
    }
}

fn child() -> Option<PathBuf> {
    let folder = DELEGATED.get().map(|d| d.join("child"));
    if folder.is_none() {
        println!("SKIPPED: no cgroup v2 is delegated (the tests do it when root runs them)");
    }
    folder
}

fn born_in_a_cgroup() {
    let Some(folder) = child() else { return };
    let name = folder.strip_prefix("/sys/fs/cgroup").unwrap().to_owned();
    let stage = Stage::new();
    let outcome = create_with(&stage, &shell("grep ^0:: /proc/self/cgroup"), |o| {
        o.cgroup = Some(folder.clone());
    });
    // The namespace's root is its own cgroup, not the parent's.
    assert_eq!(outcome.out, "0::/\n", "{}", name.display());
}

fn freezing() {
    let Some(folder) = child() else { return };
    let stage = Stage::new();
    let (mut options, _output) = options(stage.overlay());
    options.cgroup = Some(folder.clone());
    let spec = serde_json::from_value(shell("sleep 1000 & wait")).unwrap();
    let running = create(&spec, options).unwrap().start().unwrap();
    let started = Instant::now();
    while processes(running.pid, Some(&folder)).unwrap().len() < 2 {
        assert!(started.elapsed() < Duration::from_secs(10));
        std::thread::sleep(Duration::from_millis(5));
    }
    let frozen = || std::fs::read_to_string(folder.join("cgroup.events")).unwrap();
    pause(running.pid, Some(&folder)).unwrap();
    assert!(frozen().contains("frozen 1"));
    unpause(running.pid, Some(&folder)).unwrap();
    assert!(frozen().contains("frozen 0"));
    end(&running);
}
