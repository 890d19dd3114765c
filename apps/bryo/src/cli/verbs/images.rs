//! `images`, `rmi`, `tag`.

use bryo_spec::docker::units::{human_duration, human_size};
use bryo_spec::docker::{ImageRemoved, ImageSummary};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::client::{self, query, segment};
use super::super::context::Context;
use super::super::error::{CliError, Result};
use super::super::flags::{FILTER, Flag, LIST_FORMAT, Parsed, many, switch};
use super::super::format::{Columns, print_list, short_id};
use super::super::pull;
use super::ps::created_at;
use super::switches;

/// Flags of `images`.
pub const FLAGS: &[Flag] = &[
    switch("all", Some('a'), "Show all images (default hides intermediate images)"),
    switch("digests", None, "Show digests"),
    FILTER,
    LIST_FORMAT,
    switch("no-trunc", None, "Don't truncate output"),
    switch("quiet", Some('q'), "Only show image IDs"),
];

/// Flags of `rmi`.
pub const RMI: &[Flag] = &[
    switch("force", Some('f'), "Force removal of the image"),
    switch("no-prune", None, "Do not delete untagged parents"),
    many(
        "platform",
        None,
        "strings",
        "Remove only the given platform variant. Formatted as \"os[/arch[/variant]]\" (e.g., \"linux/amd64\")",
    ),
];

/// Fields of a row and their titles.
pub const TITLES: &[(&str, &str)] = &[
    ("ID", "IMAGE ID"),
    ("Repository", "REPOSITORY"),
    ("Tag", "TAG"),
    ("Digest", "DIGEST"),
    ("CreatedSince", "CREATED"),
    ("CreatedAt", "CREATED AT"),
    ("Size", "SIZE"),
    ("Containers", "CONTAINERS"),
    ("SharedSize", "SHARED SIZE"),
    ("UniqueSize", "UNIQUE SIZE"),
    ("VirtualSize", "SIZE"),
];

const DEFAULT: Columns = Columns {
    kind: "*formatter.imageContext",
    default: "{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}",
    titles: TITLES,
};

const WITH_DIGESTS: Columns = Columns {
    kind: "*formatter.imageContext",
    default: "{{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}",
    titles: TITLES,
};

/// Lists images, a line for each name.
pub async fn images(context: Context, p: Parsed) -> Result<u8> {
    let mut filters = p.all("filter");
    if let Some(name) = p.args.first() {
        filters.push(format!("reference={name}"));
    }
    let mut pairs = Vec::new();
    if p.is("all") {
        pairs.push(("all", "1".to_owned()));
    }
    if let Some(filters) = client::filters(&filters)? {
        pairs.push(("filters", filters));
    }
    let path = format!("/images/json{}", query(&pairs));
    let images: Vec<ImageSummary> = context.client.get(&path).await?;
    let full = p.is("no-trunc");
    if p.is("quiet") && p.get("format").is_none() {
        for image in &images {
            let names = rows(image, full, false, 0).len();
            let id = if full { &image.id } else { short_id(&image.id) };
            (0..names).for_each(|_| println!("{id}"));
        }
        return Ok(0);
    }
    let now = Timestamp::now().as_second();
    let digests = p.is("digests") || p.get("format").is_some_and(|f| f.contains(".Digest"));
    let rows: Vec<Value> = images.iter().flat_map(|i| rows(i, full, digests, now)).collect();
    print_list(&rows, p.get("format"), if p.is("digests") { &WITH_DIGESTS } else { &DEFAULT })?;
    Ok(0)
}

/// A row for each tag; for each digest that no tag has, another.
pub fn rows(image: &ImageSummary, full: bool, digests: bool, now: i64) -> Vec<Value> {
    let tags = image.repo_tags.clone().unwrap_or_default();
    let with_digest = image.repo_digests.clone().unwrap_or_default();
    let digest_of = |repository: &str| {
        with_digest
            .iter()
            .filter_map(|d| d.split_once('@'))
            .find(|(name, _)| *name == repository)
            .map_or("<none>", |(_, digest)| digest)
    };
    let row = |repository: &str, tag: &str, digest: &str| {
        json!({
            "ID": if full { &image.id } else { short_id(&image.id) },
            "Repository": repository,
            "Tag": tag,
            "Digest": digest,
            "CreatedSince": if image.created <= 0 { "N/A".to_owned() } else { format!("{} ago", human_duration(now - image.created)) },
            "CreatedAt": created_at(image.created),
            "Size": human_size(image.size, 3),
            "VirtualSize": human_size(image.size, 4),
            "Containers": "N/A",
            "SharedSize": "N/A",
            "UniqueSize": "N/A",
        })
    };
    let mut rows: Vec<Value> = tags
        .iter()
        .filter_map(|name| name.rsplit_once(':'))
        .map(|(repository, tag)| {
            row(repository, tag, if digests { digest_of(repository) } else { "<none>" })
        })
        .collect();
    if rows.is_empty() {
        rows = with_digest
            .iter()
            .filter_map(|name| name.split_once('@'))
            .map(|(repository, digest)| row(repository, "<none>", digest))
            .collect();
    }
    if rows.is_empty() {
        rows.push(row("<none>", "<none>", "<none>"));
    }
    rows
}

/// Removes images or names of them.
pub async fn rmi(context: Context, p: Parsed) -> Result<u8> {
    let mut query = switches(&p, &[("force", "force"), ("noprune", "no-prune")]);
    for platform in p.all("platform") {
        query += if query.is_empty() { "?" } else { "&" };
        query += &format!("platforms={}", client::encode(&client::platform_json(&platform)?));
    }
    let mut code = 0;
    for name in &p.args {
        match context.client.delete(&format!("/images/{}{query}", segment(name))).await {
            Ok(body) => print_removed(&body)?,
            Err(e) => {
                eprintln!("{e}");
                if !(p.is("force") && e.status() == Some(404)) {
                    code = 1;
                }
            }
        }
    }
    Ok(code)
}

fn print_removed(body: &[u8]) -> Result<()> {
    let removed: Vec<ImageRemoved> =
        serde_json::from_slice(body).map_err(|e| CliError::new(e.to_string()))?;
    for item in removed {
        if let Some(id) = item.deleted {
            println!("Deleted: {id}");
        } else if let Some(name) = item.untagged {
            println!("Untagged: {name}");
        }
    }
    Ok(())
}

/// Gives an image another name.
pub async fn tag(context: Context, p: Parsed) -> Result<u8> {
    if let [source, target] = p.args.as_slice() {
        let named = pull::check(target);
        named.map_err(|e| {
            CliError::new(format!(
                "Error parsing reference: \"{target}\" is not a valid repository/tag: {e}"
            ))
        })?;
        let (repo, tag) = pull::split(target);
        let pairs = [("repo", repo.to_owned()), ("tag", tag.unwrap_or_default().to_owned())];
        context.client.post(&format!("/images/{}/tag{}", segment(source), query(&pairs))).await?;
    }
    Ok(0)
}
