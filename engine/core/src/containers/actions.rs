//! What can be asked of a container's owner. Handlers only enqueue these; the owner does them one after the other.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

use bryo_monitor::messages::{Answer, Failure, StreamConfig};
use tokio::sync::oneshot;

use crate::Result;
use crate::containers::registry::{Handle, no_such};
use crate::exec::Exec;
use crate::model::{ContainerUpdate, EndpointSettings, HealthResult};
use crate::requests::RemoveOptions;

/// Where an action's outcome goes.
pub(crate) type Reply<T> = oneshot::Sender<Result<T>>;

/// Why a container is being stopped; decides what follows its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stopping {
    /// By a user.
    Stop,
    /// To be started again at once.
    Restart,
    /// The engine shuts down.
    Shutdown,
    /// To be removed at once.
    Removal,
}

/// A client's stream to be joined.
pub(crate) struct Join {
    pub socket: OwnedFd,
    pub config: StreamConfig,
    /// Gets whether the client detached by its keys, when the stream has ended.
    pub done: oneshot::Sender<bool>,
}

/// An exec to be started.
pub(crate) struct ExecLaunch {
    pub exec: std::sync::Arc<Exec>,
    pub process: oci_spec::runtime::Process,
    pub stream: Option<Join>,
    pub tty_size: (u16, u16),
    /// Pid, or why it could not be executed.
    pub started: oneshot::Sender<Result<u32, ExecFailure>>,
}

/// Why an exec does not run.
pub(crate) enum ExecFailure {
    /// The monitor tried and failed.
    Monitor(Failure),
    /// It was not even tried.
    Refused(crate::Error),
}

/// See the module's text.
pub(crate) enum Action {
    /// By hand; false: it runs already.
    Start {
        reply: Reply<bool>,
    },
    /// The pause before a restart by policy is over.
    RestartNow {
        attempt: u64,
    },
    /// It is about to be stopped; true: it runs, so there will be an end.
    Stopping {
        why: Stopping,
        reply: Reply<bool>,
    },
    Signal {
        signal: i32,
        by_hand: bool,
        reply: Reply<()>,
    },
    Pause {
        reply: Reply<()>,
    },
    Unpause {
        reply: Reply<()>,
    },
    Rename {
        name: String,
        reply: Reply<()>,
    },
    Update {
        update: Box<ContainerUpdate>,
        reply: Reply<Vec<String>>,
    },
    /// Answered when everything that the monitor knows now has been heard.
    Sync {
        reply: Reply<()>,
    },
    Resize {
        exec: Option<String>,
        rows: u16,
        cols: u16,
        reply: Reply<()>,
    },
    Remove {
        options: RemoveOptions,
        reply: Reply<()>,
    },
    Attach(Box<Join>),
    Exec(Box<ExecLaunch>),
    Connect {
        network: String,
        settings: Box<EndpointSettings>,
        reply: Reply<()>,
    },
    Disconnect {
        network: String,
        force: bool,
        reply: Reply<()>,
    },
    /// An event of its own, in order with the others.
    Emit {
        action: String,
        attributes: BTreeMap<String, String>,
    },
    /// From the monitor of a run.
    Monitor {
        run: u64,
        answer: Box<Answer>,
    },
    /// The channel to it ended.
    MonitorGone {
        run: u64,
    },
    /// A health check's outcome.
    Health {
        run: u64,
        result: Box<HealthResult>,
    },
    /// Answered when everything before it is done.
    Settle {
        reply: oneshot::Sender<()>,
    },
    /// The engine ends; the container goes on.
    Close,
}

impl Handle {
    /// Enqueues an action and waits for its outcome.
    pub(crate) async fn ask<T>(&self, action: impl FnOnce(Reply<T>) -> Action) -> Result<T> {
        let (reply, outcome) = oneshot::channel();
        self.send(action(reply))?;
        outcome.await.map_err(|_| no_such(&self.id))?
    }
}
