//! The gate from the engine's side: one task that owns the conversation with it.
//!
//! The task finds a running gate by its socket or has the holder fork one, and tells it the networks. What it was told is kept
//! here, so that a gate that died is replaced: networks and published ports are added again before the next request is
//! answered. Requests are answered in order, one at a time; each takes tens of microseconds.
//!
//! On failure: a gate that cannot be started makes every request fail with the reason, and is tried again at the next one.

mod names;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use bryo_net::messages::{Reply, Request};
use bryo_net::{GateConfig, Names, Network, Publication, Refusal};
use bryo_rootless::HolderClient;
use tokio::sync::{mpsc, oneshot};

use crate::containers::record::{Paths, path_text};
use crate::link::Link;
use crate::settings::Settings;
use crate::{Error, ErrorKind, Result};

/// Pause before another try when a gate dies right after its start.
const PAUSE: Duration = Duration::from_millis(200);

/// How long a gate may take to set its data path up.
const READY: Duration = Duration::from_secs(20);

/// What became of a publication.
pub(crate) enum Published {
    /// Open, on this port.
    Port(u16),
    /// Not possible.
    Refused(Refusal),
}

enum Job {
    Ready(oneshot::Sender<Result<(String, Option<String>)>>),
    /// How many flows and published ports are open.
    Open(oneshot::Sender<Result<(u64, usize)>>),
    Add(Network, oneshot::Sender<Result<()>>),
    Remove(String, oneshot::Sender<Result<()>>),
    /// All networks have been added: bridges of others can go.
    Known,
    Publish(Publication, oneshot::Sender<Result<Published>>),
    /// A container runs: its network namespace, and the ports it should have.
    Enter(String, OwnedFd, Vec<Publication>),
    Unpublish(String, oneshot::Sender<Result<()>>),
    /// A container's names, its namespace and its resolver's sockets.
    Name(Names, Vec<OwnedFd>, Option<oneshot::Sender<Result<()>>>),
    Unname(String),
    /// Forget the publications and names of containers that are not among these.
    Keep(Vec<String>),
    Quit(oneshot::Sender<()>),
}

/// The engine's handle on the task.
#[derive(Clone)]
pub(crate) struct Gate {
    jobs: mpsc::UnboundedSender<Job>,
}

impl Gate {
    /// Starts the task, which at once looks for a gate or starts one.
    pub(crate) fn open(paths: &Paths, settings: &Settings, mtu: u32) -> Gate {
        let (jobs, queue) = mpsc::unbounded_channel();
        let config = GateConfig {
            netns: path_text(&paths.bridges()),
            socket: path_text(&paths.exec_root.join("gate.sock")),
            mtu,
            resolv_conf: path_text(&settings.host_resolv_conf),
            lesser: false,
        };
        let keeper = Keeper {
            queue,
            holder: settings.holder.clone(),
            closed: settings.api_addresses.clone(),
            config: Arc::new(config),
            link: None,
            ready: None,
            networks: BTreeMap::new(),
            publications: BTreeMap::new(),
            homes: BTreeMap::new(),
            named: BTreeMap::new(),
        };
        tokio::spawn(keeper.run());
        Gate { jobs }
    }

    async fn ask<T>(&self, job: impl FnOnce(oneshot::Sender<Result<T>>) -> Job) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        let gone = || Error::new(ErrorKind::Unavailable, "the engine is shutting down");
        self.jobs.send(job(reply)).map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    /// Name of the data path, and why a lesser one is in use.
    pub(crate) async fn ready(&self) -> Result<(String, Option<String>)> {
        self.ask(Job::Ready).await
    }

    /// How many flows and how many published ports are open now.
    pub(crate) async fn open_now(&self) -> Result<(u64, usize)> {
        self.ask(Job::Open).await
    }

    /// Makes a bridge; again is no error.
    pub(crate) async fn add(&self, network: Network) -> Result<()> {
        self.ask(|reply| Job::Add(network, reply)).await
    }

    /// Takes a bridge away.
    pub(crate) async fn remove(&self, bridge: &str) -> Result<()> {
        self.ask(|reply| Job::Remove(bridge.to_string(), reply)).await
    }

