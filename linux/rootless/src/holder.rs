//! The holder's loop: waits for engines, forks what they ask for, reaps what ends.
//!
//! One thread, one poll. Signals arrive by signalfd; TERM, INT, HUP and QUIT are read and ignored, because a terminal's Ctrl-C or a
//! service manager's stop is meant for the engine, which tells the holder to quit when it stops. A client that misbehaves
//! is disconnected; a fork that fails is answered; nothing else can fail that matters.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use bryo_sys::channel::{Channel, Listener, Message};
use bryo_sys::ns::{self, Kind};
use bryo_sys::signal::SignalFd;
use bryo_sys::{fork, pidfd, process, signal};
use rustix::event::{PollFd, PollFlags, poll};

mod survivors;

use crate::Programs;
use crate::client::socket_path;
use crate::messages::{Reply, Request, VERSION};
pub(crate) use survivors::{children_file, end, read_survivors};

/// What the holder's signalfd collects.
pub(crate) const SIGNALS: [i32; 5] = [SIGCHLD, 15, 2, 1, 3];
const SIGCHLD: i32 = 17;

/// What a child is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Gate,
    Monitor,
    /// A child of a holder that was killed; not ours to reap.
    Survivor(u64),
}

/// The holder's state.
pub(crate) struct Holder {
    exec_root: PathBuf,
    listener: Listener,
    signals: SignalFd,
    clients: Vec<Channel>,
    children: BTreeMap<u32, Role>,
    programs: Programs,
    version: String,
    single_id: bool,
}

/// What to do with a client after a request.
enum Next {
    Keep,
    Drop,
    Quit,
}

impl Holder {
    pub(crate) fn new(
        exec_root: PathBuf,
        listener: Listener,
        signals: SignalFd,
        programs: Programs,
        version: String,
        single_id: bool,
        survivors: &[(u32, u64)],
    ) -> Holder {
        let children = survivors.iter().map(|&(pid, start)| (pid, Role::Survivor(start))).collect();
        let clients = Vec::new();
        Holder { exec_root, listener, signals, clients, children, programs, version, single_id }
    }

    fn netns_path(&self) -> PathBuf {
        self.exec_root.join("netns")
    }

    fn answer(&mut self, client: &Channel) -> Next {
        let Ok(message) = client.recv() else { return Next::Drop };
        let request = serde_json::from_slice::<Request>(&message.data);
        if let Ok(Request::Hello { .. }) = request {
            return self.greet(client);
        }
        let quit = matches!(request, Ok(Request::Quit));
        let reply = match request {
            Ok(request) => self.perform(request, message),
            Err(e) => Err(format!("holder: a request that this version does not know: {e}")),
        };
        let reply = reply.unwrap_or_else(|message| Reply::Failed { message });
        match (send(client, &reply, &[]), quit) {
            (_, true) => Next::Quit,
            (Ok(()), _) => Next::Keep,
            (Err(_), _) => Next::Drop,
        }
    }

    fn greet(&self, client: &Channel) -> Next {
        let reply = Reply::Holding {
            version: VERSION,
            pid: pidfd::to_u32(rustix::process::getpid()),
            program: self.version.clone(),
            single_id: self.single_id,
        };
        let sent = ns::current(Kind::User).and_then(|user| {
            let mount = ns::current(Kind::Mount)?;
            send(client, &reply, &[&user, &mount])
        });
        if sent.is_ok() { Next::Keep } else { Next::Drop }
    }

    fn perform(&mut self, request: Request, message: Message) -> Result<Reply, String> {
        let mut fds = message.fds.into_iter();
        let mut channel =
            || fds.next().map(Channel::from_fd).ok_or("holder: the request came without a channel");
        match request {
            Request::Hello { .. } => Err("holder: a second Hello".into()),
            Request::SpawnMonitor { container, bundle } => {
                let short = container.get(..12).unwrap_or(&container);
                let title = format!("bryo: monitor {short}");
                let program = self.programs.monitor;
                let channel = channel()?;
                self.spawn(Role::Monitor, &title, channel, |channel| {
                    program(channel, Path::new(&bundle))
                })
            }
            Request::SpawnGate { config } => {
                if let Some((pid, _)) = self.children.iter().find(|(_, r)| **r == Role::Gate) {
                    return Err(format!("holder: the gate runs already (pid {pid})"));
                }
                let channel = channel()?;
                self.make_netns().map_err(|e| {
                    format!(
                        "holder: make the bridges' network namespace {:?}: {e}",
                        self.netns_path()
                    )
                })?;
                let program = self.programs.gate;
                self.spawn(Role::Gate, "bryo: gate", channel, |channel| program(channel, &config))
            }
            Request::Quit => {
                self.end_children();
                self.clean_up();
                Ok(Reply::Bye)
            }
        }
    }

    fn spawn(
        &mut self,
        role: Role,
        title: &str,
        channel: Channel,
        program: impl FnOnce(Channel) -> i32,
    ) -> Result<Reply, String> {
        let exec_root = self.exec_root.to_string_lossy();
        let pid = fork::spawn(|| match prepare_child(title, &exec_root, channel) {
            Ok(channel) => program(channel),
            Err(e) => {
                eprintln!("{title}: could not start: {e}");
                1
            }
        })
        .map_err(|e| format!("holder: fork {title}: {e}"))?;
        let pid = pidfd::to_u32(pid);
        self.children.insert(pid, role);
        if let Err(e) = survivors::remember(&self.exec_root, pid) {
            eprintln!("bryo: holder: note pid {pid} in {:?}: {e}", children_file(&self.exec_root));
        }
        Ok(Reply::Spawned { pid })
    }

