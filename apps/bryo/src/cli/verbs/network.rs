//! Networks.

use bryo_spec::docker::{
    ConfigReference, EndpointIpamConfig, EndpointSettings, Ipam, IpamConfig, NetworkConnectRequest,
    NetworkCreateRequest, NetworkCreateResponse, NetworkDisconnectRequest, NetworkResource,
};
use serde_json::{Value, json};

use super::super::client::{self, query, segment};
use super::super::context::Context;
use super::super::error::{CliError, Result};
use super::super::flags::{Flag, LIST_FORMAT, Parsed, list, many, switch, value};
use super::super::format::{Columns, LABELS, print_list, short_id};
use super::super::run::values;
use super::for_each;

/// Flags of `network create`.
pub const CREATE: &[Flag] = &[
    switch("attachable", None, "Enable manual container attachment"),
    many(
        "aux-address",
        None,
        "map",
        "Auxiliary IPv4 or IPv6 addresses used by Network driver (default map[])",
    ),
    value("config-from", None, "string", "The network from which to copy the configuration"),
    switch("config-only", None, "Create a configuration only network"),
    value("driver", Some('d'), "string", "Driver to manage the Network (default \"bridge\")"),
    many("gateway", None, "strings", "IPv4 or IPv6 Gateway for the master subnet"),
    switch("ingress", None, "Create swarm routing-mesh network"),
    switch("internal", None, "Restrict external access to the network"),
    many("ip-range", None, "strings", "Allocate container ip from a sub-range"),
    value("ipam-driver", None, "string", "IP Address Management Driver (default \"default\")"),
    many("ipam-opt", None, "map", "Set IPAM driver specific options (default map[])"),
    switch("ipv4", None, "Enable or disable IPv4 address assignment (default true)"),
    switch("ipv6", None, "Enable or disable IPv6 address assignment"),
    list("label", None, "Set metadata on a network"),
    many("opt", Some('o'), "map", "Set driver specific options (default map[])"),
    value("scope", None, "string", "Control the network's scope"),
    many("subnet", None, "strings", "Subnet in CIDR format that represents a network segment"),
];

/// Flags of `network ls`.
pub const LS: &[Flag] = &[
    many("filter", Some('f'), "filter", "Provide filter values (e.g. \"driver=bridge\")"),
    LIST_FORMAT,
    switch("no-trunc", None, "Do not truncate the output"),
    switch("quiet", Some('q'), "Only display network IDs"),
];

/// Flags of `network rm`.
pub const RM: &[Flag] = &[switch("force", Some('f'), "Do not error if the network does not exist")];

/// Flags of `network connect`.
pub const CONNECT: &[Flag] = &[
    many("alias", None, "strings", "Add network-scoped alias for the container"),
    many("driver-opt", None, "strings", "driver options for the network"),
    value(
        "gw-priority",
        None,
        "int",
        "Highest gw-priority provides the default gateway. Accepts positive and negative values.",
    ),
    value("ip", None, "string", "IPv4 address (e.g., \"172.30.100.104\")"),
    value("ip6", None, "string", "IPv6 address (e.g., \"2001:db8::33\")"),
    list("link", None, "Add link to another container"),
    many("link-local-ip", None, "strings", "Add a link-local address for the container"),
];

/// Flags of `network disconnect`.
pub const DISCONNECT: &[Flag] =
    &[switch("force", Some('f'), "Force the container to disconnect from a network")];

const COLUMNS: Columns = Columns {
    kind: "*network.networkContext",
    default: "{{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.Scope}}",
    titles: &[
        ("ID", "NETWORK ID"),
        ("Name", "NAME"),
        ("Driver", "DRIVER"),
        ("Scope", "SCOPE"),
        ("IPv4", "IPV4"),
        ("IPv6", "IPV6"),
        ("Internal", "INTERNAL"),
        ("Labels", "LABELS"),
        ("CreatedAt", "CREATED AT"),
    ],
};

/// Makes a network.
pub async fn create(context: Context, p: Parsed) -> Result<u8> {
    let options = values::map(&p.all("ipam-opt"));
    let body = NetworkCreateRequest {
        name: p.args.first().cloned().unwrap_or_default(),
        driver: p.get("driver").unwrap_or("bridge").to_owned(),
        scope: p.text("scope"),
        enable_ipv4: p.has("ipv4").then(|| p.is("ipv4")),
        enable_ipv6: p.has("ipv6").then(|| p.is("ipv6")),
        ipam: Ipam {
            driver: p.get("ipam-driver").unwrap_or("default").to_owned(),
            options: Some(options),
            config: Some(subnets(&p)),
        },
        internal: p.is("internal"),
        attachable: p.is("attachable"),
        ingress: false,
        config_only: p.is("config-only"),
        config_from: p.get("config-from").map(|n| ConfigReference { network: n.to_owned() }),
        options: values::map(&p.all("opt")),
        labels: values::map(&p.all("label")),
    };
    let made: NetworkCreateResponse = context.client.post_json("/networks/create", &body).await?;
    if !made.warning.is_empty() {
        eprintln!("WARNING: {}", made.warning);
    }
    println!("{}", made.id);
    Ok(0)
}