    /// All networks there are have been added: what an earlier engine left besides is taken away. Nobody waits for it.
    pub(crate) fn known(&self) {
        let _ = self.jobs.send(Job::Known);
    }

    /// Opens a port.
    pub(crate) async fn publish(&self, publication: Publication) -> Result<Published> {
        self.ask(|reply| Job::Publish(publication, reply)).await
    }

    /// Tells that a container with these ports runs as `pid`. Ports that are not open (engine and gate both died) are
    /// opened again; connections to them need not cross the bridge from now on. Nobody waits for it.
    pub(crate) fn enter(&self, container: &str, pid: u32, ports: Vec<Publication>) {
        match bryo_sys::ns::of_process(pid, bryo_sys::ns::Kind::Net) {
            Ok(netns) => {
                let _ = self.jobs.send(Job::Enter(container.to_string(), netns, ports));
            }
            // It has ended already, or is reached over the bridge.
            Err(e) => tracing::debug!("network namespace of container {container}: {e}"),
        }
    }

    /// Closes a container's ports and returns when they are closed.
    pub(crate) async fn unpublish(&self, container: &str) {
        let closed = self.ask(|reply| Job::Unpublish(container.to_string(), reply)).await;
        if let Err(e) = closed {
            tracing::warn!("close published ports: {e}");
        }
    }

    /// Closes the ports of all containers but these.
    pub(crate) fn keep(&self, containers: Vec<String>) {
        let _ = self.jobs.send(Job::Keep(containers));
    }

    /// Ends the gate and the task.
    pub(crate) async fn quit(&self) {
        let (reply, done) = oneshot::channel();
        if self.jobs.send(Job::Quit(reply)).is_ok() {
            let _ = done.await;
        }
    }
}

struct Keeper {
    queue: mpsc::UnboundedReceiver<Job>,
    holder: HolderClient,
    config: Arc<GateConfig>,
    /// The engine's own TCP sockets.
    closed: Vec<SocketAddr>,
    link: Option<Link>,
    ready: Option<(String, Option<String>)>,
    /// By bridge.
    networks: BTreeMap<String, Network>,
    /// By container, with real host ports.
    publications: BTreeMap<String, Vec<Publication>>,
    /// The network namespaces of running containers with ports.
    homes: BTreeMap<String, OwnedFd>,
    /// By container.
    named: BTreeMap<String, names::Named>,
}

impl Keeper {
    async fn run(mut self) {
        if let Err(e) = self.connect().await {
            tracing::error!("{e}");
        }
        loop {
            let job = match &self.link {
                None => self.queue.recv().await,
                Some(link) => tokio::select! {
                    job = self.queue.recv() => job,
                    // Nothing is said unasked, so whatever comes means that the gate has gone.
                    _ = link.recv::<Reply>() => {
                        tracing::warn!("the gate has died; starting another");
                        self.link = None;
                        tokio::time::sleep(PAUSE).await;
                        if let Err(e) = self.connect().await {
                            tracing::error!("{e}");
                        }
                        continue;
                    }
                },
            };
            match job {
                None => return,
                Some(Job::Quit(reply)) => {
                    self.end().await;
                    let _ = reply.send(());
                    return;
                }
                Some(job) => self.handle(job).await,
            }
        }
    }

