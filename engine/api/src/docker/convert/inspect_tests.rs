//! Answers have exactly the fields that dockerd's recorded answers have.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use bryo_core::model::{
    ContainerSpec, ContainerView, EndpointView, NetworkMode, Port, PortBinding, Protocol, State,
    Status,
};
use bryo_spec::docker;
use serde_json::Value;

use super::super::super::version::Version;
use super::super::summary;

/// Every path of a JSON value, with the kind of what is there.
fn shape(value: &Value) -> BTreeSet<String> {
    fn walk(value: &Value, path: &str, paths: &mut BTreeSet<String>) {
        let kind = match value {
            Value::Null => "null",
            Value::Bool(_) => "bool",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(list) => {
                list.iter().for_each(|v| walk(v, &format!("{path}[]"), paths));
                if list.is_empty() { "[]" } else { "list" }
            }
            Value::Object(map) => {
                map.iter().for_each(|(k, v)| walk(v, &format!("{path}.{k}"), paths));
                if map.is_empty() { "{}" } else { "map" }
            }
        };
        paths.insert(format!("{path}: {kind}"));
    }
    let mut paths = BTreeSet::new();
    walk(value, "", &mut paths);
    paths
}

/// What the recorded container was.
fn view() -> ContainerView {
    let port = Port { port: 8080, protocol: Protocol::Tcp };
    let published = |ip: &str| PortBinding { port, host_ip: ip.into(), host_port: "18080".into() };
    let list = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    let mut spec = ContainerSpec {
        image: "busybox".into(),
        cmd: Some(list(&["httpd", "-f"])),
        hostname: "455c541c8205".into(),
        network_mode: NetworkMode::Default,
        exposed_ports: vec![port],
        port_bindings: vec![PortBinding {
            port,
            host_ip: String::new(),
            host_port: "18080".into(),
        }],
        masked_paths: Some(list(&["/proc/acpi"])),
        readonly_paths: Some(list(&["/proc/bus"])),
        attach: (false, false, false),
        ..Default::default()
    };
    spec.log.driver = "json-file".into();
    let endpoint = EndpointView {
        network_id: "d01a".into(),
        endpoint_id: "db07".into(),
        gateway: Some(ip("172.17.0.1")),
        ipv4: Some((ip("172.17.0.2"), 16)),
        mac: "fa:2a:e6:74:e9:ce".into(),
        ..Default::default()
    };
    ContainerView {
        id: "455c541c82057f722cc19e51706b0f5c13f502401e27e7e5672e7d95f4279ec3".into(),
        name: "web".into(),
        created: 1_795_443_486_450_828_627,
        spec,
        path: "httpd".into(),
        args: list(&["-f", "-v", "-p", "8080", "-h", "/etc"]),
        image_id: "sha256:cd98".into(),
        state: State {
            status: Status::Running,
            pid: 16042,
            started_at: Some(1),
            ..Default::default()
        },
        restart_count: 0,
        storage_driver: "overlayfs".into(),
        runtime: "bryo".into(),
        exec_ids: vec![],
        log_path: "/data/x-json.log".into(),
        hostname_path: "/data/hostname".into(),
        hosts_path: "/data/hosts".into(),
        resolv_conf_path: "/data/resolv.conf".into(),
        mounts: vec![],
        networks: BTreeMap::from([("bridge".to_owned(), endpoint)]),
        ports: vec![published("0.0.0.0"), published("::")],
        sandbox_key: "/run/netns/18f9".into(),
        size: None,
        limits: vec![],
        stopped_by_hand: false,
    }
}

fn assert_same_shape(ours: &Value, recorded: &Value) {
    let (ours, recorded) = (shape(ours), shape(recorded));
    let missing: Vec<_> = recorded.difference(&ours).collect();
    let extra: Vec<_> = ours.difference(&recorded).collect();
    assert!(missing.is_empty() && extra.is_empty(), "missing: {missing:#?}\nextra: {extra:#?}");
}

/// The recorded engine keeps images with several platforms and tells of the manifest; this one has nothing to tell.
fn without_manifest(mut recorded: Value) -> Value {
    if let Some(map) = recorded.as_object_mut() {
        map.remove("ImageManifestDescriptor");
    }
    recorded
}

#[test]
fn inspect_has_the_recorded_fields() {
    let recorded: Value = serde_json::from_str(include_str!("recorded/inspect_1_55.json")).unwrap();
    let ours = serde_json::to_value(super::wire(&view(), Version(55))).unwrap();
    assert_same_shape(&ours, &without_manifest(recorded));
}

#[test]
fn recorded_inspect_is_read_and_written_the_same() {
    let recorded: Value = serde_json::from_str(include_str!("recorded/inspect_1_55.json")).unwrap();
    let read: docker::ContainerInspect = serde_json::from_value(recorded.clone()).unwrap();
    let written = serde_json::to_value(&read).unwrap();
    assert_eq!(written, without_manifest(recorded));
}

#[test]
fn lists_have_the_recorded_fields() {
    for (version, text) in [
        (Version(55), include_str!("recorded/list_1_55.json")),
        (Version(50), include_str!("recorded/list_1_50.json")),
    ] {
        let recorded: Vec<Value> = serde_json::from_str(text).unwrap();
        let mut ours = view();
        ours.spec.labels.insert("k".into(), "v".into());
        let ours = serde_json::to_value(summary::wire(&ours, version, 1)).unwrap();
        assert_same_shape(&ours, &without_manifest(recorded[0].clone()));
    }
}

#[test]
fn addresses_at_the_top_are_for_old_clients() {
    let new = super::wire(&view(), Version(52));
    assert_eq!(new.network_settings.ip_address, None);
    assert!(new.graph_driver.is_none() && new.storage.is_some());
    let old = super::wire(&view(), Version(51));
    assert_eq!(old.network_settings.ip_address.as_deref(), Some("172.17.0.2"));
    assert_eq!(old.network_settings.gateway.as_deref(), Some("172.17.0.1"));
    let text = serde_json::to_value(&old).unwrap();
    assert_eq!(text["NetworkSettings"]["SecondaryIPAddresses"], Value::Null);
    assert!(old.graph_driver.is_some() && old.storage.is_none());
    assert_eq!(
        super::wire(&view(), Version(43)).network_settings.networks["bridge"].gw_priority,
        None
    );
}
