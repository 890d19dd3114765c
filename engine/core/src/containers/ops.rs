//! What is done to a container without starting or ending it: signals, pause, rename, update, terminal size, networks.

use std::collections::BTreeMap;
use std::sync::Arc;

use bryo_monitor::messages::{Reply as MonitorReply, RequestBody};

use super::actions::Reply;
use super::owner::{Owner, Pending};
use super::record::path_text;
use crate::model::{
    ContainerUpdate, EndpointSettings, EndpointView, NetworkMode, RestartPolicy, Status,
};
use crate::networks::{self, endpoints};
use crate::spec::{resources, signals, warnings};
use crate::{Error, Result};

impl Owner {
    fn not_running(&self) -> Error {
        Error::conflict(format!("container {} is not running", self.record.id))
    }

    /// Sends a signal. One that ends the container by a user's hand also ends its restarts.
    pub(super) async fn signal(&mut self, signal: i32, by_hand: bool, reply: Reply<()>) {
        if !self.is_running() {
            let _ = reply.send(Err(self.not_running()));
            return;
        }
        let stop = self.stop_signal();
        if by_hand && (signal == signals::KILL || signal == stop) {
            self.state.stopped_by_hand = true;
            self.save();
            if self.status() == Status::Paused {
                self.thaw_or_say().await;
            }
        }
        self.emit("kill", BTreeMap::from([("signal".to_string(), signal.to_string())]));
        self.request(RequestBody::Signal { signal }, &[], Pending::Done(reply)).await;
    }

    /// The signal that it is to be stopped with.
    pub(super) fn stop_signal(&self) -> i32 {
        let asked = self.record.spec.stop_signal.as_deref();
        asked.and_then(|s| signals::parse(s).ok()).unwrap_or(signals::TERM)
    }

    pub(super) async fn pause(&mut self, reply: Reply<()>) {
        let refusal = match self.status() {
            Status::Running => None,
            Status::Paused => {
                Some(Error::conflict(format!("container {} is already paused", self.record.id)))
            }
            Status::Restarting => Some(Error::conflict(format!(
                "container {} is restarting, wait until the container is running",
                self.record.id
            ))),
            _ => Some(self.not_running()),
        };
        if let Some(error) = refusal {
            let _ = reply.send(Err(error));
            return;
        }
        match self.done(RequestBody::Pause).await {
            Ok(()) => {
                self.state.state.status = Status::Paused;
                self.save();
                self.publish(None);
                self.emit("pause", BTreeMap::new());
                let _ = reply.send(Ok(()));
            }
            Err(e) => {
                let text = format!("cannot pause container {}: {}", self.record.id, e.message());
                let _ = reply.send(Err(Error::new(e.kind(), text)));
            }
        }
    }

    pub(super) async fn unpause(&mut self, reply: Reply<()>) {
        if self.status() != Status::Paused {
            let error = Error::conflict(format!("container {} is not paused", self.record.id));
            let _ = reply.send(Err(error));
            return;
        }
        let _ = reply.send(self.thaw().await);
    }

    /// Lets a paused container go on.
    pub(super) async fn thaw(&mut self) -> Result<()> {
        self.done(RequestBody::Unpause).await?;
        self.state.state.status = Status::Running;
        self.save();
        self.publish(None);
        self.emit("unpause", BTreeMap::new());
        Ok(())
    }

    /// The same where nobody waits for the outcome.
    pub(super) async fn thaw_or_say(&mut self) {
        if let Err(e) = self.thaw().await {
            tracing::warn!("unpause {}: {e}", self.record.id);
        }
    }

    /// A request whose answer the owner waits for, taking what the monitor says meanwhile into its queue as ever.
    ///
    /// Only for requests that the monitor answers at once. The reply comes through the reader task's queue, which this task
    /// itself empties, so it cannot be awaited there: the request goes over a connection of its own.
    async fn done(&mut self, body: RequestBody) -> Result<()> {
        let bundle = self.inner.paths.bundle(&self.record.id);
        super::monitor::ask_once(&bundle, body).await.map(drop)
    }

