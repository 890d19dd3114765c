//! Volumes.

use bryo_core::model::{VolumeSpec, VolumeView};
use bryo_spec::docker;

use super::super::time;

/// The body of `POST /volumes/create`.
pub fn spec(body: docker::VolumeCreateRequest) -> VolumeSpec {
    VolumeSpec {
        name: body.name,
        driver: body.driver,
        options: body.driver_opts,
        labels: body.labels,
    }
}

/// A volume.
pub fn wire(view: &VolumeView) -> docker::Volume {
    let some =
        |map: &std::collections::BTreeMap<String, String>| (!map.is_empty()).then(|| map.clone());
    let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let driver = &view.spec.driver;
    docker::Volume {
        created_at: time::rfc3339_seconds(view.created),
        driver: if driver.is_empty() { "local".to_owned() } else { driver.clone() },
        labels: some(&view.spec.labels),
        mountpoint: view.mountpoint.clone(),
        name: view.spec.name.clone(),
        options: some(&view.spec.options),
        scope: "local".to_owned(),
        usage_data: view.usage.map(|(bytes, users)| docker::VolumeUsage {
            ref_count: number(users),
            size: number(bytes),
        }),
    }
}
