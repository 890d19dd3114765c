//! Where a repository can be fetched from, in which order.

use std::net::IpAddr;

use crate::reference::{DOCKER_IO, Reference};
use crate::settings::Registries;

/// The host that serves docker.io.
const DOCKER_HUB: &str = "registry-1.docker.io";

/// One base address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// `scheme://host[:port]`, without a slash at the end.
    pub base: String,
    /// Certificates must be good.
    pub verify: bool,
    /// It stands in for docker.io.
    pub mirror: bool,
}

/// All of them.
pub(crate) fn all(reference: &Reference, registries: &Registries) -> Vec<Endpoint> {
    let mut endpoints = Vec::new();
    let host = match reference.domain() {
        DOCKER_IO => {
            for mirror in &registries.mirrors {
                let base = mirror.trim_end_matches('/');
                let base =
                    if base.contains("://") { base.to_owned() } else { format!("https://{base}") };
                let verify = !is_insecure(host_of(&base), &registries.insecure);
                endpoints.push(Endpoint { base, verify, mirror: true });
            }
            DOCKER_HUB
        }
        host => host,
    };
    let insecure = is_insecure(host, &registries.insecure);
    let endpoint =
        |scheme| Endpoint { base: format!("{scheme}://{host}"), verify: !insecure, mirror: false };
    endpoints.push(endpoint("https"));
    if insecure {
        endpoints.push(endpoint("http"));
    }
    endpoints
}

/// `host[:port]` of an address.
fn host_of(base: &str) -> &str {
    let rest = base.split_once("://").map_or(base, |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest)
}

/// Loopback, or on the list by name or by network.
fn is_insecure(host: &str, list: &[String]) -> bool {
    let name = strip_port(host);
    let address: Option<IpAddr> = name.trim_matches(['[', ']']).parse().ok();
    if name == "localhost" || address.is_some_and(|a| a.is_loopback()) {
        return true;
    }
    list.iter().any(|entry| {
        let entry = entry.trim_start_matches("http://").trim_start_matches("https://");
        entry == host || entry == name || address.is_some_and(|a| in_network(a, entry))
    })
}

fn strip_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.ends_with(':') => {
            name
        }
        _ => host,
    }
}

/// Whether `entry` is a network (`10.0.0.0/8`) that has the address.
fn in_network(address: IpAddr, entry: &str) -> bool {
    let Some((network, prefix)) = entry.split_once('/') else { return false };
    let (Ok(network), Ok(prefix)) = (network.parse::<IpAddr>(), prefix.parse::<u32>()) else {
        return false;
    };
    match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(n)) if prefix <= 32 => {
            let mask = u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
            a.to_bits() & mask == n.to_bits() & mask
        }
        (IpAddr::V6(a), IpAddr::V6(n)) if prefix <= 128 => {
            let mask = u128::MAX.checked_shl(128 - prefix).unwrap_or(0);
            a.to_bits() & mask == n.to_bits() & mask
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bases(name: &str, insecure: &[&str], mirrors: &[&str]) -> Vec<String> {
        let own = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect();
        let registries = Registries { insecure: own(insecure), mirrors: own(mirrors) };
        all(&Reference::parse(name).unwrap(), &registries).into_iter().map(|e| e.base).collect()
    }

    #[test]
    fn order_and_schemes() {
        assert_eq!(bases("alpine", &[], &[]), ["https://registry-1.docker.io"]);
        assert_eq!(
            bases("alpine", &[], &["http://m:5000/"]),
            ["http://m:5000", "https://registry-1.docker.io"]
        );
        assert_eq!(bases("ghcr.io/a", &[], &["http://m"]), ["https://ghcr.io"]);
        let both = ["https://127.0.0.1:5000", "http://127.0.0.1:5000"];
        assert_eq!(bases("127.0.0.1:5000/a", &[], &[]), both);
        assert_eq!(bases("[::1]:5000/a", &[], &[]).len(), 2);
        assert_eq!(bases("10.1.2.3:5000/a", &["10.0.0.0/8"], &[]).len(), 2);
        assert_eq!(bases("reg.lan:5000/a", &["reg.lan:5000"], &[]).len(), 2);
        assert_eq!(bases("reg.lan:5001/a", &["reg.lan:5000"], &[]).len(), 1);
        assert_eq!(bases("11.1.2.3/a", &["10.0.0.0/8"], &[]).len(), 1);
    }
}