    pub(super) async fn rename(&mut self, name: &str) -> Result<()> {
        let old = self.record.name.clone();
        if name == old {
            return Err(Error::invalid(
                "Renaming a container with the same name as its current name",
            ));
        }
        self.inner.registry.take_name(name, &self.record.id)?;
        Arc::make_mut(&mut self.record).name = name.to_string();
        if let Err(e) = self.save_record() {
            Arc::make_mut(&mut self.record).name.clone_from(&old);
            self.inner.registry.give_name_back(name, &self.record.id);
            return Err(e);
        }
        self.inner.registry.give_name_back(&old, &self.record.id);
        for (network, endpoint) in &mut self.state.endpoints {
            if !endpoint.endpoint_id.is_empty() {
                endpoint.dns_names =
                    endpoints::dns_names(&self.record, network, &endpoint.settings);
                self.inner.networks.adopt(&self.record.id, name, endpoint);
            }
        }
        self.inner.networks.rename(&self.record.id, name);
        self.save();
        self.publish(None);
        self.emit("rename", BTreeMap::from([("oldName".to_string(), format!("/{old}"))]));
        self.names_changed(self.state.endpoints.clone()).await;
        Ok(())
    }

    /// Changes the restart policy and the limits; the result is warnings.
    pub(super) async fn update(&mut self, update: &ContainerUpdate) -> Result<Vec<String>> {
        let within = |e: Error| {
            Error::new(
                e.kind(),
                format!("Cannot update container {}: {}", self.record.id, e.message()),
            )
        };
        if matches!(self.status(), Status::Removing | Status::Dead) {
            return Err(within(Error::conflict(
                "Container is marked for removal and cannot be \"update\".",
            )));
        }
        let restarts = update.restart.is_some_and(|p| p != RestartPolicy::No);
        if restarts && self.record.spec.auto_remove {
            return Err(Error::invalid(
                "Restart policy cannot be updated because AutoRemove is enabled for the container",
            ));
        }
        let mut limits = resources::lay_over(&self.record.spec.resources, &update.resources);
        if update.resources.memory > 0 && update.resources.memory_swap == 0 {
            // Docker keeps the old swap limit, which may then be too low.
            let swap = self.record.spec.resources.memory_swap;
            if swap > 0 && update.resources.memory > swap {
                return Err(within(Error::invalid(
                    "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time",
                )));
            }
        }
        resources::check(&mut limits, self.inner.cpus)?;
        let support = self.inner.limits.of(&self.record);
        let mut told = warnings::of(&update.resources, &support, &self.inner.cgroups);
        if self.is_running() {
            let limits = support.changed(&limits);
            let bundle = self.inner.paths.bundle(&self.record.id);
            let asked = super::monitor::ask_once(&bundle, RequestBody::Update { limits });
            if let MonitorReply::Partly(but) = asked.await.map_err(within)? {
                told.push(but);
            }
        }
        let record = Arc::make_mut(&mut self.record);
        record.spec.resources = limits;
        if let Some(policy) = update.restart {
            record.spec.restart = policy;
        }
        self.save_record()?;
        self.publish(None);
        self.emit("update", BTreeMap::new());
        Ok(told)
    }

    pub(super) async fn resize(
        &mut self,
        exec: Option<String>,
        rows: u16,
        cols: u16,
        reply: Reply<()>,
    ) {
        if !self.is_running() {
            let _ = reply.send(Err(self.not_running()));
            return;
        }
        if exec.is_none() {
            self.emit(
                "resize",
                BTreeMap::from([
                    ("height".to_string(), rows.to_string()),
                    ("width".to_string(), cols.to_string()),
                ]),
            );
        }
        self.request(RequestBody::Resize { exec, rows, cols }, &[], Pending::Done(reply)).await;
    }

