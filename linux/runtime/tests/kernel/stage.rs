//! The stage for a case: a user namespace like Bryo's, a root filesystem of busybox, a spec like Docker's.

use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Command;

use bryo_runtime::{CreateOptions, Created, Error, Limits, Rootfs, Running, Stdio, create};
use bryo_sys::fork::{self, Fork};
use bryo_sys::ns::{self, Kind};
use oci_spec::runtime::Spec;
use rustix::process::{getgid, getpid, getuid};
use rustix::thread::{Gid, Uid};
use serde_json::{Value, json};

/// Ids of the ordinary user that root becomes.
pub const USER: u32 = 1000;

/// Subordinate ids that root maps for it.
const SUBORDINATE: u32 = 300_000;

/// Enters a user and mount namespace: all ids of the user if it has subordinate ones, else one.
pub fn enter() -> Result<(), String> {
    let root = getuid().is_root();
    let (me, ready, mapped) = (getpid().as_raw_nonzero(), pipe(), pipe());
    let mapper = match fork::fork().map_err(|e| e.to_string())? {
        Fork::Child => {
            drop(ready.1);
            let _ = std::fs::File::from(ready.0).read(&mut [0]);
            fork::exit(i32::from(map(me.get(), root).is_err()));
        }
        Fork::Parent(pid) => pid,
    };
    drop(mapped);
    if root {
        rustix::thread::set_thread_groups(&[]).map_err(|e| e.to_string())?;
        let (uid, gid) = (Uid::from_raw(USER), Gid::from_raw(USER));
        rustix::thread::set_thread_res_gid(gid, gid, gid).map_err(|e| e.to_string())?;
        rustix::thread::set_thread_res_uid(uid, uid, uid).map_err(|e| e.to_string())?;
        // The change of user took /proc/self from us; a login shell's exec would give it back.
        rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::Dumpable)
            .map_err(|e| e.to_string())?;
    }
    let (uid, gid) = (getuid().as_raw(), getgid().as_raw());
    ns::unshare(&[Kind::User, Kind::Mount])
        .map_err(|e| format!("user namespaces are forbidden here: {e}"))?;
    drop(ready.1);
    let done = fork::wait(mapper).map_err(|e| e.to_string())?;
    if done.code() != 0 {
        println!("no subordinate ids: single-id mode");
        single(uid, gid).map_err(|e| e.to_string())?;
    }
    Ok(())
}

/// A single id, written without help.
fn single(uid: u32, gid: u32) -> std::io::Result<()> {
    std::fs::write("/proc/self/setgroups", "deny")?;
    std::fs::write("/proc/self/uid_map", format!("0 {uid} 1"))?;
    std::fs::write("/proc/self/gid_map", format!("0 {gid} 1"))
}

/// Nests a user namespace with one id in this one: single-id mode wherever the test runs.
pub fn enter_single() {
    ns::unshare(&[Kind::User, Kind::Mount]).unwrap();
    single(0, 0).unwrap();
}

fn map(pid: i32, root: bool) -> std::io::Result<()> {
    for (file, tool, list, own) in [
        ("uid_map", "newuidmap", "/etc/subuid", getuid().as_raw()),
        ("gid_map", "newgidmap", "/etc/subgid", getgid().as_raw()),
    ] {
        if root {
            let text = format!("0 {USER} 1\n1 {SUBORDINATE} 65536\n");
            std::fs::write(format!("/proc/{pid}/{file}"), text)?;
            continue;
        }
        let user = bryo_sys::user::by_uid(own)?.map(|u| u.name).unwrap_or_default();
        let text = std::fs::read_to_string(list)?;
        let line = text.lines().find_map(|l| l.strip_prefix(&format!("{user}:")));
        let (first, count) = line.and_then(|l| l.split_once(':')).ok_or_else(none)?;
        let status = Command::new(tool)
            .args([&pid.to_string(), "0", &own.to_string(), "1", "1", first, count])
            .status()?;
        if !status.success() {
            return Err(none());
        }
    }
    Ok(())
}

fn none() -> std::io::Error {
    std::io::Error::other("no subordinate ids")
}

