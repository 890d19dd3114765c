//! What the gate's resolver is told of containers, kept for the next gate.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use bryo_net::Names;
use bryo_net::messages::{Reply, Request};
use tokio::sync::oneshot;

use super::{Gate, Job, Keeper, exchange_with};
use crate::link::Link;
use crate::{Error, Result};

/// A container's names, its network namespace and its resolver's sockets. The sockets are kept open here so that
/// questions wait for the next gate instead of being refused.
pub(super) struct Named {
    known: Names,
    fds: Vec<OwnedFd>,
}

impl Gate {
    /// Tells a container's names; the descriptors are its network namespace and, where they were made, its resolver's
    /// sockets. Nobody waits for it.
    pub(crate) fn name(&self, known: Names, fds: Vec<OwnedFd>) {
        let _ = self.jobs.send(Job::Name(known, fds, None));
    }

    /// The same, and returns when the names are known.
    pub(crate) async fn name_now(&self, known: Names, fds: Vec<OwnedFd>) -> Result<()> {
        self.ask(|reply| Job::Name(known, fds, Some(reply))).await
    }

    /// Forgets a container's names. Nobody waits for it.
    pub(crate) fn unname(&self, container: &str) {
        let _ = self.jobs.send(Job::Unname(container.to_string()));
    }
}

impl Keeper {
    pub(super) async fn name(
        &mut self,
        known: Names,
        fds: Vec<OwnedFd>,
        reply: Option<oneshot::Sender<Result<()>>>,
    ) {
        let container = known.container.clone();
        let fds = match self.named.remove(&container) {
            Some(before) if fds.is_empty() => before.fds,
            // It is served already, by sockets that are still good.
            Some(before) if before.fds.len() > fds.len() => before.fds,
            _ => fds,
        };
        let named = Named { known, fds };
        let told = match self.connected().await {
            Ok(()) => match &self.link {
                Some(link) => tell(link, &named).await.map_err(|e| Error::internal(e.to_string())),
                None => Ok(()),
            },
            Err(e) => Err(e),
        };
        self.named.insert(container.clone(), named);
        match reply {
            Some(reply) => drop(reply.send(told)),
            // A gate that died is noticed by its channel, and the next one is told then.
            None => drop(told.inspect_err(|e| tracing::warn!("the names of {container}: {e}"))),
        }
    }

    pub(super) async fn unname(&mut self, container: String) {
        if self.named.remove(&container).is_none() {
            return;
        }
        if let Err(e) = self.done(Request::Unname { container }).await {
            tracing::warn!("forget a container's names: {e}");
        }
    }

    /// All containers that run have been named: the gate forgets those that only an earlier engine knew.
    pub(super) async fn settle(&mut self) {
        if let Err(e) = self.done(Request::Settle).await {
            tracing::warn!("settle the names: {e}");
        }
    }

    /// Tells a gate all names.
    pub(super) async fn rename_all(&self, link: &Link) -> io::Result<()> {
        for (container, named) in &self.named {
            if let Err(e) = tell(link, named).await {
                if e.kind() != io::ErrorKind::Other {
                    return Err(e);
                }
                tracing::error!("the names of {container}: {e}");
            }
        }
        Ok(())
    }
}

/// Tells one container's names. A refusal is an error of kind `Other`.
async fn tell(link: &Link, named: &Named) -> io::Result<()> {
    let request = Request::Name(named.known.clone());
    let fds: Vec<BorrowedFd<'_>> = named.fds.iter().map(AsFd::as_fd).collect();
    match exchange_with(link, &request, &fds).await? {
        Reply::Failed { message } => Err(io::Error::other(message)),
        _ => Ok(()),
    }
}
