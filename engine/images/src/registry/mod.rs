//! Registries: the part of the distribution API that pulling needs.
//!
//! A [`Registry`] is one repository as seen through its endpoints: mirrors first (docker.io only),
//! then the registry itself; for loopback and insecure registries HTTPS without verification first,
//! then plain HTTP, as Docker does. The first endpoint that has the manifest serves the whole pull.
//!
//! On failure: connections that cannot be made fall through to the next endpoint; answers of 429 and
//! 5xx are tried again with growing pauses; everything else is an error in Docker's words.

mod auth;
mod endpoint;
mod failure;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE, RANGE};
use reqwest::{Response, StatusCode};

use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::{DOCKER_INDEX, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST};
use crate::reference::Reference;
use crate::settings::{Auth, Registries};
use auth::Tokens;
pub(crate) use endpoint::Endpoint;

/// Bytes of a manifest or configuration document, at most.
const MAX_DOCUMENT: u64 = 8 << 20;

/// Requests until one is given up.
pub(crate) const ATTEMPTS: u32 = 5;

/// Time without a byte after which a connection counts as dead.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// Time for a connection to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// The HTTP clients, shared by all pulls.
#[derive(Debug, Clone)]
pub(crate) struct Http {
    /// Made at the first use, in milliseconds: it reads the system's certificates.
    verifying: Arc<OnceLock<reqwest::Client>>,
    trusting: reqwest::Client,
    user_agent: String,
}

impl Http {
    /// Makes the clients; connections are kept and shared.
    pub fn new(user_agent: &str) -> Result<Http> {
        let trusting = builder(user_agent)
            .tls_built_in_root_certs(false)
            .danger_accept_invalid_certs(true)
            .build()
            .map_err(no_http)?;
        let verifying = Arc::default();
        Ok(Http { verifying, trusting, user_agent: user_agent.to_owned() })
    }

    /// The client that trusts the system's certificates and those that the program brings along.
    fn verifying(&self) -> Result<&reqwest::Client> {
        if let Some(client) = self.verifying.get() {
            return Ok(client);
        }
        let client = builder(&self.user_agent).build().map_err(no_http)?;
        Ok(self.verifying.get_or_init(|| client))
    }
}

fn builder(user_agent: &str) -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .user_agent(user_agent)
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(READ_TIMEOUT)
        .tcp_keepalive(Duration::from_secs(30))
}

fn no_http(e: reqwest::Error) -> Error {
    Error::new(ErrorKind::Unavailable, "cannot set up HTTP for registries").with_source(e)
}

/// A document as it came.
#[derive(Debug, Clone)]
pub(crate) struct Fetched {
    /// What the registry calls it.
    pub media_type: String,
    /// Of the bytes, verified if it was asked for by digest.
    pub digest: Digest,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// One repository at one endpoint.
#[derive(Debug)]
pub(crate) struct Registry {
    http: reqwest::Client,
    endpoint: Endpoint,
    reference: Reference,
    tokens: Tokens,
}

impl Registry {
    /// Fetches the manifest that the reference names, from the first endpoint that has it.
    pub async fn find(
        http: &Http,
        registries: &Registries,
        reference: &Reference,
        auth: Option<Auth>,
    ) -> Result<(Arc<Registry>, Fetched)> {
        let auth = auth.filter(|a| !a.is_empty());
        let mut first_error: Option<Error> = None;
        for endpoint in endpoint::all(reference, registries) {
            let client = if endpoint.verify { http.verifying()? } else { &http.trusting };
            // A mirror must not see credentials that are meant for docker.io.
            let auth = auth.clone().filter(|_| !endpoint.mirror);
            let registry = Registry {
                http: client.clone(),
                reference: reference.clone(),
                tokens: Tokens::new(auth),
                endpoint,
            };
            match registry.tagged_manifest().await {
                Ok(fetched) => return Ok((Arc::new(registry), fetched)),
                Err(e) => {
                    tracing::debug!(endpoint = %registry.endpoint.base, error = %e, "no manifest");
                    let reached = e.kind() != ErrorKind::Unavailable;
                    // What a registry says counts more than that another could not be reached.
                    if first_error.is_none() || reached && !registry.endpoint.mirror {
                        first_error = Some(e);
                    }
                    if reached && !registry.endpoint.mirror {
                        break;
                    }
                }
            }
        }
        Err(first_error.unwrap_or_else(|| {
            Error::new(ErrorKind::Unavailable, format!("no registry for {reference}"))
        }))
    }

    async fn tagged_manifest(&self) -> Result<Fetched> {
        match self.reference.digest() {
            Some(digest) => self.manifest(digest).await,
            None => self.document(self.reference.tag().unwrap_or("latest"), None).await,
        }
    }

