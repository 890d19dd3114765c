//! A request on its way to a handler: path parameters, query, headers, body, and the way to take the connection over.

use bryo_core::{ByteStream, Engine};
use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body as _, Incoming};
use serde::de::DeserializeOwned;

use super::error::{ApiError, Result};
use super::http::hijack::Hijacker;
use super::http::upload::Upload;
use super::query::Query;
use super::version::Version;

/// The largest JSON body that is read; a create body with a large seccomp profile has some 100 kB.
const MAX_JSON: usize = 8 << 20;

/// A request.
pub struct Call {
    /// The engine.
    pub engine: Engine,
    /// The version that the client speaks.
    pub version: Version,
    /// Values of the path's parameters, in order.
    pub params: Vec<String>,
    /// The query.
    pub query: Query,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Incoming,
    /// Takes the connection over (attach, exec).
    pub hijacker: Hijacker,
}

impl Call {
    /// The first (mostly the only) path parameter.
    pub fn name(&self) -> &str {
        self.params.first().map_or("", String::as_str)
    }

    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|v| v.to_str().ok())
    }

    /// Takes the body as JSON; `None` when there is none. Refusals have Docker's words.
    pub async fn json<T: DeserializeOwned>(&mut self) -> Result<Option<T>> {
        let bytes = self.bytes().await?;
        let content_type = self.header(CONTENT_TYPE.as_str()).unwrap_or_default();
        if bytes.is_empty() {
            return Ok(None);
        }
        check_json_type(content_type)?;
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|e| ApiError::bad_request(format!("invalid JSON: {e}")))
    }

    /// Takes the body as JSON; no body is the default value.
    pub async fn json_or_default<T: DeserializeOwned + Default>(&mut self) -> Result<T> {
        Ok(self.json().await?.unwrap_or_default())
    }

    async fn bytes(&mut self) -> Result<Bytes> {
        if self.body.size_hint().exact() == Some(0) {
            return Ok(Bytes::new());
        }
        match Limited::new(&mut self.body, MAX_JSON).collect().await {
            Ok(body) => Ok(body.to_bytes()),
            Err(e) if e.is::<http_body_util::LengthLimitError>() => Err(ApiError::new(
                http::StatusCode::PAYLOAD_TOO_LARGE,
                format!("the body is larger than the {} MiB that are read", MAX_JSON >> 20),
            )),
            Err(e) => Err(ApiError::bad_request(format!("cannot read the body: {e}"))),
        }
    }

    /// Takes the body as a stream (archives); see [`Upload`] for what becomes of an unread rest.
    pub fn into_stream(self) -> ByteStream {
        Box::pin(Upload::new(self.body))
    }
}

/// A body must call itself JSON.
fn check_json_type(content_type: &str) -> Result<()> {
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    if kind.is_empty() {
        return Err(ApiError::bad_request("malformed Content-Type header (): mime: no media type"));
    }
    if !kind.eq_ignore_ascii_case("application/json") {
        return Err(ApiError::bad_request(format!(
            "unsupported Content-Type header ({content_type}): must be 'application/json'"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check_json_type;

    #[test]
    fn only_json_is_json() {
        assert!(check_json_type("application/json").is_ok());
        assert!(check_json_type("application/json; charset=utf-8").is_ok());
        assert_eq!(
            check_json_type("text/plain").unwrap_err().message(),
            "unsupported Content-Type header (text/plain): must be 'application/json'"
        );
        assert!(check_json_type("").is_err());
    }
}
