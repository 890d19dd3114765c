//! The client of the API: one connection a request, over a unix socket, TCP, TLS or ssh.
//!
//! Paths go out without a version, which is the daemon's newest; `DOCKER_API_VERSION` puts one in front.

mod host;
mod lines;
mod ssh;
mod stream;
mod tls;
mod upgrade;

use bytes::Bytes;
use futures_util::Stream;
use http::header::{CONNECTION, CONTENT_TYPE, HOST, UPGRADE};
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, BodyStream, Empty, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use host::Host;
pub use lines::JsonLines;
pub use tls::TlsFiles;
pub use upgrade::{Session, SessionReader, SessionWriter, Target};

use super::error::{CliError, Result};
use super::flags::Parsed;

/// The body of a request.
pub type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// A client of one daemon.
#[derive(Debug, Clone)]
pub struct Client {
    host: Host,
    prefix: String,
}

impl Client {
    /// A client of `host`, which speaks `version` (empty: the daemon's newest).
    pub fn new(host: Host, version: &str) -> Client {
        let prefix = if version.is_empty() { String::new() } else { format!("/v{version}") };
        Client { host, prefix }
    }

    /// The daemon's address, as the user would write it.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Sends a request and takes the answer, whatever its status.
    pub async fn send(&self, mut request: Request<Body>) -> Result<Response<Incoming>> {
        let path = format!("{}{}", self.prefix, request.uri());
        *request.uri_mut() =
            path.parse().map_err(|e| CliError::new(format!("invalid request path {path}: {e}")))?;
        let headers = request.headers_mut();
        headers.insert(HOST, http::HeaderValue::from_static("api.moby.localhost"));
        headers.insert(
            http::header::USER_AGENT,
            http::HeaderValue::from_static(concat!("Bryo-Client/", env!("CARGO_PKG_VERSION"))),
        );
        let stream = self.host.connect().await?;
        let broken =
            |e: hyper::Error| CliError::new(format!("error during connect: {}: {e}", self.host));
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        tokio::spawn(connection.with_upgrades());
        sender.send_request(request).await.map_err(broken)
    }

    /// Sends and refuses every status that is an error, with the daemon's message.
    pub async fn call(&self, request: Request<Body>) -> Result<Response<Incoming>> {
        let response = self.send(request).await?;
        if response.status().is_client_error() || response.status().is_server_error() {
            return Err(refusal(response).await);
        }
        Ok(response)
    }

    /// GET of JSON.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        read_json(self.call(request(Method::GET, path, empty())?).await?).await
    }

    /// GET of JSON as it came.
    pub async fn get_raw(&self, path: &str) -> Result<Vec<u8>> {
        let response = self.call(request(Method::GET, path, empty())?).await?;
        read_all(response).await
    }

    /// POST without a body, answer read and forgotten.
    pub async fn post(&self, path: &str) -> Result<StatusCode> {
        let response = self.call(request(Method::POST, path, empty())?).await?;
        let status = response.status();
        read_all(response).await?;
        Ok(status)
    }

    /// POST of JSON.
    pub async fn post_json<B: Serialize + Sync, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
    ) -> Result<T> {
        read_json(self.call(json_request(Method::POST, path, body)?).await?).await
    }

    /// POST of JSON, answer read and forgotten.
    pub async fn post_json_only<B: Serialize + Sync>(&self, path: &str, body: &B) -> Result<()> {
        read_all(self.call(json_request(Method::POST, path, body)?).await?).await.map(drop)
    }

    /// POST without a body, answer as JSON.
    pub async fn post_for<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        read_json(self.call(request(Method::POST, path, empty())?).await?).await
    }

    /// DELETE, answer as JSON if there is one.
    pub async fn delete(&self, path: &str) -> Result<Vec<u8>> {
        read_all(self.call(request(Method::DELETE, path, empty())?).await?).await
    }

    /// A request that turns the connection into a session.
    pub async fn upgrade<B: Serialize + Sync>(
        &self,
        path: &str,
        body: Option<&B>,
    ) -> Result<Session> {
        let mut request = match body {
            Some(body) => json_request(Method::POST, path, body)?,
            None => request(Method::POST, path, empty())?,
        };
        let headers = request.headers_mut();
        headers.insert(CONNECTION, http::HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, http::HeaderValue::from_static("tcp"));
        let response = self.call(request).await?;
        Session::from_response(response).await
    }
}

/// A request.
pub fn request(method: Method, path: &str, body: Body) -> Result<Request<Body>> {
    Request::builder()
        .method(method)
        .uri(path)
        .body(body)
        .map_err(|e| CliError::new(format!("invalid request {path}: {e}")))
}

