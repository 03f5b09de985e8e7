//! Certificates: an authority for the cluster and a certificate for each node, as a cluster makes them itself.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest as _, Sha256};
use time::{Duration, OffsetDateTime};

/// What nodes' full names end with.
const DOMAIN: &str = "simulated.example";
const NODE_LIFE: Duration = Duration::days(730);
const AUTHORITY_LIFE: Duration = Duration::days(3650);

/// The authority and what nodes show.
#[derive(Debug)]
pub(crate) struct Certificates {
    authority_pem: String,
    issuer: Issuer<'static, KeyPair>,
    folder: Option<PathBuf>,
    shown: Mutex<BTreeMap<String, Shown>>,
}

#[derive(Debug, Clone)]
struct Shown {
    config: Arc<ServerConfig>,
    fingerprint: String,
}

impl Certificates {
    /// The authority of the cluster: the one that is kept, or a new one.
    pub(crate) fn new(cluster: &str, folder: Option<&Path>, now_s: u64) -> Result<Self> {
        let folder = folder.map(|folder| folder.join("pki"));
        if let Some(folder) = &folder {
            std::fs::create_dir_all(folder)?;
        }
        let key = match read(folder.as_deref(), "authority.key")? {
            Some(text) => KeyPair::from_pem(&text)?,
            None => KeyPair::generate()?,
        };
        let mut params = CertificateParams::default();
        let mut name = DistinguishedName::new();
        name.push(DnType::CommonName, "Proxmox Virtual Environment");
        name.push(DnType::OrganizationalUnitName, cluster);
        name.push(DnType::OrganizationName, "PVE Cluster Manager CA");
        params.distinguished_name = name;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::CrlSign,
            KeyUsagePurpose::DigitalSignature,
        ];
        let now = moment(now_s)?;
        params.not_before = now - Duration::days(1);
        params.not_after = now + AUTHORITY_LIFE;
        let authority_pem = match read(folder.as_deref(), "authority.crt")? {
            Some(text) => text,
            None => params.self_signed(&key)?.pem(),
        };
        write(folder.as_deref(), "authority.crt", &authority_pem)?;
        write(folder.as_deref(), "authority.key", &key.serialize_pem())?;
        let issuer = Issuer::new(params, key);
        Ok(Self { authority_pem, issuer, folder, shown: Mutex::default() })
    }

    pub(crate) fn authority_pem(&self) -> &str {
        &self.authority_pem
    }

    /// Takes the certificate that a node has, or makes it one; says its fingerprint.
    pub(crate) fn prepare(&self, node: &str, ip: IpAddr, now_s: u64) -> Result<String> {
        let folder = self.folder.as_deref();
        let kept = (read(folder, &format!("{node}.crt"))?, read(folder, &format!("{node}.key"))?);
        match kept {
            (Some(certificate), Some(key)) => self.show(node, &certificate, &key),
            _ => self.issue(node, ip, now_s, false),
        }
    }

    /// Makes a node a new certificate, which may be expired already.
    pub(crate) fn issue(
        &self,
        node: &str,
        ip: IpAddr,
        now_s: u64,
        is_expired: bool,
    ) -> Result<String> {
        let full = format!("{node}.{DOMAIN}");
        let names = [node, &full, "localhost", "127.0.0.1", "::1", &ip.to_string()];
        let mut names: Vec<String> = names.map(str::to_owned).into();
        names.dedup();
        let mut params = CertificateParams::new(names)?;
        let mut name = DistinguishedName::new();
        name.push(DnType::CommonName, node);
        name.push(DnType::OrganizationName, "Proxmox Virtual Environment");
        name.push(DnType::OrganizationalUnitName, "PVE Cluster Node");
        params.distinguished_name = name;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let age = if is_expired { NODE_LIFE + Duration::days(1) } else { Duration::hours(1) };
        params.not_before = moment(now_s)? - age;
        params.not_after = params.not_before + NODE_LIFE;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?.pem();
        let folder = self.folder.as_deref();
        write(folder, &format!("{node}.crt"), &certificate)?;
        write(folder, &format!("{node}.key"), &key.serialize_pem())?;
        self.show(node, &certificate, &key.serialize_pem())
    }

    fn show(&self, node: &str, certificate: &str, key: &str) -> Result<String> {
        let leaf = CertificateDer::from_pem_slice(certificate.as_bytes())?;
        let authority = CertificateDer::from_pem_slice(self.authority_pem.as_bytes())?;
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes())?;
        let fingerprint = fingerprint(&leaf);
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![leaf, authority], key)?;
        let shown = Shown { config: Arc::new(config), fingerprint: fingerprint.clone() };
        let mut all = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(node.to_owned(), shown);
        Ok(fingerprint)
    }

    /// What a node shows now.
    pub(crate) fn config(&self, node: &str) -> Option<Arc<ServerConfig>> {
        let all = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(node).map(|shown| shown.config.clone())
    }

    pub(crate) fn fingerprint(&self, node: &str) -> Option<String> {
        let all = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(node).map(|shown| shown.fingerprint.clone())
    }
}

/// As Proxmox VE shows it: SHA-256 of the certificate in upper-case pairs with colons.
fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    let digest = Sha256::digest(certificate);
    digest.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
}

fn moment(unix_s: u64) -> Result<OffsetDateTime> {
    Ok(OffsetDateTime::from_unix_timestamp(i64::try_from(unix_s)?)?)
}

fn read(folder: Option<&Path>, name: &str) -> Result<Option<String>> {
    let Some(path) = folder.map(|folder| folder.join(name)).filter(|path| path.exists()) else {
        return Ok(None);
    };
    let text =
        std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    Ok(Some(text))
}

fn write(folder: Option<&Path>, name: &str, text: &str) -> Result<()> {
    let Some(path) = folder.map(|folder| folder.join(name)) else { return Ok(()) };
    std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))
}