    pub(super) async fn connect(
        &mut self,
        network: &str,
        settings: EndpointSettings,
    ) -> Result<()> {
        let record = self.inner.networks.find(network)?;
        let name = record.spec.name.clone();
        let forbidden = |text: String| Err(Error::new(crate::ErrorKind::Forbidden, text));
        match self.record.spec.network_mode {
            NetworkMode::Host => {
                return forbidden("cannot connect container to another network: the container is in host network mode".into());
            }
            NetworkMode::Container(_) => {
                return forbidden("container sharing network namespace with another container or host cannot be connected to any other network".into());
            }
            _ => {}
        }
        if matches!(name.as_str(), "host" | "none") {
            return forbidden(format!("container cannot be connected to {name} network"));
        }
        if self
            .state
            .endpoints
            .get(&name)
            .is_some_and(|e| !self.is_running() || !e.endpoint_id.is_empty())
        {
            return forbidden(format!(
                "endpoint with name {} already exists in network {name}",
                self.record.name
            ));
        }
        let asked = EndpointView {
            settings: settings.clone(),
            network_id: record.id.clone(),
            ..EndpointView::default()
        };
        if !self.is_running() {
            // `none` means no other: the first real network takes its place.
            self.state.endpoints.remove("none");
            self.state.endpoints.insert(name, asked);
            self.save();
            self.publish(None);
            return Ok(());
        }
        let before = self.state.endpoints.clone();
        self.connect_running(&record, settings).await?;
        self.save();
        self.publish(None);
        networks::emit(&self.inner, "connect", &record, Some(&self.record.id));
        self.names_changed(before).await;
        Ok(())
    }

    async fn connect_running(
        &mut self,
        record: &networks::table::NetworkRecord,
        settings: EndpointSettings,
    ) -> Result<()> {
        let name = record.spec.name.clone();
        let Some(network) = record.gate_network(networks::mtu(&self.inner)) else {
            return Err(Error::invalid(format!("container cannot be connected to {name} network")));
        };
        self.inner.gate.add(network.clone()).await?;
        let names = endpoints::dns_names(&self.record, &name, &settings);
        let (id, own) = (&self.record.id, &self.record.name);
        let mut view = self.inner.networks.join(&record.id, id, own, &settings, names)?;
        view.interface = endpoints::free_interface(&self.state.endpoints);
        let first = self.state.endpoints.values().all(|e| e.endpoint_id.is_empty());
        let outcome = match endpoints::interface(&network, &view, first) {
            Ok(endpoint) => {
                let bridges = path_text(&self.inner.paths.bridges());
                self.done(RequestBody::ConnectNetwork { bridges, endpoint }).await
            }
            Err(e) => Err(e),
        };
        if let Err(e) = outcome {
            self.inner.networks.leave(&record.id, &self.record.id);
            return Err(e);
        }
        self.state.endpoints.insert(name, view);
        Ok(())
    }

    pub(super) async fn disconnect(&mut self, network: &str, force: bool) -> Result<()> {
        let record = self.inner.networks.find(network)?;
        let name = record.spec.name.clone();
        if self.record.spec.network_mode == NetworkMode::Host {
            return Err(Error::new(
                crate::ErrorKind::Forbidden,
                "container cannot be disconnected from host network or connected to host network",
            ));
        }
        let Some(endpoint) = self.state.endpoints.get(&name).cloned() else {
            return Err(Error::new(
                crate::ErrorKind::Forbidden,
                format!("container {} is not connected to network {name}", self.record.id),
            ));
        };
        if self.is_running() && !endpoint.endpoint_id.is_empty() {
            let interface = endpoint.interface.clone();
            let outcome = self.done(RequestBody::DisconnectNetwork { interface }).await;
            if let (Err(e), false) = (outcome, force) {
                return Err(e);
            }
            self.inner.networks.leave(&record.id, &self.record.id);
        }
        let before = self.state.endpoints.clone();
        self.state.endpoints.remove(&name);
        self.save();
        self.publish(None);
        if !endpoint.endpoint_id.is_empty() {
            networks::emit(&self.inner, "disconnect", &record, Some(&self.record.id));
            self.names_changed(before).await;
        }
        Ok(())
    }
}
