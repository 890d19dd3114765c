//! The spec's mounts.
//!
//! Each is made detached, gets its attributes, and is attached onto a descriptor of its target, which is resolved
//! inside the new root (see [`bryo_sys::mount`] and [`bryo_sys::rooted`]). So links in an image lead
//! nowhere outside (CVE-2021-30465, CVE-2019-14271) and nothing is writable for a moment before it is read-only.
//!
//! What cannot be mounted fresh because the namespace that it shows belongs to somebody else (sysfs with the host's
//! network, proc with the host's pids, mqueue with the host's ipc) is bound from the host instead.

mod copyup;
pub(crate) mod options;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use bryo_sys::mount::{self, Attributes, Change, Maker, MountError, Propagation};
use bryo_sys::ns::Kind;
use bryo_sys::rooted::Root;
use oci_spec::runtime::{Mount, Spec};
use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::error::{Context, Error, Result, plain};
use crate::namespaces;
use options::Options;

/// Mode of folders that are made as mount targets, as other runtimes have it.
const TARGET_MODE: u32 = 0o755;

/// A mount of the spec, checked.
#[derive(Debug)]
pub(crate) struct Planned {
    pub(crate) target: PathBuf,
    pub(crate) kind: String,
    pub(crate) source: PathBuf,
    pub(crate) options: Options,
    /// The source of a shared bind, cloned by the parent: a clone made behind the new user namespace would be a slave,
    /// and mounts made in the container would not show outside (mount_namespaces(7)).
    shared: Option<OwnedFd>,
}

/// Descriptors of mounts that later steps need.
#[derive(Debug, Default)]
pub(crate) struct Mounted {
    /// The container's procfs, if it was mounted fresh.
    pub(crate) proc: Option<OwnedFd>,
    /// Its sysfs, likewise.
    pub(crate) sys: Option<OwnedFd>,
    /// Its devpts, likewise.
    pub(crate) devpts: Option<OwnedFd>,
    /// Mounts to be made read-only at the end, when what belongs inside has been made.
    pub(crate) late_readonly: Vec<OwnedFd>,
}

/// Reads and checks the spec's list.
pub(crate) fn plan(spec: &Spec) -> Result<Vec<Planned>> {
    spec.mounts().iter().flatten().map(plan_one).collect()
}

fn plan_one(mount: &Mount) -> Result<Planned> {
    let target = mount.destination().clone();
    let words = mount.options().iter().flatten().map(String::as_str);
    let options =
        Options::parse(words).map_err(|e| e.within(format!("mount at {}", target.display())))?;
    let kind = match mount.typ().as_deref() {
        _ if options.bind => "bind",
        Some("bind") | None | Some("none" | "") => "bind",
        Some(kind) => kind,
    };
    // /proc tells the truth about the container; only the files that tools like lxcfs replace may be covered.
    if kind != "proc" && in_proc(&target) {
        return Err(Error::bad(format!(
            "{:?} cannot be mounted because it is inside /proc",
            target.display().to_string()
        )));
    }
    let source = mount.source().clone().unwrap_or_else(|| PathBuf::from(kind));
    let mut planned = Planned { target, kind: kind.to_owned(), source, options, shared: None };
    if kind == "bind" && matches!(planned.options.propagation, Some((Propagation::Shared, _))) {
        let tree = tree(&planned.source, planned.options.recursive);
        planned.shared = Some(tree.map_err(|e| e.within(what(&planned)))?);
    }
    Ok(planned)
}

fn what(planned: &Planned) -> String {
    format!(
        "error mounting {:?} to rootfs at {:?}",
        planned.source.display().to_string(),
        planned.target.display().to_string()
    )
}