/// Whether more than one id is mapped.
pub fn many_ids() -> bool {
    std::fs::read_to_string("/proc/self/uid_map").is_ok_and(|m| m.lines().count() > 1)
}

/// Folders of a container, removed at the end.
pub struct Stage {
    pub dir: tempfile::TempDir,
}

impl Stage {
    /// A busybox root in `lower`, and `upper` and `work` for an overlay.
    pub fn new() -> Stage {
        let stage = Stage { dir: tempfile::tempdir().unwrap() };
        for folder in ["bin", "etc", "root", "tmp", "proc", "sys", "dev"] {
            std::fs::create_dir_all(stage.path("lower").join(folder)).unwrap();
        }
        std::fs::create_dir(stage.path("upper")).unwrap();
        std::fs::create_dir(stage.path("work")).unwrap();
        let busybox =
            ["/usr/bin/busybox", "/bin/busybox"].into_iter().find(|p| Path::new(p).exists());
        let busybox = busybox.expect("busybox-static is installed");
        std::fs::copy(busybox, stage.path("lower/bin/busybox")).unwrap();
        for tool in TOOLS {
            std::os::unix::fs::symlink("busybox", stage.path("lower/bin").join(tool)).unwrap();
        }
        let passwd = "root:x:0:0:root:/root:/bin/sh\nweb:x:33:33::/var/www:/bin/sh\n";
        std::fs::write(stage.path("lower/etc/passwd"), passwd).unwrap();
        stage
    }

    /// A path below it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The overlay.
    pub fn overlay(&self) -> Rootfs {
        Rootfs::Overlay {
            lower: vec![self.path("lower")],
            upper: self.path("upper"),
            work: self.path("work"),
        }
    }

    /// Runs a spec on the overlay to its end.
    pub fn run(&self, spec: &Value) -> Outcome {
        self.try_run(spec).unwrap()
    }

    /// The same; an error if it did not start.
    pub fn try_run(&self, spec: &Value) -> Result<Outcome, Error> {
        let spec: Spec = serde_json::from_value(spec.clone()).unwrap();
        let (mut options, output) = options(self.overlay());
        options.init = false;
        let running = create(&spec, options)?.start()?;
        Ok(finish(running, output))
    }

    /// Starts a container whose program waits; killed by `Waiting::end`.
    pub fn waiting(&self, spec: &Value) -> Running {
        let spec: Spec = serde_json::from_value(spec.clone()).unwrap();
        let (options, output) = options(self.overlay());
        drop(output);
        create(&spec, options).and_then(Created::start).unwrap()
    }
}

/// Runs a spec on the stage's overlay to its end, with changed options.
pub fn create_with(
    stage: &Stage,
    spec: &Value,
    change: impl FnOnce(&mut CreateOptions),
) -> Outcome {
    let spec: Spec = serde_json::from_value(spec.clone()).unwrap();
    let (mut options, output) = options(stage.overlay());
    change(&mut options);
    finish(create(&spec, options).unwrap().start().unwrap(), output)
}

/// Every capability in every set, as `--privileged` gives them.
pub fn all_capabilities() -> Value {
    let names = [
        "CHOWN",
        "DAC_OVERRIDE",
        "DAC_READ_SEARCH",
        "FOWNER",
        "FSETID",
        "KILL",
        "SETGID",
        "SETUID",
        "SETPCAP",
        "LINUX_IMMUTABLE",
        "NET_BIND_SERVICE",
        "NET_BROADCAST",
        "NET_ADMIN",
        "NET_RAW",
        "IPC_LOCK",
        "IPC_OWNER",
        "SYS_MODULE",
        "SYS_RAWIO",
        "SYS_CHROOT",
        "SYS_PTRACE",
        "SYS_PACCT",
        "SYS_ADMIN",
        "SYS_BOOT",
        "SYS_NICE",
        "SYS_RESOURCE",
        "SYS_TIME",
        "SYS_TTY_CONFIG",
        "MKNOD",
        "LEASE",
        "AUDIT_WRITE",
        "AUDIT_CONTROL",
        "SETFCAP",
        "MAC_OVERRIDE",
        "MAC_ADMIN",
        "SYSLOG",
        "WAKE_ALARM",
        "BLOCK_SUSPEND",
        "AUDIT_READ",
        "PERFMON",
        "BPF",
        "CHECKPOINT_RESTORE",
    ];
    let names: Vec<String> = names.iter().map(|n| format!("CAP_{n}")).collect();
    json!({"bounding": names, "effective": names, "permitted": names})
}

