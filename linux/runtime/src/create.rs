//! The parent's side of a new container.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use bryo_sys::ns::Kind;
use bryo_sys::{fork, ns, pidfd};
use oci_spec::runtime::Spec;

use crate::birth::{self, Born};
use crate::child::{self, Container};
use crate::error::{Context, Error, Result};
use crate::handles::Namespaces;
use crate::idmap::IdMaps;
use crate::options::{CreateOptions, Rootfs};
use crate::process::Program;
use crate::sync::{Line, Message};
use crate::{fuse, mounts, namespaces, seccomp, sysctl};

/// A container whose namespaces exist and whose program does not run yet. Dropping it kills it.
#[derive(Debug)]
pub struct Created {
    child: Child,
    namespaces: Option<Namespaces>,
    /// The child sends its namespaces.
    announces: bool,
    terminal: Option<OwnedFd>,
    ready: bool,
    fuse: Option<FuseLayers>,
}

/// A process whose program was executed. The caller is its parent and must reap it (`waitid` on the pidfd).
#[derive(Debug)]
pub struct Running {
    /// In the caller's pid namespace.
    pub pid: u32,
    /// Becomes readable when the process ended.
    pub pidfd: OwnedFd,
    /// The master of the terminal, with [`crate::Stdio::Terminal`].
    pub terminal: Option<OwnedFd>,
    /// The container's namespaces, for [`crate::exec`] and for network changes; they stay valid whatever the
    /// process does.
    pub namespaces: Namespaces,
}

/// What the server of a FUSE root is started with.
#[derive(Debug)]
struct FuseLayers {
    program: PathBuf,
    lower: Vec<PathBuf>,
    upper: PathBuf,
    work: PathBuf,
}

/// Makes the namespaces and starts the set-up inside; see the crate's documentation.
///
/// Namespaces follow the spec's `linux.namespaces`: without a path a new one, with a path that one is joined, not listed:
/// the caller's own is kept (host mode; so a caller of a `--network host` container must not have left the host's
/// network namespace). A new user namespace has the same ids as the caller's. If a namespace with a path belongs
/// to another container's user namespace, that user namespace is joined too instead of making a new one, since only
/// there the capabilities over the joined namespace are.
pub fn create(spec: &Spec, options: CreateOptions) -> Result<Created> {
    refuse_unsupported(spec)?;
    let spaces = namespaces::Plan::of_spec(spec)?;
    let process = spec.process().as_ref().ok_or_else(|| Error::bad("the spec has no process"))?;
    if let Some(sysctls) = spec.linux().as_ref().and_then(|l| l.sysctl().as_ref()) {
        sysctl::check(sysctls, &spaces)?;
    }
    let filter = seccomp::of_spec(spec, options.seccomp)?;
    let maps = if spaces.makes(Kind::User) { Some(IdMaps::of_spec(spec)?) } else { None };
    let concealed = spaces.joins(Kind::Pid) || spaces.joins(Kind::User);
    let late_cgroup = options.cgroup.is_some() && spaces.makes(Kind::Cgroup);
    let container = Container {
        spec,
        mounts: mounts::plan(spec)?,
        program: Program::new(process, spec, filter.as_ref(), options.init, &options.limits)?,
        spaces,
        rootfs: &options.rootfs,
        stdio: &options.stdio,
        concealed,
        late_cgroup,
    };
    let (ours, theirs) = Line::pair()?;
    let child = || container.run(&theirs);
    let mut kinds = container.spaces.new.clone();
    kinds.retain(|k| *k != Kind::Cgroup || !late_cgroup);
    let cgroup = options.cgroup.as_deref();
    let born = if container.spaces.joined.is_empty() {
        birth::direct(&kinds, cgroup, &theirs, child)?
    } else {
        birth::joined(&kinds, cgroup, &theirs, || join(&container), child)?
    };
    drop(theirs);
    let created = Created {
        child: Child { born: Some(born), line: ours, executing: false },
        namespaces: None,
        announces: concealed || late_cgroup,
        terminal: None,
        ready: false,
        fuse: layers(&options.rootfs),
    };
    if let Some(maps) = maps {
        maps.write(created.pid())?;
        created.child.send(&Message::Mapped)?;
    }
    Ok(created)
}

/// In the helper: enters what the spec joins.
fn join(container: &Container<'_>) -> Result<()> {
    if container.concealed {
        // Afterwards the helper's own file is out of reach.
        child::score(container.spec)?;
    }
    for (kind, fd) in &container.spaces.joined {
        ns::join(fd, *kind).context(|| format!("joining the {} namespace", kind.file()))?;
    }
    Ok(())
}

/// What a spec may say and this runtime does not do: said clearly, since silence would be a lie.
fn refuse_unsupported(spec: &Spec) -> Result<()> {
    if spec.hooks().as_ref().is_some_and(|h| *h != oci_spec::runtime::Hooks::default()) {
        return Err(Error::bad("OCI hooks are not supported by the built-in runtime"));
    }
    let Some(linux) = spec.linux() else {
        return Err(Error::bad("the spec has no linux section"));
    };
    let unsupported = [
        (linux.intel_rdt().is_some(), "intelRdt"),
        (linux.memory_policy().is_some(), "memoryPolicy"),
        (linux.time_offsets().as_ref().is_some_and(|t| !t.is_empty()), "timeOffsets"),
        (linux.net_devices().as_ref().is_some_and(|d| !d.is_empty()), "netDevices"),
    ];
    match unsupported.iter().find(|(present, _)| *present) {
        Some((_, name)) => Err(Error::bad(format!(
            "linux.{name} is not supported by the built-in runtime; leave it out of the spec"
        ))),
        None => Ok(()),
    }
}

