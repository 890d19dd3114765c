//! `history`.

use bryo_spec::docker::HistoryItem;
use bryo_spec::docker::units::{human_duration, human_size};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::client::{self, query, segment};
use super::super::context::Context;
use super::super::error::Result;
use super::super::flags::{Flag, LIST_FORMAT, Parsed, platform, switch};
use super::super::format::{Columns, ellipsis, print_list, short_id};

/// Its flags.
pub const FLAGS: &[Flag] = &[
    LIST_FORMAT,
    switch("human", Some('H'), "Print sizes and dates in human readable format (default true)"),
    switch("no-trunc", None, "Don't truncate output"),
    platform(
        "Show history for the given platform. Formatted as \"os[/arch[/variant]]\" (e.g., \"linux/amd64\")",
    ),
    switch("quiet", Some('q'), "Only show image IDs"),
];

const TITLES: &[(&str, &str)] = &[
    ("ID", "IMAGE"),
    ("CreatedSince", "CREATED"),
    ("CreatedAt", "CREATED AT"),
    ("CreatedBy", "CREATED BY"),
    ("Size", "SIZE"),
    ("Comment", "COMMENT"),
];

const COLUMNS: Columns = Columns {
    kind: "*image.historyContext",
    default: "{{.ID}}\t{{.CreatedSince}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}",
    titles: TITLES,
};

const EXACT: Columns = Columns {
    kind: "*image.historyContext",
    default: "{{.ID}}\t{{.CreatedAt}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}",
    titles: TITLES,
};

/// How an image came about, newest first.
pub async fn history(context: Context, p: Parsed) -> Result<u8> {
    let name = p.args.first().map_or("", String::as_str);
    let pairs: Vec<_> = client::platform(&p)?.map(|p| ("platform", p)).into_iter().collect();
    let path = format!("/images/{}/history{}", segment(name), query(&pairs));
    let items: Vec<HistoryItem> = context.client.get(&path).await?;
    let full = p.is("no-trunc");
    let id =
        |item: &HistoryItem| if full { item.id.clone() } else { short_id(&item.id).to_owned() };
    if p.is("quiet") {
        items.iter().for_each(|item| println!("{}", id(item)));
        return Ok(0);
    }
    let human = p.is_or("human", true);
    let now = Timestamp::now().as_second();
    let rows: Vec<Value> = items
        .iter()
        .map(|item| {
            let by = item.created_by.replace('\t', " ");
            let since = format!("{} ago", human_duration(now - item.created));
            json!({
                "ID": id(item),
                "CreatedSince": if human { since } else { rfc3339(item.created) },
                "CreatedAt": rfc3339(item.created),
                "CreatedBy": if full { by } else { ellipsis(&by, 45) },
                "Size": if human { human_size(item.size, 3) } else { item.size.to_string() },
                "Comment": item.comment,
            })
        })
        .collect();
    print_list(&rows, p.get("format"), if human { &COLUMNS } else { &EXACT })?;
    Ok(0)
}

fn rfc3339(seconds: i64) -> String {
    Timestamp::from_second(seconds).map(|t| t.to_string()).unwrap_or_default()
}
