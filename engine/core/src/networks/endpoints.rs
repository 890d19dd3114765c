//! A container's side of networks: which it is on, what it gets at a start, and what its files say of it.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use super::hosts::{self, Resolver};
use super::table::{NetworkRecord, mac_bytes};
use crate::containers::record::{ContainerRecord, StateRecord};
use crate::engine::Inner;
use crate::model::{ContainerSpec, EndpointSettings, EndpointView, NetworkMode, Protocol};
use crate::util::short;
use crate::{Error, ErrorKind, Result};

/// The embedded resolver.
const EMBEDDED: &str = "127.0.0.11";
/// The name by which every bridged container finds the host.
const HOST: &str = "host.docker.internal";

/// The name of the network that the mode means; none: another container's.
pub(crate) fn primary(mode: &NetworkMode) -> Option<&str> {
    match mode {
        NetworkMode::Default => Some("bridge"),
        NetworkMode::Host => Some("host"),
        NetworkMode::None => Some("none"),
        NetworkMode::Container(_) => None,
        NetworkMode::Named(name) => Some(name),
    }
}

/// What a new container is to be on, by network name. Networks must exist.
pub(crate) fn asked(inner: &Inner, spec: &ContainerSpec) -> Result<BTreeMap<String, EndpointView>> {
    let mut out = BTreeMap::new();
    let Some(main) = primary(&spec.network_mode) else { return Ok(out) };
    let mut wanted: Vec<(&str, EndpointSettings)> = Vec::new();
    let own = spec.endpoints.get(main).or_else(|| spec.endpoints.get("default"));
    let mut settings = own.cloned().unwrap_or_default();
    if settings.mac.is_empty() {
        settings.mac.clone_from(&spec.mac_address);
    }
    wanted.push((main, settings));
    for (name, settings) in &spec.endpoints {
        if name != "default" && name != main {
            wanted.push((name, settings.clone()));
        }
    }
    for (name, settings) in wanted {
        let network = named(inner, name)?;
        check(&network.spec.name, &settings)?;
        let view =
            EndpointView { settings, network_id: network.id.clone(), ..EndpointView::default() };
        out.insert(network.spec.name.clone(), view);
    }
    Ok(out)
}

/// The network a new container asks for. A missing one is the request's fault (400): a 404 would make the docker CLI look for
/// a missing image.
pub(crate) fn named(inner: &Inner, name: &str) -> Result<NetworkRecord> {
    inner.networks.find(name).map_err(|e| match e.kind() {
        ErrorKind::NotFound => Error::invalid(e.message()),
        _ => e,
    })
}

/// Refuses settings that a network does not have.
pub(crate) fn check(network: &str, settings: &EndpointSettings) -> Result<()> {
    if !settings.mac.is_empty() && mac_bytes(&settings.mac).is_none() {
        return Err(Error::invalid(format!("invalid MAC address: {}", settings.mac)));
    }
    if !is_predefined(network) {
        return Ok(());
    }
    if settings.ipv4.is_some() || settings.ipv6.is_some() {
        return Err(Error::invalid(
            "user specified IP address is supported on user defined networks only",
        ));
    }
    if !settings.aliases.is_empty() {
        return Err(Error::invalid(
            "network-scoped alias is supported only for containers in user defined networks",
        ));
    }
    Ok(())
}

/// Networks in the order of their interfaces: the one with the default route first.
pub(crate) fn order(record: &ContainerRecord, state: &StateRecord) -> Vec<String> {
    let main = primary(&record.spec.network_mode).unwrap_or_default();
    let mut names: Vec<String> = state.endpoints.keys().cloned().collect();
    names.sort_by_key(|name| {
        let priority = state.endpoints.get(name).map_or(0, |e| e.settings.gw_priority);
        (-priority, name != main, name.clone())
    });
    names
}

