//! Networks: the predefined `bridge`, `host` and `none`, and the user's bridges.
//!
//! [`table`] knows which there are and who is on them, [`ipam`] gives subnets and addresses, [`endpoints`] and [`hosts`] are a
//! container's side. The gate makes the bridges (see `crate::gate`), the monitor a container's interfaces.

pub(crate) mod endpoints;
pub(crate) mod hosts;
pub(crate) mod ipam;
pub(crate) mod table;

use std::collections::BTreeMap;

use ipnet::IpNet;
use table::{Member, NETWORK, NetworkRecord};

use crate::containers::actions::Action;
use crate::engine::{Engine, Inner};
use crate::model::{
    EndpointSettings, EventKind, Filters, IpamConfig, NetworkMember, NetworkSpec, NetworkView,
};
use crate::util::{now, random_id};
use crate::{Error, ErrorKind, Result};

/// Reads the networks and makes the predefined ones where they are missing.
pub(crate) fn load(inner: &Inner) -> Result<()> {
    let mut kept: Vec<NetworkRecord> =
        inner.records.all::<NetworkRecord>(NETWORK)?.into_iter().map(|(_, r)| r).collect();
    for (name, driver) in [("bridge", "bridge"), ("host", "host"), ("none", "null")] {
        let found = kept.iter().position(|n| n.spec.name == name);
        let mut record = match found {
            Some(at) => kept.remove(at),
            None => NetworkRecord { id: random_id(), created: now(), spec: NetworkSpec::default() },
        };
        let asked = record.spec.clone();
        record.spec.name = name.into();
        record.spec.driver = driver.into();
        if name == "bridge" {
            let others = kept.iter().flat_map(|n| n.spec.ipam.iter().filter_map(|c| c.subnet));
            default_bridge(inner, &mut record.spec, others.collect())?;
        }
        if found.is_none() || name == "bridge" && asked != record.spec {
            inner.records.put(NETWORK, &record.id, &record)?;
        }
        inner.networks.add(record)?;
    }
    for record in kept {
        let name = record.spec.name.clone();
        if let Err(e) = inner.networks.add(record) {
            tracing::error!("the network {name} is left out: {e}");
        }
    }
    Ok(())
}

/// docker0 as the settings want it now. Without `bip` it keeps the subnet it has: containers that outlived the last engine
/// have addresses there. `others` are the subnets of the user's networks.
fn default_bridge(inner: &Inner, spec: &mut NetworkSpec, mut others: Vec<IpNet>) -> Result<()> {
    let mut config = IpamConfig::default();
    match inner.settings.bip {
        Some(bip) => {
            config.subnet = Some(bip.trunc());
            config.gateway = Some(bip.addr());
        }
        None => {
            let pools = pools(inner);
            let had = spec.ipam.iter().filter_map(|c| c.subnet).find(|had| {
                pools.iter().any(|(pool, _)| pool.contains(had))
                    && !others.iter().any(|other| ipam::overlap(had, other))
            });
            config.subnet = Some(match had {
                Some(had) => had,
                None => {
                    others.extend(routed());
                    ipam::free_subnet(&pools, &others, false)?
                }
            });
        }
    }
    ipam::complete(&mut config)?;
    spec.ipam = vec![config];
    let mtu = mtu(inner).to_string();
    for (key, value) in [
        ("bridge.default_bridge", "true"),
        ("bridge.enable_icc", "true"),
        ("bridge.enable_ip_masquerade", "true"),
        ("bridge.host_binding_ipv4", "0.0.0.0"),
        ("bridge.name", "docker0"),
        ("driver.mtu", mtu.as_str()),
    ] {
        spec.options.insert(format!("com.docker.network.{key}"), value.into());
    }
    Ok(())
}

/// What the host has routes to: containers could not reach it behind a subnet of the same addresses.
fn routed() -> Vec<IpNet> {
    let routes = bryo_net::routed().unwrap_or_else(|e| {
        tracing::warn!("the host's routes are not known, new subnets may hide them: {e}");
        Vec::new()
    });
    routes.into_iter().filter_map(|(ip, bits)| IpNet::new(ip, bits).ok()).collect()
}

fn pools(inner: &Inner) -> Vec<(IpNet, u8)> {
    let own = &inner.settings.default_address_pools;
    if own.is_empty() { ipam::default_pools() } else { own.clone() }
}

