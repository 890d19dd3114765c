//! `pull` and `push`, and names of images.

use bryo_images::Reference;

use super::client::{self, query, request};
use super::context::Context;
use super::error::{CliError, Result};
use super::flags::{Flag, Parsed, platform, switch, value};
use super::progress::{Screen, show};
use super::registry;

/// Flags of `pull`.
pub const FLAGS: &[Flag] = &[
    switch("all-tags", Some('a'), "Download all tagged images in the repository"),
    switch("disable-content-trust", None, "Skip image verification (default true)"),
    value("platform", None, "string", "Set platform if server is multi-platform capable"),
    switch("quiet", Some('q'), "Suppress verbose output"),
];

/// Flags of `push`.
pub const PUSH: &[Flag] = &[
    switch("all-tags", Some('a'), "Push all tags of an image to the repository"),
    switch("disable-content-trust", None, "Skip image signing (default true)"),
    platform(
        "Push a platform-specific manifest as a single-platform image to the registry.\n\
         Image index won't be pushed, meaning that other manifests, including attestations won't be preserved.\n\
         'os[/arch[/variant]]': Explicit platform (eg. linux/amd64)",
    ),
    switch("quiet", Some('q'), "Suppress verbose output"),
];

/// `pull`.
pub async fn pull(context: Context, p: Parsed) -> Result<u8> {
    if p.is("all-tags") {
        return Err(CliError::new(
            "pulling all tags of a repository is not supported by this version",
        ));
    }
    let image = p.args.first().cloned().unwrap_or_default();
    check(&image)?;
    let (name, tag) = split(&image);
    if tag.is_none() && !p.is("quiet") {
        println!("Using default tag: latest");
    }
    let screen = if p.is("quiet") { Screen::silent() } else { Screen::stdout() };
    fetch(&context, name, tag.unwrap_or("latest"), &p.text("platform"), screen).await?;
    println!("{}", full_name(&image));
    Ok(0)
}

/// Pulls for `run`: progress is no output of the command.
pub async fn to_stderr(context: &Context, image: &str, platform: &str, quiet: bool) -> Result<()> {
    let (name, tag) = split(image);
    let screen = if quiet { Screen::silent() } else { Screen::stderr() };
    fetch(context, name, tag.unwrap_or("latest"), platform, screen)
        .await
        .map_err(|e| e.with_code(125))
}

async fn fetch(
    context: &Context,
    name: &str,
    tag: &str,
    platform: &str,
    screen: Screen,
) -> Result<()> {
    let mut pairs = vec![("fromImage", name.to_owned()), ("tag", tag.to_owned())];
    if !platform.is_empty() {
        pairs.push(("platform", platform.to_owned()));
    }
    let path = format!("/images/create{}", query(&pairs));
    let mut request = request(http::Method::POST, &path, client::empty())?;
    if let Some(header) = registry::header(context, name)? {
        authorise(&mut request, &header)?;
    }
    show(context.client.call(request).await?, screen).await
}

fn authorise(request: &mut http::Request<client::Body>, header: &str) -> Result<()> {
    let value = http::HeaderValue::from_str(header).map_err(|e| CliError::new(e.to_string()))?;
    request.headers_mut().insert("X-Registry-Auth", value);
    Ok(())
}

/// `push`.
pub async fn push(context: Context, p: Parsed) -> Result<u8> {
    let image = p.args.first().map_or("", String::as_str);
    check(image)?;
    let (name, tag) = split(image);
    if p.is("all-tags") && tag.is_some() {
        return Err(CliError::new("tag can't be used with --all-tags/-a"));
    }
    let mut pairs = Vec::new();
    if !p.is("all-tags") {
        if tag.is_none() && !p.is("quiet") {
            println!("Using default tag: latest");
        }
        pairs.push(("tag", tag.unwrap_or("latest").to_owned()));
    }
    pairs.extend(client::platform(&p)?.map(|platform| ("platform", platform)));
    let path = format!("/images/{}/push{}", client::segment(name), query(&pairs));
    let mut request = request(http::Method::POST, &path, client::empty())?;
    // The daemon wants the header, with nothing in it if there is nothing to show.
    let header = registry::header(&context, name)?;
    authorise(&mut request, header.as_deref().unwrap_or("e30="))?;
    let response = context.client.call(request).await?;
    let screen = if p.is("quiet") { Screen::silent() } else { Screen::stdout() };
    show(response, screen).await?;
    if p.is("quiet") {
        println!("{}", full_name(image));
    }
    Ok(0)
}

/// Refuses what is no reference before the daemon is asked.
pub fn check(image: &str) -> Result<()> {
    let is_id = image.len() == 64 && image.bytes().all(|b| b.is_ascii_hexdigit());
    if is_id || image.starts_with("sha256:") {
        return Ok(());
    }
    Reference::parse_bare(image).map(drop).map_err(|e| CliError::new(e.to_string()))
}

/// A reference in name and tag (or digest).
pub fn split(image: &str) -> (&str, Option<&str>) {
    if let Some((name, digest)) = image.split_once('@') {
        return (name, Some(digest));
    }
    match image.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (image, None),
    }
}

/// A reference with its tag written out.
pub fn with_tag(image: &str) -> String {
    match split(image) {
        (_, Some(_)) => image.to_owned(),
        (name, None) => format!("{name}:latest"),
    }
}

/// A reference with registry and tag written out, as `pull` ends with.
fn full_name(image: &str) -> String {
    let name = with_tag(image);
    let first = name.split('/').next().unwrap_or_default();
    let has_registry =
        name.contains('/') && (first.contains('.') || first.contains(':') || first == "localhost");
    match (has_registry, name.contains('/')) {
        (true, _) => name,
        (false, true) => format!("docker.io/{name}"),
        (false, false) => format!("docker.io/library/{name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_split_and_completed() {
        assert_eq!(split("a:1"), ("a", Some("1")));
        assert_eq!(split("h:5000/a"), ("h:5000/a", None));
        assert_eq!(split("h:5000/a:2"), ("h:5000/a", Some("2")));
        assert_eq!(split("a@sha256:x"), ("a", Some("sha256:x")));
        assert_eq!(with_tag("a"), "a:latest");
        assert_eq!(full_name("alpine"), "docker.io/library/alpine:latest");
        assert_eq!(full_name("u/a:1"), "docker.io/u/a:1");
        assert_eq!(full_name("127.0.0.1:5001/a:1"), "127.0.0.1:5001/a:1");
    }
}
