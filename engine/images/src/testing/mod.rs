//! Tests that need a user namespace with many ids run themselves again inside one.
//!
//! As root the namespace belongs to nobody (65534), so a test that breaks out meets a plain user's
//! limits; as a plain user it takes the subordinate ids that the user has. Where that cannot be had
//! the test says `SKIPPED:` and why.

pub mod image;
pub mod registry;

use std::fs;
use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Set for the run inside.
const INSIDE: &str = "BRYO_TEST_INSIDE_USER_NAMESPACE";

/// Whether the caller is inside. If not, runs the test `name` (a path made by `type_name_of_val` of
/// a function in it) again inside and checks that it passes.
pub fn enter(name: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let path: Vec<&str> = name.split("::").collect();
    let test = path[1..path.len() - 1].join("::");
    match run_inside(&test) {
        Ok(status) => assert!(status, "{test} failed inside the user namespace"),
        Err(reason) => println!("SKIPPED: {test}: {reason}"),
    }
    false
}

/// Goes on only inside a user namespace with 65536 ids.
macro_rules! needs_user_namespace {
    () => {
        fn here() {}
        if !crate::testing::enter(std::any::type_name_of_val(&here)) {
            return;
        }
    };
}
pub(crate) use needs_user_namespace;

fn run_inside(test: &str) -> Result<bool, String> {
    let root = rustix::process::geteuid().is_root();
    let mut command = Command::new(if root { "setpriv" } else { "unshare" });
    if root {
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "unshare"]);
    }
    let program = std::env::current_exe().map_err(|e| e.to_string())?;
    command
        .args(["--user", "--", "sh", "-c", "read go && exec \"$@\"", "sh"])
        .arg(program)
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(INSIDE, "1")
        .stdin(Stdio::piped());
    let mut child = command.spawn().map_err(|e| format!("cannot run unshare: {e}"))?;
    if let Err(reason) = map_ids(&child, root) {
        drop(child.kill());
        drop(child.wait());
        return Err(reason);
    }
    child.stdin.take().ok_or("no stdin")?.write_all(b"go\n").map_err(|e| e.to_string())?;
    Ok(child.wait().map_err(|e| e.to_string())?.success())
}

/// Waits until the child is in its namespace, then gives it ids.
fn map_ids(child: &Child, root: bool) -> Result<(), String> {
    let pid = child.id();
    let link = |who: &str| fs::read_link(format!("/proc/{who}/ns/user"));
    let own = link("self").map_err(|e| e.to_string())?;
    let end = Instant::now() + Duration::from_secs(10);
    while link(&pid.to_string()).map_or(true, |ns| ns == own) {
        if Instant::now() > end {
            return Err("no user namespace after 10 s; are they forbidden?".to_owned());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    for (kind, file) in [("uid", "/etc/subuid"), ("gid", "/etc/subgid")] {
        if root {
            let map = "0 65534 1\n1 100000 65535\n";
            fs::write(format!("/proc/{pid}/{kind}_map"), map).map_err(|e| e.to_string())?;
            continue;
        }
        let (own, start) = own_ids(kind, file)?;
        let status = Command::new(format!("new{kind}map"))
            .args([&pid.to_string(), "0", &own, "1", "1", &start, "65535"])
            .status()
            .map_err(|e| format!("cannot run new{kind}map: {e}"))?;
        if !status.success() {
            return Err(format!("new{kind}map refused"));
        }
    }
    Ok(())
}

/// The caller's own id and the first of its subordinate ids.
fn own_ids(kind: &str, file: &str) -> Result<(String, String), String> {
    let flag = if kind == "uid" { "-u" } else { "-g" };
    let ask = |args: &[&str]| {
        let output = Command::new("id").args(args).output().map_err(|e| e.to_string())?;
        Ok::<_, String>(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let (own, user) = (ask(&[flag])?, ask(&["-un"])?);
    let text = fs::read_to_string(file).map_err(|e| e.to_string())?;
    let line = text.lines().find_map(|l| l.strip_prefix(&format!("{user}:")));
    let start = line.and_then(|l| l.split(':').next());
    Ok((own, start.ok_or(format!("{user} has no line in {file}"))?.to_owned()))
}

/// A store in a fresh folder, and that folder.
pub fn store() -> (tempfile::TempDir, crate::Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    (dir, store)
}

/// A store in a folder. One that was just closed may be locked for a moment longer, by a process that
/// another test is starting (it has a copy of the descriptor until it runs its program).
pub fn open(root: &std::path::Path) -> crate::Store {
    let end = Instant::now() + Duration::from_secs(5);
    loop {
        match crate::Store::open(settings(root)) {
            Err(e) if e.kind() == crate::ErrorKind::Unusable && Instant::now() < end => {
                std::thread::sleep(Duration::from_millis(5));
            }
            other => return other.unwrap(),
        }
    }
}

fn settings(root: &std::path::Path) -> crate::StoreSettings {
    crate::StoreSettings {
        root: root.join("images"),
        insecure_registries: Vec::new(),
        mirrors: Vec::new(),
        max_concurrent_downloads: 0,
        ids: crate::IdMap {
            uids: 65536,
            gids: 65536,
            single: false,
            user: "someone".to_owned(),
            host_uid: 1234,
        },
        snapshotter: crate::Snapshotter { kind: crate::SnapshotterKind::Overlay, reason: None },
        user_agent: "bryo-test".to_owned(),
    }
}

/// Runs a future with all of tokio.
pub fn run(future: impl Future<Output = ()>) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(future);
}
