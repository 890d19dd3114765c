//! An image by itself, and its history.

use bryo_images::{Image, ImageConfig};
use bryo_spec::docker;
use serde_json::{Map, Value, json};

use super::super::time;
use super::super::version::Version;

/// `GET /images/{name}/json`, in the shape of a version.
pub fn wire(image: &Image, storage_driver: &str, version: Version) -> docker::ImageInspect {
    let old = !version.since(52);
    let ancient = !version.since(45);
    let text = |text: &str| (old || !text.is_empty()).then(|| text.to_owned());
    docker::ImageInspect {
        id: image.id.to_string(),
        repo_tags: image.repo_tags.clone(),
        repo_digests: image.repo_digests.clone(),
        parent: old.then(|| image.parent.map_or_else(String::new, |p| p.to_string())),
        comment: text(&image.comment),
        created: image
            .created
            .map(time::rfc3339)
            .or_else(|| (!version.since(44)).then(|| time::ZERO.to_owned())),
        container: ancient.then(String::new),
        container_config: ancient.then(|| json!({})),
        docker_version: old.then(String::new),
        author: text(&image.author),
        config: config(&image.config, version),
        architecture: image.architecture.clone(),
        variant: image.variant.clone(),
        os: image.os.clone(),
        size: image.size,
        virtual_size: (!version.since(44)).then_some(image.size),
        graph_driver: old
            .then(|| docker::GraphDriver { data: None, name: storage_driver.to_owned() }),
        root_fs: docker::RootFs {
            r#type: "layers".to_owned(),
            layers: image.layers.iter().map(|l| l.diff_id.to_string()).collect(),
        },
        metadata: docker::ImageMetadata {
            last_tag_time: (image.last_tagged > 0).then(|| time::rfc3339(image.last_tagged)),
        },
        descriptor: version.since(48).then(|| docker::Descriptor {
            media_type: image.manifest_type.clone(),
            digest: image.manifest_digest.to_string(),
            size: image.manifest_size,
        }),
    }
}

/// The image's settings. Since 1.52 what is not set is left out; before, the usual fields are always there.
fn config(c: &ImageConfig, version: Version) -> Value {
    let set = |keys: &[String]| {
        let map: Map<String, Value> = keys.iter().map(|k| (k.clone(), json!({}))).collect();
        if map.is_empty() { Value::Null } else { Value::Object(map) }
    };
    let list = |list: &[String]| if list.is_empty() { Value::Null } else { json!(list) };
    let always = [
        ("Cmd", json!(c.cmd)),
        ("Entrypoint", json!(c.entrypoint)),
        ("Env", list(&c.env)),
        ("Labels", if c.labels.is_empty() { Value::Null } else { json!(c.labels) }),
        ("OnBuild", list(&c.on_build)),
        ("User", json!(c.user)),
        ("Volumes", set(&c.volumes)),
        ("WorkingDir", json!(c.working_dir)),
    ];
    let when_set = [
        ("ExposedPorts", set(&c.exposed_ports)),
        ("Healthcheck", json!(c.healthcheck)),
        ("StopSignal", json!(c.stop_signal)),
        ("Shell", json!(c.shell)),
        ("ArgsEscaped", if c.args_escaped { json!(true) } else { Value::Null }),
    ];
    let is_set = |v: &Value| !v.is_null() && v != &json!("");
    let old = !version.since(52);
    let mut map: Map<String, Value> = always
        .into_iter()
        .filter(|(_, v)| old || is_set(v))
        .chain(when_set.into_iter().filter(|(_, v)| is_set(v)))
        .map(|(k, v)| (k.to_owned(), v))
        .collect();
    if !version.since(50) {
        // Fields of containers that images never had a use for; old clients still expect them.
        for (key, value) in container_fields() {
            map.entry(key.to_owned()).or_insert(value);
        }
    }
    Value::Object(map)
}

fn container_fields() -> [(&'static str, Value); 9] {
    [
        ("Hostname", json!("")),
        ("Domainname", json!("")),
        ("AttachStdin", json!(false)),
        ("AttachStdout", json!(false)),
        ("AttachStderr", json!(false)),
        ("Tty", json!(false)),
        ("OpenStdin", json!(false)),
        ("StdinOnce", json!(false)),
        ("Image", json!("")),
    ]
}

/// `GET /images/{name}/history`.
pub fn history(image: &Image) -> Vec<docker::HistoryItem> {
    image
        .history_entries()
        .into_iter()
        .map(|entry| docker::HistoryItem {
            comment: entry.comment,
            created: time::seconds(entry.created),
            created_by: entry.created_by,
            id: entry.id.map_or_else(|| "<missing>".to_owned(), |id| id.to_string()),
            size: entry.size,
            tags: (!entry.tags.is_empty()).then_some(entry.tags),
        })
        .collect()
}
