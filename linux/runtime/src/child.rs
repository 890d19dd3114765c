//! The child's side: from its first instruction to the exec.
//!
//! It runs in the container's new namespaces, as a copy of the caller's process with one thread. It never returns into
//! the caller's code and drops nothing that it inherited: it ends by exec or `_exit`.

use std::convert::Infallible;
use std::os::fd::{AsFd, OwnedFd};

use bryo_sys::ns::{self, Kind};
use bryo_sys::rooted::Root;
use bryo_sys::{fork, keyring, loopback, process as sys_process, pty};
use oci_spec::runtime::Spec;
use rustix::fs::Mode;

use crate::error::{Context, Error, Result, plain};
use crate::handles::Namespaces;
use crate::mounts::{self, Planned};
use crate::options::{Rootfs, Stdio};
use crate::process::{self, Program};
use crate::sync::{Line, Message};
use crate::{devices, masks, namespaces, rootfs, sysctl};

/// Everything the child needs, checked by the parent.
pub(crate) struct Container<'a> {
    pub(crate) spec: &'a Spec,
    pub(crate) spaces: namespaces::Plan,
    pub(crate) rootfs: &'a Rootfs,
    pub(crate) stdio: &'a Stdio,
    pub(crate) mounts: Vec<Planned>,
    pub(crate) program: Program<'a>,
    /// Hidden from the other processes of a joined pid namespace.
    pub(crate) concealed: bool,
    /// Born in a cgroup of its own: the cgroup namespace is made afterwards, since clone3 would take the parent's
    /// cgroup for its root (cgroup_namespaces(7)).
    pub(crate) late_cgroup: bool,
}

/// Runs `body` in the child and never returns; a failure is told to the parent.
pub(crate) fn finish(line: &Line, body: impl FnOnce() -> Result<Infallible>) -> ! {
    // A panic must not unwind into the caller's code, of which this process has a copy.
    let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body));
    let error = match failed {
        Ok(Err(error)) => error,
        Err(_) => Error::other("the set-up inside the container panicked"),
    };
    let _ = line.send(&Message::Failed(error));
    fork::exit(1)
}

impl Container<'_> {
    /// The child's life.
    pub(crate) fn run(&self, line: &Line) -> Result<Infallible> {
        if self.spaces.makes(Kind::User) {
            expect(line, |m| matches!(m, Message::Mapped))?;
        }
        if self.late_cgroup {
            ns::unshare(&[Kind::Cgroup]).context(|| "making the cgroup namespace")?;
        }
        if self.concealed || self.late_cgroup {
            let message = Message::Born(Namespaces::own()?);
            line.send(&message).context(|| "sending my namespaces")?;
        }
        if !self.concealed {
            // A concealed child inherited it from the helper; its own file is out of reach.
            score(self.spec)?;
        }
        self.identity()?;
        let (root, terminal) = self.files(line)?;
        line.send(&Message::Ready(terminal)).context(|| "telling the parent")?;
        expect(line, |m| matches!(m, Message::Go))?;
        self.program.run(root, line)
    }

    /// What has nothing to do with files.
    fn identity(&self) -> Result<()> {
        // Over the user's quota of keys the caller's keyring stays; it is the engine's own and empty.
        let _ = keyring::new_session();
        rustix::process::umask(Mode::from_raw_mode(0o022));
        if self.spaces.makes(Kind::Net) {
            loopback::up().context(|| "bringing up the loopback interface")?;
        }
        if self.spaces.makes(Kind::Uts) {
            if let Some(name) = self.spec.hostname() {
                rustix::system::sethostname(name.as_bytes())
                    .context(|| format!("setting the host name {name:?}"))?;
            }
            if let Some(name) = self.spec.domainname() {
                rustix::system::setdomainname(name.as_bytes())
                    .context(|| format!("setting the domain name {name:?}"))?;
            }
        }
        Ok(())
    }

    /// The file system, the standard descriptors, and the root as the process sees it.
    fn files(&self, line: &Line) -> Result<(Root, Option<OwnedFd>)> {
        let linux = self.spec.linux().as_ref();
        if !self.spaces.makes(Kind::User) && !self.spaces.joins(Kind::User) {
            rootfs::isolate()?;
        }
        let root = rootfs::mount(self.rootfs, line)?;
        let mounted = mounts::perform(&root, &self.mounts, &self.spaces)?;
        devices::set_up(&root, self.spec, &self.mounts)?;
        let terminal = self.standard_descriptors(&root, mounted.devpts.as_ref())?;
        if let Some(sysctls) = linux.and_then(|l| l.sysctl().as_ref()) {
            sysctl::write(sysctls, &mounted)?;
        }
        if let Some(paths) = linux.and_then(|l| l.readonly_paths().as_ref()) {
            masks::read_only(&root, &mounted, paths)?;
        }
        if let Some(paths) = linux.and_then(|l| l.masked_paths().as_ref()) {
            masks::mask(&root, &mounted, paths)?;
        }
        if let Some(process) = self.spec.process() {
            process::make_folder(&root, process.cwd())?;
        }
        for mount in &mounted.late_readonly {
            rootfs::read_only(mount)?;
        }
        let word = linux.and_then(|l| l.rootfs_propagation().as_deref()).unwrap_or_default();
        rootfs::propagate(&root, word)?;
        if self.spec.root().as_ref().and_then(oci_spec::runtime::Root::readonly).unwrap_or(false) {
            rootfs::read_only(&root)?;
        }
        rootfs::pivot(&root)?;
        Ok((root, terminal))
    }

    fn standard_descriptors(
        &self,
        root: &Root,
        devpts: Option<&OwnedFd>,
    ) -> Result<Option<OwnedFd>> {
        let (uid, gid) = self.program.user();
        match self.stdio {
            Stdio::Files { stdin, stdout, stderr } => {
                plain_streams([stdin, stdout, stderr], uid, gid)?;
                Ok(None)
            }
            Stdio::Terminal { rows, cols } => {
                let (master, slave) = devices::console(root, devpts)?;
                terminal_streams(&slave, (*rows, *cols), uid)?;
                Ok(Some(master))
            }
        }
    }
}

