//! Which process holds a port: the socket's inode from /proc/net, then the process that has it open.
//!
//! Only processes whose descriptors the caller may look at are found. The kernel draws that line at user namespaces
//! (`ptrace_may_access`): from inside Bryo's, where the gate and the engine are, the user's processes outside cannot be
//! seen. A caller that stayed outside sees them all. Nothing found is `None`, never an error.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::messages::Protocol;

/// Pid and name of the process that has the port open.
pub fn of_port(protocol: Protocol, address: IpAddr, port: u16) -> Option<(u32, String)> {
    let tables: [&str; 2] = match protocol {
        Protocol::Tcp => ["tcp", "tcp6"],
        Protocol::Udp => ["udp", "udp6"],
    };
    tables.iter().find_map(|table| {
        let text = std::fs::read_to_string(format!("/proc/net/{table}")).ok()?;
        let listening = protocol == Protocol::Tcp;
        inodes(&text, listening, address, port).into_iter().find_map(process_with)
    })
}

/// The inodes of the sockets at a port whose address is `address` or stands for all, or all if `address` does.
fn inodes(table: &str, listening: bool, address: IpAddr, port: u16) -> Vec<u64> {
    const LISTEN: &str = "0A";
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (ip, number) = fields.get(1)?.split_once(':')?;
            let bound = parse_address(ip)?;
            let fits = bound == address || bound.is_unspecified() || address.is_unspecified();
            let state = !listening || *fields.get(3)? == LISTEN;
            let same_port = u16::from_str_radix(number, 16).ok()? == port;
            if fits && state && same_port { fields.get(9)?.parse().ok() } else { None }
        })
        .collect()
}

/// Addresses in /proc/net are words in the host's byte order, in hexadecimal.
fn parse_address(hex: &str) -> Option<IpAddr> {
    let mut bytes = Vec::with_capacity(16);
    for start in (0..hex.len()).step_by(8) {
        let word = u32::from_str_radix(hex.get(start..start + 8)?, 16).ok()?;
        bytes.extend_from_slice(&word.to_ne_bytes());
    }
    match bytes.as_slice() {
        [a, b, c, d] => Some(Ipv4Addr::new(*a, *b, *c, *d).into()),
        bytes => {
            let v6 = Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?);
            Some(v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4))
        }
    }
}

fn process_with(inode: u64) -> Option<(u32, String)> {
    let wanted = format!("socket:[{inode}]");
    for process in std::fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|n| n.parse::<u32>().ok()) else {
            continue;
        };
        let Ok(descriptors) = std::fs::read_dir(process.path().join("fd")) else { continue };
        let has = descriptors.flatten().any(|d| {
            std::fs::read_link(d.path()).is_ok_and(|target| target.as_os_str() == wanted.as_str())
        });
        if has {
            let name = std::fs::read_to_string(process.path().join("comm")).ok()?;
            return Some((pid, name.trim().to_owned()));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_test_itself_is_found_behind_its_port() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = std::net::TcpListener::bind(address) else { continue };
            let local = listener.local_addr().unwrap();
            let found = of_port(Protocol::Tcp, local.ip(), local.port());
            assert_eq!(found.map(|(pid, _)| pid), Some(std::process::id()));
        }
        assert_eq!(of_port(Protocol::Udp, [127, 0, 0, 1].into(), 1), None);
    }
}
