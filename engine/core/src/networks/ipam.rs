//! Addresses: which subnet a network gets, and which address a container.
//!
//! What is in use is learnt from the containers' records, so there is nothing to keep here but sets in memory.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::model::IpamConfig;
use crate::{Error, ErrorKind, Result};

/// Docker's default pools: 172.17.0.0/16 to 172.31.0.0/16, then 192.168.0.0/16 in parts of /20.
pub(crate) fn default_pools() -> Vec<(IpNet, u8)> {
    let mut pools: Vec<(IpNet, u8)> = Vec::new();
    for second in 17..=31 {
        if let Ok(net) = Ipv4Net::new(Ipv4Addr::new(172, second, 0, 0), 16) {
            pools.push((net.into(), 16));
        }
    }
    if let Ok(net) = Ipv4Net::new(Ipv4Addr::new(192, 168, 0, 0), 16) {
        pools.push((net.into(), 20));
    }
    pools
}

/// A subnet of the pools that overlaps none in use.
pub(crate) fn free_subnet(pools: &[(IpNet, u8)], in_use: &[IpNet], v6: bool) -> Result<IpNet> {
    let fits = |net: &IpNet| in_use.iter().all(|other| !overlap(net, other));
    let of_family = pools.iter().filter(|(pool, _)| pool.addr().is_ipv6() == v6);
    let mut subnets = of_family.filter_map(|(pool, size)| pool.subnets(*size).ok()).flatten();
    if let Some(subnet) = subnets.find(|subnet| fits(subnet)) {
        return Ok(subnet);
    }
    // No pool needs to be named for IPv6: there are unique local subnets for everybody.
    let unnamed = v6 && !pools.iter().any(|(pool, _)| pool.addr().is_ipv6());
    local_v6().filter(|subnet| unnamed && fits(subnet)).ok_or_else(exhausted)
}

/// A unique local subnet: fdxx:xxxx:xxxx::/64 with 40 random bits, as RFC 4193 wants.
fn local_v6() -> Option<IpNet> {
    let random: [u8; 5] = rand::random();
    let mut bytes = [0u8; 16];
    bytes[0] = 0xfd;
    bytes[1..6].copy_from_slice(&random);
    Ipv6Net::new(Ipv6Addr::from(bytes), 64).ok().map(IpNet::V6)
}

fn exhausted() -> Error {
    Error::new(
        ErrorKind::Internal,
        "all predefined address pools have been fully subnetted: remove networks that are not used (`docker network prune`), \
         name a --subnet, or set default-address-pools",
    )
}

/// Whether two subnets share an address.
pub(crate) fn overlap(a: &IpNet, b: &IpNet) -> bool {
    a.contains(b) || b.contains(a)
}

/// Fills in the gateway of a subnet, the first address that is not taken, and checks that all lies inside.
pub(crate) fn complete(config: &mut IpamConfig) -> Result<()> {
    let Some(subnet) = config.subnet else { return Ok(()) };
    let subnet = subnet.trunc();
    if config.subnet != Some(subnet) {
        return Err(Error::invalid(format!(
            "invalid subnet {}: it should be {subnet}",
            config.subnet.map(|s| s.to_string()).unwrap_or_default()
        )));
    }
    if let Some(range) = config.ip_range {
        if !subnet.contains(&range) {
            return Err(Error::invalid(format!(
                "invalid ip-range {range}: parent subnet {subnet} does not contain it"
            )));
        }
    }
    let outside = |ip: &IpAddr| !subnet.contains(ip);
    if let Some((name, ip)) = config.auxiliary.iter().find(|(_, ip)| outside(ip)) {
        return Err(Error::invalid(format!(
            "invalid auxiliary address {name}: {ip} is not in the parent subnet {subnet}"
        )));
    }
    match config.gateway {
        Some(gateway) if outside(&gateway) => Err(Error::invalid(format!(
            "invalid gateway {gateway}: parent subnet {subnet} does not contain it"
        ))),
        Some(_) => Ok(()),
        None => {
            let taken: BTreeSet<IpAddr> = config.auxiliary.values().copied().collect();
            let first = hosts(&subnet, None).find(|ip| !taken.contains(ip));
            config.gateway = Some(first.ok_or_else(|| {
                Error::invalid(format!("the subnet {subnet} has no address left"))
            })?);
            Ok(())
        }
    }
}

