//! TLS to a daemon: its certificate is checked against the given authority (or the system's), ours is shown if there is one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::crypto::{
    CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::{
    self, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};

use super::super::error::{CliError, Result};
use super::stream::Stream;

/// The authorities that distributions trust, first that exists.
const SYSTEM: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// Which files protect a connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// Authority of the daemon's certificate, PEM; none: the system's.
    pub ca: Option<PathBuf>,
    /// Our certificate, PEM.
    pub certificate: Option<PathBuf>,
    /// Its key, PEM.
    pub key: Option<PathBuf>,
    /// Check the daemon's certificate.
    pub verify: bool,
}

/// Shakes hands.
pub async fn client(stream: TcpStream, address: &str, files: &TlsFiles) -> Result<Stream> {
    let config = config(files)?;
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let name = ServerName::try_from(host.clone())
        .map_err(|e| CliError::new(format!("{host} is no name a certificate can have: {e}")))?;
    let connected = TlsConnector::from(config).connect(name, stream).await;
    let stream = connected.map_err(|e| {
        CliError::new(format!("error during connect: TLS with tcp://{address} failed: {e}"))
    })?;
    Ok(Stream::Tls(Box::new(stream)))
}

fn config(files: &TlsFiles) -> Result<Arc<ClientConfig>> {
    let failed = |e: rustls::Error| CliError::new(format!("setting up TLS: {e}"));
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(failed)?;
    let builder = if files.verify {
        builder.with_root_certificates(roots(files)?)
    } else {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(Unchecked(provider)))
    };
    let config = match (&files.certificate, &files.key) {
        (Some(certificate), Some(key)) => {
            let chain = certificates(certificate)?;
            let key = PrivateKeyDer::from_pem_file(key).map_err(|e| {
                CliError::new(format!("cannot read a private key from {}: {e}", key.display()))
            })?;
            builder.with_client_auth_cert(chain, key).map_err(failed)?
        }
        _ => builder.with_no_client_auth(),
    };
    Ok(Arc::new(config))
}

fn roots(files: &TlsFiles) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    match &files.ca {
        Some(path) => {
            for certificate in certificates(path)? {
                roots
                    .add(certificate)
                    .map_err(|e| CliError::new(format!("{}: {e}", path.display())))?;
            }
        }
        None => {
            let system = SYSTEM.iter().map(Path::new).find(|path| path.exists());
            // Some of the system's may be of a kind that is not known here; the others serve.
            roots.add_parsable_certificates(
                system.map(certificates).transpose()?.unwrap_or_default(),
            );
        }
    }
    Ok(roots)
}

fn certificates(path: impl AsRef<Path>) -> Result<Vec<CertificateDer<'static>>> {
    let path = path.as_ref();
    CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<std::result::Result<Vec<_>, _>>)
        .map_err(|e| {
            CliError::new(format!("cannot read a certificate from {}: {e}", path.display()))
        })
}

/// `--tls` without `--tlsverify`: protected against listeners, not against an impostor. The user said so.
#[derive(Debug)]
struct Unchecked(Arc<CryptoProvider>);

impl ServerCertVerifier for Unchecked {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