fn in_proc(target: &Path) -> bool {
    const COVERABLE: [&str; 11] = [
        "cpuinfo",
        "diskstats",
        "meminfo",
        "stat",
        "swaps",
        "uptime",
        "loadavg",
        "slabinfo",
        "net/dev",
        "sys/kernel/ns_last_pid",
        "sys/crypto/fips_enabled",
    ];
    // Written forms only: whatever a link inside the root makes of it, procfs cannot be reached that way, since
    // the masks are applied to the procfs mount itself.
    let mut clean = PathBuf::from("/");
    for part in target.components() {
        match part {
            std::path::Component::Normal(name) => clean.push(name),
            std::path::Component::ParentDir => {
                clean.pop();
            }
            _ => {}
        }
    }
    clean.strip_prefix("/proc").is_ok_and(|rest| !COVERABLE.iter().any(|c| Path::new(c) == rest))
        && clean != Path::new("/proc")
        || clean == Path::new("/proc") && target != Path::new("/proc")
}

/// Makes all mounts below `root`, in the order of the list.
pub(crate) fn perform(root: &Root, list: &[Planned], spaces: &namespaces::Plan) -> Result<Mounted> {
    let mut mounted = Mounted::default();
    for planned in list {
        one(root, planned, spaces, &mut mounted).map_err(|e| e.within(what(planned)))?;
    }
    Ok(mounted)
}

fn one(
    root: &Root,
    planned: &Planned,
    spaces: &namespaces::Plan,
    mounted: &mut Mounted,
) -> Result<()> {
    match planned.kind.as_str() {
        "bind" => bind(root, planned, &planned.source, planned.options.recursive),
        "tmpfs" => tmpfs(root, planned, mounted),
        "proc" => {
            mounted.proc = special(root, planned, Path::new("/proc"), !spaces.makes(Kind::Pid))?;
            Ok(())
        }
        "sysfs" => {
            mounted.sys = special(root, planned, Path::new("/sys"), true)?;
            Ok(())
        }
        "devpts" => {
            let fd = fresh(planned, "devpts", |key| !unmapped_group(planned, key))?;
            put(root, planned, fd.as_fd())?;
            mounted.devpts = Some(fd);
            Ok(())
        }
        "mqueue" => special(root, planned, Path::new("/dev/mqueue"), true).map(drop),
        "cgroup" | "cgroup2" => cgroup(root, planned, spaces),
        other => {
            let fd = fresh(planned, other, |_| true)?;
            put(root, planned, fd.as_fd())
        }
    }
}

/// Binds `source` of the host.
fn bind(root: &Root, planned: &Planned, source: &Path, recursive: bool) -> Result<()> {
    match &planned.shared {
        Some(tree) => put(root, planned, tree.as_fd()),
        None => put(root, planned, tree(source, recursive)?.as_fd()),
    }
}

/// A detached clone of the host's tree at `source`.
fn tree(source: &Path, recursive: bool) -> Result<OwnedFd> {
    mount::clone_tree(CWD, source, recursive).map_err(|e| {
        let hint = match Errno::from_io_error(&e) {
            Some(Errno::INVAL) if !recursive => " (it has mounts below it: use rbind)",
            _ => "",
        };
        Error::other(format!("binding {}: {}{hint}", source.display(), plain(&e)))
    })
}

/// A new tmpfs. Without `mode=` it gets the mode of the folder it covers, or 1777 where there was none, as runc has it.
fn tmpfs(root: &Root, planned: &Planned, mounted: &mut Mounted) -> Result<()> {
    let existed = root.exists(&planned.target);
    let target = target(root, planned, true)?;
    let covered = rustix::fs::fstat(&target).context(|| "looking at the target")?;
    let maker = Maker::new("tmpfs").map_err(explain)?;
    maker.set("source", &planned.source).map_err(explain)?;
    for (key, value) in &planned.options.data {
        set(&maker, key, value.as_deref())?;
    }
    if planned.options.value("mode").is_none() {
        let mode = if existed { covered.st_mode & 0o7777 } else { 0o1777 };
        set(&maker, "mode", Some(&format!("{mode:o}")))?;
    }
    let attributes = planned.options.attributes.set;
    let writable = attributes.without(Attributes::RDONLY);
    let fd = maker.mount(writable).map_err(explain)?;
    if planned.options.copy_up {
        copyup::copy(target.as_fd(), fd.as_fd()).map_err(|e| e.within("copying up"))?;
    }
    finish(planned, fd.as_fd())?;
    mount::attach(fd.as_fd(), target.as_fd()).context(|| "attaching")?;
    if attributes.contains(Attributes::RDONLY) {
        mounted.late_readonly.push(fd);
    }
    Ok(())
}

