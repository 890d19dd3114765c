//! Files of a container as archives: cp, export, commit.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bryo_core::{CommitOptions, PathStat, PutOptions};
use bryo_spec::docker;
use http::StatusCode;
use http::header::HeaderValue;
use serde_json::json;

use super::super::call::Call;
use super::super::error::{ApiError, Result};
use super::super::reply::{self, Reply};
use super::super::time;

const STAT_HEADER: &str = "x-docker-container-path-stat";

/// `HEAD /containers/{id}/archive`.
pub async fn stat(call: Call) -> Result<Reply> {
    let stat = call.engine.archive_stat(call.name(), path(&call)?).await?;
    Ok(reply::with_header(reply::status(StatusCode::OK), STAT_HEADER, stat_header(&stat)?))
}

/// `GET /containers/{id}/archive`.
pub async fn get(call: Call) -> Result<Reply> {
    let (stat, tar) = call.engine.archive_get(call.name(), path(&call)?).await?;
    let reply = reply::stream("application/x-tar", tar);
    Ok(reply::with_header(reply, STAT_HEADER, stat_header(&stat)?))
}

/// `PUT /containers/{id}/archive`.
pub async fn put(call: Call) -> Result<Reply> {
    let options = PutOptions {
        no_overwrite_dir_non_dir: call.query.flag("noOverwriteDirNonDir"),
        copy_uid_gid: call.query.flag("copyUIDGID"),
    };
    let (engine, name) = (call.engine.clone(), call.name().to_owned());
    let path = path(&call)?.to_owned();
    engine.archive_put(&name, &path, options, call.into_stream()).await?;
    Ok(reply::status(StatusCode::OK))
}

/// `GET /containers/{id}/export`.
pub async fn export(call: Call) -> Result<Reply> {
    let tar = call.engine.export(call.name()).await?;
    Ok(reply::stream("application/octet-stream", tar))
}

/// `POST /commit`.
pub async fn commit(call: Call) -> Result<Reply> {
    let text = |name: &str| call.query.text(name).unwrap_or_default().to_owned();
    let container = call
        .query
        .text("container")
        .ok_or_else(|| ApiError::bad_request("commit needs the parameter 'container'"))?;
    let options = CommitOptions {
        repo: text("repo"),
        tag: text("tag"),
        comment: text("comment"),
        author: text("author"),
        pause: call.query.flag_or("pause", true),
        changes: call.query.all("changes"),
    };
    let id = call.engine.commit(container, options).await?;
    reply::json(StatusCode::CREATED, &docker::IdResponse { id })
}

fn path(call: &Call) -> Result<&str> {
    call.query.text("path").ok_or_else(|| ApiError::bad_request("missing path parameter"))
}

/// The stat as base64 of JSON.
fn stat_header(stat: &PathStat) -> Result<HeaderValue> {
    let text = json!({
        "name": stat.name,
        "size": stat.size,
        "mode": stat.mode,
        "mtime": time::rfc3339(stat.mtime),
        "linkTarget": stat.link_target,
    });
    HeaderValue::try_from(STANDARD.encode(text.to_string())).map_err(|e| {
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, format!("cannot tell the stat: {e}"))
    })
}
