//! The host cluster's certificates and kubeconfigs, made anew for each lab.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context as _, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose as Usage, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use serde_json::json;

use crate::layout::Layout;
use crate::network::{API_SERVICE, FIRST, NODES};

/// Where clients of the host cluster reach its API server.
pub(crate) fn api_server() -> String {
    format!("https://{}:6443", FIRST.address)
}

struct Authority {
    certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

/// Who a leaf certificate speaks for.
struct Subject<'a> {
    group: Option<&'a str>,
    name: &'a str,
}

/// Makes everything under `pki`.
pub(crate) fn create(layout: &Layout) -> Result<()> {
    let ca = Authority::create(layout, "ca", "kubernetes")?;
    let front_proxy = Authority::create(layout, "front-proxy-ca", "front-proxy-ca")?;
    front_proxy.client(layout, "front-proxy-client", &Subject::named("front-proxy-client"))?;

    let names = [
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
        "localhost",
        "127.0.0.1",
        &FIRST.address.to_string(),
        &API_SERVICE.to_string(),
    ];
    let server = Subject::named("kube-apiserver");
    ca.sign(layout, "kube-apiserver", &server, Usage::ServerAuth, &names)?;
    let warren = Subject::named("warren");
    ca.sign(layout, "warren-api", &warren, Usage::ServerAuth, &["localhost", "127.0.0.1"])?;
    let to_kubelets = Subject { group: Some("system:masters"), name: "kube-apiserver-to-kubelets" };
    ca.client(layout, "kube-apiserver-to-kubelets", &to_kubelets)?;

    let masters = Subject { group: Some("system:masters"), name: "admin" };
    ca.user(layout, "admin", &masters)?;
    ca.user(layout, "warren", &Subject::named("warren"))?;
    for part in ["kube-controller-manager", "kube-scheduler", "kube-proxy"] {
        ca.user(layout, part, &Subject::named(&format!("system:{part}")))?;
    }
    for node in &NODES {
        let name = format!("system:node:{}", node.name);
        let kubelet = Subject { group: Some("system:nodes"), name: &name };
        ca.user(layout, &format!("kubelet-{}", node.name), &kubelet)?;
    }

    let tokens = KeyPair::generate()?;
    write_secret(&layout.pki("service-accounts.key"), &tokens.serialize_pem())?;
    std::fs::write(layout.pki("service-accounts.pub"), tokens.public_key_pem())?;
    Ok(())
}

impl Subject<'_> {
    fn named(name: &str) -> Subject<'_> {
        Subject { group: None, name }
    }

    fn distinguished_name(&self) -> DistinguishedName {
        let mut full = DistinguishedName::new();
        if let Some(group) = self.group {
            full.push(DnType::OrganizationName, group);
        }
        full.push(DnType::CommonName, self.name);
        full
    }
}

impl Authority {
    fn create(layout: &Layout, file: &str, name: &str) -> Result<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name = Subject::named(name).distinguished_name();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::CrlSign,
            KeyUsagePurpose::DigitalSignature,
        ];
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        std::fs::write(layout.pki(&format!("{file}.crt")), certificate.pem())?;
        write_secret(&layout.pki(&format!("{file}.key")), &key.serialize_pem())?;
        Ok(Self { certificate, issuer: Issuer::new(params, key) })
    }

    /// Writes `FILE.crt` and `FILE.key`.
    fn sign(
        &self,
        layout: &Layout,
        file: &str,
        subject: &Subject<'_>,
        usage: Usage,
        names: &[&str],
    ) -> Result<(Certificate, KeyPair)> {
        let names: Vec<String> = names.iter().map(|&name| name.into()).collect();
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name = subject.distinguished_name();
        params.key_usages =
            vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        params.extended_key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate =
            params.signed_by(&key, &self.issuer).with_context(|| format!("sign {file}"))?;
        std::fs::write(layout.pki(&format!("{file}.crt")), certificate.pem())?;
        write_secret(&layout.pki(&format!("{file}.key")), &key.serialize_pem())?;
        Ok((certificate, key))
    }

    fn client(
        &self,
        layout: &Layout,
        file: &str,
        subject: &Subject<'_>,
    ) -> Result<(Certificate, KeyPair)> {
        self.sign(layout, file, subject, Usage::ClientAuth, &[])
    }

    /// Writes a client certificate and a kubeconfig with it.
    fn user(&self, layout: &Layout, user: &str, subject: &Subject<'_>) -> Result<()> {
        let (certificate, key) = self.client(layout, user, subject)?;
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "lab", "cluster": {
                "server": api_server(),
                "certificate-authority-data": STANDARD.encode(self.certificate.pem()),
            }}],
            "users": [{"name": user, "user": {
                "client-certificate-data": STANDARD.encode(certificate.pem()),
                "client-key-data": STANDARD.encode(key.serialize_pem()),
            }}],
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": user}}],
            "current-context": "lab",
        });
        write_secret(&layout.kubeconfig(user), &serde_json::to_string_pretty(&config)?)
    }
}

/// Writes a file that only its owner may read.
pub(crate) fn write_secret(path: &Path, text: &str) -> Result<()> {
    let mut options = OpenOptions::new();
    let file = options.create(true).write(true).truncate(true).mode(0o600).open(path);
    let mut file = file.with_context(|| format!("write {}", path.display()))?;
    file.write_all(text.as_bytes())?;
    Ok(())
}