    /// Makes the network namespace of the bridges if there is none: a child leaves it behind as a mount.
    fn make_netns(&self) -> io::Result<()> {
        let path = self.netns_path();
        if is_namespace(&path) {
            return Ok(());
        }
        std::fs::File::create(&path)?;
        let ended = fork::in_child(|| {
            let made = ns::unshare(&[Kind::Net]).and_then(|()| {
                Ok(rustix::mount::mount_bind("/proc/thread-self/ns/net", path.as_path())?)
            });
            made.map_or_else(|e| e.raw_os_error().unwrap_or(255), |()| 0)
        })?;
        match ended.code() {
            0 => Ok(()),
            errno => Err(io::Error::from_raw_os_error(errno)),
        }
    }

    fn reap(&mut self) {
        while let Ok(Some((pid, _))) = fork::reap() {
            self.children.remove(&pidfd::to_u32(pid));
        }
        if self.children.is_empty() {
            // Nobody is left to be found, so the list starts anew.
            let _ = std::fs::remove_file(children_file(&self.exec_root));
        }
    }

    /// Ends the gate and the monitors, then whatever of their children came to us.
    fn end_children(&mut self) {
        for (&pid, &role) in &self.children {
            end(pid, role.start());
        }
        for _ in 0..100 {
            self.reap();
            let left = process::children().unwrap_or_default();
            if left.is_empty() {
                break;
            }
            for pid in left {
                end(pid, None);
            }
        }
    }

    fn clean_up(&self) {
        let netns = self.netns_path();
        if is_namespace(&netns) {
            let _ = rustix::mount::unmount(&netns, rustix::mount::UnmountFlags::DETACH);
        }
        for file in [netns, socket_path(&self.exec_root), self.exec_root.join("gate.sock")] {
            let _ = std::fs::remove_file(file);
        }
        let _ = std::fs::remove_file(children_file(&self.exec_root));
        let log = self.exec_root.join("holder.log");
        if std::fs::metadata(&log).is_ok_and(|m| m.len() == 0) {
            let _ = std::fs::remove_file(log);
        }
    }
}

impl Role {
    fn start(self) -> Option<u64> {
        match self {
            Role::Survivor(start) => Some(start),
            _ => None,
        }
    }
}

/// Serves until an engine says `Quit`; the exit code.
pub(crate) fn run(mut holder: Holder) -> i32 {
    loop {
        let (signalled, called, ready) = match wait(&holder) {
            Ok(events) => events,
            Err(e) => {
                eprintln!("bryo: holder: poll: {e}");
                return 1;
            }
        };
        if signalled {
            while let Ok(Some(_)) = holder.signals.next() {}
            holder.reap();
        }
        // From the end, so that removing one does not move those still to come.
        for index in ready.into_iter().rev() {
            let client = holder.clients.swap_remove(index);
            match holder.answer(&client) {
                Next::Keep => holder.clients.push(client),
                Next::Drop => {}
                Next::Quit => return 0,
            }
        }
        if called {
            holder.clients.extend(holder.listener.accept());
        }
    }
}

/// Waits for signals, a connection, or clients (by index, ascending) that wrote or went.
fn wait(holder: &Holder) -> io::Result<(bool, bool, Vec<usize>)> {
    let mut fds = vec![
        PollFd::new(&holder.signals, PollFlags::IN),
        PollFd::new(&holder.listener, PollFlags::IN),
    ];
    fds.extend(holder.clients.iter().map(|c| PollFd::new(c, PollFlags::IN)));
    loop {
        match poll(&mut fds, None) {
            Ok(_) => break,
            Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
    let ready = |fd: &PollFd<'_>| !fd.revents().is_empty();
    let clients = (0..holder.clients.len()).filter(|i| ready(&fds[i + 2])).collect();
    Ok((ready(&fds[0]), ready(&fds[1]), clients))
}

/// In the child: nothing of the holder's but its namespaces and the channel.
fn prepare_child(title: &str, exec_root: &str, channel: Channel) -> io::Result<Channel> {
    let fd: OwnedFd = process::keep_only(channel.into_fd())?;
    signal::reset()?;
    rustix::process::setsid()?;
    process::set_title(title, exec_root)?;
    Ok(Channel::from_fd(fd))
}

/// Whether a namespace is mounted there.
fn is_namespace(path: &Path) -> bool {
    const NSFS_MAGIC: u64 = 0x6e73_6673;
    rustix::fs::statfs(path).is_ok_and(|s| u64::try_from(s.f_type).is_ok_and(|t| t == NSFS_MAGIC))
}

fn send(client: &Channel, reply: &Reply, fds: &[&OwnedFd]) -> io::Result<()> {
    let fds: Vec<_> = fds.iter().map(|fd| fd.as_fd()).collect();
    client.send(&serde_json::to_vec(reply)?, &fds)
}