    async fn handle(&mut self, job: Job) {
        match job {
            Job::Ready(reply) => {
                let answer = match self.connected().await {
                    Ok(()) => Ok(self.ready.clone().unwrap_or_default()),
                    Err(e) => Err(e),
                };
                let _ = reply.send(answer);
            }
            Job::Open(reply) => {
                let _ = reply.send(match self.request(&Request::Describe).await {
                    Ok(Reply::State { flows, publications, .. }) => Ok((flows, publications.len())),
                    Ok(other) => Err(unexpected(&other)),
                    Err(e) => Err(e),
                });
            }
            Job::Add(network, reply) => {
                if self.networks.get(&network.bridge) == Some(&network) && self.link.is_some() {
                    let _ = reply.send(Ok(()));
                    return;
                }
                let answer = self.done(Request::AddNetwork(network.clone())).await;
                if answer.is_ok() {
                    self.networks.insert(network.bridge.clone(), network);
                }
                let _ = reply.send(answer);
            }
            Job::Remove(bridge, reply) => {
                self.networks.remove(&bridge);
                let _ = reply.send(self.done(Request::RemoveNetwork { bridge }).await);
            }
            Job::Known => {
                let bridges = self.networks.keys().cloned().collect();
                if let Err(e) = self.done(Request::KeepOnly { bridges }).await {
                    tracing::warn!("take away bridges of networks that are no more: {e}");
                }
            }
            Job::Publish(publication, reply) => {
                let _ = reply.send(self.publish(publication).await);
            }
            Job::Enter(container, netns, ports) => self.enter(container, netns, ports).await,
            Job::Unpublish(container, reply) => {
                self.homes.remove(&container);
                let answer = match self.publications.remove(&container) {
                    Some(_) => self.done(Request::Unpublish { container }).await,
                    None => Ok(()),
                };
                let _ = reply.send(answer);
            }
            Job::Name(known, fds, reply) => self.name(known, fds, reply).await,
            Job::Unname(container) => self.unname(container).await,
            Job::Keep(containers) => {
                self.keep(&containers).await;
                self.settle().await;
            }
            Job::Quit(_) => {}
        }
    }

    async fn publish(&mut self, mut publication: Publication) -> Result<Published> {
        match self.request(&Request::Publish(publication.clone())).await? {
            Reply::Published { host_port } => {
                publication.host_port = host_port;
                self.publications
                    .entry(publication.container.clone())
                    .or_default()
                    .push(publication);
                Ok(Published::Port(host_port))
            }
            Reply::Refused(refusal) => Ok(Published::Refused(refusal)),
            other => Err(unexpected(&other)),
        }
    }

    async fn enter(&mut self, container: String, netns: OwnedFd, ports: Vec<Publication>) {
        let open = self.publications.get(&container).cloned().unwrap_or_default();
        for lost in ports.into_iter().filter(|p| !open.contains(p)) {
            let what = format!("{}:{}", lost.host_ip, lost.host_port);
            match self.publish(lost).await {
                Ok(Published::Port(_)) => {}
                Ok(Published::Refused(why)) => {
                    tracing::error!("could not publish {what} again: {why:?}");
                }
                Err(e) => tracing::error!("could not publish {what} again: {e}"),
            }
        }
        let request = Request::Enter { container: container.clone() };
        let asked = match self.connected().await {
            Ok(()) => match &self.link {
                Some(link) => exchange_with(link, &request, &[netns.as_fd()]).await,
                None => return,
            },
            Err(e) => Err(io::Error::other(e.to_string())),
        };
        match asked {
            Ok(reply) => report(reply, &container),
            // A gate that died is noticed by its channel, and the next one is told then.
            Err(e) => tracing::debug!("give the gate a network namespace: {e}"),
        }
        self.homes.insert(container, netns);
    }

    async fn keep(&mut self, containers: &[String]) {
        let gone: Vec<String> =
            self.publications.keys().filter(|c| !containers.contains(c)).cloned().collect();
        for container in gone {
            self.homes.remove(&container);
            self.publications.remove(&container);
            if let Err(e) = self.done(Request::Unpublish { container }).await {
                tracing::warn!("close published ports: {e}");
            }
        }
    }

