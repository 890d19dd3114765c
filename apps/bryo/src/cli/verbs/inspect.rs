//! `inspect`, of anything or of one kind.

use std::io::Write;

use serde_json::Value;

use super::super::client::{self, query, segment};
use super::super::context::Context;
use super::super::error::{CliError, Result};
use super::super::flags::{Flag, Parsed, plain_format, platform, switch, value};
use super::super::format::indent;
use super::super::template::{Template, json};

/// Flags of `inspect`.
pub const FLAGS: &[Flag] = &[
    plain_format(Some('f')),
    SIZE,
    value("type", None, "string", "Only inspect objects of the given type"),
];

/// Flags of `container inspect`.
pub const CONTAINER: &[Flag] =
    &[plain_format(Some('f')), switch("size", Some('s'), "Display total file sizes")];

/// Flags of `image inspect`.
pub const IMAGE: &[Flag] = &[
    plain_format(Some('f')),
    platform(
        "Inspect a specific platform of the multi-platform image.\n\
         If the image or the server is not multi-platform capable, the command will error out if the platform does not match.\n\
         'os[/arch[/variant]]': Explicit platform (eg. linux/amd64)",
    ),
];

/// Flags of `network inspect`.
pub const NETWORK: &[Flag] =
    &[plain_format(Some('f')), switch("verbose", Some('v'), "Verbose output for diagnostics")];

/// Flags of `volume inspect`.
pub const VOLUME: &[Flag] = &[plain_format(Some('f'))];

const SIZE: Flag = switch("size", Some('s'), "Display total file sizes if the type is container");

/// The exit code of a template that cannot be parsed.
pub const BAD_TEMPLATE: u8 = 64;

/// Kinds of thing, in the order in which a name is tried.
const KINDS: [(&str, &str, &str); 4] = [
    ("container", "/containers/", "/json"),
    ("image", "/images/", "/json"),
    ("network", "/networks/", ""),
    ("volume", "/volumes/", ""),
];

/// `inspect`: whatever has the name.
pub async fn any(context: Context, p: Parsed) -> Result<u8> {
    match p.get("type") {
        None => inspect(context, p, None).await,
        Some(kind) if KINDS.iter().any(|(k, ..)| *k == kind) => {
            let kind = kind.to_owned();
            inspect(context, p, Some(&kind)).await
        }
        Some(kind) => Err(CliError::new(format!(
            "unknown type: \"{kind}\": must be one of \"config\", \"container\", \"image\", \"network\", \"node\", \
             \"plugin\", \"secret\", \"service\", \"task\", \"volume\""
        ))),
    }
}

/// `container inspect`.
pub async fn container(context: Context, p: Parsed) -> Result<u8> {
    inspect(context, p, Some("container")).await
}

/// `image inspect`.
pub async fn image(context: Context, p: Parsed) -> Result<u8> {
    inspect(context, p, Some("image")).await
}

/// `network inspect`.
pub async fn network(context: Context, p: Parsed) -> Result<u8> {
    inspect(context, p, Some("network")).await
}

/// `volume inspect`.
pub async fn volume(context: Context, p: Parsed) -> Result<u8> {
    inspect(context, p, Some("volume")).await
}

async fn inspect(context: Context, p: Parsed, kind: Option<&str>) -> Result<u8> {
    let template = match p.get("format") {
        None | Some("" | "json") => None,
        Some(text) => Some(text),
    }
    .map(|text| Template::parse(text).map_err(|e| CliError::new(e).with_code(BAD_TEMPLATE)))
    .transpose()?;
    let mut found = Vec::new();
    let mut errors = Vec::new();
    for name in &p.args {
        match find(&context, name, kind, &p).await {
            Ok(raw) => found.push(raw),
            Err(e) => errors.push(e),
        }
    }
    let mut out = std::io::stdout().lock();
    match &template {
        None if p.get("format") == Some("json") => {
            let all: Vec<&str> = found.iter().map(|raw| raw.trim()).collect();
            writeln!(out, "[{}]", all.join(","))?;
        }
        None => write!(out, "{}", pretty(&found))?,
        Some(template) => {
            for raw in &found {
                let value: Value =
                    serde_json::from_str(raw).map_err(|e| CliError::new(e.to_string()))?;
                match template.render(&value) {
                    Ok(text) => writeln!(out, "{text}")?,
                    Err(e) => {
                        writeln!(out)?;
                        return Err(CliError::new(e));
                    }
                }
            }
            if found.is_empty() {
                writeln!(out)?;
            }
        }
    }
    drop(out);
    errors.iter().for_each(|e| eprintln!("{e}"));
    Ok(u8::from(!errors.is_empty()))
}

/// Prints things that did not come from the daemon, as `inspect` prints those that did.
pub fn print_objects(found: &[Value], format: Option<&str>) -> Result<()> {
    let template = format.filter(|text| *text != "json").map(Template::parse).transpose();
    let template = template.map_err(|e| CliError::new(e).with_code(BAD_TEMPLATE))?;
    let raw: Vec<String> = found.iter().map(json).collect();
    match template {
        Some(template) => {
            for value in found {
                println!("{}", template.render(value).map_err(CliError::new)?);
            }
            if found.is_empty() {
                println!();
            }
        }
        None if format.is_some() => println!("[{}]", raw.join(",")),
        None => print!("{}", pretty(&raw)),
    }
    Ok(())
}

/// The daemon's JSON of all that was found, as one indented list.
fn pretty(found: &[String]) -> String {
    if found.is_empty() {
        return "[]\n".to_owned();
    }
    let items: Vec<String> =
        found.iter().map(|raw| format!("    {}", indent(raw.trim(), 1))).collect();
    format!("[\n{}\n]\n", items.join(",\n"))
}

async fn find(context: &Context, name: &str, kind: Option<&str>, p: &Parsed) -> Result<String> {
    for (this, before, after) in KINDS {
        if kind.is_some_and(|kind| kind != this) {
            continue;
        }
        let mut pairs = Vec::new();
        match this {
            "container" if p.is("size") => pairs.push(("size", "1".to_owned())),
            "network" if p.is("verbose") => pairs.push(("verbose", "true".to_owned())),
            "image" => pairs.extend(client::platform(p)?.map(|platform| ("platform", platform))),
            _ => {}
        }
        let query = query(&pairs);
        let path = format!("{before}{}{after}{query}", segment(name));
        match context.client.get_raw(&path).await {
            Ok(bytes) => return Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Err(e) if kind.is_some() || e.status().is_none() => return Err(e),
            // Some kinds are refused for the name's form; another may still have it.
            Err(e) if matches!(e.status(), Some(404 | 400 | 501)) => {}
            Err(e) => return Err(e),
        }
    }
    Err(CliError::new(format!("Error: No such object: {name}")))
}