/// Names by which a container is known on a user-defined network.
pub(crate) fn dns_names(
    record: &ContainerRecord,
    network: &str,
    settings: &EndpointSettings,
) -> Vec<String> {
    if is_predefined(network) {
        return Vec::new();
    }
    let mut names = vec![record.name.clone()];
    let more = settings.aliases.iter().cloned();
    for name in more.chain([short(&record.id).to_string(), record.spec.hostname.clone()]) {
        if !name.is_empty() && !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// The interface that the monitor makes for an endpoint.
pub(crate) fn interface(
    network: &bryo_net::Network,
    endpoint: &EndpointView,
    default_route: bool,
) -> Result<bryo_net::Endpoint> {
    let v4 = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => Some(ip),
        IpAddr::V6(_) => None,
    };
    let v6 = |ip: IpAddr| match ip {
        IpAddr::V6(ip) => Some(ip),
        IpAddr::V4(_) => None,
    };
    let mac = mac_bytes(&endpoint.mac)
        .ok_or_else(|| Error::invalid(format!("invalid MAC address: {}", endpoint.mac)))?;
    let ipv4: Option<(Ipv4Addr, u8)> = endpoint.ipv4.and_then(|(ip, len)| Some((v4(ip)?, len)));
    let ipv6: Option<(Ipv6Addr, u8)> = endpoint.ipv6.and_then(|(ip, len)| Some((v6(ip)?, len)));
    Ok(bryo_net::Endpoint {
        bridge: network.bridge.clone(),
        interface: endpoint.interface.clone(),
        host_interface: format!("veth{}", endpoint.endpoint_id.get(..7).unwrap_or_default()),
        mac,
        ipv4,
        ipv6,
        gateway4: endpoint.gateway.and_then(v4).filter(|_| default_route),
        gateway6: endpoint.gateway6.and_then(v6).filter(|_| default_route),
        mtu: network.mtu,
        isolated: !network.icc,
    })
}

/// The network is one of those that every engine has; it knows no names.
pub(crate) fn is_predefined(network: &str) -> bool {
    matches!(network, "bridge" | "host" | "none")
}

/// Where containers reach the host: the default bridge's gateway, as with Docker, whatever networks they are on.
fn host_gateway(inner: &Inner) -> Option<IpAddr> {
    let bridge = inner.networks.find("bridge").ok()?;
    bridge.spec.ipam.iter().find_map(|config| config.gateway)
}

/// /etc/hosts of a container with these endpoints.
pub(crate) fn hosts_text(
    inner: &Inner,
    record: &ContainerRecord,
    endpoints: &BTreeMap<String, EndpointView>,
) -> String {
    let spec = &record.spec;
    let gateway = host_gateway(inner).map(|ip| ip.to_string());
    let mut extra = Vec::new();
    for line in &spec.extra_hosts {
        let Some((name, ip)) = line.split_once([':', '=']) else { continue };
        let ip = match (ip, &gateway) {
            ("host-gateway", Some(gateway)) => gateway.clone(),
            ("host-gateway", None) => continue,
            _ => ip.trim_start_matches('[').trim_end_matches(']').to_string(),
        };
        extra.push((ip, name.to_string()));
    }
    let bridged = endpoints.values().any(|e| !e.endpoint_id.is_empty() && e.gateway.is_some());
    let named = extra.iter().any(|(_, name)| name == HOST);
    if let Some(gateway) = gateway.filter(|_| bridged && !named) {
        extra.push((gateway, HOST.to_string()));
    }
    let hostname = if spec.hostname.is_empty() { short(&record.id) } else { &spec.hostname };
    let mut names = vec![hostname.to_string()];
    if !spec.domainname.is_empty() {
        names.insert(0, format!("{hostname}.{}", spec.domainname));
    }
    let mut own: Vec<(IpAddr, Vec<String>)> = Vec::new();
    for endpoint in endpoints.values() {
        for (ip, _) in endpoint.ipv4.iter().chain(endpoint.ipv6.iter()) {
            own.push((*ip, names.clone()));
        }
    }
    own.extend(linked(inner, record).into_iter().map(|l| (l.ip, l.names)));
    hosts::hosts(&extra, &own)
}

/// A link on the default bridge.
struct Link {
    ip: IpAddr,
    names: Vec<String>,
    alias: String,
    id: String,
}

fn linked(inner: &Inner, record: &ContainerRecord) -> Vec<Link> {
    let mut out = Vec::new();
    for link in &record.spec.links {
        let (target, alias) = link.split_once(':').unwrap_or((link, link));
        let Ok(other) = inner.registry.find(target) else { continue };
        let other = other.snapshot();
        let ip = other.state.endpoints.get("bridge").and_then(|e| e.ipv4).map(|(ip, _)| ip);
        if let Some(ip) = ip {
            let mut names = vec![alias.to_string(), short(other.id()).to_string()];
            if other.record.name != alias {
                names.push(other.record.name.clone());
            }
            out.push(Link { ip, names, alias: alias.to_string(), id: other.id().to_string() });
        }
    }
    out
}

/// Links must lead to running containers; the result is Docker's environment for them.
pub(crate) fn link_env(inner: &Inner, record: &ContainerRecord) -> Result<Vec<String>> {
    for link in &record.spec.links {
        let (target, alias) = link.split_once(':').unwrap_or((link, link));
        let other = inner.registry.find(target)?.snapshot();
        if !other.is_running() {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!(
                    "Cannot link to a non running container: /{} AS /{}/{alias}",
                    other.record.name, record.name
                ),
            ));
        }
    }
    let mut env = Vec::new();
    for link in linked(inner, record) {
        let Ok(other) = inner.registry.find(&link.id) else { continue };
        let other = other.snapshot();
        let prefix = link.alias.to_ascii_uppercase().replace('-', "_");
        env.push(format!("{prefix}_NAME=/{}/{}", record.name, link.alias));
        for (index, port) in other.record.spec.exposed_ports.iter().enumerate() {
            let (lower, upper) = match port.protocol {
                Protocol::Tcp => ("tcp", "TCP"),
                Protocol::Udp => ("udp", "UDP"),
            };
            let (ip, number) = (link.ip, port.port);
            if index == 0 {
                env.push(format!("{prefix}_PORT={lower}://{ip}:{number}"));
            }
            let key = format!("{prefix}_PORT_{number}_{upper}");
            env.push(format!("{key}={lower}://{ip}:{number}"));
            env.push(format!("{key}_ADDR={ip}"));
            env.push(format!("{key}_PORT={number}"));
            env.push(format!("{key}_PROTO={lower}"));
        }
        for entry in other
            .record
            .spec
            .env
            .iter()
            .filter(|e| !e.starts_with("HOME=") && !e.starts_with("PATH="))
        {
            env.push(format!("{prefix}_ENV_{entry}"));
        }
    }
    Ok(env)
}

