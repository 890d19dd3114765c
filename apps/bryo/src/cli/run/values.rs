//! Values of flags: durations, limits, devices, files of variables.

use std::collections::BTreeMap;
use std::path::Path;

use bryo_spec::docker;
use bryo_spec::docker::units::parse_bytes;

use super::super::error::{CliError, Result};

/// A size in bytes; nothing is 0.
pub fn bytes(flag: &str, text: Option<&str>) -> Result<i64> {
    match text {
        None | Some("") => Ok(0),
        Some(text) => parse_bytes(text).ok_or_else(|| {
            CliError::usage(format!(
                "invalid argument \"{text}\" for \"{flag}\" flag: invalid size: '{text}'"
            ))
        }),
    }
}

/// CPUs as 10⁻⁹.
pub fn nano_cpus(text: Option<&str>) -> Result<i64> {
    let Some(text) = text else { return Ok(0) };
    let invalid = || {
        CliError::usage(format!(
            "invalid argument \"{text}\" for \"--cpus\" flag: failed to parse {text} as a rational \
             number"
        ))
    };
    let cpus: f64 = text.parse().map_err(|_| invalid())?;
    if !(0.0..1e9).contains(&cpus) {
        return Err(invalid());
    }
    #[allow(clippy::cast_possible_truncation, reason = "between 0 and 1e18, checked above")]
    Ok((cpus * 1e9).round() as i64)
}

/// A duration of Go (`1m30s`, `500ms`), in nanoseconds.
pub fn duration(text: &str) -> Option<i64> {
    if text == "0" {
        return Some(0);
    }
    let mut rest = text;
    let mut total = 0f64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
        let (number, tail) = rest.split_at(digits);
        let number: f64 = number.parse().ok()?;
        let letters = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        total += number
            * match unit {
                "ns" => 1.0,
                "us" | "µs" => 1e3,
                "ms" => 1e6,
                "s" => 1e9,
                "m" => 60e9,
                "h" => 3600e9,
                _ => return None,
            };
        rest = tail;
    }
    #[allow(clippy::cast_possible_truncation, reason = "checked against i64's range just before")]
    (!text.is_empty() && total < 9.2e18).then_some(total as i64)
}

/// A duration flag; nothing is 0.
pub fn duration_flag(flag: &str, text: Option<&str>) -> Result<i64> {
    let Some(text) = text else { return Ok(0) };
    duration(text).ok_or_else(|| {
        CliError::usage(format!(
            "invalid argument \"{text}\" for \"--{flag}\" flag: time: invalid duration \"{text}\""
        ))
    })
}