const TOOLS: [&str; 30] = [
    "sh", "true", "false", "cat", "id", "mount", "ls", "echo", "sleep", "stat", "touch", "mkdir",
    "grep", "hostname", "ps", "kill", "head", "readlink", "test", "tty", "ip", "chmod", "env",
    "printf", "umount", "unshare", "df", "wc", "nproc", "stty",
];

/// How a container ended and what it printed.
#[derive(Debug)]
pub struct Outcome {
    pub code: i32,
    pub out: String,
}

/// Options with stdin from /dev/null and both outputs in one pipe.
pub fn options(rootfs: Rootfs) -> (CreateOptions, OwnedFd) {
    let (read, write) = pipe();
    let stderr = write.try_clone().unwrap();
    let stdin = std::fs::File::open("/dev/null").unwrap().into();
    let stdio = Stdio::Files { stdin, stdout: write, stderr };
    (
        CreateOptions {
            rootfs,
            stdio,
            init: false,
            cgroup: None,
            seccomp: None,
            limits: Limits::default(),
        },
        read,
    )
}

/// Reads what a process prints and waits for its end.
pub fn finish(running: Running, output: OwnedFd) -> Outcome {
    let mut out = String::new();
    std::fs::File::from(output).read_to_string(&mut out).unwrap();
    Outcome { code: wait(&running), out }
}

/// Waits for the end of a process; its code.
pub fn wait(running: &Running) -> i32 {
    fork::wait(bryo_sys::pidfd::to_pid(running.pid).unwrap()).unwrap().code()
}

/// Kills and reaps it.
pub fn end(running: &Running) {
    bryo_sys::pidfd::signal(&running.pidfd, 9).unwrap();
    wait(running);
}

pub fn pipe() -> (OwnedFd, OwnedFd) {
    rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap()
}

/// Docker's spec for `sh -c SCRIPT`, without seccomp.
pub fn shell(script: &str) -> Value {
    spec(&["/bin/sh", "-c", script])
}

/// Docker's spec for a command.
pub fn spec(args: &[&str]) -> Value {
    let capabilities = [
        "CAP_CHOWN",
        "CAP_DAC_OVERRIDE",
        "CAP_FSETID",
        "CAP_FOWNER",
        "CAP_MKNOD",
        "CAP_NET_RAW",
        "CAP_SETGID",
        "CAP_SETUID",
        "CAP_SETFCAP",
        "CAP_SETPCAP",
        "CAP_NET_BIND_SERVICE",
        "CAP_SYS_CHROOT",
        "CAP_KILL",
        "CAP_AUDIT_WRITE",
    ];
    json!({
        "ociVersion": "1.2.0",
        "root": {"path": "rootfs", "readonly": false},
        "hostname": "stage",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": args,
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            "cwd": "/",
            "capabilities": {
                "bounding": capabilities, "effective": capabilities, "permitted": capabilities
            },
            "oomScoreAdj": 0,
        },
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc",
             "options": ["nosuid", "noexec", "nodev"]},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
             "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
             "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs",
             "options": ["nosuid", "noexec", "nodev", "ro"]},
            {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
             "options": ["ro", "nosuid", "noexec", "nodev"]},
            {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue",
             "options": ["nosuid", "noexec", "nodev"]},
            {"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
             "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=67108864"]},
        ],
        "linux": {
            "namespaces": [
                {"type": "mount"}, {"type": "network"}, {"type": "uts"}, {"type": "pid"},
                {"type": "ipc"}, {"type": "cgroup"}, {"type": "user"},
            ],
            "maskedPaths": [
                "/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys",
                "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats",
                "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
                "/sys/devices/virtual/powercap",
            ],
            "readonlyPaths": [
                "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger",
            ],
        },
    })
}
