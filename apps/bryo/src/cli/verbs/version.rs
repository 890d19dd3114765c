//! `version`.

use bryo_spec::docker::Version;
use serde_json::{Value, json};

use super::super::context::Context;
use super::super::error::{CliError, Result};
use super::super::flags::{Flag, Parsed, plain_format};
use super::super::template::Template;

/// Its flags.
pub const FLAGS: &[Flag] = &[plain_format(Some('f'))];

const CLIENT_VERSION: &str = env!("CARGO_PKG_VERSION");

/// The newest API version that this client knows.
const API_VERSION: &str = "1.56";

/// `--version`. Tools look for the words `Docker version` behind the name `docker`.
pub fn short(program: &str) -> String {
    match program {
        "docker" => format!("Docker version {}, build bryo", bryo_api::docker::SERVER_VERSION),
        _ => format!("bryo version {CLIENT_VERSION}"),
    }
}

/// The versions of both ends.
pub async fn version(context: Context, p: Parsed) -> Result<u8> {
    let server = context.client.get::<Version>("/version").await;
    if let Some(text) = p.get("format").filter(|f| !f.is_empty()) {
        let server = match &server {
            Ok(server) => serde_json::to_value(server).unwrap_or_default(),
            Err(_) => Value::Null,
        };
        let data = json!({ "Client": client(), "Server": server });
        let text = if text == "json" { "{{json .}}" } else { text };
        let printed = Template::parse(text).and_then(|t| t.render(&data)).map_err(CliError::new);
        return printed.map(|text| println!("{text}")).map(|()| 0);
    }
    let client = client();
    println!("Client: Bryo");
    for (title, field) in [("Version", "Version"), ("API version", "ApiVersion")] {
        println!(" {:<19}{}", format!("{title}:"), client[field].as_str().unwrap_or_default());
    }
    println!(" {:<19}linux/{}", "OS/Arch:", arch());
    println!(" {:<19}default", "Context:");
    print_server(&server?);
    Ok(0)
}

fn client() -> Value {
    json!({
        "Platform": { "Name": "Bryo" },
        "Version": CLIENT_VERSION,
        "ApiVersion": API_VERSION,
        "DefaultAPIVersion": API_VERSION,
        "GitCommit": "",
        "GoVersion": "",
        "Os": "linux",
        "Arch": arch(),
        "BuildTime": "",
        "Context": "default",
    })
}

fn arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn print_server(v: &Version) {
    println!("\nServer: {}", v.platform.name);
    for component in &v.components {
        println!(" {}:", component.name);
        println!("  {:<18}{}", "Version:", component.version);
        if component.name == "Engine" {
            let api = format!("{} (minimum version {})", v.api_version, v.min_api_version);
            println!("  {:<18}{api}", "API version:");
            println!("  {:<18}{}/{}", "OS/Arch:", v.os, v.arch);
            println!("  {:<18}{}", "Kernel:", v.kernel_version);
            continue;
        }
        for (key, value) in component.details.iter().filter(|(_, value)| !value.is_empty()) {
            println!("  {:<18}{value}", format!("{key}:"));
        }
    }
}
