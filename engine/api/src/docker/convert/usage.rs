//! `GET /system/df`: one shape below API 1.52, another since.

use bryo_core::DiskUsage;
use bryo_core::model::{ContainerView, Status};
use bryo_spec::docker::{self, Usage};

use super::super::time;
use super::super::version::Version;
use super::{image, summary, volume};

/// Which kinds are asked for, and whether each thing is wanted.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// Images and layers.
    pub images: bool,
    /// Containers.
    pub containers: bool,
    /// Volumes.
    pub volumes: bool,
    /// The build cache.
    pub build_cache: bool,
    /// Every single thing (since 1.52; before, always).
    pub verbose: bool,
}

/// The answer.
pub fn wire(usage: &DiskUsage, wanted: Wanted, version: Version) -> docker::DiskUsage {
    let now = time::now();
    let images: Vec<_> = usage.images.iter().map(|i| image::summary(i, version)).collect();
    let containers: Vec<_> =
        usage.containers.iter().map(|c| summary::wire(c, version, now)).collect();
    let volumes: Vec<_> = usage.volumes.iter().map(volume::wire).collect();
    if !version.since(52) {
        return docker::DiskUsage {
            layers_size: wanted.images.then_some(usage.layers_size),
            images: wanted.images.then(|| in_use(images, usage)),
            containers: wanted.containers.then_some(containers),
            volumes: wanted.volumes.then_some(volumes),
            build_cache: wanted.build_cache.then(Vec::new),
            builder_size: (!version.since(42)).then_some(0),
            ..Default::default()
        };
    }
    let items = wanted.verbose;
    docker::DiskUsage {
        image_usage: wanted.images.then(|| image_usage(usage, images, items)),
        container_usage: wanted.containers.then(|| container_usage(usage, containers, items)),
        volume_usage: wanted.volumes.then(|| volume_usage(usage, volumes, items)),
        build_cache_usage: wanted.build_cache.then(Usage::default),
        ..Default::default()
    }
}

/// In `df` the number of containers is told to every version.
fn in_use(mut list: Vec<docker::ImageSummary>, usage: &DiskUsage) -> Vec<docker::ImageSummary> {
    for (summary, view) in list.iter_mut().zip(&usage.images) {
        summary.containers = i64::try_from(view.containers).unwrap_or(i64::MAX);
    }
    list
}

fn image_usage(
    usage: &DiskUsage,
    items: Vec<docker::ImageSummary>,
    verbose: bool,
) -> Usage<docker::ImageSummary> {
    let unused = usage.images.iter().filter(|i| i.containers == 0);
    Usage {
        active_count: count(usage.images.iter().filter(|i| i.containers > 0)),
        reclaimable: unused.map(|i| i.size.saturating_sub(i.shared_size.unwrap_or(0))).sum(),
        total_count: count(&usage.images),
        total_size: usage.layers_size,
        items: if verbose { in_use(items, usage) } else { Vec::new() },
    }
}

fn container_usage(
    usage: &DiskUsage,
    items: Vec<docker::ContainerSummary>,
    verbose: bool,
) -> Usage<docker::ContainerSummary> {
    let active = |c: &&ContainerView| {
        matches!(c.state.status, Status::Running | Status::Paused | Status::Restarting)
    };
    let size = |c: &ContainerView| c.size.map_or(0, |(written, _)| written);
    Usage {
        active_count: count(usage.containers.iter().filter(active)),
        reclaimable: usage.containers.iter().filter(|c| !active(c)).map(size).sum(),
        total_count: count(&usage.containers),
        total_size: usage.containers.iter().map(size).sum(),
        items: if verbose { items } else { Vec::new() },
    }
}

fn volume_usage(
    usage: &DiskUsage,
    items: Vec<docker::Volume>,
    verbose: bool,
) -> Usage<docker::Volume> {
    let figures: Vec<(u64, u64)> =
        usage.volumes.iter().map(|v| v.usage.unwrap_or_default()).collect();
    Usage {
        active_count: count(figures.iter().filter(|(_, users)| *users > 0)),
        reclaimable: figures.iter().filter(|(_, users)| *users == 0).map(|(size, _)| size).sum(),
        total_count: count(&figures),
        total_size: figures.iter().map(|(size, _)| size).sum(),
        items: if verbose { items } else { Vec::new() },
    }
}

fn count<T>(things: impl IntoIterator<Item = T>) -> u64 {
    things.into_iter().fold(0, |n, _| n + 1)
}