fn json_request<B: Serialize>(method: Method, path: &str, body: &B) -> Result<Request<Body>> {
    let text = serde_json::to_vec(body).map_err(|e| CliError::new(e.to_string()))?;
    let mut request = request(method, path, full(text))?;
    request.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    Ok(request)
}

/// No body.
pub fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// A body of bytes.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// The bytes of an answer as they come.
pub fn chunks(
    response: Response<Incoming>,
) -> impl Stream<Item = std::io::Result<Bytes>> + Unpin + Send {
    use futures_util::StreamExt;
    Box::pin(BodyStream::new(response.into_body()).filter_map(|frame| async {
        match frame {
            Ok(frame) => frame.into_data().ok().map(Ok),
            Err(e) => Some(Err(std::io::Error::other(e))),
        }
    }))
}

async fn read_all(response: Response<Incoming>) -> Result<Vec<u8>> {
    let body = response
        .into_body()
        .collect()
        .await
        .map_err(|e| CliError::new(format!("the daemon's answer broke off: {e}")))?;
    Ok(body.to_bytes().to_vec())
}

async fn read_json<T: DeserializeOwned>(response: Response<Incoming>) -> Result<T> {
    let bytes = read_all(response).await?;
    serde_json::from_slice(&bytes)
        .map_err(|e| CliError::new(format!("the daemon's answer is not what was expected: {e}")))
}

async fn refusal(response: Response<Incoming>) -> CliError {
    let status = response.status();
    let bytes = read_all(response).await.unwrap_or_default();
    let message = match serde_json::from_slice::<bryo_spec::docker::ErrorBody>(&bytes) {
        Ok(body) => body.message,
        Err(_) => String::from_utf8_lossy(&bytes).trim().to_owned(),
    };
    let message = if message.is_empty() { status.to_string() } else { message };
    CliError::daemon(status.as_u16(), &message)
}

/// Percent-encodes a value for a path or query.
pub fn encode(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}

/// A path segment: slashes and colons of image names stay.
pub fn segment(text: &str) -> String {
    text.split('/').map(|part| encode(part).replace("%3A", ":")).collect::<Vec<_>>().join("/")
}

/// A query of the given pairs, with `?` in front unless it is empty.
pub fn query(pairs: &[(&str, String)]) -> String {
    let text: Vec<String> =
        pairs.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
    if text.is_empty() { String::new() } else { format!("?{}", text.join("&")) }
}

/// `os[/arch[/variant]]` as the API's JSON.
pub fn platform_json(text: &str) -> Result<String> {
    let mut parts = text.split('/');
    let mut part = || parts.next().unwrap_or_default().to_owned();
    let (os, architecture, variant) = (part(), part(), part());
    if os.is_empty() || parts.next().is_some() {
        return Err(CliError::new(format!(
            "invalid platform: \"{text}\" is not of the form os[/arch[/variant]]"
        )));
    }
    let mut map = serde_json::Map::new();
    for (key, value) in [("architecture", architecture), ("os", os), ("variant", variant)] {
        if !value.is_empty() {
            map.insert(key.to_owned(), value.into());
        }
    }
    Ok(serde_json::Value::Object(map).to_string())
}

/// `--platform` as the API's JSON, if it was given.
pub fn platform(p: &Parsed) -> Result<Option<String>> {
    p.get("platform").filter(|text| !text.is_empty()).map(platform_json).transpose()
}

/// `--filter key=value` flags as the `filters` parameter.
pub fn filters(list: &[String]) -> Result<Option<String>> {
    let mut map: std::collections::BTreeMap<String, Vec<String>> = Default::default();
    for filter in list {
        let (key, value) = filter.split_once('=').ok_or_else(|| {
            CliError::usage(format!(
                "invalid argument \"{filter}\" for \"-f, --filter\" flag: bad format of filter (expected name=value)"
            ))
        })?;
        map.entry(key.trim().to_lowercase()).or_default().push(value.trim().to_owned());
    }
    if map.is_empty() {
        return Ok(None);
    }
    serde_json::to_string(&map).map(Some).map_err(|e| CliError::new(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_queries_are_encoded() {
        assert_eq!(segment("127.0.0.1:5001/a b:1"), "127.0.0.1:5001/a%20b:1");
        assert_eq!(query(&[("name", "a/b&c".into())]), "?name=a%2Fb%26c");
        assert_eq!(query(&[]), "");
        assert_eq!(
            filters(&["label=a=b".into(), "label=c".into()]).unwrap().unwrap(),
            r#"{"label":["a=b","c"]}"#
        );
        assert!(filters(&["x".into()]).is_err());
    }
}
