//! Authorisation: a registry's 401 says where tokens are to be had.
//!
//! `Bearer realm="…",service="…",scope="…"`: a token is fetched from the realm, anonymously or with
//! the given credentials (a refresh token goes by POST, as OAuth wants). `Basic`: the credentials
//! themselves are sent. The header is kept for the requests that follow; when it has expired the
//! registry says 401 again and a new one is fetched.

use std::sync::{Mutex, PoisonError};

use reqwest::header::{AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE};
use reqwest::{RequestBuilder, Response};
use serde::Deserialize;

use super::{Endpoint, failure};
use crate::error::{Error, ErrorKind, Result};
use crate::reference::Reference;
use crate::settings::Auth;

/// What is known of a repository's authorisation.
#[derive(Debug)]
pub(super) struct Tokens {
    auth: Option<Auth>,
    header: Mutex<Option<HeaderValue>>,
}

#[derive(Deserialize)]
struct TokenAnswer {
    #[serde(default)]
    token: String,
    #[serde(default)]
    access_token: String,
}

impl Tokens {
    /// Nothing is known yet.
    pub fn new(auth: Option<Auth>) -> Tokens {
        let given = auth.as_ref().map(|a| a.registry_token.as_str()).filter(|t| !t.is_empty());
        let header = given.and_then(bearer);
        Tokens { auth, header: Mutex::new(header) }
    }

    /// Adds the header to a request.
    pub fn authorise(&self, request: RequestBuilder) -> RequestBuilder {
        match &*self.header.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(header) => request.header(AUTHORIZATION, header.clone()),
            None => request,
        }
    }

    /// Does what the challenge in a 401 answer asks.
    pub async fn obtain(
        &self,
        http: &reqwest::Client,
        endpoint: &Endpoint,
        reference: &Reference,
        response: &Response,
    ) -> Result<()> {
        let challenges: Vec<Challenge> = response
            .headers()
            .get_all(WWW_AUTHENTICATE)
            .iter()
            .filter_map(|v| Challenge::parse(v.to_str().ok()?))
            .collect();
        let header = if let Some(challenge) = challenges.iter().find(|c| c.is("bearer")) {
            self.token(http, endpoint, reference, challenge).await?
        } else if challenges.iter().any(|c| c.is("basic")) {
            let auth = self.auth.as_ref().filter(|a| !a.username.is_empty());
            let auth =
                auth.ok_or_else(|| failure::denied(reference, "no basic auth credentials"))?;
            HeaderValue::from_str(&format!("Basic {}", basic(auth))).ok()
        } else {
            return Err(failure::denied(reference, "the registry does not say how to log in"));
        };
        *self.header.lock().unwrap_or_else(PoisonError::into_inner) = header;
        Ok(())
    }

    async fn token(
        &self,
        http: &reqwest::Client,
        endpoint: &Endpoint,
        reference: &Reference,
        challenge: &Challenge,
    ) -> Result<Option<HeaderValue>> {
        let realm = challenge.get("realm").ok_or_else(|| {
            Error::new(
                ErrorKind::Unavailable,
                format!("{} asks for a token without saying where to get one", endpoint.base),
            )
        })?;
        let scope = format!("repository:{}:pull", reference.path());
        let scope = challenge.get("scope").unwrap_or(&scope);
        let mut query = vec![("scope", scope)];
        query.extend(challenge.get("service").map(|s| ("service", s)));
        let request = match &self.auth {
            Some(auth) if !auth.identity_token.is_empty() => {
                query.push(("grant_type", "refresh_token"));
                query.push(("refresh_token", &auth.identity_token));
                query.push(("client_id", "bryo"));
                http.post(realm).form(&query)
            }
            Some(auth) if !auth.username.is_empty() => http
                .get(realm)
                .query(&query)
                .header(AUTHORIZATION, format!("Basic {}", basic(auth))),
            _ => http.get(realm).query(&query),
        };
        let response = request.send().await.map_err(|e| failure::unreachable(endpoint, &e))?;
        if !response.status().is_success() {
            return Err(failure::login(reference, response).await);
        }
        let answer = response.bytes().await.map_err(|e| failure::unreachable(endpoint, &e))?;
        let answer: TokenAnswer = serde_json::from_slice(&answer).map_err(|e| {
            Error::new(ErrorKind::Unavailable, format!("{realm} did not answer with a token: {e}"))
        })?;
        let token = if answer.token.is_empty() { &answer.access_token } else { &answer.token };
        Ok(bearer(token))
    }
}

fn bearer(token: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(&format!("Bearer {token}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn basic(auth: &Auth) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(format!("{}:{}", auth.username, auth.password))
}

/// A `WWW-Authenticate` header.
#[derive(Debug, PartialEq, Eq)]
struct Challenge {
    scheme: String,
    parameters: Vec<(String, String)>,
}

impl Challenge {
    fn parse(text: &str) -> Option<Challenge> {
        let (scheme, mut rest) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
        let mut parameters = Vec::new();
        while let Some((key, after)) = rest.split_once('=') {
            let after = after.trim_start();
            let (value, next) = match after.strip_prefix('"') {
                Some(quoted) => quoted.split_once('"')?,
                None => after.split_once(',').unwrap_or((after, "")),
            };
            let key = key.trim_matches([' ', ',']).to_ascii_lowercase();
            parameters.push((key, value.trim().to_owned()));
            rest = next;
        }
        Some(Challenge { scheme: scheme.to_ascii_lowercase(), parameters })
    }

    fn is(&self, scheme: &str) -> bool {
        self.scheme == scheme
    }

    fn get(&self, key: &str) -> Option<&str> {
        self.parameters.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges() {
        let text = r#"Bearer realm="https://auth.example/token",service="reg",scope="repository:a/b:pull,push""#;
        let challenge = Challenge::parse(text).unwrap();
        assert!(challenge.is("bearer"));
        assert_eq!(challenge.get("realm"), Some("https://auth.example/token"));
        assert_eq!(challenge.get("scope"), Some("repository:a/b:pull,push"));
        assert!(Challenge::parse("Basic realm=x").unwrap().is("basic"));
    }
}
