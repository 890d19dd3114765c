//! What a registry's failure is called: Docker's words where clients and users know them.

use std::time::Duration;

use reqwest::header::RETRY_AFTER;
use reqwest::{Response, StatusCode};
use serde::Deserialize;

use super::Endpoint;
use crate::error::{Error, ErrorKind};
use crate::reference::Reference;

/// The body of a registry's error answer.
#[derive(Debug, Default, Deserialize)]
struct Answer {
    #[serde(default)]
    errors: Vec<Item>,
    #[serde(default)]
    details: String,
    #[serde(default)]
    message: String,
}

#[derive(Debug, Deserialize)]
struct Item {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

impl Answer {
    async fn read(response: Response) -> Answer {
        // A proxy's error page is no JSON; the status then has to do.
        let bytes = response.bytes().await.unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    }

    fn code(&self) -> &str {
        self.errors.first().map_or("", |e| e.code.as_str())
    }

    /// `manifest unknown: manifest unknown`.
    fn text(&self, status: StatusCode) -> String {
        match self.errors.first() {
            Some(item) => {
                let code = item.code.to_ascii_lowercase().replace('_', " ");
                format!("{code}: {}", item.message)
            }
            None if !self.details.is_empty() => self.details.clone(),
            None if !self.message.is_empty() => self.message.clone(),
            None => format!("unexpected status {status}"),
        }
    }
}

/// An answer that is no success.
pub(super) async fn answer(
    endpoint: &Endpoint,
    reference: &Reference,
    path: &str,
    response: Response,
) -> Error {
    let status = response.status();
    let answer = Answer::read(response).await;
    let text = answer.text(status);
    match (status, answer.code()) {
        (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _) | (_, "DENIED") => {
            denied(reference, &text)
        }
        (_, "NAME_UNKNOWN") => Error::new(
            ErrorKind::NotFound,
            format!("repository {} not found: {text}", reference.familiar_repository()),
        ),
        (StatusCode::NOT_FOUND, _) if path.starts_with("manifests/") => Error::new(
            ErrorKind::NotFound,
            format!("manifest for {} not found: {text}", reference.familiar()),
        ),
        (StatusCode::NOT_FOUND, _) => Error::new(
            ErrorKind::NotFound,
            format!("{} lacks {path} of {}: {text}", endpoint.base, reference.familiar()),
        ),
        (StatusCode::TOO_MANY_REQUESTS, _) => Error::new(
            ErrorKind::Unavailable,
            format!(
                "toomanyrequests: {} lets nobody pull so much in so short a time; wait, log in, or use a mirror ({text})",
                endpoint.base
            ),
        ),
        (status, _) if status.is_server_error() => Error::new(
            ErrorKind::Unavailable,
            format!("the registry {} fails: {text} (status {status})", endpoint.base),
        ),
        _ => Error::new(
            ErrorKind::InvalidRequest,
            format!("the registry {} refused {path}: {text}", endpoint.base),
        ),
    }
}

/// Access is denied, or the repository does not exist: registries do not tell these apart.
pub(super) fn denied(reference: &Reference, cause: &str) -> Error {
    let cause = match cause.strip_prefix("unauthorized: ") {
        Some(_) => "denied: requested access to the resource is denied",
        None => cause,
    };
    Error::new(
        ErrorKind::Denied,
        format!(
            "pull access denied for {}, repository does not exist or may require 'docker login': {cause}",
            reference.familiar_repository()
        ),
    )
}

/// A token server that gives no token.
pub(super) async fn login(reference: &Reference, response: Response) -> Error {
    let status = response.status();
    let text = Answer::read(response).await.text(status);
    match status {
        StatusCode::UNAUTHORIZED => Error::new(
            ErrorKind::Unauthorized,
            format!("unauthorized: incorrect username or password ({text})"),
        ),
        StatusCode::FORBIDDEN => denied(reference, &text),
        _ => Error::new(
            ErrorKind::Unavailable,
            format!("the token server of {} fails: {text}", reference.domain()),
        ),
    }
}

/// A connection that did not come about or broke.
pub(super) fn unreachable(endpoint: &Endpoint, cause: &reqwest::Error) -> Error {
    let mut deepest: &dyn std::error::Error = cause;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    let what = if cause.is_timeout() { "did not answer in time" } else { "cannot be reached" };
    Error::new(ErrorKind::Unavailable, format!("the registry {} {what}: {deepest}", endpoint.base))
}

/// How long the registry wants one to wait, if it says so in seconds.
pub(super) fn retry_after(response: &Response) -> Option<Duration> {
    let text = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}
