//! What the command line needs of docker's context store beside the store itself: how a context's daemon is reached, its
//! certificates (`contexts/tls/HASH/docker/{ca,cert,key}.pem`), and contexts as archives.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::client::TlsFiles;
use super::error::{CliError, Result};
use crate::contexts::{Context, DEFAULT, Store, replace};

/// Largest archive of a context that is believed, in bytes.
const MAX_IMPORT: u64 = 10 << 20;

/// The file names of an endpoint's certificates.
const TLS_NAMES: [&str; 3] = ["ca.pem", "cert.pem", "key.pem"];

/// Contents of certificates: authority, certificate, key.
pub type Material = [Option<Vec<u8>>; 3];

/// How a context reaches its daemon.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Endpoint {
    /// As `--host` takes it; empty: the default.
    pub host: String,
    /// Do not check the daemon's certificate.
    pub skip_verify: bool,
}

impl Endpoint {
    /// That of a context.
    pub fn of(context: &Context) -> Endpoint {
        let docker = context.endpoints.get("docker");
        let skip = docker.and_then(|d| d.get("SkipTLSVerify")).and_then(Value::as_bool);
        Endpoint {
            host: context.host().unwrap_or_default().to_owned(),
            skip_verify: skip.unwrap_or_default(),
        }
    }

    /// Puts it into a context.
    pub fn put_into(&self, context: &mut Context) {
        let docker = json!({ "Host": self.host, "SkipTLSVerify": self.skip_verify });
        context.endpoints.insert("docker".to_owned(), docker);
    }
}

/// Changes what the user wrote about a context; nothing takes it away.
pub fn describe(context: &mut Context, text: &str) {
    match text {
        "" => drop(context.metadata.remove("Description")),
        text => drop(context.metadata.insert("Description".to_owned(), text.into())),
    }
}

/// Refuses names that no context may have.
pub fn check_name(name: &str) -> Result<()> {
    if name == DEFAULT {
        return Err(CliError::new("\"default\" is a reserved context name"));
    }
    let rest = |c: char| c.is_ascii_alphanumeric() || "_.+-".contains(c);
    let first = |c: char| c.is_ascii_alphanumeric();
    if name.len() > 1 && name.starts_with(first) && name.chars().all(rest) {
        return Ok(());
    }
    Err(CliError::new(format!(
        "context name \"{name}\" is invalid, names are validated against regexp \"^[a-zA-Z0-9][a-zA-Z0-9_.+-]+$\""
    )))
}

/// Reads a context, with docker's complaint when there is none.
pub fn read(store: &Store, name: &str) -> Result<Context> {
    let missing = || {
        let file = store.meta_folder(name).join("meta.json");
        CliError::new(format!(
            "context \"{name}\": context not found: open {}: no such file or directory",
            file.display()
        ))
    };
    store.get(name)?.ok_or_else(missing)
}

fn tls_folder(store: &Store, name: &str) -> PathBuf {
    store.tls_folder(name).join("docker")
}

/// A context's certificates, if it has any; the server's is checked.
pub fn tls_files(store: &Store, name: &str) -> Option<TlsFiles> {
    let folder = tls_folder(store, name);
    let file = |name: &str| Some(folder.join(name)).filter(|path| path.exists());
    let [ca, certificate, key] = TLS_NAMES.map(file);
    let any = ca.is_some() || certificate.is_some() || key.is_some();
    any.then_some(TlsFiles { ca, certificate, key, verify: true })
}

/// The names of those certificates.
pub fn tls_names(store: &Store, name: &str) -> Vec<&'static str> {
    let folder = tls_folder(store, name);
    TLS_NAMES.into_iter().filter(|file| folder.join(file).exists()).collect()
}

/// The certificates' contents.
pub fn read_tls(store: &Store, name: &str) -> Material {
    let folder = tls_folder(store, name);
    TLS_NAMES.map(|file| std::fs::read(folder.join(file)).ok())
}

/// Keeps certificates; what is `None` goes.
pub fn write_tls(store: &Store, name: &str, files: Material) -> Result<()> {
    let folder = tls_folder(store, name);
    for (file, bytes) in TLS_NAMES.iter().zip(files) {
        let path = folder.join(file);
        match bytes {
            Some(bytes) => replace(&path, &bytes)?,
            None if path.exists() => std::fs::remove_file(&path)?,
            None => {}
        }
    }
    Ok(())
}

/// A context as files of an archive.
pub fn export(store: &Store, name: &str) -> Result<Vec<(String, Vec<u8>)>> {
    let context = read(store, name)?;
    let meta = serde_json::to_vec(&context).map_err(|e| CliError::new(e.to_string()))?;
    let mut files = vec![("meta.json".to_owned(), meta)];
    for (file, bytes) in TLS_NAMES.iter().zip(read_tls(store, name)) {
        files.extend(bytes.map(|bytes| (format!("tls/docker/{file}"), bytes)));
    }
    Ok(files)
}

/// Takes a context out of an archive, under a new name.
pub fn import(store: &Store, name: &str, archive: &[u8]) -> Result<()> {
    let failed = |e: String| CliError::new(format!("importing context \"{name}\": {e}"));
    let files =
        bryo_images::bundle::read(archive, MAX_IMPORT).map_err(|e| failed(e.to_string()))?;
    let get = |path: &str| files.iter().find(|(name, _)| name == path).map(|(_, bytes)| bytes);
    let meta =
        get("meta.json").ok_or_else(|| failed("invalid context: no metadata found".to_owned()))?;
    let mut context: Context = serde_json::from_slice(meta).map_err(|e| failed(e.to_string()))?;
    name.clone_into(&mut context.name);
    store.put(&context)?;
    write_tls(store, name, TLS_NAMES.map(|file| get(&format!("tls/docker/{file}")).cloned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_travels_with_its_certificates() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path());
        let one = Context::new("one", "", "tcp://127.0.0.1:2376");
        store.put(&one).unwrap();
        write_tls(&store, "one", [Some(b"ca".to_vec()), None, None]).unwrap();
        let mut archive = Vec::new();
        bryo_images::bundle::write(&export(&store, "one").unwrap(), &mut archive).unwrap();
        import(&store, "two", &archive).unwrap();
        assert_eq!(Endpoint::of(&read(&store, "two").unwrap()), Endpoint::of(&one));
        assert_eq!(tls_names(&store, "two"), ["ca.pem"]);
        assert!(tls_files(&store, "two").unwrap().verify);
        assert!(import(&store, "x1", b"no archive").is_err());
    }

    #[test]
    fn names_are_checked() {
        for bad in ["", "a", "default", "a/b", "-ab", "../.."] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
        assert!(check_name("my-host_1.x+y").is_ok());
    }
}