/// A filesystem that shows a namespace: fresh if we own that, else (EPERM) bound from `host` if that is `allowed`.
fn special(root: &Root, planned: &Planned, host: &Path, allowed: bool) -> Result<Option<OwnedFd>> {
    // A link in the image must not move procfs or sysfs elsewhere: what masks them would miss them.
    let name = planned.target.as_path();
    if root.resolve_link(name).is_ok_and(|fd| is_link(fd.as_fd())) {
        return Err(Error::bad(format!("{} is a symbolic link in the image", name.display())));
    }
    match fresh(planned, &planned.kind, |_| true) {
        Ok(fd) => {
            put(root, planned, fd.as_fd())?;
            Ok(Some(fd))
        }
        Err(Failure { errno: Some(Errno::PERM | Errno::ACCESS), .. }) if allowed => {
            if planned.kind == "mqueue" && !host.exists() {
                return Ok(None);
            }
            let tree = mount::clone_tree(CWD, host, true)
                .context(|| format!("binding {}", host.display()))?;
            let change = Change { set: planned.options.attributes.set, ..Change::default() };
            mount::set_attributes(tree.as_fd(), true, change)
                .context(|| format!("setting the attributes of {}", host.display()))?;
            let target = target(root, planned, true)?;
            mount::attach(tree.as_fd(), target.as_fd()).context(|| "attaching")?;
            Ok(None)
        }
        Err(e) => Err(e.into()),
    }
}

/// The cgroup tree: cgroup2 fresh where it is the host's, else what the host has, bound.
fn cgroup(root: &Root, planned: &Planned, spaces: &namespaces::Plan) -> Result<()> {
    const CGROUP2_MAGIC: i64 = 0x6367_7270;
    let host = Path::new("/sys/fs/cgroup");
    let kind = rustix::fs::statfs(host).map(|s| s.f_type).unwrap_or(0);
    if kind == CGROUP2_MAGIC && spaces.makes(Kind::Cgroup) {
        if let Ok(fd) = fresh(planned, "cgroup2", |_| true) {
            return put(root, planned, fd.as_fd());
        }
    }
    if !host.is_dir() {
        return Ok(());
    }
    bind(root, planned, host, true)
}

/// Makes a filesystem of the mount's options; `wanted` says which.
fn fresh(
    planned: &Planned,
    filesystem: &str,
    wanted: impl Fn(&str) -> bool,
) -> std::result::Result<OwnedFd, Failure> {
    let maker = Maker::new(filesystem)?;
    maker.set("source", &planned.source)?;
    for (key, value) in planned.options.data.iter().filter(|(key, _)| wanted(key)) {
        match value {
            Some(value) => maker.set(key, value)?,
            None => maker.flag(key)?,
        }
    }
    Ok(maker.mount(planned.options.attributes.set)?)
}

/// Attaches a finished mount onto its target.
fn put(root: &Root, planned: &Planned, mount: BorrowedFd<'_>) -> Result<()> {
    finish(planned, mount)?;
    let stat = rustix::fs::fstat(mount).context(|| "looking at the source")?;
    let folder = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
    let target = target(root, planned, folder)?;
    let stat = rustix::fs::fstat(&target).context(|| "looking at the target")?;
    if folder != (FileType::from_raw_mode(stat.st_mode) == FileType::Directory) {
        // The kernel would say EINVAL. Docker's clients look for "not a directory" and print this advice.
        return Err(Error::bad(
            "not a directory: Are you trying to mount a directory onto a file (or vice-versa)? Check if the \
             specified host path exists and is the expected type",
        ));
    }
    mount::attach(mount, target.as_fd()).context(|| "attaching")
}

