//! Publishing a container's ports at its start, and Docker's words where that fails.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bryo_net::{Publication, Refusal};

use super::owner::Owner;
use crate::gate::Published;
use crate::model::{NetworkMode, PortBinding, Protocol};
use crate::networks::endpoints;
use crate::spec::validate::host_ports;
use crate::{Error, Result};

/// Attempts to find one free port on both address families.
const PAIRS: usize = 8;

impl Owner {
    /// Opens all ports; the state then says which. On failure those that are open are left to the caller's undoing.
    pub(super) async fn publish_ports(&mut self) -> Result<()> {
        let spec = &self.record.spec;
        let mut wanted = spec.port_bindings.clone();
        if spec.publish_all_ports {
            for port in &spec.exposed_ports {
                if !wanted.iter().any(|b| b.port == *port) {
                    let (host_ip, host_port) = (String::new(), String::new());
                    wanted.push(PortBinding { port: *port, host_ip, host_port });
                }
            }
        }
        if wanted.is_empty()
            || matches!(
                spec.network_mode,
                NetworkMode::Host | NetworkMode::None | NetworkMode::Container(_)
            )
        {
            return Ok(());
        }
        let Some((ip, endpoint)) = self.published_address() else { return Ok(()) };
        for binding in &wanted {
            if let Err(why) = self.publish_one(binding, ip).await {
                return Err(Error::new(
                    why.kind(),
                    format!(
                        "failed to set up container networking: driver failed programming external connectivity on endpoint {} \
                         ({endpoint}): {}",
                        self.record.name,
                        why.message()
                    ),
                ));
            }
        }
        Ok(())
    }

    /// The address that published ports lead to, and its endpoint's id.
    fn published_address(&self) -> Option<(IpAddr, String)> {
        let order = endpoints::order(&self.record, &self.state);
        order.iter().find_map(|name| {
            let endpoint = self.state.endpoints.get(name)?;
            let (ip, _) = endpoint.ipv4.or(endpoint.ipv6)?;
            Some((ip, endpoint.endpoint_id.clone()))
        })
    }

    /// Tells the gate that the container runs, if it has ports.
    pub(super) fn enter_ports(&self) {
        if self.state.ports.is_empty() || self.state.state.pid == 0 {
            return;
        }
        let Some((container_ip, _)) = self.published_address() else { return };
        let open = self.state.ports.iter().filter_map(|binding| {
            Some(Publication {
                container: self.record.id.clone(),
                protocol: binding.port.protocol,
                host_ip: binding.host_ip.parse().ok()?,
                host_port: binding.host_port.parse().ok()?,
                container_ip,
                container_port: binding.port.port,
            })
        });
        self.inner.gate.enter(&self.record.id, self.state.state.pid, open.collect());
    }

    async fn publish_one(&mut self, binding: &PortBinding, ip: IpAddr) -> Result<()> {
        let hosts: Vec<IpAddr> = match binding.host_ip.parse() {
            Ok(one) => vec![one],
            Err(_) => vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()],
        };
        match host_ports(&binding.host_port)? {
            None => self.publish_free(binding, &hosts, ip).await,
            Some((first, last)) if first == last => {
                self.publish_on(binding, &hosts, first, ip).await
            }
            Some((first, last)) => {
                let mut failure = None;
                for port in first..=last {
                    match self.publish_on(binding, &hosts, port, ip).await {
                        Ok(()) => return Ok(()),
                        Err(e) => failure = Some(e),
                    }
                }
                Err(failure.unwrap_or_else(|| Error::internal("the range of ports is empty")))
            }
        }
    }

    /// Any port that is free on all addresses.
    async fn publish_free(
        &mut self,
        binding: &PortBinding,
        hosts: &[IpAddr],
        ip: IpAddr,
    ) -> Result<()> {
        let mut failure = None;
        for _ in 0..PAIRS {
            match self.publish_on(binding, hosts, 0, ip).await {
                Ok(()) => return Ok(()),
                Err(e) => failure = Some(e),
            }
        }
        Err(failure.unwrap_or_else(|| Error::internal("no port is free")))
    }

    /// One port on all addresses. With port 0 the first address chooses; a port that is then taken on the next one stays open on
    /// the first until the end, which costs nothing and saves the gate a request to close single ports.
    async fn publish_on(
        &mut self,
        binding: &PortBinding,
        hosts: &[IpAddr],
        port: u16,
        ip: IpAddr,
    ) -> Result<()> {
        let mut port = port;
        let mut opened = Vec::new();
        for host in hosts {
            let publication = Publication {
                container: self.record.id.clone(),
                protocol: binding.port.protocol,
                host_ip: *host,
                host_port: port,
                container_ip: ip,
                container_port: binding.port.port,
            };
            match self.inner.gate.publish(publication).await? {
                Published::Port(real) => {
                    port = real;
                    opened.push(PortBinding {
                        port: binding.port,
                        host_ip: host.to_string(),
                        host_port: real.to_string(),
                    });
                }
                // No IPv6 on this host, and none was asked for.
                Published::Refused(Refusal::NoSuchAddress) if host.is_ipv6() && hosts.len() > 1 => {
                }
                Published::Refused(why) => {
                    return Err(self.worded(*host, port, binding.port.protocol, &why));
                }
            }
        }
        self.state.ports.extend(opened);
        Ok(())
    }

    fn worded(&self, host: IpAddr, port: u16, protocol: Protocol, why: &Refusal) -> Error {
        let place = match host {
            IpAddr::V4(ip) => format!("{ip}:{port}"),
            IpAddr::V6(ip) => format!("[{ip}]:{port}"),
        };
        let listen = match (protocol, host.is_ipv6()) {
            (Protocol::Tcp, false) => format!("listen tcp4 {place}: bind"),
            (Protocol::Tcp, true) => format!("listen tcp6 {place}: bind"),
            (Protocol::Udp, false) => format!("listen udp4 {place}: bind"),
            (Protocol::Udp, true) => format!("listen udp6 {place}: bind"),
        };
        Error::internal(match why {
            Refusal::InUse { .. } if self.is_published_by_another(port, protocol) => {
                format!("Bind for {place} failed: port is already allocated")
            }
            Refusal::InUse { holder: Some((pid, name)) } => {
                format!("{listen}: address already in use (by {name}, pid {pid})")
            }
            Refusal::InUse { holder: None } => format!("{listen}: address already in use"),
            Refusal::Privileged { start } => format!(
                "cannot expose privileged port {port}, you can add 'net.ipv4.ip_unprivileged_port_start={port}' to \
                 /etc/sysctl.conf (currently {start}) and run 'sudo sysctl --system', or choose a larger port number \
                 (>= {start}): {listen}: permission denied"
            ),
            Refusal::NoSuchAddress => format!("{listen}: cannot assign requested address"),
            Refusal::Other(text) => format!("{listen}: {text}"),
        })
    }

    fn is_published_by_another(&self, port: u16, protocol: Protocol) -> bool {
        let port = port.to_string();
        self.inner.registry.all().iter().filter(|c| *c.id != *self.record.id).any(|c| {
            let snapshot = c.snapshot();
            snapshot.state.ports.iter().any(|p| p.host_port == port && p.port.protocol == protocol)
        })
    }
}
