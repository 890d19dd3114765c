//! Containers made by an OCI runtime that is not ours (Debian's runc, crun …), by the command line they share.
//!
//! ```text
//! BUNDLE/runtime/        the runtime's --root
//! BUNDLE/oci/            the bundle it sees: config.json as the engine wrote it, with the changes below
//!           /rootfs      the container's root, mounted here in the monitor's own mount namespace
//!           /log         its errors, one JSON object a line
//! ```
//!
//! Such a runtime wants a mounted root filesystem, so the monitor leaves Bryo's mount namespace for a copy of it and mounts
//! there: as with the built-in runtime nothing is left to unmount. The spec is changed where runtimes differ
//! from ours: id maps are written out, and cgroups are left away, which cannot be had without a delegation.
//!
//! The container's first process becomes the monitor's child when the runtime's own process ends (the monitor is a
//! subreaper). It is not killed if the monitor dies; its pid stands in `state.json`.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use bryo_runtime::Stdio;
use bryo_sys::channel::Channel;
use bryo_sys::ns;
use oci_spec::runtime::{
    BoxBuilder, LinuxIdMapping, LinuxIdMappingBuilder, LinuxNamespaceType, Process, RootBuilder,
    Spec,
};
use rustix::mount::MountPropagationFlags;

use crate::bundle::Bundle;
use crate::messages::{ExternalRuntime, Failure, FailureKind, MonitorConfig, Rootfs};

/// A container of an external runtime.
#[derive(Debug)]
pub(crate) struct External {
    runtime: ExternalRuntime,
    id: String,
    root: PathBuf,
    bundle: PathBuf,
}

impl External {
    pub(crate) fn new(bundle: &Bundle, runtime: ExternalRuntime) -> External {
        External {
            runtime,
            id: bundle.config.id.clone(),
            root: bundle.folder.join("runtime"),
            bundle: bundle.folder.join("oci"),
        }
    }

    /// Mounts the root filesystem and makes the container, whose program waits for [`External::go`]. Gives the first
    /// process' pid and the terminal, if there is one.
    pub(crate) fn create(
        &self,
        config: &MonitorConfig,
        mut spec: Spec,
        stdio: Stdio,
    ) -> Result<(u32, Option<OwnedFd>), Failure> {
        let failed = |e: std::io::Error| Failure::other("cannot prepare the runtime's bundle", e);
        std::fs::create_dir_all(self.bundle.join("rootfs")).map_err(failed)?;
        let root = self.mount(&config.rootfs)?;
        if let Some(process) = spec.process_mut() {
            process.set_terminal(Some(config.tty));
            set_size(process, &stdio);
        }
        let spec = adapt(spec, root).map_err(failed)?;
        let json = serde_json::to_vec(&spec).map_err(|e| failed(e.into()))?;
        std::fs::write(self.bundle.join("config.json"), json).map_err(failed)?;
        self.launch(&["create", "--bundle", "."], stdio)
    }

    /// Lets the program start.
    pub(crate) fn go(&self) -> Result<(), Failure> {
        self.run(self.command(&["start", &self.id]))
    }

    /// Starts a further process.
    pub(crate) fn exec(
        &self,
        process: &Process,
        stdio: Stdio,
    ) -> Result<(u32, Option<OwnedFd>), Failure> {
        let failed = |e: std::io::Error| Failure::other("cannot prepare the exec", e);
        let mut process = process.clone();
        set_size(&mut process, &stdio);
        let json = serde_json::to_vec(&process).map_err(|e| failed(e.into()))?;
        std::fs::write(self.bundle.join("process.json"), json).map_err(failed)?;
        self.launch(&["exec", "--detach", "--process", "process.json"], stdio)
    }

    /// Takes the container away, whatever its state.
    pub(crate) fn delete(&self) {
        // Nothing can be done about a failure; the processes and mounts are gone with their namespaces.
        let _ = self.run(self.command(&["delete", "--force", &self.id]));
    }