/// Each subnet with the gateway and range that lie in it; the daemon checks.
fn subnets(p: &Parsed) -> Vec<IpamConfig> {
    let (gateways, ranges) = (p.all("gateway"), p.all("ip-range"));
    let same_family = |a: &str, b: &str| a.contains(':') == b.contains(':');
    p.all("subnet")
        .into_iter()
        .map(|subnet| {
            let of = |list: &[String]| {
                list.iter().find(|v| same_family(v, &subnet)).cloned().unwrap_or_default()
            };
            let auxiliary = values::map(&p.all("aux-address"));
            IpamConfig {
                ip_range: of(&ranges),
                gateway: of(&gateways),
                auxiliary_addresses: auxiliary
                    .into_iter()
                    .filter(|(_, ip)| same_family(ip, &subnet))
                    .collect(),
                subnet,
            }
        })
        .collect()
}

/// Lists networks.
pub async fn ls(context: Context, p: Parsed) -> Result<u8> {
    let filters = client::filters(&p.all("filter"))?;
    let pairs: Vec<_> = filters.map(|f| ("filters", f)).into_iter().collect();
    let path = format!("/networks{}", query(&pairs));
    let mut networks: Vec<NetworkResource> = context.client.get(&path).await?;
    networks.sort_by(|a, b| a.name.cmp(&b.name));
    let id = |n: &NetworkResource| {
        if p.is("no-trunc") { n.id.clone() } else { short_id(&n.id).to_owned() }
    };
    if p.is("quiet") && p.get("format").is_none() {
        networks.iter().for_each(|n| println!("{}", id(n)));
        return Ok(0);
    }
    let rows: Vec<Value> = networks
        .iter()
        .map(|n| {
            let labels: Vec<String> = n.labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
            json!({
                "ID": id(n), "Name": n.name, "Driver": n.driver, "Scope": n.scope,
                "IPv4": n.enable_ipv4.unwrap_or(true).to_string(),
                "IPv6": n.enable_ipv6.to_string(),
                "Internal": n.internal.to_string(),
                "Labels": labels.join(","), "CreatedAt": created(&n.created), LABELS: n.labels,
            })
        })
        .collect();
    print_list(&rows, p.get("format"), &COLUMNS)?;
    Ok(0)
}

/// A time as Go prints it.
fn created(text: &str) -> String {
    let time: Result<jiff::Timestamp, _> = text.parse();
    time.map_or_else(
        |_| text.to_owned(),
        |t| t.strftime("%Y-%m-%d %H:%M:%S%.f +0000 UTC").to_string(),
    )
}

/// Removes networks.
pub async fn rm(context: Context, p: Parsed) -> Result<u8> {
    let force = p.is("force");
    for_each(&p.args, |name| {
        let client = context.client.clone();
        async move {
            match client.delete(&format!("/networks/{}", segment(&name))).await {
                Err(e) if force && e.status() == Some(404) => Err(CliError::exit(0)),
                other => other.map(drop),
            }
        }
    })
    .await
}

/// Connects a container.
pub async fn connect(context: Context, p: Parsed) -> Result<u8> {
    let [network, container] = p.args.as_slice() else { return Ok(0) };
    let some = |flag: &str| Some(p.all(flag)).filter(|list| !list.is_empty());
    let ipam = EndpointIpamConfig {
        ipv4_address: p.text("ip"),
        ipv6_address: p.text("ip6"),
        link_local_ips: p.all("link-local-ip"),
    };
    let endpoint = EndpointSettings {
        ipam_config: Some(ipam),
        links: some("link"),
        aliases: some("alias"),
        driver_opts: Some(values::map(&p.all("driver-opt"))),
        gw_priority: p.number("gw-priority")?,
        ..Default::default()
    };
    let body =
        NetworkConnectRequest { container: container.clone(), endpoint_config: Some(endpoint) };
    let path = format!("/networks/{}/connect", segment(network));
    context.client.post_json_only(&path, &body).await.map(|()| 0)
}

/// Disconnects a container.
pub async fn disconnect(context: Context, p: Parsed) -> Result<u8> {
    let [network, container] = p.args.as_slice() else { return Ok(0) };
    let body = NetworkDisconnectRequest { container: container.clone(), force: p.is("force") };
    let path = format!("/networks/{}/disconnect", segment(network));
    context.client.post_json_only(&path, &body).await.map(|()| 0)
}
