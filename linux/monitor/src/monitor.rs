//! The monitor itself: its parts and its loop.
//!
//! | phase | what may happen | what must not |
//! |---|---|---|
//! | created | attach, start, abandon | exec, signals, networks |
//! | running | everything but start and abandon | |
//! | ended | clients take their last output; abandon ends it at once | anything that touches the bundle: it may be another monitor's by now |

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use bryo_runtime::Namespaces;
use bryo_runtime::seccomp::Filter;
use bryo_sys::channel::{Channel, Listener};
use bryo_sys::signal::SignalFd;
use rustix::event::epoll::EventFlags;

use crate::bundle::Bundle;
use crate::engines::Engines;
use crate::exec::Exec;
use crate::external::External;
use crate::log::Writer;
use crate::messages::{Answer, Event, Failure, FailureKind, MonitorState, Reply, VERSION};
use crate::oom::OomEvents;
use crate::poller::{Poller, Token};
use crate::streams::{InputPolicy, READ, Streams};
use crate::watcher::Watcher;

/// How long a monitor without a container waits for an engine that would start it.
const LONELY: Duration = Duration::from_secs(60);

/// How long an engine may take to read the last events; they are in `state.json` anyway.
const FAREWELL: Duration = Duration::from_secs(5);

/// The number of the container's first process in tokens.
pub(crate) const FIRST: u32 = 0;

/// Where the container is in its life.
#[derive(Debug)]
pub(crate) enum Phase {
    Created,
    Running(Running),
    Ended,
}

/// A running container.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) pid: u32,
    pub(crate) pidfd: OwnedFd,
    /// Its namespaces, if our runtime made it: they stay within reach whatever the program does.
    pub(crate) namespaces: Option<Namespaces>,
    /// The runtime that made it, if that is not ours.
    pub(crate) external: Option<External>,
}

/// One container's monitor.
#[derive(Debug)]
pub(crate) struct Monitor {
    pub(crate) bundle: Bundle,
    pub(crate) poller: Poller,
    pub(crate) signals: SignalFd,
    /// None once the container has ended.
    pub(crate) listener: Option<Listener>,
    pub(crate) engines: Engines,
    pub(crate) state: MonitorState,
    pub(crate) phase: Phase,
    pub(crate) streams: Streams,
    pub(crate) execs: BTreeMap<u32, Exec>,
    pub(crate) log: Option<Writer>,
    /// The compiled seccomp profile, for execs.
    pub(crate) seccomp: Option<Filter>,
    pub(crate) oom: Option<OomEvents>,
    /// Looks at its memory, where no cgroup does.
    pub(crate) watcher: Option<Watcher>,
    /// One read's worth of anybody's bytes; empty until it is needed.
    buffer: Vec<u8>,
    /// Since when it has nothing to do but to say good-bye, or no engine before the start.
    waiting_since: Option<Instant>,
    abandoned: bool,
    /// It did more than to pass bytes on, so freed memory is worth giving back.
    pub(crate) worked: bool,
}

/// Runs the monitor of the container whose bundle folder is `bundle`, in a process of its own that has one thread.
/// `channel` leads to the engine that asked for it, whose first request says that the bundle is complete. A bundle that
/// cannot be used is answered by `Reply { seq: 0, Failed }`.
pub fn run(channel: Channel, bundle: &Path) -> ! {
    let tools = Tools::new();
    if !is_called(&channel) {
        bryo_sys::fork::exit(0);
    }
    let code = match tools.and_then(|tools| Monitor::new(bundle, tools)) {
        Ok(mut monitor) => monitor.serve(channel),
        Err(message) => {
            let failure = Failure { kind: FailureKind::Other, message };
            let answer = Answer::Reply { seq: 0, body: Reply::Failed(failure) };
            if let Ok(data) = serde_json::to_vec(&answer) {
                let _ = channel.send(&data, &[]);
            }
            // Requests that are left unread would reset the connection, and the engine would hear of that first.
            let _ = channel.set_nonblocking(true);
            while channel.recv().is_ok() {}
            1
        }
    };
    bryo_sys::fork::exit(code)
}

/// Waits for the first request and leaves it where it is; false: the engine changed its mind, or died.
fn is_called(channel: &Channel) -> bool {
    loop {
        let mut byte = [0];
        match rustix::net::recv(channel, &mut byte, rustix::net::RecvFlags::PEEK) {
            Ok((_, length)) => return length > 0,
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return false,
        }
    }
}

