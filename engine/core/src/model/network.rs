//! Networks.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// What `network create` can say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkSpec {
    /// Its name.
    pub name: String,
    /// `bridge` (or empty), `host`, `null`.
    pub driver: String,
    /// No way out.
    pub internal: bool,
    /// Only shown again.
    pub attachable: bool,
    /// IPv4 addresses are given (default true).
    pub ipv4: Option<bool>,
    /// IPv6 addresses are given.
    pub ipv6: bool,
    /// IPAM driver; empty: default.
    pub ipam_driver: String,
    /// IPAM options.
    pub ipam_options: BTreeMap<String, String>,
    /// Subnets; empty: from the pools.
    pub ipam: Vec<IpamConfig>,
    /// Driver options (`com.docker.network.bridge.name` …).
    pub options: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// A network without a network, whose settings others take.
    pub config_only: bool,
    /// The network whose settings to take.
    pub config_from: String,
}

/// One subnet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct IpamConfig {
    /// The subnet.
    pub subnet: Option<IpNet>,
    /// Where container addresses come from.
    pub ip_range: Option<IpNet>,
    /// The gateway.
    pub gateway: Option<IpAddr>,
    /// Addresses that are taken, by name.
    pub auxiliary: BTreeMap<String, IpAddr>,
}

/// A network as it is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NetworkView {
    /// 64 hex digits.
    pub id: String,
    /// Nanoseconds since the epoch.
    pub created: i128,
    /// What was asked, with what was chosen (subnet, gateway, driver) filled in.
    pub spec: NetworkSpec,
    /// `local`.
    pub scope: String,
    /// Containers on it, by id; empty in lists.
    pub containers: BTreeMap<String, NetworkMember>,
}

/// A container on a network.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NetworkMember {
    /// The container's name without a slash.
    pub name: String,
    /// The endpoint's id.
    pub endpoint_id: String,
    /// Hardware address as text.
    pub mac: String,
    /// Address with prefix length, or empty.
    pub ipv4: String,
    /// Address with prefix length, or empty.
    pub ipv6: String,
}
