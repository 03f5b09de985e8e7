use crate::AuthorityError;
use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType,
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use std::{fmt, net::IpAddr};
use time::OffsetDateTime;

/// How far into the past a certificate begins, for clocks that are behind ours.
const BACKDATED: SignedDuration = SignedDuration::from_mins(5);

/// A certificate authority as PEM.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct AuthorityPair {
    pub(crate) certificate: String,
    key: String,
}

/// A client certificate with its private key, both PEM.
#[derive(Clone)]
pub struct ClientCertificate {
    /// The certificate.
    pub certificate: String,
    /// Its PKCS#8 private key.
    pub key: SecretString,
    /// When it stops being accepted.
    pub not_after: Timestamp,
}

/// What a certificate is for.
pub(crate) enum Usage<'a> {
    /// Proves a user and its group to an API server.
    Client { user: &'a str, group: &'a str },
    /// Proves a server at an address.
    Server { address: IpAddr },
}

impl fmt::Debug for AuthorityPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuthorityPair")
    }
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCertificate")
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

impl AuthorityPair {
    /// Makes a self-signed authority (EC P-256) that kubeadm's loader accepts.
    pub(crate) fn generate(
        common_name: &str,
        now: Timestamp,
        valid: SignedDuration,
    ) -> Result<Self, AuthorityError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(AuthorityError::Make)?;
        let mut params = params(common_name, None, now, now + valid)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyEncipherment,
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::CrlSign,
        ];
        let certificate = params.self_signed(&key).map_err(AuthorityError::Make)?;
        Ok(Self { certificate: certificate.pem(), key: key.serialize_pem() })
    }

    /// The private key as PEM (PKCS#8).
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// Signs a new key pair; gives certificate and private key as PEM.
    pub(crate) fn sign(
        &self,
        usage: &Usage<'_>,
        now: Timestamp,
        not_after: Timestamp,
    ) -> Result<(String, SecretString), AuthorityError> {
        let authority_key = KeyPair::from_pem(&self.key).map_err(AuthorityError::Read)?;
        let issuer = Issuer::from_ca_cert_pem(&self.certificate, authority_key)
            .map_err(AuthorityError::Read)?;
        let (mut params, purpose) = match usage {
            Usage::Client { user, group } => {
                (params(user, Some(group), now, not_after)?, ExtendedKeyUsagePurpose::ClientAuth)
            }
            Usage::Server { address } => {
                let mut params = params("warren", None, now, not_after)?;
                params.subject_alt_names = vec![SanType::IpAddress(*address)];
                (params, ExtendedKeyUsagePurpose::ServerAuth)
            }
        };
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![purpose];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(AuthorityError::Make)?;
        let certificate = params.signed_by(&key, &issuer).map_err(AuthorityError::Make)?;
        Ok((certificate.pem(), SecretString::from(key.serialize_pem())))
    }
}

impl ClientCertificate {
    /// The private key, for the one place that writes it into a credential.
    pub(crate) fn expose_key(&self) -> &str {
        self.key.expose_secret()
    }
}

fn params(
    common_name: &str,
    organization: Option<&str>,
    now: Timestamp,
    not_after: Timestamp,
) -> Result<CertificateParams, AuthorityError> {
    let mut params = CertificateParams::default();
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    if let Some(organization) = organization {
        name.push(DnType::OrganizationName, organization);
    }
    params.distinguished_name = name;
    params.not_before = instant(now - BACKDATED)?;
    params.not_after = instant(not_after)?;
    Ok(params)
}

fn instant(timestamp: Timestamp) -> Result<OffsetDateTime, AuthorityError> {
    OffsetDateTime::from_unix_timestamp(timestamp.as_second()).map_err(|_| AuthorityError::Time)
}
