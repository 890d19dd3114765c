//! From a bundle to a running container.
//!
//! The order: log, streams, namespaces and mounts (the runtime), network, exec. A failure anywhere drops what was made
//! before: the runtime's child dies with its namespaces, the log stays as an empty file.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use bryo_runtime::{CreateOptions, Rootfs as RuntimeRootfs, Stdio};
use bryo_sys::channel::Channel;
use bryo_sys::{ns, pidfd};
use oci_spec::runtime::Spec;
use rustix::fs::{Mode, OFlags};
use rustix::pipe::PipeFlags;

use crate::external::External;
use crate::log::{Compression, Writer, time};
use crate::messages::{Failure, NetworkSetup, Reply, Rootfs};
use crate::monitor::{Monitor, Phase, Running};
use crate::oom::OomEvents;
use crate::requests::Outcome;
use crate::streams::Ends;

/// What a start has made.
struct Started {
    running: Running,
    ends: Ends,
    /// When the process started, in clock ticks since boot; read before the exec, as the program may end at once.
    since: Option<u64>,
}

impl Monitor {
    /// Starts the container. If that fails the monitor has nothing left to do and ends.
    pub(crate) fn start(&mut self, resolver: Option<OwnedFd>) -> Outcome {
        match self.phase {
            Phase::Created => {}
            Phase::Running(_) => return Err(Failure::state("the container is running")),
            Phase::Ended => return Err(Failure::state("the container has ended")),
        }
        match self.try_start(resolver.map(Channel::from_fd).as_ref()) {
            Ok(pid) => Ok(Reply::Started { pid }),
            Err(failure) => {
                self.remove_cgroup();
                self.give_up();
                Err(failure)
            }
        }
    }

    fn try_start(&mut self, resolver: Option<&Channel>) -> Result<u32, Failure> {
        let spec =
            self.bundle.spec().map_err(|e| Failure::other("cannot start the container", e))?;
        let log = Writer::open(&self.bundle.config.log, Compression::Forked)
            .map_err(|e| Failure::other("cannot start the container", e))?;
        self.make_cgroup()?;
        let Started { running, ends, since } = match self.bundle.config.runtime.clone() {
            None => self.create(&spec, resolver)?,
            Some(runtime) => {
                let external = External::new(&self.bundle, runtime);
                external.start(&self.bundle, spec.clone(), resolver)?
            }
        };
        self.log = Some(log);
        self.state.pid = Some(running.pid);
        self.state.pid_start = since;
        self.state.started_at = Some(time::now());
        let pid = running.pid;
        self.phase = Phase::Running(running);
        self.oom = self.bundle.config.cgroup.as_deref().and_then(OomEvents::watch);
        if let Some(oom) = &self.oom {
            oom.register(&self.poller);
        }
        self.begin_watch(pid, &spec);
        self.streams
            .open(&self.poller, ends)
            .map_err(|e| Failure::other("cannot open the container's streams", e))?;
        self.write_state();
        Ok(pid)
    }

    /// Starts it with the built-in runtime.
    fn create(&mut self, spec: &Spec, resolver: Option<&Channel>) -> Result<Started, Failure> {
        let config = &self.bundle.config;
        let (stdio, ends) = stdio(config.tty, config.tty_size, config.open_stdin)
            .map_err(|e| Failure::other("cannot make the container's pipes", e))?;
        self.seccomp =
            self.bundle.seccomp().map_err(|e| Failure::other("cannot start the container", e))?;
        let options = CreateOptions {
            rootfs: rootfs(&config.rootfs),
            stdio,
            init: config.init,
            cgroup: config.cgroup.as_ref().map(PathBuf::from),
            seccomp: self.seccomp.clone(),
            limits: config.limits.of_processes(),
        };
        let mut created = bryo_runtime::create(spec, options)?;
        if let NetworkSetup::Bridge { .. } = &config.network {
            connect(&config.network, created.network_namespace()?.as_fd(), resolver)?;
        }
        let since = pidfd::start_time(created.pid());
        let run = created.start()?;
        let ends = match (ends, run.terminal) {
            (Some(ends), _) => ends,
            (None, Some(terminal)) => Ends::Terminal(terminal),
            (None, None) => {
                return Err(Failure::other("cannot open the terminal", "the runtime gave none"));
            }
        };
        let running = Running {
            pid: run.pid,
            pidfd: run.pidfd,
            namespaces: Some(run.namespaces),
            external: None,
        };
        Ok(Started { running, ends, since })
    }
}

