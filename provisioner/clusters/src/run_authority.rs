use crate::{
    AuthorityError,
    certificate::{AuthorityPair, Usage},
};
use domain::Clock;
use jiff::{SignedDuration, Timestamp};
use rustls::{
    crypto::CryptoProvider,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use secrecy::{ExposeSecret, SecretSlice};
use serde::{Deserialize, Serialize};
use std::{
    fmt,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

/// How long the authority of the run endpoint is valid: ten years.
const VALID: SignedDuration = SignedDuration::from_hours(10 * 365 * 24);
/// How long one certificate of the run endpoint is valid.
const LEAF_VALID: SignedDuration = SignedDuration::from_hours(30 * 24);
/// How long before its end a certificate is replaced.
const LEAF_RENEWED_BEFORE: SignedDuration = SignedDuration::from_hours(10 * 24);

/// The authority behind the run endpoint; its certificate is given to every run.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunAuthority(AuthorityPair);

/// The run endpoint's certificate; renews itself while the process runs.
pub struct RunCertificate {
    authority: RunAuthority,
    address: IpAddr,
    clock: Arc<dyn Clock>,
    provider: Arc<CryptoProvider>,
    current: Mutex<(Arc<CertifiedKey>, Timestamp)>,
}

impl fmt::Debug for RunAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RunAuthority")
    }
}

impl fmt::Debug for RunCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunCertificate").field("address", &self.address).finish_non_exhaustive()
    }
}

impl RunAuthority {
    /// Makes a new authority.
    ///
    /// # Errors
    /// If the cryptographic library refuses.
    pub fn generate(now: Timestamp) -> Result<Self, AuthorityError> {
        AuthorityPair::generate("warren-run-endpoint", now, VALID).map(Self)
    }

    /// The form in which it is stored, to be encrypted.
    ///
    /// # Errors
    /// Never in practice: every field is text.
    pub fn to_bytes(&self) -> Result<SecretSlice<u8>, AuthorityError> {
        serde_json::to_vec(self).map(SecretSlice::from).map_err(AuthorityError::Stored)
    }

    /// Reads what [`RunAuthority::to_bytes`] made.
    ///
    /// # Errors
    /// If the bytes are something else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, AuthorityError> {
        serde_json::from_slice(bytes).map_err(AuthorityError::Stored)
    }

    /// The certificate that runs verify the endpoint with, as PEM (`/warren/run/ca.crt`).
    #[must_use]
    pub fn certificate(&self) -> &str {
        &self.0.certificate
    }

    /// The TLS configuration of a run endpoint that is reached at `address`: HTTP/1.1, server
    /// certificate of this authority, renewed by itself.
    ///
    /// # Errors
    /// If a certificate cannot be signed, or TLS refuses it.
    pub fn server_config(
        &self,
        address: IpAddr,
        clock: Arc<dyn Clock>,
    ) -> Result<rustls::ServerConfig, AuthorityError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let resolver = RunCertificate::new(self.clone(), address, clock, Arc::clone(&provider))?;
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(AuthorityError::Tls)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(resolver));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

impl RunCertificate {
    fn new(
        authority: RunAuthority,
        address: IpAddr,
        clock: Arc<dyn Clock>,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, AuthorityError> {
        let current = Mutex::new(issue(&authority, address, clock.now(), &provider)?);
        Ok(Self { authority, address, clock, provider, current })
    }

    fn current(&self) -> Arc<CertifiedKey> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        if now + LEAF_RENEWED_BEFORE >= current.1 {
            match issue(&self.authority, self.address, now, &self.provider) {
                Ok(renewed) => *current = renewed,
                Err(error) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the run endpoint's certificate could not be renewed; the old one stays"
                ),
            }
        }
        Arc::clone(&current.0)
    }
}

impl ResolvesServerCert for RunCertificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }
}

fn issue(
    authority: &RunAuthority,
    address: IpAddr,
    now: Timestamp,
    provider: &CryptoProvider,
) -> Result<(Arc<CertifiedKey>, Timestamp), AuthorityError> {
    let not_after = now + LEAF_VALID;
    let (certificate, key) = authority.0.sign(&Usage::Server { address }, now, not_after)?;
    let unreadable = |_| AuthorityError::Tls(rustls::Error::General("unreadable PEM".to_owned()));
    let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).map_err(unreadable)?;
    let key = PrivateKeyDer::from_pem_slice(key.expose_secret().as_bytes()).map_err(unreadable)?;
    let key =
        CertifiedKey::from_der(vec![certificate], key, provider).map_err(AuthorityError::Tls)?;
    Ok((Arc::new(key), not_after))
}
