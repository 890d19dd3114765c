//! Archives between the daemon and files: `export`, `save`, `load`, `import`, `commit`.

use std::io::{IsTerminal, Write};

use bryo_spec::docker::IdResponse;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use http::header::CONTENT_TYPE;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use tokio::io::AsyncRead;
use tokio_util::io::ReaderStream;

use super::super::client::{self, Body, JsonLines, chunks, query, request, segment};
use super::super::context::Context;
use super::super::error::{CliError, Result};
use super::super::flags::{Flag, Parsed, list, platform, switch, value};
use super::super::progress::{self, Screen};
use super::super::pull;
use super::super::stdio;

/// Flags of `export`, and of `save`.
pub const OUTPUT: &[Flag] =
    &[value("output", Some('o'), "string", "Write to a file, instead of STDOUT")];

/// What only `save` has.
pub const SAVE: &[Flag] = &[platform(
    "Save only the given platform variant. Formatted as \"os[/arch[/variant]]\" (e.g., \"linux/amd64\")",
)];

/// Flags of `load`.
pub const LOAD: &[Flag] = &[
    value("input", Some('i'), "string", "Read from tar archive file, instead of STDIN"),
    platform(
        "Load only the given platform variant. Formatted as \"os[/arch[/variant]]\" (e.g., \"linux/amd64\")",
    ),
    switch("quiet", Some('q'), "Suppress the load output"),
];

/// Flags of `import`.
pub const IMPORT: &[Flag] = &[
    list("change", Some('c'), "Apply Dockerfile instruction to the created image"),
    value("message", Some('m'), "string", "Set commit message for imported image"),
    value("platform", None, "string", "Set platform if server is multi-platform capable"),
];

/// Flags of `commit`.
pub const COMMIT: &[Flag] = &[
    value(
        "author",
        Some('a'),
        "string",
        "Author (e.g., \"John Hannibal Smith <hannibal@a-team.com>\")",
    ),
    list("change", Some('c'), "Apply Dockerfile instruction to the created image"),
    value("message", Some('m'), "string", "Commit message"),
    switch("no-pause", None, ""),
    switch("pause", Some('p'), "Pause container during commit (default true)"),
];

/// A container's filesystem.
pub async fn export(context: Context, p: Parsed) -> Result<u8> {
    let path = format!("/containers/{}/export", segment(p.args.first().map_or("", String::as_str)));
    download(&context, &path, p.get("output")).await
}

/// Images.
pub async fn save(context: Context, p: Parsed) -> Result<u8> {
    let mut pairs: Vec<_> = p.args.iter().map(|name| ("names", name.clone())).collect();
    pairs.extend(client::platform(&p)?.map(|platform| ("platform", platform)));
    download(&context, &format!("/images/get{}", query(&pairs)), p.get("output")).await
}

async fn download(context: &Context, path: &str, output: Option<&str>) -> Result<u8> {
    if output.is_none() && std::io::stdout().is_terminal() {
        return Err(CliError::new(
            "cowardly refusing to save to a terminal. Use the -o flag or redirect",
        ));
    }
    let response = context.client.call(request(http::Method::GET, path, client::empty())?).await?;
    match output {
        None => copy(response, std::io::stdout().lock()).await?,
        Some(file) => {
            // Under another name until it is whole: a broken download must not look like an archive.
            let partial = format!("{file}.partial");
            let target = std::fs::File::create(&partial)
                .map_err(|e| CliError::new(format!("failed to create {partial}: {e}")))?;
            let copied = copy(response, target).await;
            if copied.is_err() {
                let _ = std::fs::remove_file(&partial);
            }
            copied?;
            std::fs::rename(&partial, file)?;
        }
    }
    Ok(0)
}

async fn copy(response: http::Response<Incoming>, mut out: impl Write) -> Result<()> {
    let mut bytes = chunks(response);
    while let Some(chunk) = bytes.next().await {
        out.write_all(&chunk?)?;
    }
    Ok(out.flush()?)
}

