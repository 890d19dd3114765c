//! `-p` and `--expose`.

use std::collections::BTreeMap;

use bryo_spec::docker::{PortBinding, PortMap};

use super::super::error::{CliError, Result};

/// Ports to publish (`[address:][host]:container[/protocol]`, with ranges) and to expose, as the API has them.
pub fn ports(publish: &[String], expose: &[String]) -> Result<(PortMap, Vec<String>)> {
    let mut bindings: BTreeMap<String, Option<Vec<PortBinding>>> = BTreeMap::new();
    let mut exposed = Vec::new();
    for text in publish {
        for (port, binding) in published(text)? {
            exposed.push(port.clone());
            bindings.entry(port).or_default().get_or_insert_default().push(binding);
        }
    }
    for text in expose {
        let invalid = || {
            CliError::config(format!(
                "invalid range format for --expose: {text}, error: strconv.ParseUint: parsing \"{text}\": invalid syntax"
            ))
        };
        let (numbers, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let (first, last) = range(numbers).ok_or_else(invalid)?;
        exposed.extend((first..=last).map(|port| format!("{port}/{protocol}")));
    }
    exposed.sort();
    exposed.dedup();
    Ok((bindings, exposed))
}

fn published(text: &str) -> Result<Vec<(String, PortBinding)>> {
    let (address, protocol) = match text.rsplit_once('/') {
        Some((address, protocol)) => (address, protocol.to_ascii_lowercase()),
        None => (text, "tcp".to_owned()),
    };
    if !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
        return Err(CliError::config(format!("invalid proto: {protocol}")));
    }
    let (rest, container) = match address.rsplit_once(':') {
        Some((rest, container)) => (rest, container),
        None => ("", address),
    };
    let (host_ip, host) = match rest.rsplit_once(':') {
        Some((ip, host)) => (ip.trim_start_matches('[').trim_end_matches(']'), host),
        None => ("", rest),
    };
    if !host_ip.is_empty() && host_ip.parse::<std::net::IpAddr>().is_err() {
        return Err(CliError::config(format!("invalid IP address: {host_ip}")));
    }
    if container.is_empty() {
        return Err(CliError::config(format!("no port specified: {text}<empty>")));
    }
    let invalid = |what: &str, text: &str| CliError::config(format!("invalid {what}: {text}"));
    let (first, last) = range(container).ok_or_else(|| invalid("containerPort", container))?;
    let binding = |host_port: String| PortBinding { host_ip: host_ip.to_owned(), host_port };
    let key = |port: u16| format!("{port}/{protocol}");
    if host.is_empty() {
        return Ok((first..=last).map(|port| (key(port), binding(String::new()))).collect());
    }
    let (host_first, host_last) = range(host).ok_or_else(|| invalid("hostPort", host))?;
    if last - first == host_last - host_first {
        let hosts = host_first..=host_last;
        return Ok((first..=last)
            .zip(hosts)
            .map(|(port, host)| (key(port), binding(host.to_string())))
            .collect());
    }
    // One port of the container on any free one of a range.
    if first == last {
        return Ok(vec![(key(first), binding(format!("{host_first}-{host_last}")))]);
    }
    Err(CliError::config(format!(
        "invalid ranges specified for container and host Ports: {container} and {host}"
    )))
}

fn range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binding(text: &str) -> (String, String, String) {
        let (map, _) = ports(&[text.to_owned()], &[]).unwrap();
        let (key, list) = map.into_iter().next().unwrap();
        let first = list.unwrap().remove(0);
        (key, first.host_ip, first.host_port)
    }

    #[test]
    fn all_forms_are_understood() {
        let b = |a: &str, b: &str, c: &str| (a.to_owned(), b.to_owned(), c.to_owned());
        assert_eq!(binding("80"), b("80/tcp", "", ""));
        assert_eq!(binding("8080:80"), b("80/tcp", "", "8080"));
        assert_eq!(binding("127.0.0.1:8080:80/udp"), b("80/udp", "127.0.0.1", "8080"));
        assert_eq!(binding("127.0.0.1::80"), b("80/tcp", "127.0.0.1", ""));
        assert_eq!(binding("[::1]:8080:80"), b("80/tcp", "::1", "8080"));
        assert_eq!(binding("8000-8010:80"), b("80/tcp", "", "8000-8010"));
        let (map, exposed) = ports(&["81-83:91-93".into()], &["7-8/udp".into()]).unwrap();
        assert_eq!(map.len(), 3);
        assert_eq!(exposed.len(), 5);
        for bad in ["x", "1:2:3:4", "80/foo", "1-2:1-3", "70000"] {
            assert!(ports(&[bad.to_owned()], &[]).is_err(), "{bad}");
        }
    }
}