/// MTU of bridges whose options do not say: nothing inside ever meets a real link.
pub(crate) fn mtu(inner: &Inner) -> u32 {
    if inner.settings.mtu == 0 { 65_520 } else { inner.settings.mtu }
}

/// Tells the gate of all bridges, once at start; nobody waits for it.
pub(crate) fn announce(inner: &std::sync::Arc<Inner>) {
    let inner = inner.clone();
    tokio::spawn(async move {
        for (record, _) in inner.networks.all() {
            if let Some(network) = record.gate_network(mtu(&inner)) {
                if let Err(e) = inner.gate.add(network).await {
                    tracing::error!("the network {}: {e}", record.spec.name);
                }
            }
        }
        inner.gate.known();
    });
}

impl Engine {
    /// Makes a network; the result is its id and a warning (empty: none).
    pub async fn network_create(&self, mut spec: NetworkSpec) -> Result<(String, String)> {
        let inner = self.inner();
        check_new(&spec)?;
        check_options(&spec)?;
        if spec.driver.is_empty() {
            spec.driver = "bridge".into();
        }
        if !spec.config_from.is_empty() {
            take_config(inner, &mut spec)?;
        }
        if !spec.config_only {
            addresses(inner, &mut spec)?;
        }
        let record = NetworkRecord { id: random_id(), created: now(), spec };
        inner.networks.add(record.clone())?;
        if let Some(network) = record.gate_network(mtu(inner)) {
            if let Err(e) = inner.gate.add(network).await {
                let _ = inner.networks.remove(&record.id);
                return Err(e);
            }
        }
        inner.records.put(NETWORK, &record.id, &record)?;
        emit(inner, "create", &record, None);
        Ok((record.id, String::new()))
    }

    /// Networks, without their containers.
    pub async fn network_list(&self, filters: &Filters) -> Result<Vec<NetworkView>> {
        check_filters(filters, &["dangling", "driver", "id", "label", "name", "scope", "type"])?;
        let all = self.inner().networks.all();
        let mut found: Vec<NetworkView> = all
            .into_iter()
            .filter(|(record, members)| matches(filters, record, members))
            .map(|(record, _)| record.view(BTreeMap::new()))
            .collect();
        found.sort_by(|a, b| a.spec.name.cmp(&b.spec.name));
        Ok(found)
    }

    /// One by name, id or the unique beginning of an id.
    pub async fn network_inspect(&self, r: &str) -> Result<NetworkView> {
        let networks = &self.inner().networks;
        let record = networks.find(r)?;
        let members = networks.members(&record.id).into_iter().map(|(id, m)| (id, member(&m)));
        Ok(record.view(members.collect()))
    }

    /// Removes one that no container is on.
    pub async fn network_remove(&self, r: &str) -> Result<()> {
        let inner = self.inner();
        let record = inner.networks.find(r)?;
        if record.is_predefined() {
            return Err(Error::new(
                ErrorKind::Forbidden,
                format!("{} is a pre-defined network and cannot be removed", record.spec.name),
            ));
        }
        inner.networks.remove(&record.id)?;
        inner.records.remove(&[(NETWORK, &record.id)])?;
        if let Some(bridge) = record.bridge() {
            if let Err(e) = inner.gate.remove(&bridge).await {
                tracing::warn!("take the bridge {bridge} away: {e}");
            }
        }
        emit(inner, "destroy", &record, None);
        Ok(())
    }

    /// Joins a container to it.
    pub async fn network_connect(
        &self,
        network: &str,
        container: &str,
        settings: EndpointSettings,
    ) -> Result<()> {
        let record = self.inner().networks.find(network)?;
        endpoints::check(&record.spec.name, &settings)?;
        let handle = self.inner().registry.find(container)?;
        handle
            .ask(|reply| Action::Connect {
                network: record.id,
                settings: Box::new(settings),
                reply,
            })
            .await
    }

    /// Takes a container off it.
    pub async fn network_disconnect(
        &self,
        network: &str,
        container: &str,
        force: bool,
    ) -> Result<()> {
        let record = self.inner().networks.find(network)?;
        match self.inner().registry.find(container) {
            Ok(handle) => {
                handle.ask(|reply| Action::Disconnect { network: record.id, force, reply }).await
            }
            Err(_) if force => {
                self.inner().networks.leave(&record.id, container);
                Ok(())
            }
            Err(e) => Err(e),
        }
    }

