//! docker's context store: which daemons the user has names for, and which of them is meant when none is said.
//!
//! ```text
//! ~/.docker/config.json                       {"currentContext": "rootless", …}   no such key: "default"
//! ~/.docker/contexts/meta/<sha256 of name>/meta.json    {"Name", "Metadata", "Endpoints": {"docker": {"Host"}}}
//! ~/.docker/contexts/tls/<sha256 of name>/docker/…      certificates, if any
//! ```
//!
//! Both are docker's files and stay readable for its CLI: keys that are not known here are kept. Every file is written
//! beside its place and moved there, so that a reader never sees half of one. Errors name the file.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

/// The context that always exists and has no file.
pub const DEFAULT: &str = "default";

/// A folder of docker's CLI: `$DOCKER_CONFIG`, usually `~/.docker`.
#[derive(Debug, Clone)]
pub struct Store {
    folder: PathBuf,
}

/// A named daemon.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Context {
    /// Its name.
    pub name: String,
    /// `Description`, and whatever else a client wrote.
    #[serde(default)]
    pub metadata: Map<String, Value>,
    /// By kind; `docker` has `Host` and `SkipTLSVerify`.
    #[serde(default)]
    pub endpoints: Map<String, Value>,
}

impl Context {
    /// A context of one daemon, without TLS.
    pub fn new(name: &str, description: &str, host: &str) -> Context {
        let mut metadata = Map::new();
        metadata.insert("Description".into(), description.into());
        let mut endpoints = Map::new();
        endpoints
            .insert("docker".into(), serde_json::json!({ "Host": host, "SkipTLSVerify": false }));
        Context { name: name.to_owned(), metadata, endpoints }
    }

    /// The daemon's address, as `--host` takes it.
    pub fn host(&self) -> Option<&str> {
        self.endpoints.get("docker")?.get("Host")?.as_str()
    }

    /// What the user wrote about it.
    pub fn description(&self) -> &str {
        self.metadata.get("Description").and_then(Value::as_str).unwrap_or_default()
    }
}

impl Store {
    /// The store in that folder, which need not exist.
    pub fn new(folder: impl Into<PathBuf>) -> Store {
        Store { folder: folder.into() }
    }

    /// `config.json`.
    pub fn config_file(&self) -> PathBuf {
        self.folder.join("config.json")
    }

    /// The folder of a context's certificates.
    pub fn tls_folder(&self, name: &str) -> PathBuf {
        self.folder.join("contexts/tls").join(id(name))
    }

    /// The folder of a context's own file.
    pub fn meta_folder(&self, name: &str) -> PathBuf {
        self.folder.join("contexts/meta").join(id(name))
    }

    /// A context, if there is one of that name.
    pub fn get(&self, name: &str) -> io::Result<Option<Context>> {
        read(&self.meta_folder(name).join("meta.json"))
    }

