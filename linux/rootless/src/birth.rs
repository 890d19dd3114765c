//! The holder's first moments: from a fork of the engine to a process that listens in its own namespaces.
//!
//! The order is the kernel's: the user namespace first, because its maps must be written from outside before anything in
//! it can be owned by anybody; then the mount namespace, which belongs to it. The mounts become slaves of the host's, so
//! what the host mounts later shows up inside and nothing inside shows up on the host.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use bryo_sys::channel::{Channel, Listener};
use bryo_sys::ns::{self, Kind};
use bryo_sys::{process, signal};
use rustix::mount::MountPropagationFlags;

use crate::Programs;
use crate::client::socket_path;
use crate::holder::{Holder, run};
use crate::ids::{IdMaps, MapLine};
use crate::messages::Birth;
use crate::refusal::Step;

/// What the child needs to become the holder.
pub(crate) struct Cradle<'a> {
    pub exec_root: &'a Path,
    pub ids: &'a IdMaps,
    /// The maps are written by newuidmap and newgidmap, outside.
    pub mapped_outside: bool,
    /// Namespaces of survivors to live in, instead of new ones: user, mount.
    pub adopt: Option<(OwnedFd, OwnedFd)>,
    /// Survivors: pid and start time.
    pub survivors: Vec<(u32, u64)>,
    pub version: &'a str,
    pub programs: Programs,
}

/// A step that failed.
pub(crate) enum Stillborn {
    Refused(Step, io::Error),
    Failed(String),
}

impl Stillborn {
    pub(crate) fn message(self) -> Birth {
        match self {
            Stillborn::Refused(step, e) => match e.raw_os_error() {
                Some(errno) => Birth::Refused { step, errno },
                None => Birth::Failed { message: e.to_string() },
            },
            Stillborn::Failed(message) => Birth::Failed { message },
        }
    }
}

/// The child's whole life. `channel` leads to the engine.
pub(crate) fn live(channel: Channel, mut cradle: Cradle<'_>) -> i32 {
    // Before the descriptors of the survivors' namespaces are closed with all others.
    let adopted = cradle.adopt.take().map(join_survivors);
    let Ok(channel) = process::keep_only(channel.into_fd()).map(Channel::from_fd) else { return 1 };
    let born = adopted.transpose().and_then(|ids| be_born(&channel, &cradle, ids));
    match born {
        Ok(holder) => {
            if send(&channel, &Birth::Ready).is_err() {
                return 1; // The engine died meanwhile: nobody knows of us, so nobody would end us.
            }
            drop(channel);
            run(holder)
        }
        Err(stillborn) => {
            let _ = send(&channel, &stillborn.message());
            1
        }
    }
}

/// Words a failure that no setting explains.
fn failed(what: impl std::fmt::Display) -> impl FnOnce(io::Error) -> Stillborn {
    move |e| Stillborn::Failed(format!("holder: {what}: {e}"))
}

/// Moves into the namespaces that monitors of a dead holder still live in; their maps.
fn join_survivors((user, mount): (OwnedFd, OwnedFd)) -> Result<IdMaps, Stillborn> {
    ns::join(&user, Kind::User).map_err(failed("join the survivors' user namespace"))?;
    ns::join(&mount, Kind::Mount).map_err(failed("join the survivors' mount namespace"))?;
    IdMaps::current().map_err(failed("read /proc/self/uid_map"))
}

/// `adopted`: the maps of the namespaces it is in already; none: it makes new ones.
fn be_born(
    channel: &Channel,
    cradle: &Cradle<'_>,
    adopted: Option<IdMaps>,
) -> Result<Holder, Stillborn> {
    rustix::process::setsid().map_err(|e| failed("setsid")(e.into()))?;
    process::set_title("bryo: holder", &cradle.exec_root.to_string_lossy())
        .map_err(failed("set name"))?;
    redirect_streams(cradle.exec_root).map_err(failed("redirect to holder.log"))?;
    let single_id = match adopted {
        Some(ids) => ids.is_single(),
        None => {
            make_namespaces(channel, cradle.ids, cradle.mapped_outside)?;
            cradle.ids.is_single()
        }
    };
    process::become_subreaper().map_err(failed("PR_SET_CHILD_SUBREAPER"))?;
    let socket = socket_path(cradle.exec_root);
    let _ = std::fs::remove_file(&socket); // Left over from a holder that was killed.
    let listener = Listener::bind(&socket).map_err(failed(format!("listen on {socket:?}")))?;
    let signals = signal::SignalFd::new(&crate::holder::SIGNALS).map_err(failed("signalfd"))?;
    Ok(Holder::new(
        cradle.exec_root.to_owned(),
        listener,
        signals,
        cradle.programs,
        cradle.version.to_owned(),
        single_id,
        &cradle.survivors,
    ))
}

pub(crate) fn make_namespaces(
    channel: &Channel,
    ids: &IdMaps,
    mapped_outside: bool,
) -> Result<(), Stillborn> {
    let refused = |step| move |e| Stillborn::Refused(step, e);
    ns::unshare(&[Kind::User]).map_err(refused(Step::UserNamespace))?;
    if !mapped_outside {
        write_maps(ids).map_err(refused(Step::Map))?;
    }
    let lost = |e: io::Error| Stillborn::Failed(format!("holder: the engine is gone: {e}"));
    send(channel, &Birth::Made).map_err(lost)?;
    receive(channel).map_err(lost)?;
    ns::unshare(&[Kind::Mount]).map_err(refused(Step::MountNamespace))?;
    rustix::mount::mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)
        .map_err(|e| Stillborn::Refused(Step::Mount, e.into()))
}

/// Maps that the process may write for itself: one line each, its own ids, and no setgroups (user_namespaces(7)).
fn write_maps(ids: &IdMaps) -> io::Result<()> {
    let line = |l: &MapLine| format!("{} {} {}\n", l.inside, l.outside, l.count);
    let text = |map: &[MapLine]| map.iter().map(line).collect::<String>();
    std::fs::write("/proc/self/setgroups", "deny")?;
    std::fs::write("/proc/self/uid_map", text(&ids.uids))?;
    std::fs::write("/proc/self/gid_map", text(&ids.gids))
}

/// stdin from /dev/null, the others to `holder.log`: a terminal or pipe of the first engine must not stay open.
fn redirect_streams(exec_root: &Path) -> io::Result<()> {
    let null = std::fs::File::open("/dev/null")?;
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(exec_root.join("holder.log"))?;
    process::duplicate_to(&null, 0)?;
    process::duplicate_to(&log, 1)?;
    process::duplicate_to(&log, 2)
}

pub(crate) fn send(channel: &Channel, message: &Birth) -> io::Result<()> {
    channel.send(&serde_json::to_vec(message)?, &[])
}

pub(crate) fn receive(channel: &Channel) -> io::Result<Birth> {
    Ok(serde_json::from_slice(&channel.recv()?.data)?)
}
