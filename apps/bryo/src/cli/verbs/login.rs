//! `login`, `logout`, `search`: registries.

use std::io::{BufRead, IsTerminal, Read, Write};

use serde_json::{Value, json};

use super::super::client::{self, query};
use super::super::context::Context;
use super::super::error::{CliError, Result};
use super::super::flags::{FILTER, Flag, Parsed, switch, value};
use super::super::format::{Columns, ellipsis, print_list};
use super::super::registry::{self, Credentials};
use super::super::terminal;

/// Flags of `login`.
pub const LOGIN: &[Flag] = &[
    value("password", Some('p'), "string", "Password or Personal Access Token (PAT)"),
    switch("password-stdin", None, "Take the Password or Personal Access Token (PAT) from stdin"),
    value("username", Some('u'), "string", "Username"),
];

/// Flags of `search`.
pub const SEARCH: &[Flag] = &[
    FILTER,
    value("format", None, "string", "Pretty-print search using a Go template"),
    value("limit", None, "int", "Max number of search results"),
    switch("no-trunc", None, "Don't truncate output"),
];

const COLUMNS: Columns = Columns {
    kind: "*registry.searchContext",
    default: "{{.Name}}\t{{.Description}}\t{{.StarCount}}\t{{.IsOfficial}}",
    titles: &[
        ("Name", "NAME"),
        ("Description", "DESCRIPTION"),
        ("StarCount", "STARS"),
        ("IsOfficial", "OFFICIAL"),
        ("IsAutomated", "AUTOMATED"),
    ],
};

/// Lets the daemon try credentials, and keeps those that a registry took.
pub async fn login(context: Context, p: Parsed) -> Result<u8> {
    let server = registry::key(p.args.first().map_or("", String::as_str));
    let credentials = credentials(&p)?;
    let body = json!({
        "username": credentials.user, "password": credentials.secret, "serveraddress": server,
    });
    let answer: Value = context.client.post_json("/auth", &body).await?;
    let token = answer.get("IdentityToken").and_then(Value::as_str).filter(|t| !t.is_empty());
    let kept = match token {
        Some(token) => Credentials { user: "<token>".to_owned(), secret: token.to_owned() },
        None => credentials,
    };
    let mut config = context.config.load()?;
    if registry::store(&mut config, &server, &kept)? {
        eprintln!(
            "\nWARNING! Your credentials are stored unencrypted in '{}'.\nConfigure a credential helper to remove this \
             warning. See\nhttps://docs.docker.com/go/credential-store/\n",
            config.file().display()
        );
    }
    println!("{}", answer.get("Status").and_then(Value::as_str).unwrap_or("Login Succeeded"));
    Ok(0)
}

fn credentials(p: &Parsed) -> Result<Credentials> {
    if p.has("password") && p.is("password-stdin") {
        return Err(CliError::new(
            "conflicting options: cannot specify both --password and --password-stdin",
        ));
    }
    if p.has("password") {
        eprintln!("WARNING! Using --password via the CLI is insecure. Use --password-stdin.");
    }
    let user = p.text("username");
    if p.is("password-stdin") {
        if user.is_empty() {
            return Err(CliError::new("the --password-stdin option requires --username to be set"));
        }
        let mut secret = String::new();
        std::io::stdin().read_to_string(&mut secret)?;
        let secret = secret.trim_end_matches(['\n', '\r']).to_owned();
        return Ok(Credentials { user, secret });
    }
    let secret = p.text("password");
    if (user.is_empty() || secret.is_empty()) && !std::io::stdin().is_terminal() {
        return Err(CliError::new(
            "Error: Cannot perform an interactive login from a non TTY device",
        ));
    }
    let user = if user.is_empty() { prompt("Username: ", true)? } else { user };
    let secret = if secret.is_empty() { prompt("Password: ", false)? } else { secret };
    if user.is_empty() || secret.is_empty() {
        return Err(CliError::new("Error: Non-null Username and Password Required"));
    }
    Ok(Credentials { user, secret })
}

fn prompt(text: &str, shown: bool) -> Result<String> {
    eprint!("{text}");
    std::io::stderr().flush()?;
    let silent = (!shown).then(terminal::Silent::enter).flatten();
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    if silent.is_some() {
        eprintln!();
    }
    Ok(line.trim_end_matches(['\n', '\r']).to_owned())
}

/// Forgets credentials.
pub async fn logout(context: Context, p: Parsed) -> Result<u8> {
    let server = registry::key(p.args.first().map_or("", String::as_str));
    let mut config = context.config.load()?;
    println!("Removing login credentials for {server}");
    registry::erase(&mut config, &server)?;
    Ok(0)
}

/// Asks Docker Hub.
pub async fn search(context: Context, p: Parsed) -> Result<u8> {
    let mut pairs = vec![("term", p.args.first().cloned().unwrap_or_default())];
    if let Some(limit) = p.number::<u32>("limit")? {
        pairs.push(("limit", limit.to_string()));
    }
    if let Some(filters) = client::filters(&p.all("filter"))? {
        pairs.push(("filters", filters));
    }
    let found: Vec<Value> = context.client.get(&format!("/images/search{}", query(&pairs))).await?;
    let rows: Vec<Value> = found.iter().map(|item| row(item, p.is("no-trunc"))).collect();
    print_list(&rows, p.get("format"), &COLUMNS)?;
    Ok(0)
}

fn row(item: &Value, full: bool) -> Value {
    let text = |key: &str| item.get(key).and_then(Value::as_str).unwrap_or_default();
    let yes = |key: &str| match item.get(key).and_then(Value::as_bool) {
        Some(true) => "[OK]",
        _ => "",
    };
    let description = text("description").replace(['\n', '\r'], " ");
    json!({
        "Name": text("name"),
        "Description": if full { description } else { ellipsis(&description, 45) },
        "StarCount": item.get("star_count").and_then(Value::as_u64).unwrap_or_default().to_string(),
        "IsOfficial": yes("is_official"),
        "IsAutomated": yes("is_automated"),
    })
}