    /// All contexts by name, without `default`.
    pub fn list(&self) -> io::Result<Vec<Context>> {
        let folder = self.folder.join("contexts/meta");
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(about(&folder, &e)),
        };
        let mut found = Vec::new();
        for entry in entries {
            let file = entry.map_err(|e| about(&folder, &e))?.path().join("meta.json");
            found.extend(read::<Context>(&file)?);
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    /// Writes a context, over one of the same name.
    pub fn put(&self, context: &Context) -> io::Result<()> {
        write(&self.meta_folder(&context.name).join("meta.json"), context)
    }

    /// Takes a context and its certificates away; whether there was one.
    pub fn remove(&self, name: &str) -> io::Result<bool> {
        let mut found = false;
        for folder in [self.meta_folder(name), self.tls_folder(name)] {
            match std::fs::remove_dir_all(&folder) {
                Ok(()) => found = true,
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(about(&folder, &e)),
            }
        }
        Ok(found)
    }

    /// The name that `use` chose; `default` if none.
    pub fn current(&self) -> io::Result<String> {
        let config: Option<Map<String, Value>> = read(&self.config_file())?;
        let name = config.as_ref().and_then(|c| c.get("currentContext")).and_then(Value::as_str);
        Ok(name.filter(|n| !n.is_empty()).unwrap_or(DEFAULT).to_owned())
    }

    /// Makes a name the current one; `default` removes the key, as docker does. The rest of the file stays.
    pub fn set_current(&self, name: &str) -> io::Result<()> {
        let file = self.config_file();
        let old: Option<Map<String, Value>> = read(&file)?;
        let mut config = old.clone().unwrap_or_default();
        if name == DEFAULT {
            config.remove("currentContext");
        } else {
            config.insert("currentContext".into(), name.into());
        }
        if old.unwrap_or_default() == config { Ok(()) } else { write(&file, &config) }
    }
}

/// The folder name that docker gives to a context.
fn id(name: &str) -> String {
    Sha256::digest(name.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn about(path: &Path, e: &dyn std::fmt::Display) -> io::Error {
    io::Error::other(format!("{}: {e}", path.display()))
}

fn read<T: serde::de::DeserializeOwned>(file: &Path) -> io::Result<Option<T>> {
    match std::fs::read(file) {
        Ok(text) => serde_json::from_slice(&text).map(Some).map_err(|e| about(file, &e)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(about(file, &e)),
    }
}

/// Writes JSON, indented by tabs as docker does.
fn write(file: &Path, value: &impl Serialize) -> io::Result<()> {
    let mut text = Vec::new();
    let tabs = serde_json::ser::PrettyFormatter::with_indent(b"\t");
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut text, tabs))?;
    replace(file, &text)
}

/// Puts a whole file where another may be; it may hold credentials, so it is the user's alone.
pub fn replace(file: &Path, text: &[u8]) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
    // A link (a dotfile manager's, say) stays one: what it leads to is replaced.
    let file = &std::fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let folder = file.parent().unwrap_or(Path::new("."));
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|e| about(folder, &e))?;
    let temporary = file.with_extension(format!("json.{}", std::process::id()));
    let written = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)
        .and_then(|mut f| io::Write::write_all(&mut f, text))
        .and_then(|()| std::fs::rename(&temporary, file));
    written.map_err(|e| {
        let _ = std::fs::remove_file(&temporary);
        about(file, &e)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_comes_and_goes_where_docker_looks_for_it() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path());
        assert_eq!(store.list().unwrap(), []);
        let context = Context::new("rootless", "Rootless mode", "unix:///run/user/7/docker.sock");
        store.put(&context).unwrap();
        // sha256("rootless"), as `docker context export` and the CLI's own folders show it.
        let id = id("rootless");
        assert!(dir.path().join("contexts/meta").join(&id).join("meta.json").exists());
        assert_eq!(id.len(), 64);
        assert_eq!(store.get("rootless").unwrap().unwrap(), context);
        assert_eq!(context.host(), Some("unix:///run/user/7/docker.sock"));
        assert_eq!(store.list().unwrap()[0].description(), "Rootless mode");
        assert!(store.remove("rootless").unwrap());
        assert!(!store.remove("rootless").unwrap());
    }

    #[test]
    fn the_current_context_is_one_key_among_others() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path());
        assert_eq!(store.current().unwrap(), "default");
        store.set_current("default").unwrap();
        assert!(!store.config_file().exists(), "nothing to say, nothing written");
        std::fs::write(store.config_file(), r#"{"auths": {"r": {}}, "psFormat": "x"}"#).unwrap();
        store.set_current("rootless").unwrap();
        assert_eq!(store.current().unwrap(), "rootless");
        let text = std::fs::read_to_string(store.config_file()).unwrap();
        assert!(text.contains("\"psFormat\": \"x\"") && text.contains("auths"), "{text}");
        store.set_current("default").unwrap();
        assert!(!std::fs::read_to_string(store.config_file()).unwrap().contains("currentContext"));
        std::fs::write(store.config_file(), "{").unwrap();
        assert!(store.current().unwrap_err().to_string().contains("config.json"));
    }
}
