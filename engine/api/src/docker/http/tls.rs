//! TLS for the TCP listeners: dockerd's `--tlscert`, `--tlskey`, `--tlscacert` and `--tlsverify`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is missing or holds something else.
    #[error("cannot read {what} from {path}: {reason}")]
    File {
        /// What should be there.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The parts do not fit together.
    #[error("the TLS certificate, key and authority do not fit together: {0}")]
    Mismatch(String),
}

/// Files of a TLS listener.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// Certificate chain, PEM.
    pub cert: PathBuf,
    /// Private key, PEM.
    pub key: PathBuf,
    /// Authority of the clients' certificates, PEM; none: clients are not asked for one.
    pub client_ca: Option<PathBuf>,
}

/// The configuration of a listener. With a client authority, a client without a certificate of it is refused in the handshake.
pub fn server_config(files: &TlsFiles) -> Result<Arc<ServerConfig>, TlsError> {
    let chain = certificates("a certificate", &files.cert)?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|e| TlsError::File {
        what: "a private key",
        path: files.key.clone(),
        reason: e.to_string(),
    })?;
    let mismatch = |e: &dyn std::fmt::Display| TlsError::Mismatch(e.to_string());
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|e| mismatch(&e))?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates("a certificate authority", path)? {
                roots.add(certificate).map_err(|e| mismatch(&e))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .map_err(|e| mismatch(&e))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    builder.with_single_cert(chain, key).map(Arc::new).map_err(|e| mismatch(&e))
}

fn certificates(what: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let failed = |reason: String| TlsError::File { what, path: path.to_owned(), reason };
    let list = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|e| failed(e.to_string()))?;
    if list.is_empty() {
        return Err(failed("there is no PEM certificate in it".into()));
    }
    Ok(list)
}
