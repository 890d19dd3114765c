//! Volumes.

use bryo_spec::docker::{Volume, VolumeCreateRequest, VolumeList};
use serde_json::{Value, json};

use super::super::client::{self, query, segment};
use super::super::context::Context;
use super::super::error::Result;
use super::super::flags::{Flag, LIST_FORMAT, Parsed, list, many, switch, value};
use super::super::format::{Columns, LABELS, print_list};
use super::super::run::values;
use super::for_each;

/// Flags of `volume create`.
pub const CREATE: &[Flag] = &[
    value("driver", Some('d'), "string", "Specify volume driver name (default \"local\")"),
    list("label", None, "Set metadata for a volume"),
    value("name", None, "string", ""),
    many("opt", Some('o'), "map", "Set driver specific options (default map[])"),
];

/// Flags of `volume ls`.
pub const LS: &[Flag] = &[
    many("filter", Some('f'), "filter", "Provide filter values (e.g. \"dangling=true\")"),
    LIST_FORMAT,
    switch("quiet", Some('q'), "Only display volume names"),
];

/// Flags of `volume rm`.
pub const RM: &[Flag] = &[switch("force", Some('f'), "Force the removal of one or more volumes")];

const COLUMNS: Columns = Columns {
    kind: "*formatter.volumeContext",
    default: "{{.Driver}}\t{{.Name}}",
    titles: &[
        ("Driver", "DRIVER"),
        ("Name", "VOLUME NAME"),
        ("Scope", "SCOPE"),
        ("Mountpoint", "MOUNTPOINT"),
        ("Labels", "LABELS"),
        ("Availability", "AVAILABILITY"),
        ("Group", "GROUP"),
        ("Links", "LINKS"),
        ("Size", "SIZE"),
        ("Status", "STATUS"),
    ],
};

/// Makes a volume.
pub async fn create(context: Context, p: Parsed) -> Result<u8> {
    let name = p.args.first().cloned().or_else(|| p.get("name").map(str::to_owned));
    let body = VolumeCreateRequest {
        driver: p.get("driver").unwrap_or("local").to_owned(),
        driver_opts: values::map(&p.all("opt")),
        labels: values::map(&p.all("label")),
        name: name.unwrap_or_default(),
        cluster_volume_spec: None,
    };
    let volume: Volume = context.client.post_json("/volumes/create", &body).await?;
    println!("{}", volume.name);
    Ok(0)
}

/// Lists volumes.
pub async fn ls(context: Context, p: Parsed) -> Result<u8> {
    let filters = client::filters(&p.all("filter"))?;
    let pairs: Vec<_> = filters.map(|f| ("filters", f)).into_iter().collect();
    let list: VolumeList = context.client.get(&format!("/volumes{}", query(&pairs))).await?;
    let mut volumes = list.volumes;
    volumes.sort_by(|a, b| a.name.cmp(&b.name));
    if p.is("quiet") && p.get("format").is_none() {
        volumes.iter().for_each(|v| println!("{}", v.name));
        return Ok(0);
    }
    let rows: Vec<Value> = volumes.iter().map(row).collect();
    print_list(&rows, p.get("format"), &COLUMNS)?;
    Ok(0)
}

fn row(v: &Volume) -> Value {
    let labels = v.labels.clone().unwrap_or_default();
    let text: Vec<String> = labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
    json!({
        "Driver": v.driver,
        "Name": v.name,
        "Scope": v.scope,
        "Mountpoint": v.mountpoint,
        "Availability": "N/A",
        "Group": "N/A",
        "Links": "N/A",
        "Size": "N/A",
        "Status": "N/A",
        "Labels": text.join(","),
        LABELS: labels,
    })
}

/// Removes volumes.
pub async fn rm(context: Context, p: Parsed) -> Result<u8> {
    let query = if p.is("force") { "?force=1" } else { "" };
    for_each(&p.args, |name| {
        let client = context.client.clone();
        async move { client.delete(&format!("/volumes/{}{query}", segment(&name))).await.map(drop) }
    })
    .await
}
