//! By which names a container is found, and what its own files say of names.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

use bryo_net::{Names, Place};
use bryo_sys::channel::Channel;
use bryo_sys::ns;

use super::owner::Owner;
use crate::model::{EndpointView, NetworkMode};
use crate::networks::endpoints;
use crate::util::short;

impl Owner {
    /// What the resolver is to know of this container.
    fn known(&self) -> Names {
        let (spec, settings) = (&self.record.spec, &self.inner.settings);
        let on = endpoints::order(&self.record, &self.state);
        let on = on.iter().filter_map(|name| Some((name, self.state.endpoints.get(name)?)));
        let on: Vec<_> = on.filter(|(_, e)| !e.endpoint_id.is_empty()).collect();
        let leads_out = |name: &str| self.inner.networks.find(name).is_ok_and(|n| !n.spec.internal);
        let outward = on.iter().any(|(name, _)| leads_out(name));
        let places = on.into_iter().filter(|(name, _)| !endpoints::is_predefined(name));
        let places: Vec<Place> = places
            .map(|(name, endpoint)| Place {
                network: name.clone(),
                addresses: endpoint.ipv4.iter().chain(&endpoint.ipv6).map(|(ip, _)| *ip).collect(),
                names: endpoint.dns_names.clone(),
                links: endpoint.settings.links.iter().map(|link| parted(link)).collect(),
            })
            .collect();
        let servers = if spec.dns.is_empty() { &settings.dns } else { &spec.dns };
        Names {
            container: self.record.id.clone(),
            servers: servers.iter().filter_map(|s| s.parse().ok()).collect(),
            outward,
            served: !places.is_empty(),
            places,
        }
    }

    /// Before the program runs: its neighbours may ask for it. The result is the monitor's end of a channel by which
    /// the resolver's sockets come, where it is to have one.
    pub(super) fn announce_names(&mut self) -> Option<OwnedFd> {
        let known = self.known();
        if !known.served {
            return None;
        }
        self.inner.gate.name(known, Vec::new());
        let (own, theirs) = Channel::pair().ok()?;
        own.set_nonblocking(true).ok()?;
        self.resolver = Some(own);
        Some(theirs.into_fd())
    }

    /// The program runs: hands its resolver's sockets to the gate. Also for a container that an earlier engine started,
    /// which has none to hand over.
    pub(super) fn serve_names(&mut self) {
        let known = self.known();
        let channel = self.resolver.take();
        if !known.served {
            return;
        }
        let Some(netns) = self.network_namespace() else { return };
        let mut fds = vec![netns];
        match channel.map(|channel| channel.recv()) {
            Some(Ok(message)) if message.fds.len() == 2 => fds.extend(message.fds),
            Some(Ok(message)) => tracing::warn!(
                "{} is without a resolver: {}",
                short(&self.record.id),
                String::from_utf8_lossy(&message.data)
            ),
            Some(Err(e)) => tracing::debug!("the resolver of {}: {e}", self.record.id),
            None => {}
        }
        self.inner.gate.name(known, fds);
    }

    /// Networks (from `before`) or names of the running container have changed: returns when the resolver knows, and its own
    /// files say.
    pub(super) async fn names_changed(&self, before: BTreeMap<String, EndpointView>) {
        if !self.is_running() || matches!(self.record.spec.network_mode, NetworkMode::Container(_))
        {
            return;
        }
        let known = self.known();
        let fds = self.network_namespace().filter(|_| known.served);
        if let Err(e) = self.inner.gate.name_now(known, fds.into_iter().collect()).await {
            tracing::warn!("the names of {}: {e}", short(&self.record.id));
        }
        let (inner, record) = (self.inner.clone(), self.record.clone());
        let after = self.state.endpoints.clone();
        let wrote = tokio::task::spawn_blocking(move || {
            endpoints::rewrite(&inner, &record, &before, &after);
        });
        // It logs what fails.
        let _ = wrote.await;
    }

    fn network_namespace(&self) -> Option<OwnedFd> {
        // One that has just ended has none.
        ns::of_process(self.state.state.pid, ns::Kind::Net).ok()
    }
}

/// `TARGET:NAME`, or one word for both; the name first.
fn parted(link: &str) -> (String, String) {
    let (target, name) = link.split_once(':').unwrap_or((link, link));
    (name.to_string(), target.to_string())
}
