//! Which server certificates are trusted. Every cluster has an authority of its own; its nodes'
//! certificates live two years and renew themselves.

use crate::Invalid;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, OtherError, RootCertStore,
    SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _};
use rustls_platform_verifier::BuilderVerifierExt as _;
use sha2::{Digest as _, Sha256};
use std::{
    collections::BTreeSet,
    fmt,
    str::FromStr,
    sync::{Arc, PoisonError, RwLock},
};

/// Which server certificates are trusted.
#[derive(Debug, Clone)]
pub enum Trust {
    /// Those that the operating system trusts: hosts with a certificate of a public authority.
    System,
    /// Those of the authorities in this PEM file, e.g. the cluster's own, `/etc/pve/pve-root-ca.pem`.
    Authority(Vec<u8>),
    /// Those with one of these fingerprints, whatever their names and dates say. Since certificates are
    /// renewed, more than one may be given, and those of other nodes can be
    /// [learnt](crate::Client::learn_pins).
    Pinned(Pins),
    /// Any, also one of somebody who listens in between and takes the token. For machines that hold nothing.
    AnyCertificateEvenAnAttackers,
}

/// SHA-256 of a server's own certificate, as the web interface and `GET /nodes` show it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

/// A set of fingerprints that can grow while it is in use; copies share it.
#[derive(Debug, Clone, Default)]
pub struct Pins(Arc<RwLock<BTreeSet<Fingerprint>>>);

/// A certificate file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// It is not PEM.
    #[error("read the file with the authorities' certificates")]
    Pem(#[source] rustls_pki_types::pem::Error),
    /// It holds no certificate.
    #[error("the file with the authorities' certificates holds none")]
    Empty,
    /// The TLS library refuses it.
    #[error("prepare TLS")]
    Tls(#[source] rustls::Error),
}

impl Fingerprint {
    /// The fingerprint of a certificate in DER.
    #[must_use]
    pub fn of(certificate: &[u8]) -> Self {
        Self(Sha256::digest(certificate).into())
    }
}

impl FromStr for Fingerprint {
    type Err = Invalid;

    /// Reads 32 pairs of hexadecimal digits, with colons or without.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let mut bytes = [0; 32];
        let digits = if text.contains(':') {
            let are_pairs = text.split(':').all(|pair| pair.len() == 2);
            if are_pairs { text.replace(':', "") } else { String::new() }
        } else {
            text.to_owned()
        };
        hex::decode_to_slice(digits, &mut bytes)
            .map_err(|_| Invalid::new("fingerprint", text, "32 pairs of hexadecimal digits"))?;
        Ok(Self(bytes))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs: Vec<String> = self.0.iter().map(|byte| format!("{byte:02X}")).collect();
        f.write_str(&pairs.join(":"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Pins {
    /// These fingerprints.
    #[must_use]
    pub fn new(fingerprints: impl IntoIterator<Item = Fingerprint>) -> Self {
        Self(Arc::new(RwLock::new(fingerprints.into_iter().collect())))
    }

    /// Trusts one more; false if it was trusted already.
    #[must_use = "tells whether it is new"]
    pub fn add(&self, fingerprint: Fingerprint) -> bool {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(fingerprint)
    }

    /// Whether it is trusted.
    #[must_use]
    pub fn contains(&self, fingerprint: &Fingerprint) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).contains(fingerprint)
    }

    /// All of them, e.g. to keep them for the next start.
    #[must_use]
    pub fn all(&self) -> Vec<Fingerprint> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }
}

impl Trust {
    /// The TLS configuration: versions 1.2 and 1.3, aws-lc-rs.
    pub(crate) fn configuration(&self) -> Result<ClientConfig, TrustError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(TrustError::Tls)?;
        let builder = match self {
            Self::System => builder.with_platform_verifier().map_err(TrustError::Tls)?,
            Self::Authority(pem) => builder.with_root_certificates(roots(pem)?),
            Self::Pinned(pins) => {
                let verifier = Leaf { pins: Some(pins.clone()), provider };
                builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
            }
            Self::AnyCertificateEvenAnAttackers => {
                let verifier = Leaf { pins: None, provider };
                builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
            }
        };
        Ok(builder.with_no_client_auth())
    }
}

fn roots(pem: &[u8]) -> Result<RootCertStore, TrustError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        roots.add(certificate.map_err(TrustError::Pem)?).map_err(TrustError::Tls)?;
    }
    if roots.is_empty() { Err(TrustError::Empty) } else { Ok(roots) }
}

/// Looks only at the server's own certificate: its fingerprint, and that the server holds its key.
#[derive(Debug)]
struct Leaf {
    /// Nothing: any certificate will do.
    pins: Option<Pins>,
    provider: Arc<CryptoProvider>,
}

/// The certificate that was shown has this fingerprint, which is not pinned.
#[derive(Debug, thiserror::Error)]
#[error("its fingerprint is {0}, which is not pinned")]
struct NotPinned(Fingerprint);

impl ServerCertVerifier for Leaf {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let fingerprint = Fingerprint::of(end_entity);
        if self.pins.as_ref().is_none_or(|pins| pins.contains(&fingerprint)) {
            return Ok(ServerCertVerified::assertion());
        }
        let reason = OtherError(Arc::new(NotPinned(fingerprint)));
        Err(rustls::Error::InvalidCertificate(CertificateError::Other(reason)))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Why a certificate was not trusted, in words.
pub(crate) fn reason(error: &rustls::Error) -> Option<String> {
    let rustls::Error::InvalidCertificate(error) = error else { return None };
    if let CertificateError::Other(OtherError(reason)) = error {
        return Some(reason.to_string());
    }
    Some(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_fingerprint_is_the_hash_of_the_certificate() {
        let text = "E3:B0:C4:42:98:FC:1C:14:9A:FB:F4:C8:99:6F:B9:24:27:AE:41:E4:64:9B:93:4C:A4:95:99:1B:78:52:B8:55";
        assert_eq!(Fingerprint::of(b"").to_string(), text);
        assert_eq!(text.to_lowercase().parse(), Ok(Fingerprint::of(b"")));
        assert_eq!(text.replace(':', "").parse(), Ok(Fingerprint::of(b"")));
        for text in ["", "E3:B0", "E3B:0", &text[1..], "zz"] {
            assert!(text.parse::<Fingerprint>().is_err(), "{text}");
        }
    }

    #[test]
    fn pins_are_shared_by_copies() {
        let pins = Pins::new([Fingerprint::of(b"a")]);
        let copy = pins.clone();
        assert!(copy.add(Fingerprint::of(b"b")) && !copy.add(Fingerprint::of(b"b")));
        assert!(pins.contains(&Fingerprint::of(b"b")) && pins.all().len() == 2);
    }

    #[test]
    fn a_file_without_certificates_is_told() {
        let error =
            Trust::Authority(b"nothing".to_vec()).configuration().expect_err("no certificate");
        assert!(matches!(error, TrustError::Empty), "{error}");
    }

    proptest! {
        #[test]
        fn a_fingerprint_survives_its_text(bytes in any::<[u8; 32]>()) {
            prop_assert_eq!(Fingerprint(bytes).to_string().parse(), Ok(Fingerprint(bytes)));
        }
    }
}