    async fn done(&mut self, request: Request) -> Result<()> {
        match self.request(&request).await? {
            Reply::Ok => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// One request and its reply; a gate that dies meanwhile is replaced and asked once more.
    async fn request(&mut self, request: &Request) -> Result<Reply> {
        for last in [false, true] {
            self.connected().await?;
            let Some(link) = &self.link else { break };
            match exchange(link, request).await {
                Ok(Reply::Failed { message }) => return Err(Error::internal(message)),
                Ok(reply) => return Ok(reply),
                Err(e) => {
                    tracing::warn!("the gate does not answer: {e}");
                    self.link = None;
                    if last {
                        break;
                    }
                }
            }
        }
        Err(Error::internal(
            "the gate died twice while it was asked; its words are in holder.log of the exec root",
        ))
    }

    async fn connected(&mut self) -> Result<()> {
        if self.link.is_some() { Ok(()) } else { self.connect().await }
    }

    /// Finds or starts a gate, and tells it what there is.
    async fn connect(&mut self) -> Result<()> {
        let link = match Link::connect(self.config.socket.as_ref()) {
            Ok(link) => link,
            Err(_) => self.spawn().await?,
        };
        let failed = |e: io::Error| Error::internal(format!("talk to the gate: {e}"));
        let ready = tokio::time::timeout(READY, link.recv::<Reply>()).await;
        match ready
            .map_err(|_| Error::internal("the gate did not get ready in 20 s"))?
            .map_err(failed)?
        {
            Reply::Ready { path, reason, .. } => self.ready = Some((path, reason)),
            Reply::Failed { message } => {
                return Err(Error::internal(format!(
                    "the container network cannot be set up: {message}"
                )));
            }
            other => return Err(unexpected(&other)),
        }
        self.replay(&link).await.map_err(failed)?;
        self.link = Some(link);
        Ok(())
    }

    async fn spawn(&self) -> Result<Link> {
        let (holder, config) = (self.holder.clone(), self.config.clone());
        let spawned = tokio::task::spawn_blocking(move || {
            let json = serde_json::to_string(&*config)?;
            // A socket file without a listener is a dead gate's.
            let _ = std::fs::remove_file(&config.socket);
            holder.spawn_gate(&json)
        });
        let (channel, pid) = spawned
            .await
            .map_err(|e| Error::internal(format!("start the gate: {e}")))?
            .map_err(|e| Error::internal(format!("start the gate: {e}")))?;
        tracing::debug!("gate is pid {pid}");
        Link::new(channel).map_err(|e| Error::internal(format!("talk to the gate: {e}")))
    }

    /// A new engine takes over what an older gate holds; a new gate gets what the engine knows.
    async fn replay(&mut self, link: &Link) -> io::Result<()> {
        // First of all: from now on containers have a way out.
        let close = Request::Close { addresses: self.closed.clone() };
        report(exchange(link, &close).await?, "to close the API's addresses");
        let mut open: Vec<Publication> = Vec::new();
        if let Reply::State { publications, .. } = exchange(link, &Request::Describe).await? {
            for publication in &publications {
                let of = self.publications.entry(publication.container.clone()).or_default();
                if !of.contains(publication) {
                    of.push(publication.clone());
                }
            }
            open = publications;
        }
        for network in self.networks.values() {
            report(exchange(link, &Request::AddNetwork(network.clone())).await?, &network.bridge);
        }
        for publication in self.publications.values().flatten().filter(|p| !open.contains(p)) {
            let what = format!("{}:{}", publication.host_ip, publication.host_port);
            report(exchange(link, &Request::Publish(publication.clone())).await?, &what);
        }
        self.rename_all(link).await?;
        for (container, netns) in &self.homes {
            let request = Request::Enter { container: container.clone() };
            report(exchange_with(link, &request, &[netns.as_fd()]).await?, container);
        }
        Ok(())
    }

    async fn end(&mut self) {
        if self.link.is_none() {
            self.link = Link::connect(self.config.socket.as_ref()).ok();
            if let Some(link) = &self.link {
                let _ = link.recv::<Reply>().await;
            }
        }
        if let Some(link) = self.link.take() {
            if exchange(&link, &Request::Quit).await.is_ok() {
                // Its end shows as the end of the channel.
                let _ = tokio::time::timeout(Duration::from_secs(2), link.recv::<Reply>()).await;
            }
        }
    }
}

async fn exchange(link: &Link, request: &Request) -> io::Result<Reply> {
    exchange_with(link, request, &[]).await
}

async fn exchange_with(
    link: &Link,
    request: &Request,
    fds: &[BorrowedFd<'_>],
) -> io::Result<Reply> {
    link.send(request, fds).await?;
    link.recv().await
}

fn report(reply: Reply, what: &str) {
    match reply {
        Reply::Failed { message } => tracing::error!("the new gate refused {what}: {message}"),
        Reply::Refused(why) => {
            tracing::error!("the new gate could not publish {what} again: {why:?}")
        }
        _ => {}
    }
}

fn unexpected(reply: &Reply) -> Error {
    Error::internal(format!("the gate gave an answer that does not fit: {reply:?}"))
}
