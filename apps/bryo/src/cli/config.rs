//! docker's own configuration: `config.json` and the folder it lies in.
//!
//! The file belongs to docker and to every tool that reads it: what is not understood here is kept as it is. It is replaced as a
//! whole, so that a reader sees the old or the new one, and is readable by its owner only, for it may hold passwords.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::error::{CliError, Result};
use crate::contexts::replace;

/// The folder: `--config`, `DOCKER_CONFIG` or `~/.docker`.
#[derive(Debug, Clone)]
pub struct ConfigDir(PathBuf);

impl ConfigDir {
    /// Finds it; it need not exist.
    pub fn find(flag: Option<&str>) -> ConfigDir {
        let variable =
            |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let home = || variable("HOME").unwrap_or_else(|| PathBuf::from("/")).join(".docker");
        let path =
            flag.map(PathBuf::from).or_else(|| variable("DOCKER_CONFIG")).unwrap_or_else(home);
        ConfigDir(path)
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Reads `config.json`; one that is not there is empty.
    pub fn load(&self) -> Result<Config> {
        let file = self.0.join("config.json");
        let map = match std::fs::read(&file) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| {
                CliError::new(format!("loading config file: {}: {e}", file.display()))
            })?,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Map::new(),
            Err(e) => {
                return Err(CliError::new(format!("loading config file: {}: {e}", file.display())));
            }
        };
        Ok(Config { file, map })
    }

    /// Reads it; one that cannot be read is told about once and taken as empty, as docker does.
    pub fn load_or_empty(&self) -> Config {
        self.load().unwrap_or_else(|e| {
            eprintln!("WARNING: Error {e}");
            Config { file: self.0.join("config.json"), map: Map::new() }
        })
    }
}

/// `config.json`.
#[derive(Debug, Clone)]
pub struct Config {
    file: PathBuf,
    map: Map<String, Value>,
}

impl Config {
    /// The file's path.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// A setting that is text; empty counts as absent.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.map.get(key).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    /// A setting of any kind.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.map.get(key)
    }

    /// Sets a setting, or removes it.
    pub fn set(&mut self, key: &str, value: Option<Value>) {
        match value {
            Some(value) => drop(self.map.insert(key.to_owned(), value)),
            None => drop(self.map.shift_remove(key)),
        }
    }

    /// Sets or removes an entry of a setting that is a map; the map is made if it is not there.
    pub fn set_in(&mut self, section: &str, key: &str, value: Option<Value>) {
        let mut map = self.map.get(section).and_then(Value::as_object).cloned().unwrap_or_default();
        match value {
            Some(value) => drop(map.insert(key.to_owned(), value)),
            None => drop(map.shift_remove(key)),
        }
        self.map.insert(section.to_owned(), Value::Object(map));
    }

    /// Writes the file.
    pub fn save(&self) -> Result<()> {
        let mut text = Vec::new();
        let formatter = serde_json::ser::PrettyFormatter::with_indent(b"\t");
        let mut serializer = serde_json::Serializer::with_formatter(&mut text, formatter);
        serde::Serialize::serialize(&self.map, &mut serializer)
            .map_err(|e| CliError::new(e.to_string()))?;
        Ok(replace(&self.file, &text)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_understood_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(
            folder.path().join("config.json"),
            r#"{"z":[1],"auths":{},"currentContext":"a"}"#,
        )
        .unwrap();
        let dir = ConfigDir::find(folder.path().to_str());
        let mut config = dir.load().unwrap();
        assert_eq!(config.text("currentContext"), Some("a"));
        config.set("currentContext", None);
        config.set_in("auths", "r", Some(serde_json::json!({"auth": "x"})));
        config.save().unwrap();
        let text = std::fs::read_to_string(dir.path().join("config.json")).unwrap();
        assert_eq!(
            text,
            "{\n\t\"z\": [\n\t\t1\n\t],\n\t\"auths\": {\n\t\t\"r\": {\n\t\t\t\"auth\": \"x\"\n\t\t}\n\t}\n}"
        );
        std::fs::write(dir.path().join("config.json"), "{").unwrap();
        assert!(dir.load().is_err());
    }
}