/// `key=value` pairs as a map.
pub fn map(pairs: &[String]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

/// `on-failure:3`.
pub fn restart(text: &str) -> Result<docker::RestartPolicy> {
    let (name, count) = match text.split_once(':') {
        None => (text, 0),
        Some((name, count)) => {
            let count = count.parse().map_err(|_| {
                CliError::config(
                    "invalid restart policy format: maximum retry count must be an integer",
                )
            })?;
            (name, count)
        }
    };
    Ok(docker::RestartPolicy { name: name.to_owned(), maximum_retry_count: count })
}

/// `nofile=1024:2048`.
pub fn ulimit(text: &str) -> Result<docker::Ulimit> {
    let invalid = || {
        CliError::usage(format!(
            "invalid argument \"{text}\" for \"--ulimit\" flag: invalid ulimit argument: {text}"
        ))
    };
    let (name, limits) = text.split_once('=').ok_or_else(invalid)?;
    let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
    Ok(docker::Ulimit {
        name: name.to_owned(),
        hard: hard.parse().map_err(|_| invalid())?,
        soft: soft.parse().map_err(|_| invalid())?,
    })
}

/// `/dev/a[:/dev/b][:rwm]`.
pub fn device(text: &str) -> docker::DeviceMapping {
    let is_mode = |s: &str| !s.is_empty() && s.chars().all(|c| "rwm".contains(c));
    let parts: Vec<&str> = text.split(':').collect();
    let (host, container, mode) = match parts.as_slice() {
        [host, mode] if is_mode(mode) => (*host, *host, *mode),
        [host, container] => (*host, *container, "rwm"),
        [host, container, mode, ..] => (*host, *container, *mode),
        _ => (text, text, "rwm"),
    };
    docker::DeviceMapping {
        path_on_host: host.to_owned(),
        path_in_container: container.to_owned(),
        cgroup_permissions: mode.to_owned(),
    }
}

/// `-e` values and `--env-file` files: a name alone takes this process's value.
pub fn environment(files: &[String], values: &[String]) -> Result<Vec<String>> {
    let mut list = Vec::new();
    for file in files {
        for line in lines(file)? {
            let (name, value) = match line.split_once('=') {
                Some((name, _)) => (name, Some(line.clone())),
                None => (line.as_str(), std::env::var(&line).ok().map(|v| format!("{line}={v}"))),
            };
            if name.is_empty() || name.contains(char::is_whitespace) {
                return Err(CliError::config(format!(
                    "invalid environment file: {file}: variable '{name}' contains whitespaces"
                )));
            }
            list.extend(value);
        }
    }
    for value in values {
        if value.starts_with('=') || value.is_empty() {
            return Err(CliError::usage(format!(
                "invalid argument \"{value}\" for \"-e, --env\" flag: invalid environment variable: \
                 {value}"
            )));
        }
        list.push(match std::env::var(value) {
            Ok(own) if !value.contains('=') => format!("{value}={own}"),
            _ => value.clone(),
        });
    }
    Ok(list)
}

/// `--label-file` files and `-l` values.
pub fn labels(files: &[String], values: &[String]) -> Result<BTreeMap<String, String>> {
    let mut list = Vec::new();
    for file in files {
        list.extend(lines(file)?);
    }
    list.extend(values.iter().cloned());
    Ok(map(&list))
}

/// Lines of a file but comments and empty ones.
fn lines(file: &str) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(file).map_err(|e| {
        let why = match e.kind() {
            std::io::ErrorKind::NotFound => "no such file or directory".to_owned(),
            std::io::ErrorKind::IsADirectory => "is a directory".to_owned(),
            _ => e.to_string(),
        };
        CliError::config(format!("open {file}: {why}"))
    })?;
    let text = text.trim_start_matches('\u{feff}');
    let lines = text.lines().map(str::trim_start);
    Ok(lines.filter(|l| !l.is_empty() && !l.starts_with('#')).map(str::to_owned).collect())
}

/// `--security-opt`: a seccomp profile is a file here and its text on the wire.
pub fn security_options(list: &[String]) -> Result<Vec<String>> {
    list.iter()
        .map(|option| match option.strip_prefix("seccomp=").or(option.strip_prefix("seccomp:")) {
            Some(path) if path != "unconfined" && path != "builtin" && Path::new(path).exists() => {
                let text = std::fs::read_to_string(path).map_err(|e| {
                    CliError::config(format!("opening seccomp profile ({path}) failed: {e}"))
                })?;
                let profile: serde_json::Value = serde_json::from_str(&text).map_err(|e| {
                    CliError::config(format!(
                        "compacting json for seccomp profile ({path}) failed: {e}"
                    ))
                })?;
                Ok(format!("seccomp={profile}"))
            }
            Some(path) if path != "unconfined" && path != "builtin" => Err(CliError::config(format!(
                "opening seccomp profile ({path}) failed: open {path}: no such file or directory"
            ))),
            _ => Ok(option.clone()),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_parsed_as_docker_parses_them() {
        assert_eq!(bytes("-m, --memory", Some("32m")).unwrap(), 32 << 20);
        assert_eq!(nano_cpus(Some("0.5")).unwrap(), 500_000_000);
        assert!(nano_cpus(Some("-1")).is_err());
        assert_eq!(duration("1m30s"), Some(90_000_000_000));
        assert_eq!(duration("500ms"), Some(500_000_000));
        assert_eq!(duration("5"), None);
        assert_eq!(restart("on-failure:3").unwrap().maximum_retry_count, 3);
        let limit = ulimit("nofile=10:20").unwrap();
        assert_eq!((limit.soft, limit.hard), (10, 20));
        assert_eq!(device("/dev/fuse:r").cgroup_permissions, "r");
        assert_eq!(device("/dev/a:/dev/b").path_in_container, "/dev/b");
    }
}
