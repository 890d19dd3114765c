//! The last part of a new process: who it is, what it may do, and the exec.
//!
//! The order matters and each step needs rights that a later one gives up:
//! limits → descriptors closed → working folder → bounding set → groups and user (capabilities kept) → seccomp, if
//! without no-new-privileges, while CAP_SYS_ADMIN is there → final capabilities → program looked up as the
//! final user → seccomp, if with no-new-privileges → exec.

use std::convert::Infallible;
use std::ffi::CString;
use std::os::fd::AsFd;
use std::path::Path;

use bryo_sys::exec::{self, Strings};
use bryo_sys::rooted::Root;
use oci_spec::runtime::{Capabilities, LinuxPersonalityDomain, PosixRlimitType, Process, Spec};
use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit};
use rustix::thread::{CapabilitySet, CapabilitySets, Gid, Uid};

use crate::capability::number;
use crate::error::{Context, Error, Result, plain};
use crate::limits::Limits;
use crate::seccomp::Filter;
use crate::sync::{Line, Message};
use crate::{idmap, init, lookup, users};

/// A program to become.
#[derive(Debug)]
pub(crate) struct Program<'a> {
    process: &'a Process,
    filter: Option<&'a Filter>,
    arguments: Strings,
    personality: Option<u32>,
    init: bool,
    limits: &'a Limits,
}

