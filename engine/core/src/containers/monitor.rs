//! A running container's monitor from the engine's side: the channel, and the task that reads it.

use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bryo_monitor::messages::{
    Answer, Event, Failure, FailureKind, MonitorState, Reply, Request, RequestBody,
};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::actions::Action;
use crate::link::Link;
use crate::{Error, ErrorKind};

/// How long a monitor that is found may take to say how it is.
const GREETING: Duration = Duration::from_secs(5);

/// How long a request that a monitor answers at once may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A monitor. Dropping it ends the conversation, not the monitor.
pub(super) struct Monitor {
    link: Arc<Link>,
    reader: JoinHandle<()>,
    next: u64,
}

/// A monitor of an earlier engine, and how it says its container is.
pub(crate) struct Found {
    pub link: Link,
    pub state: MonitorState,
}

impl Monitor {
    /// Reads the channel into the owner's queue, under the run's number.
    pub(super) fn new(link: Link, run: u64, queue: mpsc::UnboundedSender<Action>) -> Monitor {
        let link = Arc::new(link);
        let from = link.clone();
        let reader = tokio::spawn(async move {
            loop {
                let action = match from.recv::<Answer>().await {
                    Ok(answer) => Action::Monitor { run, answer: Box::new(answer) },
                    Err(_) => {
                        let _ = queue.send(Action::MonitorGone { run });
                        return;
                    }
                };
                if queue.send(action).is_err() {
                    return;
                }
            }
        });
        Monitor { link, reader, next: 1 }
    }

    /// Sends a request; the result is its number.
    pub(super) async fn send(
        &mut self,
        body: RequestBody,
        fds: &[BorrowedFd<'_>],
    ) -> std::io::Result<u64> {
        let seq = self.next;
        self.next += 1;
        self.link.send(&Request { seq, body }, fds).await?;
        Ok(seq)
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// Finds the monitor of a bundle, if one still runs.
pub(crate) async fn find(bundle: &Path) -> Option<Found> {
    let link = Link::connect(&bryo_monitor::client::socket_path(bundle)).ok()?;
    match tokio::time::timeout(GREETING, link.recv::<Answer>()).await {
        Ok(Ok(Answer::Event(Event::Ready(state)))) => Some(Found { link, state }),
        Ok(Ok(other)) => {
            tracing::warn!("the monitor of {} began with {other:?}", bundle.display());
            None
        }
        Ok(Err(_)) => None,
        Err(_) => {
            tracing::warn!("the monitor of {} does not answer", bundle.display());
            None
        }
    }
}

/// A monitor's failure as the engine's error.
pub(super) fn error(failure: &Failure) -> Error {
    let kind = match failure.kind {
        FailureKind::CommandNotFound
        | FailureKind::CommandNotExecutable
        | FailureKind::BadRequest => ErrorKind::InvalidParameter,
        FailureKind::WrongState => ErrorKind::Conflict,
        FailureKind::Other => ErrorKind::Internal,
    };
    Error::new(kind, failure.message.clone())
}

/// One request over a connection of its own, and its answer; for the owner, which cannot wait for its own queue, and for
/// what need not pass by the owner.
pub(crate) async fn ask_once(bundle: &Path, body: RequestBody) -> crate::Result<Reply> {
    let late = || Error::internal("the container's monitor did not answer in time");
    tokio::time::timeout(PATIENCE, exchange(bundle, body)).await.map_err(|_| late())?
}

async fn exchange(bundle: &Path, body: RequestBody) -> crate::Result<Reply> {
    let failed =
        |e: std::io::Error| Error::internal(format!("talk to the container's monitor: {e}"));
    let link = Link::connect(&bryo_monitor::client::socket_path(bundle)).map_err(failed)?;
    link.send(&Request { seq: 1, body }, &[]).await.map_err(failed)?;
    loop {
        match link.recv::<Answer>().await.map_err(failed)? {
            Answer::Reply { body: Reply::Failed(failure), .. } => return Err(error(&failure)),
            Answer::Reply { body, .. } => return Ok(body),
            Answer::Event(_) => {}
        }
    }
}
