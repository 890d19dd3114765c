//! A container's end on a network.

use std::net::IpAddr;

use bryo_core::model::{EndpointSettings, EndpointView};
use bryo_spec::docker;

use super::super::error::{ApiError, Result};
use super::super::version::Version;

/// What create and connect ask for.
pub fn settings(e: docker::EndpointSettings) -> Result<EndpointSettings> {
    let ipam = e.ipam_config.unwrap_or_default();
    Ok(EndpointSettings {
        ipv4: address(&ipam.ipv4_address)?,
        ipv6: address(&ipam.ipv6_address)?,
        link_local: ipam
            .link_local_ips
            .iter()
            .filter_map(|ip| address(ip).transpose())
            .collect::<Result<_>>()?,
        aliases: e.aliases.unwrap_or_default(),
        links: e.links.unwrap_or_default(),
        driver_options: e.driver_opts.unwrap_or_default(),
        gw_priority: e.gw_priority.unwrap_or_default(),
        mac: e.mac_address,
    })
}

fn address(text: &str) -> Result<Option<IpAddr>> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse()
        .map(Some)
        .map_err(|_| ApiError::bad_request(format!("invalid IP address in endpoint: '{text}'")))
}

/// How it is shown.
pub fn wire(e: &EndpointView, version: Version) -> docker::EndpointSettings {
    let some = |list: &[String]| (!list.is_empty()).then(|| list.to_vec());
    let ip = |ip: Option<IpAddr>| ip.map_or_else(String::new, |ip| ip.to_string());
    docker::EndpointSettings {
        ipam_config: ipam(&e.settings),
        links: some(&e.settings.links),
        aliases: some(&e.settings.aliases),
        driver_opts: (!e.settings.driver_options.is_empty())
            .then(|| e.settings.driver_options.clone()),
        gw_priority: version.since(48).then_some(e.settings.gw_priority),
        network_id: e.network_id.clone(),
        endpoint_id: e.endpoint_id.clone(),
        gateway: ip(e.gateway),
        ip_address: ip(e.ipv4.map(|(ip, _)| ip)),
        mac_address: e.mac.clone(),
        ip_prefix_len: e.ipv4.map_or(0, |(_, len)| len),
        ipv6_gateway: ip(e.gateway6),
        global_ipv6_address: ip(e.ipv6.map(|(ip, _)| ip)),
        global_ipv6_prefix_len: e.ipv6.map_or(0, |(_, len)| len),
        dns_names: some(&e.dns_names),
    }
}

fn ipam(e: &EndpointSettings) -> Option<docker::EndpointIpamConfig> {
    let config = docker::EndpointIpamConfig {
        ipv4_address: e.ipv4.map_or_else(String::new, |ip| ip.to_string()),
        ipv6_address: e.ipv6.map_or_else(String::new, |ip| ip.to_string()),
        link_local_ips: e.link_local.iter().map(IpAddr::to_string).collect(),
    };
    (config != docker::EndpointIpamConfig::default()).then_some(config)
}
