//! Answers: JSON, nothing, streams; every one gets the headers that clients look for.

use std::convert::Infallible;

use bryo_core::Error;
use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt};
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use serde::Serialize;

use super::error::{ApiError, Result};
use super::version::Version;

/// A body of an answer; an error in it breaks the connection off, so that the client sees that something is missing.
pub type Body = UnsyncBoxBody<Bytes, Error>;

/// An answer.
pub type Reply = Response<Body>;

/// JSON, ended by a newline as Go's encoder does.
pub fn json<T: Serialize + ?Sized>(status: StatusCode, value: &T) -> Result<Reply> {
    let mut text = serde_json::to_vec(value).map_err(|e| {
        ApiError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("cannot write the answer as JSON: {e}"),
        )
    })?;
    text.push(b'\n');
    Ok(with_type(status, "application/json", full(text)))
}

/// JSON with status 200.
pub fn ok<T: Serialize + ?Sized>(value: &T) -> Result<Reply> {
    json(StatusCode::OK, value)
}

/// A status without a body.
pub fn status(status: StatusCode) -> Reply {
    let mut reply = Response::new(Empty::new().map_err(never).boxed_unsync());
    *reply.status_mut() = status;
    reply
}

/// Status 204.
pub fn no_content() -> Reply {
    status(StatusCode::NO_CONTENT)
}

/// Text.
pub fn text(status: StatusCode, text: impl Into<Bytes>) -> Reply {
    with_type(status, "text/plain; charset=utf-8", full(text))
}

/// Text of a kind.
pub fn typed_text(status: StatusCode, kind: &'static str, text: impl Into<Bytes>) -> Reply {
    with_type(status, kind, full(text))
}

/// A stream of bytes; the headers go out before its first item is there.
pub fn stream<S>(content_type: &'static str, stream: S) -> Reply
where
    S: Stream<Item = Result<Bytes, Error>> + Send + 'static,
{
    with_type(
        StatusCode::OK,
        content_type,
        BodyExt::boxed_unsync(StreamBody::new(stream.map_ok(Frame::data))),
    )
}

/// A stream of JSON values, one a line.
pub fn json_lines<S, T>(content_type: &'static str, lines: S) -> Reply
where
    S: Stream<Item = T> + Send + 'static,
    T: Serialize,
{
    stream(content_type, lines.map(|line| json_line(&line)))
}

fn json_line<T: Serialize>(value: &T) -> Result<Bytes, Error> {
    let mut text = serde_json::to_vec(value)
        .map_err(|e| Error::internal("cannot write a line of the answer as JSON").with_source(e))?;
    text.push(b'\n');
    Ok(text.into())
}

/// An error, as JSON or, for clients below 1.24, as text.
pub fn error(error: &ApiError) -> Reply {
    if error.is_plain() {
        return text(error.status(), format!("{}\n", error.message()));
    }
    let body = bryo_spec::docker::ErrorBody { message: error.message().to_owned() };
    json(error.status(), &body).unwrap_or_else(|_| status(error.status()))
}

/// Adds the headers of every answer.
pub fn common_headers(headers: &mut HeaderMap) {
    headers.insert("api-version", version_header());
    headers.insert("docker-experimental", HeaderValue::from_static("false"));
    headers.insert("ostype", HeaderValue::from_static("linux"));
    headers.insert(http::header::SERVER, HeaderValue::from_static(SERVER));
}

/// The `Server` header; old clients read the operating system out of it by the pattern `Docker/.* \((.+)\)`.
pub const SERVER: &str = concat!("Docker/29.7.2+bryo", env!("CARGO_PKG_VERSION"), " (linux)");

fn version_header() -> HeaderValue {
    HeaderValue::try_from(Version::NEWEST.to_string())
        .unwrap_or_else(|_| HeaderValue::from_static("1.56"))
}

/// The same answer with one more header.
pub fn with_header(mut reply: Reply, name: &'static str, value: HeaderValue) -> Reply {
    reply.headers_mut().insert(HeaderName::from_static(name), value);
    reply
}

fn with_type(status: StatusCode, content_type: &'static str, body: Body) -> Reply {
    let mut reply = Response::new(body);
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    reply
}

fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(never).boxed_unsync()
}

fn never(infallible: Infallible) -> Error {
    match infallible {}
}