fn layers(rootfs: &Rootfs) -> Option<FuseLayers> {
    match rootfs {
        Rootfs::FuseOverlay { program, lower, upper, work } => Some(FuseLayers {
            program: program.clone(),
            lower: lower.clone(),
            upper: upper.clone(),
            work: work.clone(),
        }),
        _ => None,
    }
}

impl Created {
    /// The first process' pid in the caller's pid namespace.
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Its pidfd.
    pub fn pidfd(&self) -> Result<BorrowedFd<'_>> {
        self.child.pidfd()
    }

    /// The container's network namespace, for `setns` and for moving interfaces into it. Loopback is brought up by the
    /// child.
    pub fn network_namespace(&mut self) -> Result<OwnedFd> {
        let fd = self.namespaces()?.get(Kind::Net)?;
        fd.try_clone_to_owned().context(|| "duplicating the network namespace")
    }

    /// All its namespaces.
    pub fn namespaces(&mut self) -> Result<&Namespaces> {
        if self.namespaces.is_none() && !self.announces {
            self.namespaces = Some(Namespaces::of_process(self.pid())?);
        }
        self.pump(|created| created.namespaces.is_some())?;
        self.namespaces.as_ref().ok_or_else(|| Error::other("the namespaces are not known"))
    }

    /// Waits until everything but the exec is done.
    pub fn ready(&mut self) -> Result<()> {
        self.pump(|created| created.ready)
    }

    /// Lets the program start and waits until it was executed. On failure the child is reaped and nothing is left.
    pub fn start(mut self) -> Result<Running> {
        self.namespaces()?;
        // It may be sent before the child is ready, which saves a turn.
        self.child.send(&Message::Go)?;
        self.ready()?;
        self.child.executed()?;
        let (Some(born), Some(namespaces)) = (self.child.born.take(), self.namespaces.take())
        else {
            return Err(Error::other("the new process is gone"));
        };
        let terminal = self.terminal.take();
        Ok(Running { pid: born.pid, pidfd: born.pidfd, terminal, namespaces })
    }

    /// Takes messages until `done`.
    fn pump(&mut self, done: impl Fn(&Created) -> bool) -> Result<()> {
        while !done(self) {
            match self.child.line.receive()? {
                Message::Born(fds) => self.namespaces = Some(Namespaces::received(fds)?),
                Message::Ready(terminal) => {
                    self.ready = true;
                    self.terminal = terminal;
                }
                Message::Fuse(device) => {
                    let layers = self.fuse.take();
                    let layers = layers.ok_or_else(|| Error::other("unexpected FUSE mount"))?;
                    fuse::serve(
                        &layers.program,
                        &layers.lower,
                        &layers.upper,
                        &layers.work,
                        device,
                    )?;
                }
                other => return Err(self.child.failed(other)),
            }
        }
        Ok(())
    }
}

/// A child that did not execute its program yet. Dropping it kills and reaps it.
#[derive(Debug)]
pub(crate) struct Child {
    pub(crate) born: Option<Born>,
    pub(crate) line: Line,
    pub(crate) executing: bool,
}

impl Child {
    pub(crate) fn pid(&self) -> u32 {
        self.born.as_ref().map_or(0, |b| b.pid)
    }

    fn pidfd(&self) -> Result<BorrowedFd<'_>> {
        let born = self.born.as_ref().ok_or_else(|| Error::other("the new process is gone"))?;
        Ok(born.pidfd.as_fd())
    }

    /// Sends a message; if the child died of an error, that is returned.
    pub(crate) fn send(&self, message: &Message) -> Result<()> {
        match self.line.send(message) {
            Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => loop {
                match self.line.receive()? {
                    Message::Failed(error) => return Err(error),
                    Message::Closed => return Err(died()),
                    _ => {}
                }
            },
            other => other.context(|| "speaking to the new process"),
        }
    }

    /// Waits for the exec.
    pub(crate) fn executed(&mut self) -> Result<()> {
        loop {
            match self.line.receive()? {
                Message::Executing => self.executing = true,
                Message::Closed if self.executing => return Ok(()),
                other => return Err(self.failed(other)),
            }
        }
    }

    /// The error that an unexpected message stands for.
    pub(crate) fn failed(&self, message: Message) -> Error {
        match message {
            Message::Failed(error) => error,
            Message::Closed => died(),
            other => Error::other(format!("unexpected message {other:?} from the new process")),
        }
    }
}

fn died() -> Error {
    Error::other(
        "the container's process was killed before its program ran (out of memory, or a signal)",
    )
}

impl Drop for Child {
    fn drop(&mut self) {
        if let Some(born) = self.born.take() {
            const SIGKILL: i32 = 9;
            let _ = pidfd::signal(&born.pidfd, SIGKILL);
            let _ = pidfd::to_pid(born.pid).and_then(fork::wait);
        }
    }
}
