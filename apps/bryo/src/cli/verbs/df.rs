//! `system df`: who takes how much of the disk.
//!
//! Before API 1.52 the daemon tells every thing and the command line adds up; since then it tells the sums, and the things only
//! when asked for in detail. Both forms end as the same rows.

use bryo_spec::docker::units::human_size;
use bryo_spec::docker::{ContainerSummary, DiskUsage, ImageSummary, Usage, Volume};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::context::Context;
use super::super::error::Result;
use super::super::flags::{Flag, LIST_FORMAT, Parsed, switch};
use super::super::format::{Columns, print_list};
use super::{images, ps};

/// Flags of `system df`.
pub const FLAGS: &[Flag] =
    &[LIST_FORMAT, switch("verbose", Some('v'), "Show detailed information on space usage")];

const COLUMNS: Columns = Columns {
    kind: "*formatter.diskUsageImagesContext",
    default: "{{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}",
    titles: &[
        ("Type", "TYPE"),
        ("TotalCount", "TOTAL"),
        ("Active", "ACTIVE"),
        ("Size", "SIZE"),
        ("Reclaimable", "RECLAIMABLE"),
    ],
};

const IMAGES: Columns = Columns {
    kind: "*formatter.diskUsageImagesContext",
    default: "{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}\t{{.SharedSize}}\t{{.UniqueSize}}\t{{.Containers}}",
    titles: images::TITLES,
};

const CONTAINERS: Columns = Columns {
    kind: "*formatter.diskUsageContainersContext",
    default: "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.LocalVolumes}}\t{{.Size}}\t{{.RunningFor}}\t{{.Status}}\t{{.Names}}",
    titles: ps::TITLES,
};

const VOLUMES: Columns = Columns {
    kind: "*formatter.diskUsageVolumesContext",
    default: "{{.Name}}\t{{.Links}}\t{{.Size}}",
    titles: &[("Name", "VOLUME NAME"), ("Links", "LINKS"), ("Size", "SIZE")],
};

/// Shows it.
pub async fn df(context: Context, p: Parsed) -> Result<u8> {
    let verbose = p.is("verbose");
    let query = if verbose { "?verbose=1" } else { "" };
    let usage: DiskUsage = context.client.get(&format!("/system/df{query}")).await?;
    if verbose {
        return details(usage).map(|()| 0);
    }
    let rows: Vec<Value> = sums(&usage).into_iter().map(|(kind, sum)| row(kind, sum)).collect();
    print_list(&rows, p.get("format"), &COLUMNS)?;
    Ok(0)
}

/// What there is of one kind: how many, how many in use, and bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Sum {
    total: u64,
    active: u64,
    size: u64,
    reclaimable: u64,
}

fn row(kind: &str, sum: Sum) -> Value {
    let share = sum.reclaimable.saturating_mul(100).checked_div(sum.size);
    let share = share.map_or_else(String::new, |percent| format!(" ({percent}%)"));
    json!({
        "Type": kind,
        "TotalCount": sum.total.to_string(),
        "Active": sum.active.to_string(),
        "Size": human_size(sum.size, 4),
        "Reclaimable": format!("{}{share}", human_size(sum.reclaimable, 4)),
    })
}

fn told<T>(usage: Option<&Usage<T>>) -> Option<Sum> {
    usage.map(|u| Sum {
        total: u.total_count,
        active: u.active_count,
        size: u.total_size,
        reclaimable: u.reclaimable,
    })
}

