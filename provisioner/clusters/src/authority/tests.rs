use super::*;
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use std::sync::Arc;

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).expect("an instant in 2027")
}

#[test]
fn stored_key_material_comes_back_and_signs_as_before() {
    let authority = Authority::generate(now()).expect("keys can be made");
    let stored = authority.to_bytes().expect("keys can be written");
    let read = Authority::try_from(&stored).expect("keys can be read");
    assert_eq!(read.certificate(), authority.certificate());
    let not_after = now() + SignedDuration::from_hours(1);
    let credential = read
        .client_certificate(&Identity::warren(), now(), not_after)
        .expect("a credential can be minted");
    assert_eq!(credential.not_after, not_after);

    // A server that trusts the first copy accepts what the second one signed.
    let mut roots = rustls::RootCertStore::empty();
    let root = CertificateDer::from_pem_slice(authority.certificate().as_bytes());
    roots.add(root.expect("PEM")).expect("an authority");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier =
        rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .expect("a verifier");
    let leaf = CertificateDer::from_pem_slice(credential.certificate.as_bytes()).expect("PEM");
    let at = |timestamp: Timestamp| {
        let seconds = u64::try_from(timestamp.as_second()).expect("after 1970");
        rustls_pki_types::UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds))
    };
    assert!(verifier.verify_client_cert(&leaf, &[], at(now())).is_ok());
    let later = not_after + SignedDuration::from_secs(1);
    assert!(verifier.verify_client_cert(&leaf, &[], at(later)).is_err(), "expired is refused");
}

#[test]
fn the_secret_has_the_files_that_vcluster_signs_from_and_no_leaf() {
    let authority = Authority::generate(now()).expect("keys can be made");
    let names: Vec<String> = authority.files().into_keys().collect();
    let expected = [
        "ca.crt",
        "ca.key",
        "etcd-ca.crt",
        "etcd-ca.key",
        "front-proxy-ca.crt",
        "front-proxy-ca.key",
        "sa.key",
        "sa.pub",
    ];
    assert_eq!(names, expected);
    let key = authority.files();
    let text = String::from_utf8(key["sa.key"].expose_secret().to_vec()).expect("text");
    assert!(text.starts_with("-----BEGIN PRIVATE KEY-----"), "kubeadm reads PKCS#8");
}

#[test]
fn nothing_secret_is_in_the_debug_text() {
    let authority = Authority::generate(now()).expect("keys can be made");
    let credential = authority
        .client_certificate(&Identity::warren(), now(), now())
        .expect("a credential can be minted");
    let text = format!("{authority:?} {credential:?} {:?}", authority.files());
    assert!(!text.contains("PRIVATE"), "{text}");
}
