//! What `run` and `create` refuse before anything is asked of the daemon, in docker's words.

use bryo_spec::docker::units::parse_bytes;
use serde_json::{Value, json};

use super::super::error::{CliError, Result};
use super::super::flags::Parsed;

/// Checks the values that are passed on as they are.
pub fn values(p: &Parsed) -> Result<()> {
    for host in p.all("add-host") {
        if !host.contains([':', '=']) {
            return Err(argument(
                &host,
                "--add-host",
                &format!("bad format for add-host: \"{host}\""),
            ));
        }
    }
    for address in p.all("dns") {
        if address.parse::<std::net::IpAddr>().is_err() {
            let why = format!("IP address is not correctly formatted: {address}");
            return Err(argument(&address, "--dns", &why));
        }
    }
    for sysctl in p.all("sysctl") {
        const PREFIXES: [&str; 2] = ["net.", "fs.mqueue."];
        let known = sysctl.starts_with("kernel.")
            || PREFIXES.iter().any(|prefix| sysctl.starts_with(prefix));
        if !sysctl.contains('=') || !known {
            return Err(argument(
                &sysctl,
                "--sysctl",
                &format!("sysctl '{sysctl}' is not allowed"),
            ));
        }
    }
    if p.all("storage-opt").iter().any(|option| !option.contains('=')) {
        return Err(CliError::config("invalid storage option"));
    }
    if p.get("log-driver") == Some("none") && p.has("log-opt") {
        return Err(CliError::config("invalid logging opts for driver none"));
    }
    if let Some(mac) = p.get("mac-address").filter(|mac| !is_mac(mac)) {
        return Err(CliError::config(format!("{mac} is not a valid mac address")));
    }
    if let Some(n) = p.number::<i64>("memory-swappiness")?.filter(|n| !(-1..=100).contains(n)) {
        return Err(CliError::config(format!(
            "invalid value: {n}. Valid memory swappiness range is 0-100"
        )));
    }
    modes(p)
}

/// The modes of namespaces.
fn modes(p: &Parsed) -> Result<()> {
    let joins = |mode: &str| mode.strip_prefix("container:").is_some_and(|name| !name.is_empty());
    for (flag, word, modes) in [
        ("pid", "PID", &["host"][..]),
        ("userns", "USER", &["host"]),
        ("uts", "UTS", &["host"]),
        ("cgroupns", "CGROUP", &["host", "private"]),
    ] {
        let mode = p.text(flag);
        let good =
            mode.is_empty() || modes.contains(&mode.as_str()) || (flag == "pid" && joins(&mode));
        if !good {
            return Err(CliError::config(format!("--{flag}: invalid {word} mode")));
        }
    }
    Ok(())
}

fn is_mac(text: &str) -> bool {
    let parts: Vec<&str> = text.split([':', '-']).collect();
    parts.len() == 6
        && parts.iter().all(|part| part.len() == 2 && u8::from_str_radix(part, 16).is_ok())
}

/// `--device-read-bps /dev/x:1mb` and its relatives: `bytes` for rates in bytes, else plain numbers.
pub fn throttles(p: &Parsed, flag: &str, bytes: bool) -> Result<Vec<Value>> {
    let one = |text: &String| {
        let bad = |why: String| argument(text, &format!("--{flag}"), &why);
        let (path, rate) = device(text).ok_or_else(|| bad(format!("bad format: {text}")))?;
        let number = if bytes {
            parse_bytes(rate).and_then(|n| u64::try_from(n).ok())
        } else {
            rate.parse().ok()
        };
        let rate = number.ok_or_else(|| {
            let unit = if bytes { "[<unit>]. Number must be a positive integer. Unit is optional and can be kb, mb, or gb" } else { ". Number must be a positive integer" };
            bad(format!("invalid rate for device: {text}. The correct format is <device-path>:<number>{unit}"))
        })?;
        Ok(json!({ "Path": path, "Rate": rate }))
    };
    p.all(flag).iter().map(one).collect()
}

/// `--blkio-weight-device /dev/x:100`.
pub fn weights(p: &Parsed) -> Result<Vec<Value>> {
    const FLAG: &str = "blkio-weight-device";
    let one = |text: &String| {
        let bad = |why: String| argument(text, "--blkio-weight-device", &why);
        let (path, weight) = device(text).ok_or_else(|| bad(format!("bad format: {text}")))?;
        let weight: Option<u16> =
            weight.parse().ok().filter(|w| *w == 0 || (10..=1000).contains(w));
        let weight = weight.ok_or_else(|| bad(format!("invalid weight for device: {text}")))?;
        Ok(json!({ "Path": path, "Weight": weight }))
    };
    p.all(FLAG).iter().map(one).collect()
}

fn device(text: &str) -> Option<(&str, &str)> {
    text.split_once(':').filter(|(path, value)| !path.is_empty() && !value.contains(':'))
}

/// `--gpus all`, `--gpus 2`, `--gpus '"device=0,1",capabilities=utility'`.
pub fn gpus(text: &str) -> Result<Value> {
    let mut request = json!({ "Driver": "", "Count": 0, "DeviceIDs": null, "Capabilities": [["gpu"]], "Options": {} });
    let bad = |value: &str| {
        argument(
            text,
            "--gpus",
            &format!(
                "invalid count ({value}): value must be either \"all\" or an integer: invalid syntax"
            ),
        )
    };
    let count = |value: &str| match value {
        "all" => Ok(-1),
        number => number.parse::<i64>().map_err(|_| bad(number)),
    };
    let list = |value: &str| value.split(',').map(str::to_owned).collect::<Vec<_>>();
    let mut counted = false;
    for field in super::mounts::csv(text) {
        let (key, value) = field.split_once('=').unwrap_or(("count", &field));
        let slot = match key {
            "driver" => ("Driver", json!(value)),
            "count" => ("Count", json!(count(value)?)),
            "device" => ("DeviceIDs", json!(list(value))),
            "capabilities" => {
                let mut all = vec!["gpu".to_owned()];
                all.extend(list(value));
                ("Capabilities", json!([all]))
            }
            other => {
                return Err(argument(
                    text,
                    "--gpus",
                    &format!("unexpected key '{other}' in '{field}'"),
                ));
            }
        };
        counted |= matches!(slot.0, "Count" | "DeviceIDs");
        if let Some(map) = request.as_object_mut() {
            map.insert(slot.0.to_owned(), slot.1);
        }
    }
    if let Some(map) = request.as_object_mut().filter(|_| !counted) {
        map.insert("Count".to_owned(), json!(1));
    }
    Ok(json!([request]))
}

/// pflag's words for a value that a flag does not take.
fn argument(text: &str, flag: &str, why: &str) -> CliError {
    CliError::usage(format!("invalid argument \"{text}\" for \"{flag}\" flag: {why}"))
}
