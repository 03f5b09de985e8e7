//! Certificates for servers of tests.

use anyhow::Result;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use proxmox_client::Fingerprint;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256,
};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    sign::{CertifiedKey, SingleCertAndKey},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};
use time::{Duration, OffsetDateTime};

/// A server's certificate with its key.
pub(crate) struct Identity {
    certificate: CertificateDer<'static>,
    key: KeyPair,
}

/// An authority like the one that every cluster has.
pub(crate) struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Identity {
    /// Signed by itself, for the addresses of this machine.
    pub(crate) fn alone() -> Result<Self> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let certificate = params(&["127.0.0.1", "localhost"], 1)?.self_signed(&key)?;
        Ok(Self { certificate: certificate.der().clone(), key })
    }

    pub(crate) fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.certificate)
    }

    /// The certificate and its key in files, for other programs.
    pub(crate) fn files(&self, folder: &Path) -> Result<(PathBuf, PathBuf)> {
        let (certificate, key) = (folder.join("certificate.pem"), folder.join("key.pem"));
        let lines = STANDARD.encode(&self.certificate);
        let pem = format!("-----BEGIN CERTIFICATE-----\n{lines}\n-----END CERTIFICATE-----\n");
        fs::write(&certificate, pem)?;
        fs::write(&key, self.key.serialize_pem())?;
        Ok((certificate, key))
    }

    /// Somebody who shows the certificate of another one, but has not its key.
    pub(crate) fn pretending_to_be(self, other: &Self) -> Self {
        Self { certificate: other.certificate.clone(), key: self.key }
    }

    pub(crate) fn configuration(&self) -> Result<Arc<ServerConfig>> {
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(self.key.serialize_der()));
        // Not looked at whether they belong together.
        let shown = CertifiedKey::new(
            vec![self.certificate.clone()],
            aws_lc_rs::sign::any_supported_type(&key)?,
        );
        let configuration =
            ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()?
                .with_no_client_auth()
                .with_cert_resolver(Arc::new(SingleCertAndKey::from(shown)));
        Ok(Arc::new(configuration))
    }
}

impl Authority {
    pub(crate) fn new() -> Result<Self> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = params(&[], 1)?;
        params.distinguished_name.push(DnType::CommonName, "PVE Cluster Manager CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let pem = params.self_signed(&key)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), pem })
    }

    pub(crate) fn pem(&self) -> Vec<u8> {
        self.pem.clone().into_bytes()
    }

    /// A server's certificate for these names, whose last day is so many days from now.
    pub(crate) fn sign(&self, names: &[&str], days: i64) -> Result<Identity> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let certificate = params(names, days)?.signed_by(&key, &self.issuer)?;
        Ok(Identity { certificate: certificate.der().clone(), key })
    }
}

fn params(names: &[&str], days: i64) -> Result<CertificateParams> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names)?;
    let now = OffsetDateTime::now_utc();
    params.not_before = now - Duration::days(700);
    params.not_after = now + Duration::days(days);
    Ok(params)
}
