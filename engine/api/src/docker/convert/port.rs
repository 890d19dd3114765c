//! Ports: `80/tcp` in Docker's maps, numbers in the engine.

use std::collections::BTreeMap;

use bryo_core::model::{ContainerView, Port, PortBinding, Protocol, Status};
use bryo_spec::docker;

use super::super::error::{ApiError, Result};

/// Parses `80`, `80/tcp` or a range `80-82/udp`.
pub fn parse(text: &str) -> Result<Vec<Port>> {
    let invalid = || ApiError::bad_request(format!("invalid port specification: \"{text}\""));
    let (range, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = match protocol.to_ascii_lowercase().as_str() {
        "tcp" | "" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        "sctp" => {
            return Err(ApiError::bad_request(format!(
                "invalid port specification: \"{text}\": SCTP is not supported, use tcp or udp"
            )));
        }
        other => {
            return Err(ApiError::bad_request(format!(
                "invalid port specification: \"{text}\": invalid protocol: {other}"
            )));
        }
    };
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let first: u16 = first.parse().map_err(|_| invalid())?;
    let last: u16 = last.parse().map_err(|_| invalid())?;
    if first == 0 || last < first {
        return Err(invalid());
    }
    Ok((first..=last).map(|port| Port { port, protocol }).collect())
}

/// `80/tcp`.
pub fn text(port: Port) -> String {
    format!("{}/{}", port.port, protocol(port.protocol))
}

/// `tcp` or `udp`.
pub fn protocol(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    }
}

/// What a create body publishes. `null` and `[]` publish to any port of the host.
pub fn bindings(map: docker::PortMap) -> Result<Vec<PortBinding>> {
    let mut list = Vec::new();
    for (key, bindings) in map {
        let ports = parse(&key)?;
        let bindings = bindings.filter(|b| !b.is_empty());
        let bindings = bindings.unwrap_or_else(|| vec![docker::PortBinding::default()]);
        for port in ports {
            list.extend(bindings.iter().map(|b| PortBinding {
                port,
                host_ip: b.host_ip.clone(),
                host_port: b.host_port.clone(),
            }));
        }
    }
    Ok(list)
}

/// Bindings as asked for, for `HostConfig`.
pub fn asked(list: &[PortBinding]) -> docker::PortMap {
    let mut map = docker::PortMap::new();
    for binding in list {
        map.entry(text(binding.port)).or_default().get_or_insert_default().push(wire(binding));
    }
    map
}

/// The ports of a container that runs; one that does not has none.
pub fn in_effect(view: &ContainerView) -> &[PortBinding] {
    match view.state.status {
        Status::Running | Status::Paused => &view.ports,
        _ => &[],
    }
}

/// Ports as they are, for `NetworkSettings`: exposed ones without a binding are `null`.
pub fn actual(list: &[PortBinding]) -> BTreeMap<String, Option<Vec<docker::PortBinding>>> {
    let mut map = docker::PortMap::new();
    for binding in list {
        let entry = map.entry(text(binding.port)).or_default();
        if !binding.host_port.is_empty() {
            entry.get_or_insert_default().push(wire(binding));
        }
    }
    map
}

/// Ports in a list.
pub fn summary(list: &[PortBinding]) -> Vec<docker::PortSummary> {
    let published: Vec<Port> =
        list.iter().filter(|b| !b.host_port.is_empty()).map(|b| b.port).collect();
    list.iter()
        .filter(|b| !b.host_port.is_empty() || !published.contains(&b.port))
        .map(|b| docker::PortSummary {
            ip: if b.host_port.is_empty() { String::new() } else { b.host_ip.clone() },
            private_port: b.port.port,
            public_port: b.host_port.parse().unwrap_or_default(),
            r#type: protocol(b.port.protocol).to_owned(),
        })
        .collect()
}

fn wire(binding: &PortBinding) -> docker::PortBinding {
    docker::PortBinding { host_ip: binding.host_ip.clone(), host_port: binding.host_port.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_parsed() {
        let one = |port, protocol| vec![Port { port, protocol }];
        assert_eq!(parse("80").unwrap(), one(80, Protocol::Tcp));
        assert_eq!(parse("53/udp").unwrap(), one(53, Protocol::Udp));
        assert_eq!(parse("80-82/TCP").unwrap().len(), 3);
        for bad in ["", "x", "0", "80/foo", "82-80", "70000", "80/sctp"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn exposed_and_published_ports_look_different() {
        let port = Port { port: 80, protocol: Protocol::Tcp };
        let exposed = PortBinding { port, host_ip: String::new(), host_port: String::new() };
        let published = PortBinding { port, host_ip: "0.0.0.0".into(), host_port: "8080".into() };
        assert_eq!(actual(std::slice::from_ref(&exposed)).get("80/tcp"), Some(&None));
        assert_eq!(summary(std::slice::from_ref(&exposed))[0].public_port, 0);
        let both = [exposed, published];
        assert_eq!(summary(&both).len(), 1);
        assert_eq!(actual(&both)["80/tcp"].as_ref().map(Vec::len), Some(1));
    }
}