    /// Runs a sub-command that makes a process with these descriptors.
    fn launch(&self, arguments: &[&str], stdio: Stdio) -> Result<(u32, Option<OwnedFd>), Failure> {
        let failed = |e: std::io::Error| Failure::other("cannot talk to the runtime", e);
        let pid_file = self.bundle.join("pid");
        let _ = std::fs::remove_file(&pid_file);
        let mut command = self.command(arguments);
        command.args(["--pid-file", "pid"]);
        let console = match stdio {
            Stdio::Files { stdin, stdout, stderr } => {
                command.stdin(stdin).stdout(stdout).stderr(stderr);
                None
            }
            Stdio::Terminal { .. } => {
                command.args(["--console-socket", "console.sock"]);
                Some(Console::listen(&self.bundle).map_err(failed)?)
            }
        };
        command.arg(&self.id);
        self.run(command)?;
        let pid = std::fs::read_to_string(&pid_file).map_err(failed)?;
        let pid = pid.trim().parse().map_err(|e| Failure::other("cannot read the pid file", e))?;
        let terminal = console.map(Console::receive).transpose().map_err(failed)?;
        Ok((pid, terminal))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let null = std::process::Stdio::null;
        let mut command = Command::new(&self.runtime.path);
        command
            .args(&self.runtime.args)
            .arg("--root")
            .arg(&self.root)
            .args(["--log", "log", "--log-format", "json"])
            .args(arguments)
            .current_dir(&self.bundle)
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .stdin(null())
            .stdout(null())
            .stderr(null());
        command
    }

    fn run(&self, mut command: Command) -> Result<(), Failure> {
        let log = self.bundle.join("log");
        let _ = std::fs::remove_file(&log);
        let what = format!("cannot run the runtime {}", self.runtime.path);
        let status = command.status().map_err(|e| Failure::other(&what, e))?;
        if status.success() {
            return Ok(());
        }
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        Err(match last_error(&text) {
            Some(message) => Failure::new(kind_of(&message), message),
            None => Failure::other(&what, status),
        })
    }

    /// Mounts the root filesystem in a mount namespace of the monitor's own; gives its path.
    fn mount(&self, rootfs: &Rootfs) -> Result<PathBuf, Failure> {
        let target = self.bundle.join("rootfs");
        let failed =
            |e: std::io::Error| Failure::other("cannot mount the container's root filesystem", e);
        ns::unshare(&[ns::Kind::Mount]).map_err(failed)?;
        let slave = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
        rustix::mount::mount_change("/", slave).map_err(|e| failed(e.into()))?;
        match rootfs {
            Rootfs::Folder(path) => return Ok(PathBuf::from(path)),
            Rootfs::Overlay { lower, upper, work } => {
                let lower: Vec<_> = lower.iter().map(PathBuf::from).collect();
                let mount = bryo_runtime::overlay(&lower, upper.as_ref(), work.as_ref())?;
                let place = File::open(&target).map_err(failed)?;
                bryo_sys::mount::attach(mount.as_fd(), place.as_fd()).map_err(failed)?;
            }
            Rootfs::FuseOverlay { program, lower, upper, work } => {
                let mut command = Command::new(program);
                let layers = lower.join(":");
                let options = format!("lowerdir={layers},upperdir={upper},workdir={work}");
                command.arg("-o").arg(options).arg(&target);
                let status = command.status().map_err(failed)?;
                if !status.success() {
                    return Err(failed(std::io::Error::other(format!("{program}: {status}"))));
                }
            }
        }
        Ok(target)
    }
}

/// Tells a runtime the size of the terminal that it makes.
fn set_size(process: &mut Process, stdio: &Stdio) {
    if let Stdio::Terminal { rows, cols } = *stdio {
        let size = BoxBuilder::default().height(u64::from(rows)).width(u64::from(cols)).build();
        process.set_console_size(size.ok().filter(|_| rows > 0));
    }
}