impl External {
    /// Starts a container with this runtime.
    fn start(
        self,
        bundle: &crate::bundle::Bundle,
        spec: Spec,
        resolver: Option<&Channel>,
    ) -> Result<Started, Failure> {
        let config = &bundle.config;
        let (stdio, ends) = stdio(config.tty, config.tty_size, config.open_stdin)
            .map_err(|e| Failure::other("cannot make the container's pipes", e))?;
        let (pid, terminal) = self.create(config, spec, stdio)?;
        let since = pidfd::start_time(pid);
        // From here on a failure must take the half-made container away.
        let result = (|| {
            let pidfd =
                pidfd::open(pid).map_err(|e| Failure::other("cannot hold the process", e))?;
            if let Some(folder) = &config.cgroup {
                bryo_cgroup::enter(folder.as_ref(), pid)
                    .map_err(|e| Failure::other("cannot limit the container", e))?;
            }
            if let NetworkSetup::Bridge { .. } = &config.network {
                let netns = ns::of_process(pid, ns::Kind::Net).map_err(|e| {
                    Failure::other("cannot open the container's network namespace", e)
                })?;
                connect(&config.network, netns.as_fd(), resolver)?;
            }
            self.go()?;
            Ok(pidfd)
        })();
        let pidfd = match result {
            Ok(pidfd) => pidfd,
            Err(failure) => {
                self.delete();
                return Err(failure);
            }
        };
        let ends = match (ends, terminal) {
            (Some(ends), _) => ends,
            (None, Some(terminal)) => Ends::Terminal(terminal),
            (None, None) => {
                return Err(Failure::other("cannot open the terminal", "the runtime sent none"));
            }
        };
        let running = Running { pid, pidfd, namespaces: None, external: Some(self) };
        Ok(Started { running, ends, since })
    }
}

/// Makes the interfaces of bridge networks, and the sockets of the container's resolver.
fn connect(
    network: &NetworkSetup,
    container: BorrowedFd<'_>,
    resolver: Option<&Channel>,
) -> Result<(), Failure> {
    let NetworkSetup::Bridge { bridges, endpoints } = network else { return Ok(()) };
    let what = "cannot connect the container to its network";
    let bridges = ns::open(bridges).map_err(|e| Failure::other(what, e))?;
    for endpoint in endpoints {
        bryo_net::attach(bridges.as_fd(), container, endpoint)
            .map_err(|e| Failure::other(what, e))?;
    }
    if let Some(channel) = resolver {
        // Without a resolver it runs all the same; an engine that is gone makes the next one see to it.
        let _ = match bryo_net::resolver_sockets(container) {
            Ok([udp, tcp]) => channel.send(b"sockets", &[udp.as_fd(), tcp.as_fd()]),
            Err(why) => channel.send(why.to_string().as_bytes(), &[]),
        };
    }
    Ok(())
}

fn rootfs(rootfs: &Rootfs) -> RuntimeRootfs {
    let paths = |list: &[String]| list.iter().map(PathBuf::from).collect();
    match rootfs {
        Rootfs::Overlay { lower, upper, work } => {
            RuntimeRootfs::Overlay { lower: paths(lower), upper: upper.into(), work: work.into() }
        }
        Rootfs::FuseOverlay { program, lower, upper, work } => RuntimeRootfs::FuseOverlay {
            program: program.into(),
            lower: paths(lower),
            upper: upper.into(),
            work: work.into(),
        },
        Rootfs::Folder(path) => RuntimeRootfs::Folder(path.into()),
    }
}

/// A process' descriptors and our ends of them (none yet for a terminal, whose master the runtime gives).
pub(crate) fn stdio(
    tty: bool,
    (rows, cols): (u16, u16),
    open_stdin: bool,
) -> std::io::Result<(Stdio, Option<Ends>)> {
    if tty {
        return Ok((Stdio::Terminal { rows, cols }, None));
    }
    let pipe = || rustix::pipe::pipe_with(PipeFlags::CLOEXEC);
    let (stdin, feed) = if open_stdin {
        let (read, write) = pipe()?;
        (read, Some(write))
    } else {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        (rustix::fs::open("/dev/null", flags, Mode::empty())?, None)
    };
    let (out_read, out_write) = pipe()?;
    let (err_read, err_write) = pipe()?;
    let files = Stdio::Files { stdin, stdout: out_write, stderr: err_write };
    Ok((files, Some(Ends::Pipes { stdin: feed, stdout: out_read, stderr: err_read })))
}