/// Images from an archive.
pub async fn load(context: Context, p: Parsed) -> Result<u8> {
    let input = open(p.get("input")).await?;
    let mut pairs = vec![("quiet", u8::from(p.is("quiet")).to_string())];
    pairs.extend(client::platform(&p)?.map(|platform| ("platform", platform)));
    let path = format!("/images/load{}", query(&pairs));
    let response = upload(&context, http::Method::POST, &path, input).await?;
    let screen = Screen::stdout();
    progress::show(response, screen).await.map(|()| 0)
}

/// An image from a filesystem's archive.
pub async fn import(context: Context, p: Parsed) -> Result<u8> {
    let source = p.args.first().map_or("-", String::as_str);
    if source.starts_with("http://") || source.starts_with("https://") {
        return Err(CliError::new(format!(
            "importing from a URL is not supported by this version; download {source} and import the file"
        )));
    }
    let input = open(Some(source).filter(|s| *s != "-")).await?;
    let mut pairs = vec![("fromSrc", "-".to_owned())];
    if let Some(name) = p.args.get(1) {
        let (repo, tag) = pull::split(name);
        pairs.push(("repo", repo.to_owned()));
        pairs.push(("tag", tag.unwrap_or_default().to_owned()));
    }
    for (name, flag) in [("message", "message"), ("platform", "platform")] {
        if let Some(text) = p.get(flag) {
            pairs.push((name, text.to_owned()));
        }
    }
    pairs.extend(p.all("change").into_iter().map(|c| ("changes", c)));
    let path = format!("/images/create{}", query(&pairs));
    let response = upload(&context, http::Method::POST, &path, input).await?;
    let screen = Screen::plain();
    progress::show(response, screen).await.map(|()| 0)
}

type Input = Box<dyn AsyncRead + Send + Unpin>;

async fn open(path: Option<&str>) -> Result<Input> {
    match path {
        None | Some("-") if std::io::stdin().is_terminal() => {
            Err(CliError::new("requested load from stdin, but stdin is empty"))
        }
        None | Some("-") => Ok(Box::new(stdio::stdin()?)),
        Some(path) => {
            let file = tokio::fs::File::open(path).await.map_err(|e| match e.kind() {
                std::io::ErrorKind::NotFound => {
                    CliError::new(format!("open {path}: no such file or directory"))
                }
                _ => CliError::new(format!("open {path}: {e}")),
            })?;
            Ok(Box::new(file))
        }
    }
}

/// Sends an archive as it is read.
pub async fn upload(
    context: &Context,
    method: http::Method,
    path: &str,
    input: Input,
) -> Result<http::Response<Incoming>> {
    let stream = ReaderStream::with_capacity(input, 64 << 10).map_ok(Frame::<Bytes>::data);
    let body: Body = BodyExt::boxed_unsync(StreamBody::new(stream));
    let mut request = request(method, path, body)?;
    request.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("application/x-tar"));
    context.client.call(request).await
}

/// An image from a container.
pub async fn commit(context: Context, p: Parsed) -> Result<u8> {
    let mut pairs = vec![("container", p.args.first().cloned().unwrap_or_default())];
    if let Some(name) = p.args.get(1) {
        let (repo, tag) = pull::split(name);
        pairs.push(("repo", repo.to_owned()));
        pairs.push(("tag", tag.unwrap_or_default().to_owned()));
    }
    for (name, flag) in [("author", "author"), ("comment", "message")] {
        if let Some(text) = p.get(flag) {
            pairs.push((name, text.to_owned()));
        }
    }
    pairs.extend(p.all("change").into_iter().map(|c| ("changes", c)));
    if p.is("no-pause") || !p.is_or("pause", true) {
        pairs.push(("pause", "0".to_owned()));
    }
    let path = format!("/commit{}", query(&pairs));
    let response =
        context.client.call(request(http::Method::POST, &path, client::empty())?).await?;
    let mut lines = JsonLines::new(chunks(response));
    if let Some(made) = lines.next::<IdResponse>().await? {
        println!("{}", made.id);
    }
    Ok(0)
}
