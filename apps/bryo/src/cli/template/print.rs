//! How Go prints values.

use serde_json::Value;

/// `%v`.
pub fn print(value: &Value) -> String {
    match value {
        Value::Null => "<no value>".to_owned(),
        other => nested(other),
    }
}

/// What Go prints for a field that is nothing: there, unlike in JSON, an absent list is still a list, and so is a map.
pub fn null(field: Option<&str>) -> String {
    const LISTS: &[&str] = &[
        "Args",
        "Binds",
        "CapAdd",
        "CapDrop",
        "Cmd",
        "DeviceCgroupRules",
        "DeviceRequests",
        "Devices",
        "Dns",
        "DnsOptions",
        "DnsSearch",
        "Entrypoint",
        "Env",
        "ExecIDs",
        "ExtraHosts",
        "GroupAdd",
        "Links",
        "MaskedPaths",
        "Mounts",
        "OnBuild",
        "ReadonlyPaths",
        "RepoDigests",
        "RepoTags",
        "SecurityOpt",
        "Ulimits",
        "VolumesFrom",
        "Warnings",
    ];
    const MAPS: &[&str] = &[
        "Containers",
        "ExposedPorts",
        "Labels",
        "Networks",
        "Options",
        "PortBindings",
        "Ports",
        "StorageOpt",
        "Sysctls",
        "Tmpfs",
        "Volumes",
    ];
    match field {
        Some("StopSignal" | "MacAddress" | "Runtime") => String::new(),
        Some(name) if LISTS.contains(&name) => "[]".to_owned(),
        Some(name) if MAPS.contains(&name) => "map[]".to_owned(),
        Some(_) => "<nil>".to_owned(),
        None => print(&Value::Null),
    }
}

/// Fields that the daemon leaves out when they are nothing, and that templates ask for all the same.
pub fn is_optional(field: &str) -> bool {
    const OPTIONAL: &[&str] = &[
        "Annotations",
        "DeviceRequests",
        "ExposedPorts",
        "Health",
        "Healthcheck",
        "Init",
        "MacAddress",
        "Mounts",
        "OnBuild",
        "Runtime",
        "Shell",
        "StopSignal",
        "StopTimeout",
        "StorageOpt",
        "Sysctls",
        "Tmpfs",
    ];
    OPTIONAL.contains(&field)
}

fn nested(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::Bool(b) => b.to_string(),
        Value::Number(n) => n.to_string(),
        Value::String(s) => s.clone(),
        Value::Array(list) => {
            format!("[{}]", list.iter().map(nested).collect::<Vec<_>>().join(" "))
        }
        Value::Object(map) => {
            let pairs: Vec<String> =
                map.iter().map(|(k, v)| format!("{k}:{}", nested(v))).collect();
            format!("map[{}]", pairs.join(" "))
        }
    }
}

/// `%q`.
pub fn quote(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_else(|_| format!("\"{text}\""))
}

/// JSON as Go's encoder writes it: `<`, `>` and `&` escaped.
pub fn json(value: &Value) -> String {
    let value = match value {
        Value::Object(map) if map.keys().any(|key| key.starts_with('\0')) => {
            let shown = map.iter().filter(|(key, _)| !key.starts_with('\0'));
            &Value::Object(shown.map(|(k, v)| (k.clone(), v.clone())).collect())
        }
        other => other,
    };
    value.to_string().replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}
