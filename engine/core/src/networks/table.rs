//! Which networks there are and who is on them.
//!
//! One lock over small tables; nothing here waits. Networks are records in the store; members are learnt from the containers
//! (at a start, or when an engine finds a running container again).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Mutex;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::ipam;
use crate::model::{
    EndpointSettings, EndpointView, IpamConfig, NetworkMember, NetworkSpec, NetworkView,
};
use crate::util::{lock, random_id, short};
use crate::{Error, Result};

/// The store's kind of [`NetworkRecord`].
pub(crate) const NETWORK: &str = "network";

/// A network as it is kept.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct NetworkRecord {
    pub id: String,
    pub created: i128,
    pub spec: NetworkSpec,
}

impl NetworkRecord {
    /// Its bridge's interface name; none: it has no bridge.
    pub(crate) fn bridge(&self) -> Option<String> {
        if self.spec.driver != "bridge" || self.spec.config_only {
            return None;
        }
        let named =
            self.spec.options.get("com.docker.network.bridge.name").filter(|n| !n.is_empty());
        Some(named.cloned().unwrap_or_else(|| format!("br-{}", short(&self.id))))
    }

    pub(crate) fn view(&self, containers: BTreeMap<String, NetworkMember>) -> NetworkView {
        NetworkView {
            id: self.id.clone(),
            created: self.created,
            spec: self.spec.clone(),
            scope: "local".into(),
            containers,
        }
    }

    /// A predefined network: `bridge`, `host` or `none`.
    pub(crate) fn is_predefined(&self) -> bool {
        matches!(self.spec.name.as_str(), "bridge" | "host" | "none")
    }

    fn subnet(&self, v6: bool) -> Option<&IpamConfig> {
        self.spec.ipam.iter().find(|c| c.subnet.is_some_and(|s| s.addr().is_ipv6() == v6))
    }

    /// What the gate makes of it.
    pub(crate) fn gate_network(&self, default_mtu: u32) -> Option<bryo_net::Network> {
        let bridge = self.bridge()?;
        let place = |v6: bool| {
            let config = self.subnet(v6)?;
            Some((config.gateway?, config.subnet?.prefix_len()))
        };
        let ipv4 = place(false).and_then(|(ip, len)| match ip {
            IpAddr::V4(ip) => Some((ip, len)),
            IpAddr::V6(_) => None,
        });
        let ipv6 = place(true).and_then(|(ip, len)| match ip {
            IpAddr::V6(ip) => Some((ip, len)),
            IpAddr::V4(_) => None,
        });
        let option = |key: &str| self.spec.options.get(key);
        let mtu = option("com.docker.network.driver.mtu").and_then(|m| m.parse().ok());
        let icc = option("com.docker.network.bridge.enable_icc")
            .is_none_or(|v| !matches!(v.as_str(), "false" | "0" | "f" | "F" | "FALSE" | "False"));
        let mtu = mtu.unwrap_or(default_mtu);
        // Bryo's own: containers reach what the host serves on its loopback, at the gateway's address.
        let host_loopback = option("bryo.host-loopback").is_some_and(|v| v == "true");
        let internal = self.spec.internal;
        Some(bryo_net::Network { bridge, ipv4, ipv6, internal, icc, mtu, host_loopback })
    }
}

#[derive(Default)]
struct Entry {
    record: NetworkRecord,
    /// By container id.
    members: BTreeMap<String, Member>,
}

/// A container on a network.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub name: String,
    pub endpoint: EndpointView,
}

/// The tables.
#[derive(Default)]
pub(crate) struct Table {
    networks: Mutex<BTreeMap<String, Entry>>,
}

