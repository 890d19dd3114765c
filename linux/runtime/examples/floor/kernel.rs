//! The kernel's floor: the calls that Docker's default set-up cannot do without, one after the other.
//!
//! No spec, no checks, no errors but a panic; paths are trusted. What a runtime takes beyond this is its own.

use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use bryo_sys::clone::{Cloned, Parent, clone};
use bryo_sys::exec::{Strings, execve};
use bryo_sys::mount::{Attributes, Change, Maker, attach, clone_tree, detach, set_attributes};
use bryo_sys::ns::Kind;
use bryo_sys::seccomp::{FLAG_SPEC_ALLOW, Instruction, load};
use bryo_sys::{fork, loopback};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::thread::{CapabilitySet, CapabilitySets};

/// One container.
pub struct Floor<'a> {
    pub lower: &'a Path,
    pub upper: PathBuf,
    pub work: PathBuf,
    pub filter: &'a [Instruction],
    /// The user namespace's map onto itself.
    pub map: &'a str,
}

const MASKED: [&str; 12] = [
    "proc/asound",
    "proc/acpi",
    "proc/interrupts",
    "proc/kcore",
    "proc/keys",
    "proc/latency_stats",
    "proc/timer_list",
    "proc/timer_stats",
    "proc/sched_debug",
    "proc/scsi",
    "sys/firmware",
    "sys/devices/virtual/powercap",
];
const READ_ONLY: [&str; 5] = ["proc/bus", "proc/fs", "proc/irq", "proc/sys", "proc/sysrq-trigger"];

/// What `true` needs of Docker's capabilities, as bits.
const CAPABILITIES: u64 = 0xa804_25fb;

impl Floor<'_> {
    /// Starts `true` and returns its pid once it was executed.
    pub fn start(&self) -> u32 {
        let (go, mapped) = pipe();
        let (executed, running) = pipe();
        let kinds =
            [Kind::User, Kind::Mount, Kind::Pid, Kind::Net, Kind::Ipc, Kind::Uts, Kind::Cgroup];
        match clone(&kinds, Parent::Caller, None).unwrap() {
            Cloned::Child => {
                drop((mapped, executed));
                let _ = std::fs::File::from(go).read(&mut [0]);
                self.child();
                fork::exit(1);
            }
            Cloned::Parent { pid, .. } => {
                std::fs::write(format!("/proc/{pid}/uid_map"), self.map).unwrap();
                std::fs::write(format!("/proc/{pid}/gid_map"), self.map).unwrap();
                drop((mapped, running));
                let _ = std::fs::File::from(executed).read(&mut [0]);
                pid
            }
        }
    }

    fn child(&self) {
        loopback::up().unwrap();
        rustix::system::sethostname(b"floor").unwrap();
        let _ = rustix::process::setsid();
        let root = self.root();
        self.mounts(root.as_fd());
        masks(root.as_fd());
        rustix::process::fchdir(&root).unwrap();
        let old =
            rustix::fs::openat(CWD, "/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
        rustix::process::pivot_root(".", ".").unwrap();
        rustix::process::fchdir(&old).unwrap();
        detach(".").unwrap();
        rustix::process::chdir("/").unwrap();
        self.privileges();
        let arguments = Strings::new(["true"]).unwrap();
        let environment = Strings::new(["PATH=/bin"]).unwrap();
        let _ = execve(c"/bin/true", &arguments, &environment);
    }

    fn root(&self) -> OwnedFd {
        let maker = Maker::new("overlay").unwrap();
        maker.flag("userxattr").unwrap();
        maker.set("lowerdir+", self.lower).unwrap();
        maker.set("upperdir", &self.upper).unwrap();
        maker.set("workdir", &self.work).unwrap();
        let root = maker.mount(Attributes::NONE).unwrap();
        let place = rustix::fs::openat(CWD, &self.upper, OFlags::PATH, Mode::empty()).unwrap();
        attach(root.as_fd(), place.as_fd()).unwrap();
        root
    }

    fn mounts(&self, root: BorrowedFd<'_>) {
        let safe = Attributes::NOSUID.with(Attributes::NODEV).with(Attributes::NOEXEC);
        put(fresh("proc", &[], safe), root, "proc");
        put(
            fresh("tmpfs", &[("mode", "755"), ("size", "65536k")], Attributes::NOSUID),
            root,
            "dev",
        );
        for folder in ["dev/pts", "dev/mqueue", "dev/shm"] {
            rustix::fs::mkdirat(root, folder, Mode::from(0o755)).unwrap();
        }
        let options = [("ptmxmode", "0666"), ("mode", "0620")];
        put(
            fresh("devpts", &options, Attributes::NOSUID.with(Attributes::NOEXEC)),
            root,
            "dev/pts",
        );
        put(fresh("sysfs", &[], safe.with(Attributes::RDONLY)), root, "sys");
        let cgroups = clone_tree(CWD, "/sys/fs/cgroup", true).unwrap();
        let change = Change { set: safe.with(Attributes::RDONLY), ..Change::default() };
        set_attributes(cgroups.as_fd(), false, change).unwrap();
        put(cgroups, root, "sys/fs/cgroup");
        put(fresh("mqueue", &[], safe), root, "dev/mqueue");
        put(fresh("tmpfs", &[("mode", "1777"), ("size", "67108864")], safe), root, "dev/shm");
        for node in ["null", "zero", "full", "random", "urandom", "tty"] {
            let name = format!("dev/{node}");
            let flags = OFlags::CREATE | OFlags::RDONLY | OFlags::CLOEXEC;
            rustix::fs::openat(root, &name, flags, Mode::from(0o666)).unwrap();
            put(clone_tree(CWD, format!("/{name}"), false).unwrap(), root, &name);
        }
        for (name, target) in [
            ("dev/fd", "/proc/self/fd"),
            ("dev/stdin", "/proc/self/fd/0"),
            ("dev/stdout", "/proc/self/fd/1"),
            ("dev/stderr", "/proc/self/fd/2"),
            ("dev/core", "/proc/kcore"),
            ("dev/ptmx", "pts/ptmx"),
        ] {
            rustix::fs::symlinkat(target, root, name).unwrap();
        }
    }

    fn privileges(&self) {
        let wanted = CapabilitySet::from_bits_retain(CAPABILITIES);
        for number in 0..41 {
            let one = CapabilitySet::from_bits_retain(1 << number);
            if !wanted.contains(one) {
                rustix::thread::remove_capability_from_bounding_set(one).unwrap();
            }
        }
        rustix::thread::set_thread_groups(&[]).ok();
        load(self.filter, FLAG_SPEC_ALLOW).unwrap();
        let sets = CapabilitySets {
            effective: wanted,
            permitted: wanted,
            inheritable: CapabilitySet::empty(),
        };
        rustix::thread::set_capabilities(None, sets).unwrap();
    }
}

