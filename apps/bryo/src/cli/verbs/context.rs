//! Contexts: named daemons, in docker's own store.

use std::io::{IsTerminal, Read, Write};

use serde_json::{Value, json};

use super::super::context::Context;
use super::super::endpoint::{self, Endpoint, Material};
use super::super::error::{CliError, Result};
use super::super::flags::{Flag, LIST_FORMAT, Parsed, many, plain_format, switch, value};
use super::super::format::{Columns, print_list};
use crate::contexts::{self, DEFAULT, Store};

const DESCRIPTION: Flag = value("description", None, "string", "Description of the context");
const ENDPOINT: Flag =
    many("docker", None, "stringToString", "set the docker endpoint (default [])");

/// Flags of `context create`.
pub const CREATE: &[Flag] =
    &[DESCRIPTION, ENDPOINT, value("from", None, "string", "create context from a named context")];

/// Flags of `context update`.
pub const UPDATE: &[Flag] = &[DESCRIPTION, ENDPOINT];

/// Flags of `context ls`.
pub const LS: &[Flag] = &[LIST_FORMAT, switch("quiet", Some('q'), "Only show context names")];

/// Flags of `context inspect`.
pub const INSPECT: &[Flag] = &[plain_format(Some('f'))];

/// Flags of `context rm`.
pub const RM: &[Flag] = &[switch("force", Some('f'), "Force the removal of a context in use")];

const COLUMNS: Columns = Columns {
    kind: "*formatter.clientContextContext",
    default: "{{.Name}}{{if .Current}} *{{end}}\t{{.Description}}\t{{.DockerEndpoint}}\t{{.Error}}",
    titles: &[
        ("Name", "NAME"),
        ("Description", "DESCRIPTION"),
        ("DockerEndpoint", "DOCKER ENDPOINT"),
        ("Error", "ERROR"),
        ("Current", ""),
    ],
};

/// What the context `default` is called.
const BY_HOST: &str = "Current DOCKER_HOST based configuration";

/// Makes one.
pub async fn create(context: Context, p: Parsed) -> Result<u8> {
    let (store, name) = (Store::new(context.config.path()), first(&p));
    endpoint::check_name(name)?;
    if store.get(name)?.is_some() {
        return Err(CliError::new(format!("context \"{name}\" already exists")));
    }
    let mut new = contexts::Context::new(name, "", "");
    let mut target = Endpoint::default();
    let given = pairs(&p);
    let from = given.get("from").map(String::as_str).or(p.get("from"));
    let mut tls = [None, None, None];
    match from {
        Some(other) if other != DEFAULT => {
            let other = endpoint::read(&store, other)?;
            tls = endpoint::read_tls(&store, &other.name);
            target = Endpoint::of(&other);
            new = contexts::Context { name: name.to_owned(), ..other };
        }
        // Without an endpoint it is a copy of the one in use.
        _ if given.is_empty() => {
            endpoint::describe(&mut new, BY_HOST);
            target.host = context.client.host().to_string();
        }
        _ => {}
    }
    if let Some(text) = p.get("description") {
        endpoint::describe(&mut new, text);
    } else if new.description().is_empty() {
        endpoint::describe(&mut new, "");
    }
    apply(&mut target, &mut tls, &given)?;
    target.put_into(&mut new);
    store.put(&new)?;
    endpoint::write_tls(&store, name, tls)?;
    println!("{name}");
    eprintln!("Successfully created context \"{name}\"");
    Ok(0)
}

/// Changes one.
pub async fn update(context: Context, p: Parsed) -> Result<u8> {
    let (store, name) = (Store::new(context.config.path()), first(&p));
    let mut old = endpoint::read(&store, name)?;
    if let Some(text) = p.get("description") {
        endpoint::describe(&mut old, text);
    }
    let given = pairs(&p);
    if !given.is_empty() {
        let mut tls = [None, None, None];
        let mut target = Endpoint::default();
        apply(&mut target, &mut tls, &given)?;
        target.put_into(&mut old);
        endpoint::write_tls(&store, name, tls)?;
    }
    store.put(&old)?;
    println!("{name}");
    eprintln!("Successfully updated context \"{name}\"");
    Ok(0)
}

fn first(p: &Parsed) -> &str {
    p.args.first().map_or("", String::as_str)
}

