//! Log drivers: what `--log-driver` and `--log-opt` may say, and what the monitor is told.

use std::collections::BTreeMap;

use bryo_monitor::messages::{LogConfig, LogFile};

use crate::containers::record::{ContainerRecord, Paths, path_text};
use crate::model::LogSettings;
use crate::util::short;
use crate::{Error, Result};

/// Bytes after which `local` rotates unless told otherwise.
const LOCAL_SIZE: u64 = 20_000_000;

/// Files that `local` keeps unless told otherwise.
const LOCAL_FILES: u32 = 5;

const COMMON: &[&str] = &["mode", "max-buffer-size"];
const ATTRIBUTES: &[&str] = &["labels", "labels-regex", "env", "env-regex", "tag"];

/// Refuses drivers and options that are not known, and values that make no sense.
pub(crate) fn check(log: &LogSettings) -> Result<()> {
    let known: &[&str] = match log.driver.as_str() {
        "json-file" => &["max-size", "max-file", "compress"],
        "local" => &["max-size", "max-file", "compress"],
        "none" => &[],
        other => {
            return Err(Error::invalid(format!(
                "logger: no log driver named '{other}' is registered"
            )));
        }
    };
    let driver = &log.driver;
    for (key, value) in &log.options {
        let attribute = driver != "none" && ATTRIBUTES.contains(&key.as_str());
        if !known.contains(&key.as_str()) && !COMMON.contains(&key.as_str()) && !attribute {
            return Err(Error::invalid(format!("unknown log opt '{key}' for {driver} log driver")));
        }
        if key == "mode" && value != "blocking" && value != "non-blocking" {
            return Err(Error::invalid(format!("logger: logging mode not supported: {value}")));
        }
    }
    if driver != "none" {
        rotation(log)?;
    }
    Ok(())
}

struct Rotation {
    max_size: Option<u64>,
    max_file: u32,
    compress: bool,
}

fn rotation(log: &LogSettings) -> Result<Rotation> {
    let local = log.driver == "local";
    let option = |key: &str| log.options.get(key).filter(|v| !v.is_empty());
    let max_size = match option("max-size").map(String::as_str) {
        None => local.then_some(LOCAL_SIZE),
        Some("-1") if !local => None,
        Some(text) => match bytes(text) {
            Some(size) if size > 0 => Some(size),
            _ => return Err(Error::invalid(format!("invalid size: '{text}'"))),
        },
    };
    let max_file = match option("max-file") {
        None if local => LOCAL_FILES,
        None => 1,
        Some(text) => text.parse::<u32>().map_err(|_| {
            Error::invalid(format!("invalid value for max-file: '{text}' is not a number"))
        })?,
    };
    if max_file < 1 {
        return Err(Error::invalid("max-file cannot be less than 1"));
    }
    let compress = match option("compress").map(String::as_str) {
        None => local,
        Some(text) => parse_bool(text).ok_or_else(|| {
            Error::invalid(format!(
                "invalid value for compress: '{text}' is neither true nor false"
            ))
        })?,
    };
    if compress && option("compress").is_some() && (max_file < 2 || max_size.is_none()) {
        return Err(Error::invalid(
            "compress cannot be true when max-file is less than 2 or max-size is not set",
        ));
    }
    Ok(Rotation { max_size, max_file, compress: compress && max_file > 1 })
}

/// What Go's `strconv.ParseBool` takes.
fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// `10m`, `1.5g`, `200kb`: powers of 1000 in spelling, of 1024 in meaning, as Docker reads sizes of memory and logs.
pub(crate) fn bytes(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let shift = match unit.trim() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let unit = 1u64.checked_shl(shift)?;
    let whole: u64 = whole.parse().ok()?;
    let digits = u32::try_from(fraction.len()).ok().filter(|d| *d <= 9)?;
    let part = fraction.parse::<u64>().ok()?.checked_mul(unit)? / 10u64.checked_pow(digits)?;
    whole.checked_mul(unit)?.checked_add(part)
}

/// What the monitor is to write; a record that passed [`check`] always has one.
pub(crate) fn config(record: &ContainerRecord, paths: &Paths) -> Result<LogConfig> {
    let log = &record.spec.log;
    let path = match log.driver.as_str() {
        "none" => return Ok(LogConfig::None),
        "local" => paths.local_log(&record.id),
        _ => paths.json_log(&record.id),
    };
    let Rotation { max_size, max_file, compress } = rotation(log)?;
    let file =
        LogFile { path: path_text(&path), max_size, max_file, compress, attrs: attributes(record) };
    Ok(if log.driver == "local" { LogConfig::Local(file) } else { LogConfig::JsonFile(file) })
}

/// `labels`, `env` and `tag`, which `logs --details` shows.
fn attributes(record: &ContainerRecord) -> BTreeMap<String, String> {
    let options = &record.spec.log.options;
    let mut out = BTreeMap::new();
    let listed =
        |key: &str| options.get(key).map(|l| l.split(',').map(str::to_string).collect::<Vec<_>>());
    for key in listed("labels").unwrap_or_default() {
        if let Some(value) = record.spec.labels.get(&key) {
            out.insert(key, value.clone());
        }
    }
    for key in listed("env").unwrap_or_default() {
        let value = record.spec.env.iter().find_map(|e| e.strip_prefix(&format!("{key}=")));
        if let Some(value) = value {
            out.insert(key, value.to_string());
        }
    }
    if let Some(tag) = options.get("tag").filter(|t| !t.is_empty()) {
        out.insert("tag".into(), fill_in(tag, record));
    }
    out
}

/// Docker's tag templates, as far as they name fields.
fn fill_in(template: &str, record: &ContainerRecord) -> String {
    let id = short(&record.id).to_string();
    let image = record.image_id.strip_prefix("sha256:").unwrap_or(&record.image_id);
    let fields = [
        ("{{.ID}}", id),
        ("{{.FullID}}", record.id.clone()),
        ("{{.Name}}", record.name.clone()),
        ("{{.ImageID}}", short(image).to_string()),
        ("{{.ImageFullID}}", record.image_id.clone()),
        ("{{.ImageName}}", record.spec.image.clone()),
        ("{{.DaemonName}}", "bryo".to_string()),
    ];
    let mut text = template.to_string();
    for (field, value) in fields {
        text = text.replace(field, &value);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(driver: &str, options: &[(&str, &str)]) -> LogSettings {
        LogSettings {
            driver: driver.into(),
            options: options.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
        }
    }

    #[test]
    fn drivers_and_options_are_checked_in_dockers_words() {
        let refusal = |l: LogSettings| check(&l).unwrap_err().message().to_string();
        assert_eq!(
            refusal(log("syslog", &[])),
            "logger: no log driver named 'syslog' is registered"
        );
        assert_eq!(
            refusal(log("json-file", &[("x", "1")])),
            "unknown log opt 'x' for json-file log driver"
        );
        assert_eq!(
            refusal(log("json-file", &[("max-file", "0")])),
            "max-file cannot be less than 1"
        );
        assert!(refusal(log("json-file", &[("compress", "true")])).starts_with("compress cannot"));
        check(&log("local", &[("max-size", "1m"), ("labels", "a,b")])).unwrap();
        check(&log("none", &[])).unwrap();
    }

    #[test]
    fn sizes() {
        assert_eq!(bytes("10m"), Some(10 << 20));
        assert_eq!(bytes("1.5k"), Some(1536));
        assert_eq!(bytes("7"), Some(7));
        assert_eq!(bytes("x"), None);
    }
}