/// What a monitor has before it knows its container.
struct Tools {
    poller: Poller,
    signals: SignalFd,
}

impl Tools {
    fn new() -> Result<Tools, String> {
        let set_up = |e: io::Error| format!("cannot set up the container's monitor: {e}");
        // SIGTERM and its like, which a closing terminal or a shutdown sends to everybody, must not take the
        // container's exit code away: they are read and dropped. They are blocked and not ignored, because an
        // external runtime would pass an ignored signal on to the container.
        let signals =
            SignalFd::new(&[SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGPIPE]).map_err(set_up)?;
        bryo_sys::process::become_subreaper().map_err(set_up)?;
        let poller = Poller::new().map_err(set_up)?;
        poller.add(&signals, Token::Signals, EventFlags::IN).map_err(set_up)?;
        Ok(Tools { poller, signals })
    }
}

impl Monitor {
    fn new(folder: &Path, Tools { poller, signals }: Tools) -> Result<Monitor, String> {
        let set_up = |e: io::Error| format!("cannot set up the container's monitor: {e}");
        let bundle = Bundle::open(folder).map_err(|e| e.to_string())?;
        let listener = bundle.listen().map_err(|e| e.to_string())?;
        poller.add(&listener, Token::Listener, EventFlags::IN).map_err(set_up)?;
        let input = match (bundle.config.open_stdin, bundle.config.stdin_once) {
            (false, _) => InputPolicy::None,
            (true, false) => InputPolicy::KeepOpen,
            (true, true) => InputPolicy::EndsWithClient,
        };
        let streams = Streams::new(FIRST, bundle.config.tty, input);
        let state = MonitorState {
            version: VERSION,
            monitor_pid: std::process::id(),
            ..MonitorState::default()
        };
        Ok(Monitor {
            bundle,
            poller,
            signals,
            listener: Some(listener),
            engines: Engines::default(),
            state,
            phase: Phase::Created,
            streams,
            execs: BTreeMap::new(),
            log: None,
            seccomp: None,
            oom: None,
            watcher: None,
            buffer: Vec::new(),
            waiting_since: None,
            abandoned: false,
            worked: true,
        })
    }

    /// The loop; gives the exit code of the process.
    fn serve(&mut self, channel: Channel) -> i32 {
        self.welcome(channel);
        while !self.is_over() {
            if std::mem::take(&mut self.worked) {
                bryo_sys::memory::trim();
            }
            let timeout = self.timeout();
            let Ok(events) = self.poller.wait(timeout) else { break };
            for (token, flags) in events {
                self.handle(token, flags);
            }
            self.settle();
        }
        self.stop_listening();
        0
    }

    fn handle(&mut self, token: Token, flags: EventFlags) {
        if self.buffer.is_empty() {
            self.buffer = vec![0; READ];
        }
        let Monitor { poller, buffer, log, .. } = self;
        match token {
            Token::Signals => self.on_signals(),
            Token::Listener => {
                while let Some(Ok(channel)) = self.listener.as_ref().map(Listener::accept) {
                    self.welcome(channel);
                }
            }
            Token::Memory => self.on_oom(),
            Token::Engine(engine) => {
                if flags.contains(EventFlags::OUT) {
                    self.engines.flush(&self.poller, engine);
                }
                self.worked = true;
                while let Some(message) = self.engines.receive(&self.poller, engine) {
                    self.on_message(engine, message);
                }
            }
            Token::Output { process: FIRST, stream } => {
                self.streams.on_output(poller, stream, buffer, log);
            }
            Token::Output { process, stream } => {
                if let Some(exec) = self.execs.get_mut(&process) {
                    exec.streams.on_output(poller, stream, buffer, &mut None);
                }
            }
            Token::Stdin { process } => {
                if let Some(streams) = streams_of(&mut self.streams, &mut self.execs, process) {
                    streams.on_stdin(poller);
                }
            }
            Token::Client { process, client } => {
                if let Some(streams) = streams_of(&mut self.streams, &mut self.execs, process) {
                    streams.on_client(poller, client, flags, buffer);
                }
            }
        }
    }

    /// Reads the last output of a process that has ended.
    pub(crate) fn drain_streams(&mut self, process: u32) {
        if self.buffer.is_empty() {
            self.buffer = vec![0; READ];
        }
        let Monitor { poller, buffer, log, .. } = self;
        let mut none = None;
        let log = if process == FIRST { log } else { &mut none };
        if let Some(streams) = streams_of(&mut self.streams, &mut self.execs, process) {
            streams.drain(poller, buffer, log);
        }
    }