/// `--docker host=…,ca=…` as pairs.
fn pairs(p: &Parsed) -> std::collections::BTreeMap<String, String> {
    let fields = p.all("docker");
    let fields = fields.iter().flat_map(|text| text.split(',')).filter(|field| !field.is_empty());
    fields
        .map(|field| field.split_once('=').unwrap_or((field, "")))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

fn apply(
    endpoint: &mut Endpoint,
    tls: &mut Material,
    pairs: &std::collections::BTreeMap<String, String>,
) -> Result<()> {
    let failed =
        |why: String| CliError::new(format!("unable to create docker endpoint config: {why}"));
    let read = |path: &str| {
        let home = std::env::var("HOME").unwrap_or_default();
        let path = path
            .strip_prefix("~/")
            .map_or_else(|| path.to_owned(), |rest| format!("{home}/{rest}"));
        std::fs::read(&path).map(Some).map_err(|e| failed(format!("open {path}: {e}")))
    };
    let [ca, certificate, key] = tls;
    for (name, value) in pairs {
        match name.as_str() {
            "from" => {}
            "host" => {
                super::super::client::Host::parse(value, None)
                    .map_err(|e| failed(e.to_string()))?;
                value.clone_into(&mut endpoint.host);
            }
            "ca" => *ca = read(value)?,
            "cert" => *certificate = read(value)?,
            "key" => *key = read(value)?,
            "skip-tls-verify" => {
                endpoint.skip_verify = value.parse().map_err(|_| {
                    failed(format!("skip-tls-verify must be true or false, not {value}"))
                })?;
            }
            other => return Err(failed(format!("unrecognized config key: {other}"))),
        }
    }
    Ok(())
}

/// Lists them.
pub async fn ls(context: Context, p: Parsed) -> Result<u8> {
    let store = Store::new(context.config.path());
    let mut list = store.list()?;
    list.push(contexts::Context::new(DEFAULT, BY_HOST, &context.default_host.to_string()));
    list.sort_by(|a, b| a.name.cmp(&b.name));
    if p.is("quiet") {
        list.iter().for_each(|c| println!("{}", c.name));
    } else {
        let row = |c: &contexts::Context, error: &str| {
            json!({
                "Name": c.name, "Description": c.description(), "DockerEndpoint": c.host(),
                "Current": c.name == context.name, "Error": error,
            })
        };
        let mut rows: Vec<Value> = list.iter().map(|c| row(c, "")).collect();
        if !list.iter().any(|c| c.name == context.name) {
            let lost = endpoint::read(&store, &context.name).err();
            let lost = lost.map(|e| e.to_string()).unwrap_or_default();
            rows.push(row(&contexts::Context::new(&context.name, "", ""), &lost));
        }
        print_list(&rows, p.get("format"), &COLUMNS)?;
    }
    if std::env::var("DOCKER_HOST").is_ok_and(|host| !host.is_empty()) {
        eprintln!(
            "Warning: DOCKER_HOST environment variable overrides the active context. To use a context, either set the \
             global --context flag, or unset DOCKER_HOST environment variable."
        );
    }
    Ok(0)
}

/// Makes one the current one.
pub async fn use_it(context: Context, p: Parsed) -> Result<u8> {
    let name = first(&p);
    if name != DEFAULT {
        endpoint::read(&Store::new(context.config.path()), name)?;
    }
    let mut config = context.config.load()?;
    // docker writes this section in any case, and tools that read the file expect it.
    if config.get("auths").is_none() {
        config.set("auths", Some(json!({})));
    }
    config.set("currentContext", (name != DEFAULT).then(|| name.into()));
    config.save()?;
    println!("{name}");
    eprintln!("Current context is now \"{name}\"");
    if name != DEFAULT && std::env::var("DOCKER_HOST").is_ok_and(|host| !host.is_empty()) {
        eprintln!(
            "Warning: DOCKER_HOST environment variable overrides the active context. To use \"{name}\", either set the \
             global --context flag, or unset DOCKER_HOST environment variable."
        );
    }
    Ok(0)
}

/// The current one's name.
pub async fn show(context: Context, _: Parsed) -> Result<u8> {
    println!("{}", context.name);
    Ok(0)
}

/// All about some.
pub async fn inspect(context: Context, p: Parsed) -> Result<u8> {
    let names = if p.args.is_empty() { vec![context.name.clone()] } else { p.args.clone() };
    let mut found = Vec::new();
    let mut failed = Vec::new();
    for name in &names {
        match document(&context, name) {
            Ok(document) => found.push(document),
            Err(e) => failed.push(e),
        }
    }
    let template = p.get("format").filter(|f| !f.is_empty());
    super::inspect::print_objects(&found, template)?;
    failed.iter().for_each(|e| eprintln!("{e}"));
    Ok(u8::from(!failed.is_empty()))
}

fn document(context: &Context, name: &str) -> Result<Value> {
    let store = Store::new(context.config.path());
    let mut tls = Vec::new();
    let (mut found, storage) = if name == DEFAULT {
        let found = contexts::Context::new(DEFAULT, "", &context.default_host.to_string());
        (found, ["<IN MEMORY>".to_owned(), "<IN MEMORY>".to_owned()])
    } else {
        tls = endpoint::tls_names(&store, name);
        let folders = [store.meta_folder(name), store.tls_folder(name)];
        (endpoint::read(&store, name)?, folders.map(|folder| folder.display().to_string()))
    };
    if found.description().is_empty() {
        endpoint::describe(&mut found, "");
    }
    let material = if tls.is_empty() { json!({}) } else { json!({ "docker": tls }) };
    let [meta, tls] = storage;
    Ok(json!({
        "Name": found.name, "Metadata": found.metadata, "Endpoints": found.endpoints, "TLSMaterial": material,
        "Storage": { "MetadataPath": meta, "TLSPath": tls },
    }))
}

/// Removes some.
pub async fn rm(context: Context, p: Parsed) -> Result<u8> {
    let store = Store::new(context.config.path());
    let mut code = 0;
    for name in &p.args {
        match remove(&context, &store, name, p.is("force")) {
            Ok(()) => println!("{name}"),
            Err(e) => {
                eprintln!("{e}");
                code = 1;
            }
        }
    }
    Ok(code)
}

fn remove(context: &Context, store: &Store, name: &str, force: bool) -> Result<()> {
    if name == DEFAULT {
        return Err(CliError::new("context \"default\" cannot be removed"));
    }
    if store.get(name)?.is_none() {
        if force {
            return Ok(());
        }
        return Err(CliError::new(format!("context \"{name}\" does not exist")));
    }
    let mut config = context.config.load()?;
    if config.text("currentContext") == Some(name) {
        if !force {
            return Err(CliError::new(format!(
                "context \"{name}\" is in use, set -f flag to force remove"
            )));
        }
        config.set("currentContext", None);
        config.save()?;
    }
    store.remove(name)?;
    Ok(())
}

/// Writes one as an archive.
pub async fn export(context: Context, p: Parsed) -> Result<u8> {
    let name = first(&p);
    if name == DEFAULT {
        return Err(CliError::new("context \"default\" cannot be exported"));
    }
    let files = endpoint::export(&Store::new(context.config.path()), name)?;
    let mut archive = Vec::new();
    bryo_images::bundle::write(&files, &mut archive).map_err(|e| CliError::new(e.to_string()))?;
    let target = p.args.get(1).cloned().unwrap_or_else(|| format!("{name}.dockercontext"));
    if target == "-" {
        if std::io::stdout().is_terminal() {
            return Err(CliError::new(
                "cowardly refusing to export to a terminal, specify a file path",
            ));
        }
        std::io::stdout().write_all(&archive)?;
        return Ok(0);
    }
    let file = std::fs::File::create_new(&target);
    let mut file = file.map_err(|e| {
        let exists = e.kind() == std::io::ErrorKind::AlreadyExists;
        CliError::new(format!(
            "open {target}: {}",
            if exists { "file exists".to_owned() } else { e.to_string() }
        ))
    })?;
    file.write_all(&archive)?;
    eprintln!("Written file \"{target}\"");
    Ok(0)
}

/// Takes one out of an archive.
pub async fn import(context: Context, p: Parsed) -> Result<u8> {
    let [name, source] = p.args.as_slice() else { return Ok(0) };
    let store = Store::new(context.config.path());
    endpoint::check_name(name)?;
    if store.get(name)?.is_some() {
        return Err(CliError::new(format!("context \"{name}\" already exists")));
    }
    let mut archive = Vec::new();
    match source.as_str() {
        "-" => std::io::stdin().read_to_end(&mut archive).map(drop)?,
        path => {
            archive =
                std::fs::read(path).map_err(|e| CliError::new(format!("open {path}: {e}")))?;
        }
    }
    endpoint::import(&store, name, &archive)?;
    println!("{name}");
    eprintln!("Successfully imported context \"{name}\"");
    Ok(0)
}