/// The spec as other runtimes need it.
fn adapt(mut spec: Spec, root: PathBuf) -> std::io::Result<Spec> {
    let readonly = spec.root().as_ref().and_then(|r| r.readonly()).unwrap_or(false);
    let root = RootBuilder::default().path(root).readonly(readonly).build();
    spec.set_root(Some(root.map_err(std::io::Error::other)?));
    if let Some(linux) = spec.linux_mut() {
        linux.set_cgroups_path(None);
        linux.set_resources(None);
        let of_user = |n: &oci_spec::runtime::LinuxNamespace| {
            n.typ() == LinuxNamespaceType::User && n.path().is_none()
        };
        let new_user = linux.namespaces().as_ref().is_some_and(|list| list.iter().any(of_user));
        if new_user && linux.uid_mappings().is_none() {
            linux.set_uid_mappings(Some(same_ids("uid_map")?));
            linux.set_gid_mappings(Some(same_ids("gid_map")?));
        }
    }
    Ok(spec)
}

/// A map of all ids of this user namespace to themselves.
fn same_ids(map: &str) -> std::io::Result<Vec<LinuxIdMapping>> {
    let text = std::fs::read_to_string(Path::new("/proc/self").join(map))?;
    let line = |line: &str| {
        let mut numbers = line.split_ascii_whitespace().map(str::parse::<u32>);
        let (first, _, count) = (numbers.next()?.ok()?, numbers.next(), numbers.next()?.ok()?);
        let mapping = LinuxIdMappingBuilder::default();
        mapping.container_id(first).host_id(first).size(count).build().ok()
    };
    Ok(text.lines().filter_map(line).collect())
}

/// Where a runtime sends a terminal's master.
struct Console {
    listener: UnixListener,
    path: PathBuf,
}

impl Console {
    fn listen(bundle: &Path) -> std::io::Result<Console> {
        let path = bundle.join("console.sock");
        let _ = std::fs::remove_file(&path);
        // By a descriptor of the folder: the whole path may be longer than a socket's can be.
        let folder = File::open(bundle)?;
        let short = format!("/proc/self/fd/{}/console.sock", folder.as_raw_fd());
        Ok(Console { listener: UnixListener::bind(short)?, path })
    }

    /// The terminal, once the runtime has succeeded: it has sent it by then.
    fn receive(self) -> std::io::Result<OwnedFd> {
        self.listener.set_nonblocking(true)?;
        let (stream, _) = self.listener.accept()?;
        stream.set_nonblocking(false)?;
        let message = Channel::from_fd(stream.into()).recv()?;
        let _ = std::fs::remove_file(&self.path);
        let none = || std::io::Error::other("the runtime sent no terminal");
        message.fds.into_iter().next().ok_or_else(none)
    }
}

/// The last error in a runtime's log.
fn last_error(log: &str) -> Option<String> {
    let message = |line: &str| {
        let entry: serde_json::Value = serde_json::from_str(line).ok()?;
        (entry.get("level")? == "error").then(|| entry.get("msg")?.as_str().map(str::to_owned))?
    };
    log.lines().rev().find_map(message)
}

/// runc and crun say by words what kind of failure it is.
fn kind_of(message: &str) -> FailureKind {
    let has = |text: &str| message.contains(text);
    if has("executable file not found") || (has("exec") && has("no such file or directory")) {
        FailureKind::CommandNotFound
    } else if has("exec") && (has("permission denied") || has("exec format error")) {
        FailureKind::CommandNotExecutable
    } else {
        FailureKind::Other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_error_of_a_log_is_found() {
        let log = concat!(
            r#"{"level":"warning","msg":"w"}"#,
            "\n",
            r#"{"level":"error","msg":"exec: \"nosuch\": executable file not found in $PATH"}"#,
            "\nnoise\n"
        );
        let message = last_error(log).unwrap();
        assert_eq!(kind_of(&message), FailureKind::CommandNotFound);
        assert_eq!(last_error(""), None);
    }

    #[test]
    fn all_ids_are_mapped_to_themselves() {
        let maps = same_ids("uid_map").unwrap();
        assert!(maps.iter().all(|m| m.container_id() == m.host_id()) && !maps.is_empty());
    }
}