    /// Removes those that no container is on; the result is their names.
    pub async fn prune_networks(&self, filters: &Filters) -> Result<Vec<String>> {
        check_filters(filters, &["label", "label!", "until"])?;
        let until = match filters.get("until") {
            [] => None,
            [time] => Some(crate::containers::filters::time(time)?),
            _ => return Err(Error::invalid("more than one until filter specified")),
        };
        let mut removed = Vec::new();
        for (record, members) in self.inner().networks.all() {
            let young = until.is_some_and(|until| record.created > until);
            let labels = crate::containers::filters::labels(filters, &record.spec.labels);
            if record.is_predefined()
                || !members.is_empty()
                || young
                || !labels
                || self.is_named(&record)
            {
                continue;
            }
            if self.network_remove(&record.id).await.is_ok() {
                removed.push(record.spec.name);
            }
        }
        let kind = EventKind::Network;
        self.inner().events.emit(
            kind,
            "prune",
            "",
            BTreeMap::from([("reclaimed".into(), "0".into())]),
        );
        Ok(removed)
    }

    /// A stopped container would want it at its next start.
    fn is_named(&self, record: &NetworkRecord) -> bool {
        let all = self.inner().registry.all();
        all.iter().any(|c| c.snapshot().state.endpoints.values().any(|e| e.network_id == record.id))
    }
}

fn check_new(spec: &NetworkSpec) -> Result<()> {
    if spec.name.trim().is_empty() || !crate::names::is_valid(&spec.name) && spec.name.len() > 1 {
        return Err(Error::invalid(format!("invalid network name: {:?}", spec.name)));
    }
    if matches!(spec.name.as_str(), "bridge" | "host" | "none" | "default") {
        return Err(Error::new(
            ErrorKind::Forbidden,
            format!("operation is not permitted on predefined {} network", spec.name),
        ));
    }
    match spec.driver.as_str() {
        "" | "bridge" => Ok(()),
        "host" | "null" => Err(Error::new(
            ErrorKind::Forbidden,
            format!("only one instance of \"{}\" network is allowed", spec.driver),
        )),
        "overlay" => Err(Error::new(
            ErrorKind::Unavailable,
            "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node to swarm \
             and try again.",
        )),
        "macvlan" | "ipvlan" => Err(Error::new(
            ErrorKind::NotImplemented,
            format!(
                "the {} driver needs rights over the host's network interfaces, which a rootless engine does not have: use the \
                 bridge driver",
                spec.driver
            ),
        )),
        other => Err(Error::not_found(format!("plugin \"{other}\" not found"))),
    }
}

/// Refuses values of driver options that mean nothing.
fn check_options(spec: &NetworkSpec) -> Result<()> {
    let option = |key: &str| spec.options.get(key).filter(|v| !v.is_empty());
    let refused = |key: &str, value: &str, why: &str| {
        Err(Error::invalid(format!("invalid value for {key}: {value:?}: {why}")))
    };
    let key = "com.docker.network.bridge.name";
    if let Some(name) = option(key) {
        let bad = |c: char| c == '/' || c.is_whitespace() || c.is_control();
        if name.len() > 15 || name.contains(bad) || matches!(name.as_str(), "." | ".." | "lo") {
            return refused(
                key,
                name,
                "an interface's name has at most 15 bytes and no slash or space",
            );
        }
    }
    let key = "com.docker.network.driver.mtu";
    if let Some(mtu) = option(key) {
        if !mtu.parse::<u32>().is_ok_and(|mtu| (68..=65_535).contains(&mtu)) {
            return refused(key, mtu, "an MTU is a number from 68 to 65535");
        }
    }
    for key in ["bridge.enable_icc", "bridge.enable_ip_masquerade"] {
        let key = format!("com.docker.network.{key}");
        let known =
            ["true", "false", "1", "0", "t", "f", "T", "F", "TRUE", "FALSE", "True", "False"];
        if let Some(value) = option(&key).filter(|v| !known.contains(&v.as_str())) {
            return refused(&key, value, "it is true or false");
        }
    }
    for v6 in [false, true] {
        if spec.ipam.iter().filter(|c| c.subnet.is_some_and(|s| s.addr().is_ipv6() == v6)).count()
            > 1
        {
            return Err(Error::invalid("bridge driver doesn't support multiple subnets"));
        }
    }
    Ok(())
}

