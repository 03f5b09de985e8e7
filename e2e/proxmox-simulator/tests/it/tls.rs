//! Section 1.3 of the facts: certificates, and nodes that come and go. In real time, over real sockets.

use std::sync::Arc;
use std::time::Duration;

use proxmox_simulator::machines::imaginary::Imaginary;
use proxmox_simulator::{Act, Clock, Config, NodeConfig, Simulator, Times};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::asking::{Asking, ROOT};

async fn cluster() -> Simulator {
    let config = Config { times: Times::short(), ..Config::default() };
    let machines = Imaginary::new(Duration::ZERO, Duration::ZERO);
    Simulator::start(config, Clock::system(), Arc::new(machines)).await.expect("it starts")
}

/// What a node answers to somebody who trusts the cluster's authority, and the fingerprint that it shows.
async fn ask(simulator: &Simulator, node: &str, name: &str) -> std::io::Result<(String, String)> {
    let mut roots = RootCertStore::empty();
    let authority = simulator.authority_pem().expect("has one").as_bytes();
    roots.add(CertificateDer::from_pem_slice(authority).expect("is one")).expect("is good");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("are there")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(simulator.addresses()[node]).await?;
    let name = ServerName::try_from(name.to_owned()).expect("is a name");
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    let shown = stream.get_ref().1.peer_certificates().expect("shows one")[0].clone();
    let digest = Sha256::digest(&shown);
    let pairs: Vec<_> = digest.iter().map(|byte| format!("{byte:02X}")).collect();
    let request = format!(
        "GET /api2/json/version HTTP/1.1\r\nAuthorization: PVEAPIToken={ROOT}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok((String::from_utf8_lossy(&answer).into_owned(), pairs.join(":")))
}

#[tokio::test]
async fn one_authority_vouches_for_all_nodes_by_name_and_address() {
    let simulator = cluster().await;
    for node in ["pve1", "pve2", "pve3"] {
        for name in [node, "localhost", "127.0.0.1", &format!("{node}.simulated.example")] {
            let (answer, shown) = ask(&simulator, node, name).await.expect("is trusted");
            assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
            assert_eq!(simulator.fingerprint(node).as_deref(), Some(shown.as_str()));
        }
    }
    assert!(ask(&simulator, "pve1", "pve2").await.is_err());
    let nodes = Asking::root(&simulator).get("/nodes").await;
    let first = &nodes.data()[0];
    assert_eq!(first["ssl_fingerprint"].as_str(), simulator.fingerprint("pve1").as_deref());
}

#[tokio::test]
async fn a_certificate_expires_and_is_renewed() {
    let simulator = cluster().await;
    let before = simulator.fingerprint("pve1");
    simulator.act(Act::ExpireCertificate { node: "pve1".into() }).await.expect("it expires");
    let error = ask(&simulator, "pve1", "pve1").await.expect_err("is expired");
    assert!(error.to_string().contains("xpired"), "{error}");
    simulator.act(Act::RenewCertificate { node: "pve1".into() }).await.expect("it is renewed");
    assert!(ask(&simulator, "pve1", "pve1").await.is_ok());
    assert_ne!(simulator.fingerprint("pve1"), before);
}

#[tokio::test]
async fn plain_http_is_sent_to_the_right_place() {
    let simulator = cluster().await;
    for (method, status) in [("GET", "301"), ("HEAD", "301"), ("POST", "308"), ("DELETE", "308")] {
        let mut stream = TcpStream::connect(simulator.addresses()["pve1"]).await.expect("listens");
        let request = format!("{method} /api2/json/version HTTP/1.1\r\nHost: pve1:8006\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("is sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("is text");
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert!(answer.contains("Location: https://pve1:8006/api2/json/version\r\n"), "{answer}");
    }
}

#[tokio::test]
async fn a_node_that_is_off_does_not_listen_and_comes_back() {
    let simulator = cluster().await;
    simulator.act(Act::NodeOffline { node: "pve2".into() }).await.expect("it goes off");
    let mut refused = false;
    for _ in 0..100 {
        refused = TcpStream::connect(simulator.addresses()["pve2"]).await.is_err();
        if refused {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(refused);
    assert!(ask(&simulator, "pve1", "pve1").await.is_ok());
    simulator.act(Act::NodeOnline { node: "pve2".into() }).await.expect("it comes back");
    for _ in 0..100 {
        if ask(&simulator, "pve2", "pve2").await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it does not come back");
}

#[tokio::test]
async fn certificates_survive_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut shown = Vec::new();
    for _ in 0..2 {
        let nodes = vec![NodeConfig::named("pve1")];
        let templates = Vec::new();
        let folder = Some(folder.path().into());
        let config = Config { folder, nodes, templates, ..Config::default() };
        let machines = Arc::new(Imaginary::new(Duration::ZERO, Duration::ZERO));
        let simulator = Simulator::start(config, Clock::system(), machines).await.expect("starts");
        shown.push((simulator.fingerprint("pve1"), simulator.authority_pem().map(str::to_owned)));
        assert!(ask(&simulator, "pve1", "pve1").await.is_ok());
        simulator.stop().await;
    }
    assert_eq!(shown[0], shown[1]);
}
