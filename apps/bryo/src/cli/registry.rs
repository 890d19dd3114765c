//! Credentials of registries: kept where docker keeps them, sent as docker sends them.
//!
//! `config.json` names a helper for all registries (`credsStore`) or for one (`credHelpers`), a program
//! `docker-credential-NAME` that is asked over its standard streams; without one the file itself holds them, in base64.

use std::io::Write;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use bryo_images::Reference;
use serde_json::{Value, json};

use super::config::Config;
use super::context::Context;
use super::error::{CliError, Result};

/// The key of Docker Hub's credentials.
pub const HUB: &str = "https://index.docker.io/v1/";

/// What a registry is shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    /// User; `<token>` when the secret is an identity token.
    pub user: String,
    /// Password or token.
    pub secret: String,
}

/// The user name that marks a token.
const TOKEN: &str = "<token>";

/// The key under which a registry's credentials are kept: without scheme and path, Docker Hub by its old address.
pub fn key(server: &str) -> String {
    let bare = server.trim_start_matches("https://").trim_start_matches("http://");
    let host = bare.split('/').next().unwrap_or_default();
    match host {
        "" | "docker.io" | "index.docker.io" | "registry-1.docker.io" => HUB.to_owned(),
        host => host.to_owned(),
    }
}

/// The credentials of a registry, if the user has logged in there.
pub fn find(config: &Config, server: &str) -> Result<Option<Credentials>> {
    let key = key(server);
    if let Some(helper) = helper(config, &key) {
        return ask(&helper, &key);
    }
    let entry = config.get("auths").and_then(|auths| {
        let auths = auths.as_object()?;
        let same = |name: &&String| self::key(name) == key;
        auths.get(&key).or_else(|| auths.get(auths.keys().find(same)?))
    });
    Ok(entry.and_then(decode))
}

fn decode(entry: &Value) -> Option<Credentials> {
    let text = |key: &str| entry.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    if let Some(token) = text("identitytoken") {
        return Some(Credentials { user: TOKEN.to_owned(), secret: token.to_owned() });
    }
    let bytes = STANDARD.decode(text("auth")?).ok()?;
    let pair = String::from_utf8(bytes).ok()?;
    let (user, secret) = pair.split_once(':')?;
    Some(Credentials { user: user.to_owned(), secret: secret.trim_end_matches('\0').to_owned() })
}

/// Keeps credentials; whether they lie in the file, where whoever reads it reads them.
pub fn store(config: &mut Config, server: &str, credentials: &Credentials) -> Result<bool> {
    let key = key(server);
    if let Some(helper) = helper(config, &key) {
        let body =
            json!({ "ServerURL": key, "Username": credentials.user, "Secret": credentials.secret });
        run(&helper, "store", &body.to_string())?;
        // docker lists the registry, so that `logout` knows of it.
        config.set_in("auths", &key, Some(json!({})));
        config.save()?;
        return Ok(false);
    }
    let entry = if credentials.user == TOKEN {
        json!({ "identitytoken": credentials.secret })
    } else {
        json!({ "auth": STANDARD.encode(format!("{}:{}", credentials.user, credentials.secret)) })
    };
    config.set_in("auths", &key, Some(entry));
    config.save()?;
    Ok(true)
}

/// Forgets credentials; whether there were any.
pub fn erase(config: &mut Config, server: &str) -> Result<bool> {
    let key = key(server);
    let listed = config.get("auths").and_then(|auths| auths.get(&key)).is_some();
    if let Some(helper) = helper(config, &key) {
        if ask(&helper, &key)?.is_some() {
            run(&helper, "erase", &key)?;
        }
    }
    if listed {
        config.set_in("auths", &key, None);
        config.save()?;
    }
    Ok(listed)
}

fn helper(config: &Config, key: &str) -> Option<String> {
    let own = config.get("credHelpers").and_then(|map| map.get(key)).and_then(Value::as_str);
    own.or_else(|| config.text("credsStore")).filter(|name| !name.is_empty()).map(str::to_owned)
}

fn ask(helper: &str, key: &str) -> Result<Option<Credentials>> {
    let text = match run(helper, "get", key) {
        Err(e) if e.to_string().contains("credentials not found") => return Ok(None),
        other => other?,
    };
    let value: Value = serde_json::from_str(&text)
        .map_err(|e| CliError::new(format!("docker-credential-{helper} answered no JSON: {e}")))?;
    let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    Ok(Some(Credentials { user: text("Username"), secret: text("Secret") })
        .filter(|c| !c.secret.is_empty()))
}

fn run(helper: &str, action: &str, input: &str) -> Result<String> {
    let program = format!("docker-credential-{helper}");
    let failed = |why: String| {
        CliError::new(format!("error getting credentials - {program} {action}: {why}"))
    };
    let mut child = Command::new(&program)
        .arg(action)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| failed(format!("{e}; it is named in config.json and must be in $PATH")))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A helper that does not read ends with an error of its own, which is the better one.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().map_err(|e| failed(e.to_string()))?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if output.status.success() { Ok(text) } else { Err(failed(text)) }
}

/// `X-Registry-Auth` for an image: the registry's credentials, or `None` when there are none.
pub fn header(context: &Context, image: &str) -> Result<Option<String>> {
    let Ok(reference) = Reference::parse(image) else { return Ok(None) };
    let found = find(&context.config.load_or_empty(), reference.domain())?;
    Ok(found.map(|credentials| encode(reference.domain(), &credentials)))
}

/// The header's form of credentials.
pub fn encode(server: &str, credentials: &Credentials) -> String {
    let server = key(server);
    let body = if credentials.user == TOKEN {
        json!({ "identitytoken": credentials.secret, "serveraddress": server })
    } else {
        json!({ "username": credentials.user, "password": credentials.secret, "serveraddress": server })
    };
    URL_SAFE.encode(body.to_string())
}

#[cfg(test)]
mod tests {
    use super::super::config::ConfigDir;
    use super::*;

    #[test]
    fn credentials_are_kept_as_docker_keeps_them() {
        let folder = tempfile::tempdir().unwrap();
        let dir = ConfigDir::find(folder.path().to_str());
        let mut config = dir.load().unwrap();
        let mine = Credentials { user: "anna".into(), secret: "a:b".into() };
        assert!(store(&mut config, "https://127.0.0.1:5000/v2/", &mine).unwrap());
        let text = std::fs::read_to_string(config.file()).unwrap();
        assert!(text.contains("\"127.0.0.1:5000\"") && text.contains("YW5uYTphOmI="), "{text}");
        let config = dir.load().unwrap();
        assert_eq!(find(&config, "127.0.0.1:5000").unwrap(), Some(mine));
        assert_eq!(find(&config, "docker.io").unwrap(), None);
        let mut config = config;
        assert!(erase(&mut config, "127.0.0.1:5000").unwrap());
        assert!(!erase(&mut config, "127.0.0.1:5000").unwrap());
        assert_eq!(key("docker.io"), HUB);
    }

    #[test]
    fn a_helper_is_named_for_all_or_for_one() {
        let folder = tempfile::tempdir().unwrap();
        let text = r#"{"credsStore":"all","credHelpers":{"r.example":"one"}}"#;
        std::fs::write(folder.path().join("config.json"), text).unwrap();
        let config = ConfigDir::find(folder.path().to_str()).load().unwrap();
        assert_eq!(helper(&config, "r.example").as_deref(), Some("one"));
        assert_eq!(helper(&config, HUB).as_deref(), Some("all"));
        assert!(
            find(&config, "r.example").unwrap_err().to_string().contains("docker-credential-one")
        );
    }
}