impl Table {
    /// Adds a network; its name and subnets must be free.
    pub(crate) fn add(&self, record: NetworkRecord) -> Result<()> {
        let mut networks = lock(&self.networks);
        if networks.values().any(|n| n.record.spec.name == record.spec.name) {
            return Err(Error::conflict(format!(
                "network with name {} already exists",
                record.spec.name
            )));
        }
        if let Some(bridge) = record.bridge() {
            if let Some(other) =
                networks.values().find(|n| n.record.bridge().as_ref() == Some(&bridge))
            {
                return Err(Error::new(
                    crate::ErrorKind::Forbidden,
                    format!(
                        "cannot create network {} ({bridge}): conflicts with network {} ({bridge}): networks have same bridge name",
                        record.id, other.record.id
                    ),
                ));
            }
        }
        for config in record.spec.ipam.iter().filter_map(|c| c.subnet) {
            let other = networks.values().find(|n| {
                n.record
                    .spec
                    .ipam
                    .iter()
                    .filter_map(|c| c.subnet)
                    .any(|s| ipam::overlap(&s, &config))
            });
            if let Some(other) = other {
                return Err(Error::new(
                    crate::ErrorKind::Forbidden,
                    format!(
                        "invalid pool request: Pool overlaps with other one on this address space: {config} is (partly) that of \
                     the network {}",
                        other.record.spec.name
                    ),
                ));
            }
        }
        networks.insert(record.id.clone(), Entry { record, members: BTreeMap::new() });
        Ok(())
    }

    /// All subnets in use.
    pub(crate) fn subnets(&self) -> Vec<IpNet> {
        let networks = lock(&self.networks);
        networks.values().flat_map(|n| n.record.spec.ipam.iter().filter_map(|c| c.subnet)).collect()
    }

    /// By name, full id or the unique beginning of an id.
    pub(crate) fn find(&self, r: &str) -> Result<NetworkRecord> {
        let networks = lock(&self.networks);
        if let Some(entry) = networks.get(r) {
            return Ok(entry.record.clone());
        }
        if let Some(entry) = networks.values().find(|n| n.record.spec.name == r) {
            return Ok(entry.record.clone());
        }
        let mut matching =
            networks.values().filter(|n| !r.is_empty() && n.record.id.starts_with(r));
        match (matching.next(), matching.next()) {
            (Some(entry), None) => Ok(entry.record.clone()),
            (Some(_), Some(_)) => Err(Error::invalid(format!(
                "network {r} is ambiguous ({} matches found based on ID prefix)",
                2 + matching.count()
            ))),
            _ => Err(Error::not_found(format!("network {r} not found"))),
        }
    }

    pub(crate) fn all(&self) -> Vec<(NetworkRecord, BTreeMap<String, Member>)> {
        lock(&self.networks).values().map(|n| (n.record.clone(), n.members.clone())).collect()
    }

    pub(crate) fn members(&self, id: &str) -> BTreeMap<String, Member> {
        lock(&self.networks).get(id).map(|n| n.members.clone()).unwrap_or_default()
    }

    /// Takes a network out that nobody is on.
    pub(crate) fn remove(&self, id: &str) -> Result<()> {
        let mut networks = lock(&self.networks);
        let Some(entry) = networks.get(id) else { return Ok(()) };
        if !entry.members.is_empty() {
            let who: Vec<String> = entry
                .members
                .values()
                .map(|m| format!("name:\"{}\" id:\"{}\"", m.name, short(&m.endpoint.endpoint_id)))
                .collect();
            return Err(Error::new(
                crate::ErrorKind::Forbidden,
                format!(
                    "error while removing network: network {} has active endpoints ({})",
                    entry.record.spec.name,
                    who.join(", ")
                ),
            ));
        }
        networks.remove(id);
        Ok(())
    }

    /// Gives a container addresses on a network.
    pub(crate) fn join(
        &self,
        network: &str,
        container: &str,
        name: &str,
        settings: &EndpointSettings,
        dns_names: Vec<String>,
    ) -> Result<EndpointView> {
        let mut networks = lock(&self.networks);
        let Some(entry) = networks.get_mut(network) else {
            return Err(Error::not_found(format!("network {network} not found")));
        };
        let v4 = entry.record.subnet(false).cloned();
        let v6 = entry.record.subnet(true).cloned();
        let used: BTreeSet<IpAddr> = entry
            .members
            .values()
            .flat_map(|m| m.endpoint.ipv4.iter().chain(m.endpoint.ipv6.iter()).map(|(ip, _)| *ip))
            .collect();
        let place = |config: Option<&IpamConfig>, wanted| -> Result<Option<(IpAddr, u8)>> {
            let Some(config) = config else { return Ok(None) };
            let ip = ipam::allocate(config, &used, wanted)?;
            Ok(Some((ip, config.subnet.map_or(0, |s| s.prefix_len()))))
        };
        let ipv4 = place(v4.as_ref(), settings.ipv4)?;
        let ipv6 = place(v6.as_ref(), settings.ipv6)?;
        let internal = entry.record.spec.internal;
        let gateway = |config: &Option<IpamConfig>| {
            config.as_ref().and_then(|c| c.gateway).filter(|_| !internal)
        };
        let endpoint = EndpointView {
            settings: settings.clone(),
            network_id: network.to_string(),
            endpoint_id: random_id(),
            gateway: gateway(&v4),
            ipv4,
            gateway6: gateway(&v6),
            ipv6,
            mac: if settings.mac.is_empty() {
                mac(ipv4.map(|(ip, _)| ip))
            } else {
                settings.mac.clone()
            },
            dns_names,
            interface: String::new(),
        };
        let member = Member { name: name.to_string(), endpoint: endpoint.clone() };
        entry.members.insert(container.to_string(), member);
        Ok(endpoint)
    }

