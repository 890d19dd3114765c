//! `events`.

use bryo_spec::docker::EventMessage;
use jiff::Timestamp;
use serde_json::Value;

use super::super::client::{self, JsonLines, chunks, query, request};
use super::super::context::Context;
use super::super::error::{CliError, Result};
use super::super::flags::{FILTER, Flag, Parsed, plain_format, value};
use super::super::template::Template;
use super::inspect::BAD_TEMPLATE;
use super::logs::timestamp;

/// Its flags.
pub const FLAGS: &[Flag] = &[
    FILTER,
    plain_format(None),
    value("since", None, "string", "Show all events created since timestamp"),
    value("until", None, "string", "Stream events until this timestamp"),
];

/// Prints events as they come.
pub async fn events(context: Context, p: Parsed) -> Result<u8> {
    let template = match p.get("format") {
        None | Some("") => None,
        Some("json") => Some("{{json .}}"),
        Some(text) => Some(text),
    }
    .map(|text| {
        Template::parse(text).map_err(|e| {
            let e = e.replacen("template parsing error", "Error parsing format", 1);
            CliError::new(e).with_code(BAD_TEMPLATE)
        })
    })
    .transpose()?;
    let mut pairs = Vec::new();
    for flag in ["since", "until"] {
        if let Some(text) = p.get(flag) {
            pairs.push((flag, timestamp(flag, text)?));
        }
    }
    if let Some(filters) = client::filters(&p.all("filter"))? {
        pairs.push(("filters", filters));
    }
    let path = format!("/events{}", query(&pairs));
    let response = context.client.call(request(http::Method::GET, &path, client::empty())?).await?;
    let mut lines = JsonLines::new(chunks(response));
    while let Some(value) = lines.next::<Value>().await? {
        match &template {
            None => {
                let event = serde_json::from_value(value);
                println!("{}", line(&event.map_err(|e| CliError::new(e.to_string()))?));
            }
            Some(template) => println!("{}", template.render(&value).map_err(CliError::new)?),
        }
    }
    Ok(0)
}

/// `TIME TYPE ACTION ID (key=value, …)`.
fn line(event: &EventMessage) -> String {
    let time = Timestamp::from_nanosecond(i128::from(event.time_nano))
        .map(|t| t.strftime("%Y-%m-%dT%H:%M:%S.%9fZ").to_string())
        .unwrap_or_default();
    let attributes: Vec<String> =
        event.actor.attributes.iter().map(|(k, v)| format!("{k}={v}")).collect();
    let attributes = match attributes.is_empty() {
        true => String::new(),
        false => format!(" ({})", attributes.join(", ")),
    };
    format!("{time} {} {} {}{attributes}", event.kind, event.action, event.actor.id)
}