impl<'a> Program<'a> {
    /// Checks what can be checked in the parent.
    pub(crate) fn new(
        process: &'a Process,
        spec: &Spec,
        filter: Option<&'a Filter>,
        init: bool,
        limits: &'a Limits,
    ) -> Result<Program<'a>> {
        let list = process.args().as_deref().unwrap_or_default();
        if list.is_empty() {
            return Err(Error::bad("no command specified"));
        }
        if !process.cwd().is_absolute() {
            return Err(Error::bad(format!(
                "the working directory {:?} is not an absolute path",
                process.cwd().display().to_string()
            )));
        }
        let arguments = Strings::new(list.iter().map(String::as_str))
            .map_err(|_| Error::bad("an argument of the program has a zero byte"))?;
        let personality = spec.linux().as_ref().and_then(|l| l.personality().as_ref()).map(|p| {
            match p.domain() {
                LinuxPersonalityDomain::PerLinux => 0,
                LinuxPersonalityDomain::PerLinux32 => 8,
            }
        });
        Ok(Program { process, filter, arguments, personality, init, limits })
    }

    /// The user's id and group.
    pub(crate) fn user(&self) -> (u32, u32) {
        (self.process.user().uid(), self.process.user().gid())
    }

    /// Becomes the program. Only the standard descriptors and `line` are needed from here on.
    pub(crate) fn run(&self, root: Root, line: &Line) -> Result<Infallible> {
        bryo_sys::signal::reset().context(|| "resetting signals")?;
        let environment = self.environment(&root)?;
        drop(root);
        self.limits()?;
        self.limits.take()?;
        // Nothing that leads out of the container stays open (CVE-2024-21626).
        exec::close_others(3, line.as_fd()).context(|| "closing descriptors")?;
        let denied = self.enter_folder()?;
        let umask = self.process.user().umask().unwrap_or(0o022);
        rustix::process::umask(Mode::from_raw_mode(umask & 0o777));
        if let Some(personality) = self.personality {
            exec::set_personality(personality).context(|| "setting the personality")?;
        }
        let capabilities = Wanted::of(self.process)?;
        capabilities.drop_bounding()?;
        self.become_user()?;
        if self.init {
            // The program's siblings must not reach this one's memory or executable (CVE-2019-5736).
            conceal()?;
        }
        line.send(&Message::Executing).context(|| "telling the parent")?;
        let no_new_privileges = self.process.no_new_privileges().unwrap_or(false);
        if no_new_privileges {
            rustix::thread::set_no_new_privs(true).context(|| "setting no-new-privileges")?;
        } else {
            self.filter()?;
        }
        capabilities.apply()?;
        // A container whose monitor was killed must not run on unseen. Any change of credentials clears this
        // (prctl(2)), so it comes after the last one.
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
            .context(|| "tying the process to its monitor")?;
        if denied {
            self.enter_folder_now()?;
        }
        let path = self.path_variable();
        let name = self.process.args().iter().flatten().next().map_or("", String::as_str);
        let program = lookup::find(name, path)?;
        if no_new_privileges {
            self.filter()?;
        }
        if self.init {
            init::run(line, || self.execute(&program, &environment))
        } else {
            self.execute(&program, &environment)
        }
    }

    fn execute(&self, program: &CString, environment: &Strings) -> Result<Infallible> {
        exec::execve(program, &self.arguments, environment)
            .map_err(|e| lookup::exec_failed(program, &e))
    }

    fn path_variable(&self) -> Option<&str> {
        self.process.env().iter().flatten().find_map(|v| v.strip_prefix("PATH="))
    }

    /// The spec's environment, with HOME from the image's `etc/passwd` if it is not set.
    fn environment(&self, root: &Root) -> Result<Strings> {
        let list = self.process.env().as_deref().unwrap_or_default();
        let mut variables: Vec<String> = list.to_vec();
        if !list.iter().any(|v| v.starts_with("HOME=")) {
            let home = users::home(root, self.process.user().uid());
            variables.push(format!("HOME={home}"));
        }
        Strings::new(variables).map_err(|_| Error::bad("an environment variable has a zero byte"))
    }

    fn limits(&self) -> Result<()> {
        for limit in self.process.rlimits().iter().flatten() {
            let resource = resource(limit.typ());
            let finite = |value: u64| (value != u64::MAX).then_some(value);
            let wanted = Rlimit { current: finite(limit.soft()), maximum: finite(limit.hard()) };
            if let Err(e) = rustix::process::setrlimit(resource, wanted) {
                let hard = rustix::process::getrlimit(resource).maximum;
                let hard = hard.map_or("unlimited".to_owned(), |h| h.to_string());
                return Err(Error::bad(format!(
                    "setting ulimit {} to {}:{}: {} (the hard limit of the engine's user is {hard}; without \
                     privileges it cannot be raised, see limits.conf(5))",
                    limit_name(limit.typ()),
                    limit.soft(),
                    limit.hard(),
                    plain(&e.into())
                )));
            }
        }
        Ok(())
    }

    /// Enters the working folder; true if only the container's user may be able to (a FUSE or NFS volume, say).
    fn enter_folder(&self) -> Result<bool> {
        match rustix::process::chdir(self.process.cwd()) {
            Err(rustix::io::Errno::ACCESS | rustix::io::Errno::PERM) => return Ok(true),
            Err(e) => return Err(self.no_folder(e)),
            Ok(()) => {}
        }
        inside()?;
        Ok(false)
    }

    fn enter_folder_now(&self) -> Result<()> {
        rustix::process::chdir(self.process.cwd()).map_err(|e| self.no_folder(e))?;
        inside()
    }

    fn no_folder(&self, e: rustix::io::Errno) -> Error {
        let cwd = self.process.cwd().display().to_string();
        Error::bad(format!(
            "chdir to cwd ({cwd:?}) set in config.json failed: {}",
            plain(&e.into())
        ))
    }

    fn become_user(&self) -> Result<()> {
        let user = self.process.user();
        let (uid, gid) = (Uid::from_raw(user.uid()), Gid::from_raw(user.gid()));
        let extra: Vec<Gid> =
            user.additional_gids().iter().flatten().map(|g| Gid::from_raw(*g)).collect();
        rustix::thread::set_keep_capabilities(true).context(|| "keeping capabilities")?;
        match rustix::thread::set_thread_groups(&extra) {
            // Single-id mode: the kernel forbids it (user_namespaces(7)), so the engine's groups stay, unmapped.
            Err(rustix::io::Errno::PERM) if idmap::setgroups_denied() => {}
            other => {
                other.map_err(|e| unmapped("supplementary groups", &user.additional_gids(), e))?
            }
        }
        rustix::thread::set_thread_res_gid(gid, gid, gid)
            .map_err(|e| unmapped("group", &user.gid(), e))?;
        rustix::thread::set_thread_res_uid(uid, uid, uid)
            .map_err(|e| unmapped("user", &user.uid(), e))?;
        rustix::thread::set_keep_capabilities(false).context(|| "keeping capabilities")?;
        // Changing from uid 0 emptied the effective set; what follows still needs it.
        let mut sets = rustix::thread::capabilities(None).context(|| "reading capabilities")?;
        sets.effective = sets.permitted;
        rustix::thread::set_capabilities(None, sets).context(|| "restoring capabilities")
    }

    fn filter(&self) -> Result<()> {
        match self.filter {
            Some(filter) => filter.load(),
            None => Ok(()),
        }
    }
}

/// Makes this process' `/proc` files, memory and executable out of reach for everybody whose capabilities do not reach
/// the user namespace of the *engine's* executable (ptrace(2), PR_SET_DUMPABLE). Copies made by clone inherit it.
pub(crate) fn conceal() -> Result<()> {
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
        .context(|| "concealing the process")
}

/// Checks that the working folder is inside the container: a folder reached by a leaked descriptor has no path here
/// (CVE-2024-21626).
fn inside() -> Result<()> {
    let cwd = rustix::process::getcwd(Vec::new()).context(|| "checking the working folder")?;
    if cwd.as_bytes().starts_with(b"/") {
        Ok(())
    } else {
        Err(Error::bad("the working directory is outside of the container"))
    }
}