/// Sets what the options say on a mount that nobody can see yet.
fn finish(planned: &Planned, mount: BorrowedFd<'_>) -> Result<()> {
    let options = &planned.options;
    let change = |recursive: bool, change: Change| -> Result<()> {
        if change.is_empty() {
            return Ok(());
        }
        mount::set_attributes(mount, recursive, change).context(|| "setting the mount's attributes")
    };
    // What was inherited from the host cannot be cleared in a user namespace; only what we would add counts.
    if options.bind || planned.kind == "bind" || planned.kind.starts_with("cgroup") {
        // The host's cgroup tree is a mount per hierarchy (v1); a bind's words are for its top.
        let all = planned.kind.starts_with("cgroup");
        change(all, Change { set: options.attributes.set, ..Change::default() })?;
    }
    change(true, Change { set: options.tree_attributes.set, ..Change::default() })?;
    // A bind without a word of its own is private, as with other runtimes.
    let default = (planned.kind == "bind").then_some((Propagation::Private, true));
    if let Some((propagation, recursive)) = options.propagation.or(default) {
        change(recursive, Change { propagation: Some(propagation), ..Change::default() })?;
    }
    Ok(())
}

/// The target inside the root, made if it is missing: a folder, or an empty file for a file.
fn target(root: &Root, planned: &Planned, folder: bool) -> Result<OwnedFd> {
    let mode = Mode::from_raw_mode(TARGET_MODE);
    let made = if folder {
        match root.mkdir_p(&planned.target, mode) {
            // The caller says that a folder does not go onto a file.
            Err(e) if e.kind() == io::ErrorKind::NotADirectory => root.resolve(&planned.target),
            other => other,
        }
    } else {
        root.touch_p(&planned.target, mode, mode)
    };
    made.map_err(|e| Error::other(format!("making the mount point: {}", plain(&e))))
}

/// devpts' `gid=5` where group 5 is not mapped (single-id mode): the kernel would refuse the mount.
fn unmapped_group(planned: &Planned, key: &str) -> bool {
    if key != "gid" && key != "uid" {
        return false;
    }
    let Some(id) = planned.options.value(key).and_then(|v| v.parse::<u64>().ok()) else {
        return false;
    };
    let map = std::fs::read_to_string(format!("/proc/self/{key}_map")).unwrap_or_default();
    !map.lines().any(|line| {
        let mut numbers = line.split_ascii_whitespace().map(|n| n.parse::<u64>().unwrap_or(0));
        let (first, count) = (numbers.next().unwrap_or(0), numbers.nth(1).unwrap_or(0));
        (first..first + count).contains(&id)
    })
}

fn is_link(fd: BorrowedFd<'_>) -> bool {
    rustix::fs::fstat(fd).is_ok_and(|s| FileType::from_raw_mode(s.st_mode) == FileType::Symlink)
}

fn set(maker: &Maker, key: &str, value: Option<&str>) -> Result<()> {
    match value {
        Some(value) => maker.set(key, value),
        None => maker.flag(key),
    }
    .map_err(|e| Error::from(Failure::from(e)).within(format!("option {key}")))
}

/// A failed mount call with its number, for fallbacks.
pub(crate) struct Failure {
    pub(crate) errno: Option<Errno>,
    text: String,
}

impl From<MountError> for Failure {
    fn from(e: MountError) -> Failure {
        let errno = Errno::from_io_error(&e.source);
        let text = if e.log.is_empty() {
            plain(&e.source)
        } else {
            format!("{} ({})", plain(&e.source), e.log)
        };
        Failure { errno, text }
    }
}

impl From<Failure> for Error {
    fn from(f: Failure) -> Error {
        Error::other(f.text)
    }
}

pub(crate) fn explain(e: MountError) -> Error {
    Failure::from(e).into()
}

/// Opens a folder of the caller's own view for its mount.
pub(crate) fn open_folder(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(CWD, path, flags, Mode::empty())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_some_files_of_proc_may_be_covered() {
        assert!(!in_proc(Path::new("/proc/cpuinfo")));
        assert!(!in_proc(Path::new("/proc")));
        assert!(!in_proc(Path::new("/processes")));
        assert!(in_proc(Path::new("/proc/self")));
        assert!(in_proc(Path::new("/proc/sys/kernel")));
        assert!(in_proc(Path::new("/x/../proc/1")));
    }
}