    /// Closes the clients of a process that has ended.
    pub(crate) fn finish_streams(&mut self, process: u32) {
        if let Some(streams) = streams_of(&mut self.streams, &mut self.execs, process) {
            streams.finish(&self.poller);
        }
    }

    /// From here on engines that come read `state.json`.
    pub(crate) fn stop_listening(&mut self) {
        if let Some(listener) = self.listener.take() {
            self.bundle.stop_listening();
            drop(listener);
        }
    }

    fn welcome(&mut self, channel: Channel) {
        // It fails only for an engine that has gone already.
        let _ = self.engines.add(&self.poller, channel, Event::Ready(self.state.clone()));
    }

    /// After each round: tells of streams that ended, forgets what is done.
    fn settle(&mut self) {
        let now = Instant::now();
        self.watch(now);
        self.streams.expire(now);
        let mut closed = self.streams.take_closed(&self.poller);
        for exec in self.execs.values_mut() {
            exec.streams.expire(now);
            closed.extend(exec.streams.take_closed(&self.poller));
        }
        self.execs.retain(|_, exec| exec.pid.is_some() || !exec.streams.is_idle());
        self.report_closed(closed);
        let waits = match self.phase {
            Phase::Created => self.engines.is_empty(),
            Phase::Running(_) => false,
            Phase::Ended => self.is_drained(),
        };
        match (waits, self.waiting_since) {
            (true, None) => self.waiting_since = Some(now),
            (false, Some(_)) => self.waiting_since = None,
            _ => {}
        }
    }

    pub(crate) fn report_closed(&mut self, closed: Vec<(u64, bool)>) {
        for (id, detached) in closed {
            self.engines.broadcast(&self.poller, &Event::StreamClosed { id, detached });
        }
    }

    fn is_drained(&self) -> bool {
        self.streams.is_idle() && self.execs.is_empty()
    }

    /// Ends as soon as the answers are sent.
    pub(crate) fn abandon(&mut self) {
        self.abandoned = true;
        self.give_up();
    }

    /// Nothing will run any more; ends when the clients have seen it.
    pub(crate) fn give_up(&mut self) {
        self.phase = Phase::Ended;
        self.stop_listening();
        self.finish_streams(FIRST);
    }

    fn is_over(&self) -> bool {
        let waited = |most| self.waiting_since.is_some_and(|since| since.elapsed() >= most);
        match self.phase {
            Phase::Created => waited(LONELY),
            Phase::Running(_) => false,
            Phase::Ended => {
                let said = self.engines.is_flushed();
                (said && (self.abandoned || self.is_drained())) || waited(FAREWELL)
            }
        }
    }

    fn timeout(&self) -> Option<Duration> {
        let most = if matches!(self.phase, Phase::Created) { LONELY } else { FAREWELL };
        let streams = self.execs.values().map(|e| &e.streams).chain([&self.streams]);
        let deadlines = streams.filter_map(Streams::deadline);
        let watch = self.watch_deadline();
        let waiting = self.waiting_since.map(|since| since + most);
        let next = deadlines.chain(waiting).chain(watch).min()?;
        // One millisecond more, so that the deadline is past when the wait ends.
        Some(next.saturating_duration_since(Instant::now()) + Duration::from_millis(1))
    }

    /// Writes `state.json`. A full disk must not stop anything here: the engines hear of everything by events.
    pub(crate) fn write_state(&self) {
        let _ = self.bundle.write_state(&self.state);
    }
}

/// The streams of one process.
pub(crate) fn streams_of<'a>(
    first: &'a mut Streams,
    execs: &'a mut BTreeMap<u32, Exec>,
    process: u32,
) -> Option<&'a mut Streams> {
    if process == FIRST {
        return Some(first);
    }
    execs.get_mut(&process).map(|exec| &mut exec.streams)
}

const SIGCHLD: i32 = rustix::process::Signal::CHILD.as_raw();
const SIGTERM: i32 = rustix::process::Signal::TERM.as_raw();
const SIGINT: i32 = rustix::process::Signal::INT.as_raw();
const SIGHUP: i32 = rustix::process::Signal::HUP.as_raw();
const SIGPIPE: i32 = rustix::process::Signal::PIPE.as_raw();