/// Makes the working folder if it is missing, as other runtimes do.
pub(crate) fn make_folder(root: &Root, cwd: &Path) -> Result<()> {
    match root.mkdir_p(cwd, Mode::from_raw_mode(0o755)) {
        Ok(_) => Ok(()),
        Err(e) => {
            let cwd = cwd.display().to_string();
            Err(Error::bad(format!("mkdir {cwd}: {}", plain(&e))))
        }
    }
}

/// The capability sets of a spec.
struct Wanted {
    bounding: CapabilitySet,
    sets: CapabilitySets,
    ambient: CapabilitySet,
}

impl Wanted {
    fn of(process: &Process) -> Result<Wanted> {
        let none = CapabilitySet::empty();
        let have = rustix::thread::capabilities(None).context(|| "reading capabilities")?;
        let Some(wanted) = process.capabilities() else {
            let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
            return Ok(Wanted { bounding: none, sets, ambient: none });
        };
        // A capability that this kernel does not know or the namespace does not have cannot be given.
        let set = |list: &Option<Capabilities>| bits(list).intersection(have.permitted);
        let permitted = set(wanted.permitted());
        Ok(Wanted {
            bounding: set(wanted.bounding()),
            sets: CapabilitySets {
                effective: set(wanted.effective()).intersection(permitted),
                permitted,
                inheritable: set(wanted.inheritable()),
            },
            ambient: set(wanted.ambient()),
        })
    }

    fn drop_bounding(&self) -> Result<()> {
        for number in 0..64 {
            let one = CapabilitySet::from_bits_retain(1 << number);
            if self.bounding.contains(one) {
                continue;
            }
            match rustix::thread::remove_capability_from_bounding_set(one) {
                Ok(()) => {}
                // Past the last capability that this kernel has.
                Err(rustix::io::Errno::INVAL) => break,
                Err(e) => return Err(e).context(|| format!("dropping capability {number}")),
            }
        }
        Ok(())
    }

    fn apply(&self) -> Result<()> {
        rustix::thread::clear_ambient_capability_set()
            .context(|| "clearing ambient capabilities")?;
        rustix::thread::set_capabilities(None, self.sets).context(|| "setting capabilities")?;
        for one in self.ambient.iter() {
            rustix::thread::configure_capability_in_ambient_set(one, true).context(
                || "raising ambient capabilities (they must be permitted and inheritable)",
            )?;
        }
        Ok(())
    }
}

fn bits(list: &Option<Capabilities>) -> CapabilitySet {
    list.iter().flatten().fold(CapabilitySet::empty(), |all, one| {
        all.union(CapabilitySet::from_bits_retain(1 << number(*one)))
    })
}

fn unmapped(what: &str, id: &impl std::fmt::Debug, e: rustix::io::Errno) -> Error {
    let hint = match e {
        rustix::io::Errno::INVAL => {
            " (the id is not mapped in the user namespace; in single-id mode only 0 is: give the engine's user \
             subordinate ids in /etc/subuid and /etc/subgid)"
        }
        _ => "",
    };
    Error::bad(format!("setting the {what} to {id:?}: {}{hint}", plain(&e.into())))
}

fn resource(limit: PosixRlimitType) -> Resource {
    match limit {
        PosixRlimitType::RlimitCpu => Resource::Cpu,
        PosixRlimitType::RlimitFsize => Resource::Fsize,
        PosixRlimitType::RlimitData => Resource::Data,
        PosixRlimitType::RlimitStack => Resource::Stack,
        PosixRlimitType::RlimitCore => Resource::Core,
        PosixRlimitType::RlimitRss => Resource::Rss,
        PosixRlimitType::RlimitNproc => Resource::Nproc,
        PosixRlimitType::RlimitNofile => Resource::Nofile,
        PosixRlimitType::RlimitMemlock => Resource::Memlock,
        PosixRlimitType::RlimitAs => Resource::As,
        PosixRlimitType::RlimitLocks => Resource::Locks,
        PosixRlimitType::RlimitSigpending => Resource::Sigpending,
        PosixRlimitType::RlimitMsgqueue => Resource::Msgqueue,
        PosixRlimitType::RlimitNice => Resource::Nice,
        PosixRlimitType::RlimitRtprio => Resource::Rtprio,
        PosixRlimitType::RlimitRttime => Resource::Rttime,
    }
}

/// The name that `--ulimit` has for it.
fn limit_name(limit: PosixRlimitType) -> String {
    format!("{limit:?}").trim_start_matches("Rlimit").to_ascii_lowercase()
}