    /// Puts back what a running container has, after an engine found it again.
    pub(crate) fn adopt(&self, container: &str, name: &str, endpoint: &EndpointView) {
        if let Some(entry) = lock(&self.networks).get_mut(&endpoint.network_id) {
            let member = Member { name: name.to_string(), endpoint: endpoint.clone() };
            entry.members.insert(container.to_string(), member);
        }
    }

    /// Takes a container off a network.
    pub(crate) fn leave(&self, network: &str, container: &str) {
        if let Some(entry) = lock(&self.networks).get_mut(network) {
            entry.members.remove(container);
        }
    }

    /// A member has a new name.
    pub(crate) fn rename(&self, container: &str, name: &str) {
        for entry in lock(&self.networks).values_mut() {
            if let Some(member) = entry.members.get_mut(container) {
                member.name = name.to_string();
            }
        }
    }
}

/// 02:42 and the IPv4 address, which is unique on its bridge; random where there is none.
fn mac(ip: Option<IpAddr>) -> String {
    let tail: [u8; 4] = match ip {
        Some(IpAddr::V4(ip)) => ip.octets(),
        _ => rand::random(),
    };
    let [a, b, c, d] = tail;
    format!("02:42:{a:02x}:{b:02x}:{c:02x}:{d:02x}")
}

/// The six bytes of a hardware address; none if the text is not one.
pub(crate) fn mac_bytes(text: &str) -> Option<[u8; 6]> {
    let mut out = [0u8; 6];
    let mut parts = text.split([':', '-']);
    for byte in &mut out {
        *byte = u8::from_str_radix(parts.next()?, 16).ok()?;
    }
    if parts.next().is_some() { None } else { Some(out) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let table = Table::default();
        let mut config =
            IpamConfig { subnet: "172.18.0.0/16".parse().ok(), ..IpamConfig::default() };
        ipam::complete(&mut config).unwrap();
        let spec = NetworkSpec {
            name: "n".into(),
            driver: "bridge".into(),
            ipam: vec![config],
            ..NetworkSpec::default()
        };
        table.add(NetworkRecord { id: "ab12".into(), created: 0, spec }).unwrap();
        table
    }

    #[test]
    fn members_get_addresses_and_hold_the_network() {
        let table = table();
        let e = table.join("ab12", "c1", "web", &EndpointSettings::default(), Vec::new()).unwrap();
        assert_eq!(e.ipv4, Some(("172.18.0.2".parse().unwrap(), 16)));
        assert_eq!(e.mac, "02:42:ac:12:00:02");
        assert!(
            table
                .remove("ab12")
                .unwrap_err()
                .message()
                .contains("has active endpoints (name:\"web\"")
        );
        table.leave("ab12", "c1");
        table.remove("ab12").unwrap();
        assert_eq!(table.find("n").unwrap_err().message(), "network n not found");
    }

    #[test]
    fn names_and_subnets_are_taken_once() {
        let table = table();
        let same = table.find("ab").unwrap();
        assert!(table.add(NetworkRecord { id: "cd".into(), ..same.clone() }).is_err());
        let mut other = same;
        other.spec.name = "m".into();
        assert!(table.add(other.clone()).unwrap_err().message().ends_with("same bridge name"));
        other.id = "ef34".into();
        assert!(table.add(other).unwrap_err().message().contains("overlaps"));
    }

    #[test]
    fn hardware_addresses() {
        assert_eq!(mac_bytes("02:42:ac:12:00:02"), Some([2, 0x42, 0xac, 0x12, 0, 2]));
        assert_eq!(mac_bytes("02:42"), None);
    }
}
