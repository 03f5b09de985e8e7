use crate::clock::TestClock;
use clusters::RunAuthority;
use domain::Clock;
use jiff::SignedDuration;
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _},
    time_provider::TimeProvider,
};
use std::{io, net::IpAddr, sync::Arc, time::Duration};
use tokio_rustls::{TlsAcceptor, TlsConnector};

const ADDRESS: &str = "10.77.0.20";

#[derive(Debug)]
struct Time(Arc<TestClock>);

impl TimeProvider for Time {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(self.0.now().as_second()).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

/// Connects as a runner does: it knows the authority and the address, nothing else.
async fn shake_hands(
    server: &Arc<ServerConfig>,
    authority: &RunAuthority,
    address: &str,
    clock: &Arc<TestClock>,
) -> io::Result<()> {
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from_pem_slice(authority.certificate().as_bytes()).expect("PEM");
    roots.add(root).expect("an authority");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_details(provider, Arc::new(Time(Arc::clone(clock))))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let (near, far) = tokio::io::duplex(1 << 16);
    let address: IpAddr = address.parse().expect("an address");
    let name = ServerName::IpAddress(address.into());
    let connector = TlsConnector::from(Arc::new(config));
    let (accepted, connected) = tokio::join!(
        TlsAcceptor::from(Arc::clone(server)).accept(far),
        connector.connect(name, near)
    );
    connected?;
    accepted.map(|_| ())
}

#[tokio::test]
async fn a_runner_accepts_the_endpoint_at_its_address_only() {
    let clock = Arc::new(TestClock::new());
    let authority = RunAuthority::generate(clock.now()).expect("an authority");
    let address = ADDRESS.parse().expect("an address");
    let server = authority.server_config(address, Arc::clone(&clock) as Arc<dyn Clock>);
    let server = Arc::new(server.expect("a configuration"));
    shake_hands(&server, &authority, ADDRESS, &clock).await.expect("the right address");
    assert!(shake_hands(&server, &authority, "10.77.0.21", &clock).await.is_err());
    let other = RunAuthority::generate(clock.now()).expect("an authority");
    assert!(shake_hands(&server, &other, ADDRESS, &clock).await.is_err(), "another authority");
}

#[tokio::test]
async fn the_endpoints_certificate_renews_itself_while_the_process_runs() {
    let clock = Arc::new(TestClock::new());
    let authority = RunAuthority::generate(clock.now()).expect("an authority");
    let stored = authority.to_bytes().expect("bytes");
    let authority = RunAuthority::from_bytes(secrecy::ExposeSecret::expose_secret(&stored));
    let authority = authority.expect("what was stored");
    let address = ADDRESS.parse().expect("an address");
    let server = authority.server_config(address, Arc::clone(&clock) as Arc<dyn Clock>);
    let server = Arc::new(server.expect("a configuration"));
    for _ in 0..12 {
        clock.advance(SignedDuration::from_hours(29 * 24));
        shake_hands(&server, &authority, ADDRESS, &clock).await.expect("a certificate of today");
    }
}