/// /etc/resolv.conf. On networks with names it is the embedded resolver. On the default bridge the gateway answers DNS with
/// the host's resolvers, wherever those listen, unless name servers were named; without a network there is only what the
/// host's file says.
pub(crate) fn resolv_text(
    inner: &Inner,
    spec: &ContainerSpec,
    endpoints: &BTreeMap<String, EndpointView>,
) -> String {
    let settings = &inner.settings;
    let host = std::fs::read_to_string(&settings.host_resolv_conf).unwrap_or_default();
    let host = hosts::parse(&host);
    let pick = |own: &Vec<String>, engine: &Vec<String>, host: Vec<String>| match (
        own.is_empty(),
        engine.is_empty(),
    ) {
        (false, _) => own.clone(),
        (_, false) => engine.clone(),
        _ => host,
    };
    let search = pick(&spec.dns_search, &settings.dns_search, host.search);
    let mut options = pick(&spec.dns_options, &settings.dns_options, host.options);
    let mut joined = endpoints.iter().filter(|(_, e)| !e.endpoint_id.is_empty());
    if joined.any(|(name, _)| !is_predefined(name)) {
        if !options.iter().any(|o| o.starts_with("ndots:")) {
            options.push("ndots:0".to_string());
        }
        return hosts::resolv_conf(&Resolver { servers: vec![EMBEDDED.into()], search, options });
    }
    let servers = match (&spec.network_mode, order_gateway(endpoints)) {
        (NetworkMode::Host, _) | (_, None) => host.servers,
        (_, Some(gateway)) => vec![gateway.to_string()],
    };
    let servers = pick(&spec.dns, &settings.dns, servers);
    hosts::resolv_conf(&Resolver { servers, search, options })
}

/// Writes a running container's hosts and resolv.conf anew after its networks changed from `before`. They are written in
/// place, because they are bound into it; a file that it has changed itself is left alone.
pub(crate) fn rewrite(
    inner: &Inner,
    record: &ContainerRecord,
    before: &BTreeMap<String, EndpointView>,
    after: &BTreeMap<String, EndpointView>,
) {
    let texts = |endpoints| {
        let resolv = resolv_text(inner, &record.spec, endpoints);
        [("hosts", hosts_text(inner, record, endpoints)), ("resolv.conf", resolv)]
    };
    let bundle = inner.paths.bundle(&record.id);
    for ((name, old), (_, new)) in texts(before).into_iter().zip(texts(after)) {
        let path = bundle.join(name);
        if new == old || std::fs::read_to_string(&path).is_ok_and(|now| now != old) {
            continue;
        }
        if let Err(e) = write_in_place(&path, &new) {
            tracing::warn!("write {}: {e}", path.display());
        }
    }
}

/// Writes a file without giving it a new inode.
fn write_in_place(path: &Path, text: &str) -> std::io::Result<()> {
    std::fs::write(path, text)
}

/// The first name that no endpoint has.
pub(crate) fn free_interface(endpoints: &BTreeMap<String, EndpointView>) -> String {
    let taken = |name: &String| endpoints.values().any(|e| e.interface == *name);
    let mut names = (0..=endpoints.len()).map(|n| format!("eth{n}"));
    names.find(|name| !taken(name)).unwrap_or_else(|| "eth0".into())
}

/// The gateway of the default route, as far as files need one: the first there is.
pub(crate) fn order_gateway(endpoints: &BTreeMap<String, EndpointView>) -> Option<IpAddr> {
    let mut all: Vec<&EndpointView> = endpoints.values().filter(|e| e.gateway.is_some()).collect();
    all.sort_by_key(|e| -e.settings.gw_priority);
    all.first().and_then(|e| e.gateway)
}
