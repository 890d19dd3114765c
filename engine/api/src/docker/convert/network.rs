//! Networks.

use std::collections::BTreeMap;

use bryo_core::model::{IpamConfig, NetworkMember, NetworkSpec, NetworkView};
use bryo_spec::docker;

use super::super::error::{ApiError, Result};
use super::super::time;
use super::super::version::Version;

/// The body of `POST /networks/create`.
pub fn spec(body: docker::NetworkCreateRequest) -> Result<NetworkSpec> {
    if body.ingress {
        return Err(ApiError::bad_request(
            "ingress networks need swarm mode, which Bryo does not have",
        ));
    }
    if !matches!(body.scope.as_str(), "" | "local") {
        return Err(ApiError::bad_request(format!(
            "invalid network scope '{}': only 'local' is supported",
            body.scope
        )));
    }
    let ipam = body.ipam.config.unwrap_or_default();
    Ok(NetworkSpec {
        name: body.name,
        driver: body.driver,
        internal: body.internal,
        attachable: body.attachable,
        ipv4: body.enable_ipv4,
        ipv6: body.enable_ipv6.unwrap_or_default(),
        ipam_driver: body.ipam.driver,
        ipam_options: body.ipam.options.unwrap_or_default(),
        ipam: ipam.into_iter().map(subnet).collect::<Result<_>>()?,
        options: body.options,
        labels: body.labels,
        config_only: body.config_only,
        config_from: body.config_from.unwrap_or_default().network,
    })
}

fn subnet(config: docker::IpamConfig) -> Result<IpamConfig> {
    Ok(IpamConfig {
        subnet: parse("subnet", &config.subnet)?,
        ip_range: parse("ip-range", &config.ip_range)?,
        gateway: parse("gateway", &config.gateway)?,
        auxiliary: config
            .auxiliary_addresses
            .into_iter()
            .filter_map(|(name, ip)| match parse("auxiliary address", &ip) {
                Ok(None) => None,
                Ok(Some(ip)) => Some(Ok((name, ip))),
                Err(e) => Some(Err(e)),
            })
            .collect::<Result<_>>()?,
    })
}

fn parse<T: std::str::FromStr>(what: &str, text: &str) -> Result<Option<T>> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| {
        ApiError::bad_request(format!("invalid network config: invalid {what} {text}"))
    })
}

/// A network in a list.
pub fn listed(view: &NetworkView, version: Version) -> docker::NetworkResource {
    let spec = &view.spec;
    docker::NetworkResource {
        name: spec.name.clone(),
        id: view.id.clone(),
        created: time::rfc3339(view.created),
        scope: view.scope.clone(),
        driver: spec.driver.clone(),
        enable_ipv4: version.since(47).then_some(spec.ipv4.unwrap_or(true)),
        enable_ipv6: spec.ipv6,
        ipam: ipam(spec),
        internal: spec.internal,
        attachable: spec.attachable,
        ingress: false,
        config_from: docker::ConfigReference { network: spec.config_from.clone() },
        config_only: spec.config_only,
        containers: None,
        options: spec.options.clone(),
        labels: spec.labels.clone(),
    }
}

/// A network by itself, with its containers.
pub fn inspected(view: &NetworkView, version: Version) -> docker::NetworkResource {
    let containers: BTreeMap<_, _> =
        view.containers.iter().map(|(id, member)| (id.clone(), container(member))).collect();
    docker::NetworkResource { containers: Some(containers), ..listed(view, version) }
}

fn container(member: &NetworkMember) -> docker::NetworkContainer {
    docker::NetworkContainer {
        name: member.name.clone(),
        endpoint_id: member.endpoint_id.clone(),
        mac_address: member.mac.clone(),
        ipv4_address: member.ipv4.clone(),
        ipv6_address: member.ipv6.clone(),
    }
}

fn ipam(spec: &NetworkSpec) -> docker::Ipam {
    let text = |value: Option<String>| value.unwrap_or_default();
    let config = spec.ipam.iter().map(|c| docker::IpamConfig {
        subnet: text(c.subnet.map(|s| s.to_string())),
        ip_range: text(c.ip_range.map(|s| s.to_string())),
        gateway: text(c.gateway.map(|s| s.to_string())),
        auxiliary_addresses: c
            .auxiliary
            .iter()
            .map(|(name, ip)| (name.clone(), ip.to_string()))
            .collect(),
    });
    // The three networks that are always there say null where networks that users made say {}.
    let predefined = matches!(spec.name.as_str(), "bridge" | "host" | "none");
    docker::Ipam {
        driver: if spec.ipam_driver.is_empty() {
            "default".to_owned()
        } else {
            spec.ipam_driver.clone()
        },
        options: (!predefined || !spec.ipam_options.is_empty()).then(|| spec.ipam_options.clone()),
        config: (!spec.ipam.is_empty()).then(|| config.collect()),
    }
}