    /// Fetches a manifest by digest.
    pub async fn manifest(&self, digest: Digest) -> Result<Fetched> {
        self.document(&digest.to_string(), Some(digest)).await
    }

    async fn document(&self, name: &str, digest: Option<Digest>) -> Result<Fetched> {
        let accept =
            [OCI_INDEX, OCI_MANIFEST, DOCKER_INDEX, DOCKER_MANIFEST, "*/*;q=0.1"].join(", ");
        let response = self.get(&format!("manifests/{name}"), Some(&accept), None).await?;
        let media_type = response
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|v| v.to_str().ok())
            .map(|v| v.split(';').next().unwrap_or(v).trim().to_owned())
            .unwrap_or_default();
        let bytes = self.body(response).await?;
        self.verified(media_type, bytes, digest)
    }

    /// Fetches a small blob.
    pub async fn small_blob(&self, digest: Digest) -> Result<Vec<u8>> {
        let response = self.get(&format!("blobs/{digest}"), None, None).await?;
        let bytes = self.body(response).await?;
        Ok(self.verified(String::new(), bytes, Some(digest))?.bytes)
    }

    /// Begins to fetch a blob from a byte on. The second value is the byte at which the answer
    /// really begins: 0 if the registry cannot do ranges.
    pub async fn blob(&self, digest: Digest, from: u64) -> Result<(Response, u64)> {
        let range = (from > 0).then(|| format!("bytes={from}-"));
        let response = self.get(&format!("blobs/{digest}"), None, range.as_deref()).await?;
        let partial = response.status() == StatusCode::PARTIAL_CONTENT;
        Ok((response, if partial { from } else { 0 }))
    }

    fn verified(
        &self,
        media_type: String,
        bytes: Vec<u8>,
        wanted: Option<Digest>,
    ) -> Result<Fetched> {
        let digest = Digest::of(&bytes);
        match wanted {
            Some(wanted) if wanted != digest => Err(Error::bad_archive(format!(
                "{} sent a document with digest {digest} where {wanted} was asked for",
                self.endpoint.base
            ))),
            _ => Ok(Fetched { media_type, digest, bytes }),
        }
    }

    async fn body(&self, mut response: Response) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        while let Some(chunk) =
            response.chunk().await.map_err(|e| failure::unreachable(&self.endpoint, &e))?
        {
            bytes.extend_from_slice(&chunk);
            if bytes.len() as u64 > MAX_DOCUMENT {
                return Err(Error::bad_archive(format!(
                    "{} sent a document of more than {MAX_DOCUMENT} bytes",
                    self.endpoint.base
                )));
            }
        }
        Ok(bytes)
    }

    /// A GET below the repository, authorised and repeated as needed; the answer is a success.
    async fn get(&self, path: &str, accept: Option<&str>, range: Option<&str>) -> Result<Response> {
        let url = format!("{}/v2/{}/{path}", self.endpoint.base, self.reference.path());
        let mut authorised = false;
        let mut attempt = 0;
        loop {
            let mut request = self.http.get(&url);
            if let Some(accept) = accept {
                request = request.header(ACCEPT, accept);
            }
            if let Some(range) = range {
                request = request.header(RANGE, range);
            }
            let request = self.tokens.authorise(request);
            let response = match request.send().await {
                Ok(response) => response,
                // Whether there is a registry at all is known at once.
                Err(e) if e.is_connect() => return Err(failure::unreachable(&self.endpoint, &e)),
                Err(e) => {
                    attempt += 1;
                    if attempt >= ATTEMPTS {
                        return Err(failure::unreachable(&self.endpoint, &e));
                    }
                    pause(attempt, None).await;
                    continue;
                }
            };
            let status = response.status();
            if status.is_success() {
                return Ok(response);
            }
            if status == StatusCode::UNAUTHORIZED && !authorised {
                authorised = true;
                self.tokens.obtain(&self.http, &self.endpoint, &self.reference, &response).await?;
                continue;
            }
            attempt += 1;
            let again = status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error();
            if !again || attempt >= ATTEMPTS {
                return Err(failure::answer(&self.endpoint, &self.reference, path, response).await);
            }
            pause(attempt, failure::retry_after(&response)).await;
        }
    }
}

/// Waits before the next attempt: 0.25, 0.5, 1, 2 … seconds and a random part, or as the registry says.
pub(crate) async fn pause(attempt: u32, asked: Option<Duration>) {
    let base = Duration::from_millis(250) * 2_u32.saturating_pow(attempt.min(6).saturating_sub(1));
    let random = base.mul_f64(rand::random::<f64>() * 0.3);
    let asked = asked.unwrap_or_default().min(Duration::from_secs(30));
    tokio::time::sleep(asked.max(base + random)).await;
}