/// Waits for one message.
pub(crate) fn expect(line: &Line, wanted: impl Fn(&Message) -> bool) -> Result<()> {
    let message = line.receive()?;
    if wanted(&message) {
        return Ok(());
    }
    match message {
        // The parent gave up or died: nobody is left to tell.
        Message::Closed => fork::exit(1),
        other => Err(Error::other(format!("unexpected message {other:?} from the parent"))),
    }
}

/// A session of its own and three given descriptors.
pub(crate) fn plain_streams(streams: [&OwnedFd; 3], uid: u32, gid: u32) -> Result<()> {
    // EPERM: it leads one already.
    let _ = rustix::process::setsid();
    // Above the standard numbers first: the sources may be among them.
    let mut copies = Vec::with_capacity(3);
    for stream in streams {
        if uid != 0 {
            devices::give(stream, uid, Some(gid)).context(|| "giving a stream to the user")?;
        }
        let copy = rustix::io::fcntl_dupfd_cloexec(stream, 3);
        copies.push(copy.context(|| "duplicating a standard stream")?);
    }
    for (number, copy) in (0..).zip(&copies) {
        sys_process::duplicate_to(copy, number).context(|| "placing a standard stream")?;
    }
    Ok(())
}

/// A session of its own with `slave` as its terminal and as all three descriptors.
pub(crate) fn terminal_streams(slave: &OwnedFd, size: (u16, u16), uid: u32) -> Result<()> {
    if size != (0, 0) {
        pty::resize(slave, size.0, size.1).context(|| "setting the terminal's size")?;
    }
    // Before giving it away: afterwards it is not ours to control.
    pty::control(slave.as_fd()).context(|| "taking the terminal")?;
    for number in 0..3 {
        sys_process::duplicate_to(slave, number).context(|| "placing the terminal")?;
    }
    devices::give(slave, uid, None).context(|| "giving the terminal to the user")
}

/// Sets the OOM killer's score. Below the engine's own it would need privileges, so that is the floor.
pub(crate) fn score(spec: &Spec) -> Result<()> {
    const FILE: &str = "/proc/self/oom_score_adj";
    let Some(wanted) = spec.process().as_ref().and_then(oci_spec::runtime::Process::oom_score_adj)
    else {
        return Ok(());
    };
    let current = std::fs::read_to_string(FILE).ok().and_then(|s| s.trim().parse::<i32>().ok());
    if current == Some(wanted) {
        return Ok(());
    }
    match std::fs::write(FILE, wanted.to_string()) {
        Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => Ok(()),
        other => other
            .map_err(|e| Error::other(format!("setting oom_score_adj to {wanted}: {}", plain(&e)))),
    }
}