fn masks(root: BorrowedFd<'_>) {
    let read_only = Change { set: Attributes::RDONLY, ..Change::default() };
    for path in READ_ONLY {
        if let Ok(tree) = clone_tree(root, path, true) {
            set_attributes(tree.as_fd(), true, read_only).unwrap();
            put(tree, root, path);
        }
    }
    let mut empty: Option<OwnedFd> = None;
    for path in MASKED {
        let Ok(stat) = rustix::fs::statat(root, path, rustix::fs::AtFlags::empty()) else {
            continue;
        };
        if rustix::fs::FileType::from_raw_mode(stat.st_mode) != rustix::fs::FileType::Directory {
            put(clone_tree(CWD, "/dev/null", false).unwrap(), root, path);
        } else if let Some(empty) = &empty {
            put(clone_tree(empty.as_fd(), "", false).unwrap(), root, path);
        } else {
            let cover = fresh("tmpfs", &[("nr_inodes", "1")], Attributes::RDONLY);
            attach(cover.as_fd(), open(root, path).as_fd()).unwrap();
            empty = Some(cover);
        }
    }
}

fn fresh(filesystem: &str, options: &[(&str, &str)], attributes: Attributes) -> OwnedFd {
    let maker = Maker::new(filesystem).unwrap();
    for (key, value) in options {
        maker.set(key, value).unwrap();
    }
    maker.mount(attributes).unwrap()
}

fn put(mount: OwnedFd, root: BorrowedFd<'_>, path: &str) {
    let flags = rustix::mount::MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    rustix::mount::move_mount(&mount, "", root, path, flags).unwrap();
}

fn open(root: BorrowedFd<'_>, path: &str) -> OwnedFd {
    rustix::fs::openat(root, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap()
}

fn pipe() -> (OwnedFd, OwnedFd) {
    rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap()
}
