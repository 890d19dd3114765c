//! Which daemon is meant: `--context`, else `--host`, else `DOCKER_HOST`, else `DOCKER_CONTEXT`, else `currentContext` of
//! config.json, else `default`, which is the socket of the user's own engine.

use std::path::{Path, PathBuf};

use super::client::{Host, TlsFiles};
use super::config::ConfigDir;
use super::error::{CliError, Result};
use super::flags::Parsed;

use super::endpoint::{self, Endpoint};
use crate::contexts::{DEFAULT, Store};

/// A daemon that was chosen: its context's name and how it is reached.
#[derive(Debug, Clone)]
pub struct Chosen {
    /// The context's name.
    pub name: String,
    /// Where.
    pub host: Host,
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|v| !v.is_empty())
}

/// The name of the context that applies.
pub fn current(dir: &ConfigDir, global: &Parsed) -> Result<String> {
    if let Some(name) = global.get("context").filter(|name| !name.is_empty()) {
        if global.has("host") {
            return Err(CliError::new(
                "conflicting options: cannot specify both --host and --context",
            ));
        }
        return Ok(name.to_owned());
    }
    if global.has("host") || variable("DOCKER_HOST").is_some() {
        return Ok(DEFAULT.to_owned());
    }
    if let Some(name) = variable("DOCKER_CONTEXT") {
        return Ok(name);
    }
    Ok(Store::new(dir.path()).current()?)
}

/// The daemon that applies.
pub fn choose(dir: &ConfigDir, global: &Parsed) -> Result<Chosen> {
    let failed = |e: CliError| {
        CliError::new(format!("Failed to initialize: unable to resolve docker endpoint: {e}"))
    };
    let name = current(dir, global)?;
    if name == DEFAULT {
        let host = default_host(dir, global).map_err(failed)?;
        return Ok(Chosen { name, host });
    }
    let store = Store::new(dir.path());
    let endpoint = Endpoint::of(&endpoint::read(&store, &name).map_err(failed)?);
    let address = Some(endpoint.host.as_str()).filter(|host| !host.is_empty());
    let tls = endpoint::tls_files(&store, &name)
        .or(endpoint.skip_verify.then(TlsFiles::default))
        .map(|files| TlsFiles { verify: !endpoint.skip_verify, ..files });
    let host = match address {
        Some(text) => Host::parse(text, tls).map_err(failed)?,
        None => own_socket(),
    };
    Ok(Chosen { name, host })
}

/// The daemon of the context `default`, by flags and environment.
pub fn default_host(dir: &ConfigDir, global: &Parsed) -> Result<Host> {
    if global.all("host").len() > 1 {
        return Err(CliError::new("specify only one -H"));
    }
    let text = global.get("host").map(str::to_owned).or_else(|| variable("DOCKER_HOST"));
    match text.filter(|text| !text.is_empty()) {
        Some(text) => Host::parse(&text, tls(dir, global)),
        None => Ok(own_socket()),
    }
}

fn own_socket() -> Host {
    Host::default_of(variable("XDG_RUNTIME_DIR").as_deref().map(Path::new))
}

/// TLS by flags and environment: on with `--tls`, `--tlsverify` or their variables.
fn tls(dir: &ConfigDir, global: &Parsed) -> Option<TlsFiles> {
    let verify = global.is_or("tlsverify", variable("DOCKER_TLS_VERIFY").is_some());
    let on = verify || global.is_or("tls", variable("DOCKER_TLS").is_some());
    if !on {
        return None;
    }
    let folder = variable("DOCKER_CERT_PATH").map_or_else(|| dir.path().to_owned(), PathBuf::from);
    let file = |flag: &str, name: &str| {
        let given = global.get(flag).map(PathBuf::from);
        // A file that nobody named is used only if it is there.
        given.or_else(|| Some(folder.join(name)).filter(|path| path.exists()))
    };
    Some(TlsFiles {
        ca: file("tlscacert", "ca.pem"),
        certificate: file("tlscert", "cert.pem"),
        key: file("tlskey", "key.pem"),
        verify,
    })
}
