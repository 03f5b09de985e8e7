use crate::{
    ClientCertificate, Identity,
    certificate::{AuthorityPair, Usage},
};
use jiff::{SignedDuration, Timestamp};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use secrecy::{ExposeSecret, SecretSlice};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt};

/// How long the authorities of a tenant are valid, as kubeadm makes them: ten years.
const VALID: SignedDuration = SignedDuration::from_hours(10 * 365 * 24);

/// Why key material could not be made or read.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A key or a certificate could not be made.
    #[error("make a certificate")]
    Make(#[source] rcgen::Error),
    /// A stored key or certificate could not be read.
    #[error("read a stored certificate or key")]
    Read(#[source] rcgen::Error),
    /// The stored bytes are not an authority.
    #[error("read the stored authority")]
    Stored(#[source] serde_json::Error),
    /// A time does not fit a certificate.
    #[error("a time outside of what a certificate can hold")]
    Time,
    /// A TLS configuration was refused.
    #[error("make a TLS configuration")]
    Tls(#[source] rustls::Error),
}

/// A tenant's key material: what its control plane is built on and what Warren mints credentials
/// with.
///
/// It is stored encrypted and placed in the Secret `<cluster>-certs` before the control plane
/// starts; vCluster then signs the leaves that are missing with it (`pkg/certs/ensure.go`).
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Authority {
    cluster: AuthorityPair,
    front_proxy: AuthorityPair,
    etcd: AuthorityPair,
    service_account_key: String,
    service_account_public_key: String,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authority")
    }
}

impl Authority {
    /// Makes new key material.
    ///
    /// # Errors
    /// If the cryptographic library refuses.
    pub fn generate(now: Timestamp) -> Result<Self, AuthorityError> {
        let service_account =
            KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(AuthorityError::Make)?;
        Ok(Self {
            cluster: AuthorityPair::generate("kubernetes", now, VALID)?,
            front_proxy: AuthorityPair::generate("front-proxy-ca", now, VALID)?,
            etcd: AuthorityPair::generate("etcd-ca", now, VALID)?,
            service_account_key: service_account.serialize_pem(),
            service_account_public_key: service_account.public_key_pem(),
        })
    }

    /// The form in which it is stored, to be encrypted.
    ///
    /// # Errors
    /// Never in practice: every field is text.
    pub fn to_bytes(&self) -> Result<SecretSlice<u8>, AuthorityError> {
        serde_json::to_vec(self).map(SecretSlice::from).map_err(AuthorityError::Stored)
    }

    /// Reads what [`Authority::to_bytes`] made.
    ///
    /// # Errors
    /// If the bytes are something else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, AuthorityError> {
        serde_json::from_slice(bytes).map_err(AuthorityError::Stored)
    }

    /// The certificate that a client verifies the tenant's API server with, as PEM.
    #[must_use]
    pub fn certificate(&self) -> &str {
        &self.cluster.certificate
    }

    /// The content of the Secret `<cluster>-certs`: only authorities and the service account's
    /// keys; the leaves are made from them by vCluster.
    ///
    /// Source: vCluster 0.36, `pkg/certs/constants.go`, `certMap`.
    #[must_use]
    pub fn files(&self) -> BTreeMap<String, SecretSlice<u8>> {
        let files = [
            ("ca.crt", self.cluster.certificate.as_str()),
            ("ca.key", self.cluster.key()),
            ("etcd-ca.crt", &self.etcd.certificate),
            ("etcd-ca.key", self.etcd.key()),
            ("front-proxy-ca.crt", &self.front_proxy.certificate),
            ("front-proxy-ca.key", self.front_proxy.key()),
            ("sa.key", &self.service_account_key),
            ("sa.pub", &self.service_account_public_key),
        ];
        let secret = |text: &str| SecretSlice::from(text.as_bytes().to_vec());
        files.into_iter().map(|(name, text)| (name.to_owned(), secret(text))).collect()
    }

    /// Mints a credential for the tenant's API server.
    ///
    /// # Errors
    /// If the stored key cannot be read or the certificate cannot be signed.
    pub fn client_certificate(
        &self,
        identity: &Identity,
        now: Timestamp,
        not_after: Timestamp,
    ) -> Result<ClientCertificate, AuthorityError> {
        let usage = Usage::Client { user: &identity.user, group: &identity.group };
        let (certificate, key) = self.cluster.sign(&usage, now, not_after)?;
        Ok(ClientCertificate { certificate, key, not_after })
    }
}

/// Reads an authority from secret bytes.
impl TryFrom<&SecretSlice<u8>> for Authority {
    type Error = AuthorityError;

    fn try_from(bytes: &SecretSlice<u8>) -> Result<Self, AuthorityError> {
        Self::from_bytes(bytes.expose_secret())
    }
}

#[cfg(test)]
mod tests;