/// The usable addresses of a subnet in order, those of the range only if there is one.
fn hosts(subnet: &IpNet, range: Option<&IpNet>) -> Box<dyn Iterator<Item = IpAddr>> {
    let (subnet, from) = (*subnet, *range.unwrap_or(subnet));
    let usable = move |ip: &IpAddr| {
        *ip != subnet.network()
            && (subnet.addr().is_ipv6() || subnet.prefix_len() >= 31 || *ip != subnet.broadcast())
    };
    match from {
        IpNet::V4(net) => {
            let (first, last) = (u32::from(net.network()), u32::from(net.broadcast()));
            Box::new((first..=last).map(|n| IpAddr::V4(n.into())).filter(usable))
        }
        IpNet::V6(net) => {
            let (first, last) = (u128::from(net.network()), u128::from(net.broadcast()));
            Box::new((first..=last).map(|n| IpAddr::V6(n.into())).filter(usable))
        }
    }
}

/// The lowest free address, or the wanted one if it is free.
pub(crate) fn allocate(
    config: &IpamConfig,
    in_use: &BTreeSet<IpAddr>,
    wanted: Option<IpAddr>,
) -> Result<IpAddr> {
    let Some(subnet) = config.subnet else {
        return Err(Error::internal("the network has no subnet"));
    };
    let reserved = |ip: &IpAddr| {
        in_use.contains(ip)
            || config.gateway == Some(*ip)
            || config.auxiliary.values().any(|a| a == ip)
    };
    if let Some(ip) = wanted {
        if !subnet.contains(&ip) {
            return Err(Error::invalid(format!(
                "invalid endpoint settings:\nno configured subnet contains IP address {ip}"
            )));
        }
        if reserved(&ip) {
            return Err(Error::new(ErrorKind::Forbidden, "Address already in use"));
        }
        return Ok(ip);
    }
    hosts(&subnet, config.ip_range.as_ref()).find(|ip| !reserved(ip)).ok_or_else(|| {
        Error::internal(format!(
            "no available IPv4 addresses on this network's address pools: {subnet}"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    #[test]
    fn subnets_come_in_dockers_order_and_do_not_overlap() {
        let pools = default_pools();
        assert_eq!(free_subnet(&pools, &[], false).unwrap(), net("172.17.0.0/16"));
        assert_eq!(
            free_subnet(&pools, &[net("172.17.0.0/16")], false).unwrap(),
            net("172.18.0.0/16")
        );
        assert_eq!(
            free_subnet(&pools, &[net("172.16.0.0/12")], false).unwrap(),
            net("192.168.0.0/20")
        );
        assert!(free_subnet(&pools, &[net("0.0.0.0/0")], false).is_err());
    }

    #[test]
    fn addresses_are_the_lowest_free_ones() {
        let mut config = IpamConfig { subnet: Some(net("10.0.0.0/30")), ..IpamConfig::default() };
        complete(&mut config).unwrap();
        assert_eq!(config.gateway, Some("10.0.0.1".parse().unwrap()));
        let mut used = BTreeSet::new();
        let first = allocate(&config, &used, None).unwrap();
        assert_eq!(first.to_string(), "10.0.0.2");
        used.insert(first);
        assert!(allocate(&config, &used, None).is_err());
        assert_eq!(
            allocate(&config, &used, Some(first)).unwrap_err().message(),
            "Address already in use"
        );
        assert!(allocate(&config, &used, Some("10.1.0.1".parse().unwrap())).is_err());
    }

    #[test]
    fn what_lies_outside_is_refused() {
        let mut config = IpamConfig {
            subnet: Some(net("10.0.0.0/24")),
            gateway: Some("10.0.1.1".parse().unwrap()),
            ..IpamConfig::default()
        };
        assert!(complete(&mut config).unwrap_err().message().contains("does not contain"));
    }
}
