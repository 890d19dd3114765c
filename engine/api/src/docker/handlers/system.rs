//! `_ping`, `version`, `info`, `system/df`.

use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, HeaderMap, HeaderValue, PRAGMA};

use super::super::call::Call;
use super::super::convert::{info, usage};
use super::super::error::Result;
use super::super::reply::{self, Reply};

/// `GET /_ping`.
pub async fn ping(_: Call) -> Result<Reply> {
    let mut reply = reply::text(StatusCode::OK, "OK");
    ping_headers(reply.headers_mut());
    Ok(reply)
}

/// `HEAD /_ping`.
pub async fn ping_head(_: Call) -> Result<Reply> {
    let mut reply = reply::text(StatusCode::OK, "");
    reply.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    ping_headers(reply.headers_mut());
    Ok(reply)
}

fn ping_headers(headers: &mut HeaderMap) {
    // "1" is the classic builder: `docker build` then asks `POST /build`, whose refusal is a plain sentence, where a "2" would
    // have it start buildx, which fails in the middle of a handshake.
    headers.insert("builder-version", HeaderValue::from_static("1"));
    headers.insert("swarm", HeaderValue::from_static("inactive"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-store, must-revalidate"));
    headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
}

/// `GET /version`.
pub async fn version(call: Call) -> Result<Reply> {
    reply::ok(&info::version(&call.engine.info().await))
}

/// `GET /info`.
pub async fn info(call: Call) -> Result<Reply> {
    reply::ok(&info::info(call.engine.info().await, call.version))
}

/// `GET /system/df`.
pub async fn disk_usage(call: Call) -> Result<Reply> {
    let types = call.query.all("type");
    let wants = |name: &str| types.is_empty() || types.iter().any(|t| t == name);
    let wanted = usage::Wanted {
        images: wants("image"),
        containers: wants("container"),
        volumes: wants("volume"),
        build_cache: wants("build-cache"),
        verbose: call.query.flag("verbose"),
    };
    let usage = call.engine.disk_usage().await?;
    reply::ok(&usage::wire(&usage, wanted, call.version))
}