fn take_config(inner: &Inner, spec: &mut NetworkSpec) -> Result<()> {
    let from = inner.networks.find(&spec.config_from)?;
    if !from.spec.config_only {
        return Err(Error::invalid(format!("{} is not a configuration network", spec.config_from)));
    }
    spec.internal |= from.spec.internal;
    spec.ipv6 |= from.spec.ipv6;
    spec.ipam.clone_from(&from.spec.ipam);
    spec.options = from.spec.options.clone().into_iter().chain(spec.options.clone()).collect();
    Ok(())
}

/// Chooses subnets where none was named, and gateways.
fn addresses(inner: &Inner, spec: &mut NetworkSpec) -> Result<()> {
    let mut in_use = inner.networks.subnets();
    let has = |spec: &NetworkSpec, v6: bool| {
        spec.ipam.iter().any(|c| c.subnet.is_some_and(|s| s.addr().is_ipv6() == v6))
    };
    spec.ipam.retain(|c| *c != IpamConfig::default());
    let mut wanted = Vec::new();
    if spec.ipv4 != Some(false) && !has(spec, false) {
        wanted.push(false);
    }
    if spec.ipv6 && !has(spec, true) {
        wanted.push(true);
    }
    if !wanted.is_empty() {
        in_use.extend(routed());
    }
    for v6 in wanted {
        let subnet = ipam::free_subnet(&pools(inner), &in_use, v6)?;
        in_use.push(subnet);
        let without = spec.ipam.iter_mut().find(|c| c.subnet.is_none());
        match without {
            Some(config) => config.subnet = Some(subnet),
            None => spec.ipam.push(IpamConfig { subnet: Some(subnet), ..IpamConfig::default() }),
        }
    }
    spec.ipam.iter_mut().try_for_each(ipam::complete)
}

fn member(member: &Member) -> NetworkMember {
    let place = |place: Option<(std::net::IpAddr, u8)>| {
        place.map(|(ip, len)| format!("{ip}/{len}")).unwrap_or_default()
    };
    NetworkMember {
        name: member.name.clone(),
        endpoint_id: member.endpoint.endpoint_id.clone(),
        mac: member.endpoint.mac.clone(),
        ipv4: place(member.endpoint.ipv4),
        ipv6: place(member.endpoint.ipv6),
    }
}

/// Refuses filters that a call does not know.
pub(crate) fn check_filters(filters: &Filters, known: &[&str]) -> Result<()> {
    match filters.0.keys().find(|k| !known.contains(&k.as_str())) {
        Some(key) => Err(Error::invalid(format!("invalid filter '{key}'"))),
        None => Ok(()),
    }
}

fn matches(filters: &Filters, record: &NetworkRecord, members: &BTreeMap<String, Member>) -> bool {
    let any = |key: &str, test: &dyn Fn(&str) -> bool| {
        !filters.has(key) || filters.get(key).iter().any(|v| test(v))
    };
    let kind = if record.is_predefined() { "builtin" } else { "custom" };
    let dangling = members.is_empty() && !record.is_predefined();
    any("name", &|v| record.spec.name.contains(v))
        && any("id", &|v| record.id.starts_with(v))
        && any("driver", &|v| record.spec.driver == v)
        && any("scope", &|v| v == "local")
        && any("type", &|v| v == kind)
        && any("dangling", &|v| matches!(v, "true" | "1") == dangling)
        && crate::containers::filters::labels(filters, &record.spec.labels)
}

/// A network's event, with the container where there is one.
pub(crate) fn emit(inner: &Inner, action: &str, record: &NetworkRecord, container: Option<&str>) {
    let mut attributes = BTreeMap::from([
        ("name".to_string(), record.spec.name.clone()),
        ("type".to_string(), record.spec.driver.clone()),
    ]);
    if let Some(container) = container {
        attributes.insert("container".into(), container.into());
    }
    inner.events.emit(EventKind::Network, action, record.id.clone(), attributes);
}
