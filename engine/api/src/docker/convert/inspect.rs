//! `GET /containers/{id}/json`.

use bryo_core::model::{ContainerView, Health, NetworkMode, State, Status};
use bryo_spec::docker;
use serde_json::{Value, json};

use super::super::time::{rfc3339, rfc3339_or_zero};
use super::super::version::Version;
use super::{endpoint, host, mount, port};

/// The answer, in the shape of a version.
pub fn wire(view: &ContainerView, version: Version) -> docker::ContainerInspect {
    let (graph_driver, storage) = if version.since(52) {
        (None, Some(json!({ "RootFS": { "Snapshot": { "Name": view.storage_driver } } })))
    } else {
        (Some(docker::GraphDriver { data: None, name: view.storage_driver.clone() }), None)
    };
    docker::ContainerInspect {
        id: view.id.clone(),
        created: rfc3339(view.created),
        path: view.path.clone(),
        args: view.args.clone(),
        state: state(&view.state),
        image: view.image_id.clone(),
        resolv_conf_path: view.resolv_conf_path.clone(),
        hostname_path: view.hostname_path.clone(),
        hosts_path: view.hosts_path.clone(),
        log_path: view.log_path.clone(),
        name: format!("/{}", view.name),
        restart_count: view.restart_count,
        driver: view.storage_driver.clone(),
        platform: "linux".to_owned(),
        mount_label: String::new(),
        process_label: String::new(),
        app_armor_profile: String::new(),
        exec_ids: (!view.exec_ids.is_empty()).then(|| view.exec_ids.clone()),
        host_config: host::host_config(&view.spec, &view.runtime),
        graph_driver,
        storage,
        size_rw: view.size.map(|(written, _)| written),
        size_root_fs: view.size.map(|(_, all)| all),
        mounts: view.mounts.iter().map(mount::point).collect(),
        config: host::config(&view.spec),
        network_settings: network_settings(view, version),
        limits_held_by: view.limits.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
    }
}

fn state(s: &State) -> docker::ContainerState {
    docker::ContainerState {
        status: s.status.as_str().to_owned(),
        running: matches!(s.status, Status::Running | Status::Paused | Status::Restarting),
        paused: s.status == Status::Paused,
        restarting: s.status == Status::Restarting,
        oom_killed: s.oom_killed,
        dead: s.status == Status::Dead,
        pid: s.pid,
        exit_code: s.exit_code,
        error: s.error.clone(),
        started_at: rfc3339_or_zero(s.started_at),
        finished_at: rfc3339_or_zero(s.finished_at),
        health: s.health.as_ref().map(health),
    }
}

fn health(h: &Health) -> docker::Health {
    let log = h.log.iter().map(|r| docker::HealthcheckResult {
        start: rfc3339(r.start),
        end: rfc3339(r.end),
        exit_code: r.exit_code,
        output: r.output.clone(),
    });
    docker::Health {
        status: h.status.clone(),
        failing_streak: h.failing_streak,
        log: Some(log.collect()),
    }
}

fn network_settings(view: &ContainerView, version: Version) -> docker::NetworkSettings {
    let networks: std::collections::BTreeMap<_, _> =
        view.networks.iter().map(|(name, e)| (name.clone(), endpoint::wire(e, version))).collect();
    let mut settings = docker::NetworkSettings {
        sandbox_id: sandbox_id(view),
        sandbox_key: view.sandbox_key.clone(),
        ports: port::actual(port::in_effect(view)),
        ..Default::default()
    };
    if !version.since(52) {
        add_old_fields(&mut settings, view, networks.get("bridge"));
    }
    settings.networks = networks;
    settings
}

/// The default bridge's endpoint once more at the top, as clients below 1.52 read it.
fn add_old_fields(
    settings: &mut docker::NetworkSettings,
    view: &ContainerView,
    bridge: Option<&docker::EndpointSettings>,
) {
    let on_bridge = match &view.spec.network_mode {
        NetworkMode::Default => true,
        NetworkMode::Named(name) => name == "bridge",
        _ => false,
    };
    let bridge = bridge.filter(|_| on_bridge).cloned().unwrap_or_default();
    settings.bridge = Some(String::new());
    settings.hairpin_mode = Some(false);
    settings.link_local_ipv6_address = Some(String::new());
    settings.link_local_ipv6_prefix_len = Some(0);
    settings.secondary_ip_addresses = Some(Value::Null);
    settings.secondary_ipv6_addresses = Some(Value::Null);
    settings.endpoint_id = Some(bridge.endpoint_id);
    settings.gateway = Some(bridge.gateway);
    settings.global_ipv6_address = Some(bridge.global_ipv6_address);
    settings.global_ipv6_prefix_len = Some(bridge.global_ipv6_prefix_len);
    settings.ip_address = Some(bridge.ip_address);
    settings.ip_prefix_len = Some(bridge.ip_prefix_len);
    settings.ipv6_gateway = Some(bridge.ipv6_gateway);
    settings.mac_address = Some(bridge.mac_address);
}

/// A container with a namespace of its own has a sandbox; its id is the container's.
fn sandbox_id(view: &ContainerView) -> String {
    if view.sandbox_key.is_empty() { String::new() } else { view.id.clone() }
}

#[cfg(test)]
#[path = "inspect_tests.rs"]
mod tests;
