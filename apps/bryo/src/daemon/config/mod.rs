//! The daemon's configuration: command line and daemon.json merged, defaults filled in, everything typed.
//!
//! ```text
//! argv ─ flags ─┐
//!               ├─ merge (a key given both ways with different values is an error) ─ Config
//! daemon.json ──┘
//! ```

mod cgroups;
pub mod file;
pub mod flags;
pub mod options;
mod typed;

use std::path::PathBuf;

use bryo_rootless::SetupError;
use serde_json::{Map, Value};

pub use flags::Flags;
pub use typed::{Config, Host, Tls};

use self::options::{OPTIONS, by_key};

/// What the user's environment says; the only place that reads it is `daemon::main`.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// The home folder.
    pub home: PathBuf,
    /// $XDG_DATA_HOME, if set.
    pub data_home: Option<PathBuf>,
    /// $XDG_CONFIG_HOME, if set.
    pub config_home: Option<PathBuf>,
    /// The runtime folder, or why there is none (only needed where a default comes from it).
    pub runtime_dir: Result<PathBuf, SetupError>,
}

/// Reads the file (if there is one), merges and types everything. The strings are warnings.
pub fn load(
    flags: &Flags,
    surroundings: &Surroundings,
) -> Result<(Config, Vec<String>), SetupError> {
    let path = flags.config_file.clone().or_else(|| default_file(surroundings));
    let file = match &path {
        Some(path) => file::read(path)?,
        None => file::File::default(),
    };
    let merged = merge(&flags.values, &file, path.as_deref())?;
    let warnings = idle_options(&merged);
    Ok((Config::from_values(&merged, surroundings)?, warnings))
}

/// Bryo's own file if it exists, else rootless Docker's.
fn default_file(surroundings: &Surroundings) -> Option<PathBuf> {
    let base =
        surroundings.config_home.clone().unwrap_or_else(|| surroundings.home.join(".config"));
    ["bryo", "docker"].iter().map(|n| base.join(n).join("daemon.json")).find(|p| p.exists())
}

fn merge(
    flags: &Map<String, Value>,
    file: &file::File,
    path: Option<&std::path::Path>,
) -> Result<Map<String, Value>, SetupError> {
    let mut merged = file.values.clone();
    for (key, value) in flags {
        if let Some(other) = merged.get(key)
            && other != value
        {
            let path = path.map(|p| p.display().to_string()).unwrap_or_default();
            let line = file.lines.get(key).copied().unwrap_or(1);
            let flag = by_key(key).map_or(key.as_str(), |o| o.flag);
            return Err(SetupError::new(
                format!(
                    "unable to configure the daemon with file {path}: the following directives are specified both as a \
                     flag and in the configuration file: {key}: (from flag: {value}, from file: {other})"
                ),
                format!("{path}:{line}: {key:?} and --{flag}"),
                format!("leave out --{flag}, or the key {key:?} in line {line} of {path}"),
            ));
        }
        merged.insert(key.clone(), value.clone());
    }
    Ok(merged)
}

/// Options of dockerd that do nothing here.
fn idle_options(values: &Map<String, Value>) -> Vec<String> {
    let idle = OPTIONS.iter().filter(|o| !o.works && values.contains_key(o.key));
    idle.map(|o| format!("the option {} has no effect: {}", o.key, o.help)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn surroundings(home: &Path) -> Surroundings {
        Surroundings {
            home: home.to_owned(),
            data_home: None,
            config_home: None,
            runtime_dir: Ok("/run/user/7".into()),
        }
    }

    fn flags(args: &[&str]) -> Flags {
        flags::parse(&args.iter().map(std::ffi::OsString::from).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn a_key_given_both_ways_must_agree() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join(".config/docker");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("daemon.json"), "{\n \"mtu\": 1400,\n \"experimental\": true}")
            .unwrap();
        let s = surroundings(dir.path());
        let (config, warnings) = load(&flags(&["--mtu", "1400"]), &s).unwrap();
        assert_eq!(config.mtu, 1400);
        assert_eq!(warnings.len(), 1);
        let e = load(&flags(&["--mtu=1500"]), &s).unwrap_err();
        assert!(e.cause.contains("mtu: (from flag: 1500, from file: 1400)"), "{e}");
        assert!(e.seen.contains("daemon.json:2"), "{e}");
    }

    #[test]
    fn bryos_own_file_comes_first() {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [("docker", "{\"mtu\": 1}"), ("bryo", "{\"mtu\": 1300}")] {
            let folder = dir.path().join(".config").join(name);
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join("daemon.json"), text).unwrap();
        }
        let (config, _) = load(&Flags::default(), &surroundings(dir.path())).unwrap();
        assert_eq!(config.mtu, 1300);
    }
}