fn sums(usage: &DiskUsage) -> [(&'static str, Sum); 4] {
    let images = told(usage.image_usage.as_ref()).unwrap_or_else(|| of_images(usage));
    let containers = told(usage.container_usage.as_ref())
        .unwrap_or_else(|| of_containers(usage.containers.as_deref().unwrap_or_default()));
    let volumes = told(usage.volume_usage.as_ref())
        .unwrap_or_else(|| of_volumes(usage.volumes.as_deref().unwrap_or_default()));
    let cache = told(usage.build_cache_usage.as_ref())
        .unwrap_or_else(|| of_cache(usage.build_cache.as_deref().unwrap_or_default()));
    [
        ("Images", images),
        ("Containers", containers),
        ("Local Volumes", volumes),
        ("Build Cache", cache),
    ]
}

fn of_images(usage: &DiskUsage) -> Sum {
    let images = usage.images.as_deref().unwrap_or_default();
    let used = images.iter().filter(|i| i.containers != 0);
    let own = |i: &ImageSummary| {
        u64::try_from(i.shared_size).map_or(0, |shared| i.size.saturating_sub(shared))
    };
    let size = usage.layers_size.unwrap_or_default();
    Sum {
        total: count(images.iter()),
        active: count(images.iter().filter(|i| i.containers > 0)),
        size,
        reclaimable: size.saturating_sub(used.map(own).sum()),
    }
}

fn of_containers(list: &[ContainerSummary]) -> Sum {
    let active =
        |c: &&ContainerSummary| matches!(c.state.as_str(), "running" | "paused" | "restarting");
    let size = |c: &ContainerSummary| c.size_rw.unwrap_or_default();
    Sum {
        total: count(list.iter()),
        active: count(list.iter().filter(active)),
        size: list.iter().map(size).sum(),
        reclaimable: list.iter().filter(|c| !active(c)).map(size).sum(),
    }
}

fn of_volumes(list: &[Volume]) -> Sum {
    let links = |v: &Volume| v.usage_data.as_ref().map_or(0, |u| u.ref_count);
    let size = |v: &Volume| {
        v.usage_data.as_ref().and_then(|u| u64::try_from(u.size).ok()).unwrap_or_default()
    };
    Sum {
        total: count(list.iter()),
        active: count(list.iter().filter(|v| links(v) > 0)),
        size: list.iter().map(size).sum(),
        reclaimable: list.iter().filter(|v| links(v) == 0).map(size).sum(),
    }
}

fn of_cache(list: &[Value]) -> Sum {
    let set = |item: &Value, key: &str| item.get(key).and_then(Value::as_bool).unwrap_or_default();
    let size = |item: &Value| item.get("Size").and_then(Value::as_u64).unwrap_or_default();
    let own: Vec<&Value> = list.iter().filter(|item| !set(item, "Shared")).collect();
    Sum {
        total: count(list.iter()),
        active: count(list.iter().filter(|item| set(item, "InUse"))),
        size: own.iter().map(|item| size(item)).sum(),
        reclaimable: own.iter().filter(|item| !set(item, "InUse")).map(|item| size(item)).sum(),
    }
}

fn count<T>(list: impl Iterator<Item = T>) -> u64 {
    u64::try_from(list.count()).unwrap_or(u64::MAX)
}

/// Every single thing, for `-v`.
fn details(usage: DiskUsage) -> Result<()> {
    let now = Timestamp::now().as_second();
    let cache = sums(&usage).map(|(_, sum)| sum)[3];
    let images = usage.images.or(usage.image_usage.map(|u| u.items)).unwrap_or_default();
    let containers =
        usage.containers.or(usage.container_usage.map(|u| u.items)).unwrap_or_default();
    let volumes = usage.volumes.or(usage.volume_usage.map(|u| u.items)).unwrap_or_default();
    let rows: Vec<Value> = images.iter().flat_map(|i| of_image(i, now)).collect();
    println!("Images space usage:\n");
    print_list(&rows, None, &IMAGES)?;
    println!("\nContainers space usage:\n");
    let rows: Vec<Value> = containers.iter().map(|c| of_container(c, now)).collect();
    print_list(&rows, None, &CONTAINERS)?;
    println!("\nLocal Volumes space usage:\n");
    let rows: Vec<Value> = volumes.iter().map(of_volume).collect();
    print_list(&rows, None, &VOLUMES)?;
    println!("\nBuild cache usage: {}\n", human_size(cache.size, 4));
    println!("CACHE ID   CACHE TYPE   SIZE      CREATED   LAST USED   USAGE     SHARED");
    Ok(())
}

fn of_image(image: &ImageSummary, now: i64) -> Vec<Value> {
    let mut rows = images::rows(image, false, false, now);
    // An image with several names takes its space once.
    rows.truncate(1);
    let shared = u64::try_from(image.shared_size).unwrap_or_default();
    for row in rows.iter_mut().filter_map(Value::as_object_mut) {
        row.insert("SharedSize".to_owned(), human_size(shared, 4).into());
        row.insert(
            "UniqueSize".to_owned(),
            human_size(image.size.saturating_sub(shared), 4).into(),
        );
        row.insert("Containers".to_owned(), image.containers.to_string().into());
    }
    rows
}

fn of_container(container: &ContainerSummary, now: i64) -> Value {
    let mut row = ps::row(container, false, now);
    if let Some(map) = row.as_object_mut() {
        map.insert("Size".to_owned(), human_size(container.size_rw.unwrap_or_default(), 3).into());
    }
    row
}

fn of_volume(volume: &Volume) -> Value {
    let data = volume.usage_data.as_ref();
    let size = data.and_then(|u| u64::try_from(u.size).ok());
    json!({
        "Name": volume.name,
        "Links": data.map_or(0, |u| u.ref_count).to_string(),
        "Size": size.map_or_else(|| "N/A".to_owned(), |size| human_size(size, 4)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_daemons_things_are_added_up() {
        let usage: DiskUsage = serde_json::from_value(json!({
            "LayersSize": 1000,
            "Images": [{"Id": "a", "Size": 600, "SharedSize": 100, "Containers": 1}, {"Id": "b", "Size": 500, "SharedSize": 100, "Containers": 0}],
            "Containers": [{"Id": "c", "State": "running", "SizeRw": 7}, {"Id": "d", "State": "exited", "SizeRw": 3}],
            "Volumes": [{"Name": "v", "UsageData": {"Size": 5, "RefCount": 0}}],
            "BuildCache": [{"Size": 9, "Shared": false, "InUse": true}, {"Size": 4, "Shared": true}],
        }))
        .unwrap();
        let sum = |total, active, size, reclaimable| Sum { total, active, size, reclaimable };
        assert_eq!(
            sums(&usage).map(|(_, sum)| sum),
            [sum(2, 1, 1000, 500), sum(2, 1, 10, 3), sum(1, 0, 5, 5), sum(2, 1, 9, 0)]
        );
    }
}
