//! Who is called what, on which network. Small maps, changed by orders and read for each question.
//!
//! A container finds the names of the networks it is on and no others: a look-up begins with the asker.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::messages::{Names, Place};

/// The members of one network.
#[derive(Debug, Default)]
struct Network {
    /// Containers by name, lower case.
    names: HashMap<String, Vec<String>>,
    /// Containers by address.
    addresses: HashMap<IpAddr, String>,
}

/// All that the resolver was told.
#[derive(Debug, Default)]
pub struct Table {
    containers: HashMap<String, Names>,
    networks: HashMap<String, Network>,
}

impl Table {
    /// Replaces what is known of a container.
    pub fn set(&mut self, mut names: Names) {
        self.remove(&names.container);
        for place in &mut names.places {
            let all = place.names.iter_mut().chain(place.links.iter_mut().map(|(own, _)| own));
            all.for_each(|name| name.make_ascii_lowercase());
            let network = self.networks.entry(place.network.clone()).or_default();
            for name in &place.names {
                network.names.entry(name.clone()).or_default().push(names.container.clone());
            }
            let addresses = place.addresses.iter();
            network.addresses.extend(addresses.map(|ip| (*ip, names.container.clone())));
        }
        self.containers.insert(names.container.clone(), names);
    }

    /// Forgets a container.
    pub fn remove(&mut self, container: &str) {
        let Some(names) = self.containers.remove(container) else { return };
        for place in names.places {
            let Some(network) = self.networks.get_mut(&place.network) else { continue };
            for name in &place.names {
                if let Some(all) = network.names.get_mut(name) {
                    all.retain(|c| c != container);
                    if all.is_empty() {
                        network.names.remove(name);
                    }
                }
            }
            network.addresses.retain(|_, c| c != container);
            if network.names.is_empty() && network.addresses.is_empty() {
                self.networks.remove(&place.network);
            }
        }
    }

    /// What was told of a container.
    pub fn get(&self, container: &str) -> Option<&Names> {
        self.containers.get(container)
    }

    /// The addresses of a name, in lower case and without the last dot, as `asker` sees it; none: not a name of its
    /// networks. The first network that has the name answers.
    pub fn addresses(&self, asker: &str, name: &str) -> Option<Vec<IpAddr>> {
        let places = &self.containers.get(asker)?.places;
        let found = places.iter().find_map(|place| self.on_network(place, name));
        found.or_else(|| {
            places.iter().find_map(|place| {
                let before = name.strip_suffix(&place.network.to_ascii_lowercase())?;
                self.on_network(place, before.strip_suffix('.')?)
            })
        })
    }

    fn on_network(&self, place: &Place, name: &str) -> Option<Vec<IpAddr>> {
        let network = self.networks.get(&place.network)?;
        let link = place.links.iter().find(|(own, _)| own == name).map(|(_, target)| target);
        let containers = match link {
            Some(target) => self.target(network, target)?,
            None => network.names.get(name)?.iter().map(String::as_str).collect(),
        };
        let all = containers.iter().filter_map(|c| self.containers.get(*c));
        let here = all.flat_map(|c| c.places.iter().filter(|p| p.network == place.network));
        Some(here.flat_map(|p| p.addresses.iter().copied()).collect())
    }

    /// Whom a link means.
    fn target<'a>(&self, network: &'a Network, target: &str) -> Option<Vec<&'a str>> {
        if let Some(named) = network.names.get(&target.to_ascii_lowercase()) {
            return Some(named.iter().map(String::as_str).collect());
        }
        let id = network.addresses.values().find(|id| target.len() >= 4 && id.starts_with(target));
        id.map(|id| vec![id.as_str()])
    }

    /// The name of an address, as `asker` sees it: `db.backend`.
    pub fn name_of(&self, asker: &str, address: IpAddr) -> Option<String> {
        let places = &self.containers.get(asker)?.places;
        places.iter().find_map(|place| {
            let container = self.networks.get(&place.network)?.addresses.get(&address)?;
            let mut theirs = self.containers.get(container)?.places.iter();
            let name = theirs.find(|p| p.network == place.network)?.names.first()?;
            Some(format!("{name}.{}", place.network))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    fn names(container: &str, network: &str, last: u8, names: &[&str]) -> Names {
        Names {
            container: container.into(),
            places: vec![Place {
                network: network.into(),
                addresses: vec![ip(last)],
                names: names.iter().map(|n| (*n).to_string()).collect(),
                links: Vec::new(),
            }],
            servers: Vec::new(),
            outward: true,
            served: true,
        }
    }

    #[test]
    fn names_are_found_on_the_asker_s_networks_only() {
        let mut table = Table::default();
        table.set(names("aaaa1", "Back", 1, &["web", "www"]));
        table.set(names("bbbb2", "Back", 2, &["Db", "www"]));
        table.set(names("cccc3", "other", 3, &["db"]));
        assert_eq!(table.addresses("aaaa1", "db"), Some(vec![ip(2)]));
        assert_eq!(table.addresses("aaaa1", "db.back"), Some(vec![ip(2)]));
        assert_eq!(table.addresses("aaaa1", "db.other"), None);
        assert_eq!(table.addresses("cccc3", "web"), None);
        assert_eq!(table.addresses("aaaa1", "www").map(|all| all.len()), Some(2));
        assert_eq!(table.name_of("aaaa1", ip(2)).as_deref(), Some("db.Back"));
        assert_eq!(table.name_of("aaaa1", ip(3)), None);
    }

    #[test]
    fn what_is_replaced_or_removed_is_gone() {
        let mut table = Table::default();
        table.set(names("aaaa1", "net", 1, &["old"]));
        table.set(names("aaaa1", "net", 1, &["new"]));
        assert_eq!(table.addresses("aaaa1", "old"), None);
        assert_eq!(table.addresses("aaaa1", "new"), Some(vec![ip(1)]));
        table.remove("aaaa1");
        assert!(table.networks.is_empty() && table.containers.is_empty());
    }

    #[test]
    fn links_are_the_asker_s_own() {
        let mut table = Table::default();
        let mut web = names("aaaa1", "net", 1, &["web"]);
        web.places[0].links = vec![("Store".into(), "db".into()), ("x".into(), "bbbb".into())];
        table.set(web);
        table.set(names("bbbb2", "net", 2, &["db"]));
        assert_eq!(table.addresses("aaaa1", "store"), Some(vec![ip(2)]));
        assert_eq!(table.addresses("aaaa1", "x"), Some(vec![ip(2)]));
        assert_eq!(table.addresses("bbbb2", "store"), None);
    }
}
