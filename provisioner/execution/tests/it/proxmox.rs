//! The doctor of a simulated cluster of Proxmox VE: what is wrong is found, and nothing else is.

mod numbers;
mod places;
mod rights;
mod site;

use proxmox_simulator::Act;
use site::{Site, cluster};

/// What is looked at, in this order.
const NAMES: [&str; 16] = [
    "api-hosts",
    "certificates",
    "token",
    "version",
    "clock",
    "privileges",
    "pool",
    "nodes",
    "quorum",
    "disk-storage",
    "seed-storage",
    "network",
    "templates",
    "template-drives",
    "guest-agent",
    "machine-numbers",
];

#[tokio::test]
async fn a_cluster_that_is_as_it_should_be_gets_only_yes() {
    let site = Site::new(cluster()).await;
    let checks = site.examine().await;
    let names: Vec<_> = checks.0.iter().map(|check| check.name).collect();
    assert_eq!(names[..16], NAMES);
    assert_eq!(names[16..], ["addresses"]);
    for check in &checks.0 {
        assert!(check.is_ok && check.way_out.is_empty(), "{check:?}");
    }
    assert_eq!(checks.detail("version"), "Proxmox VE 9.2.11");
    assert_eq!(checks.detail("addresses"), "10.0.0.101-10.0.0.108: 8 of 8 are free");
    checks.keep_the_secret();
}

#[tokio::test]
async fn a_node_that_is_offline_is_named_and_tolerated() {
    let site = Site::new(cluster()).await;
    site.act(Act::NodeOffline { node: "pve3".into() }).await;
    let checks = site.examine().await;
    assert_eq!(checks.bad(), Vec::<&str>::new(), "{checks:?}");
    assert!(checks.detail("nodes").contains("pve3 offline"), "{checks:?}");
    assert!(checks.detail("api-hosts").contains(&site.url("pve3")), "{checks:?}");
    assert!(checks.detail("templates").contains("not looked at: pve3"), "{checks:?}");
    assert!(checks.detail("disk-storage").contains("pve2"), "{checks:?}");

    site.act(Act::NodeOffline { node: "pve2".into() }).await;
    let checks = site.examine().await;
    assert_eq!(checks.bad(), ["quorum"], "{checks:?}");
    assert!(checks.detail("quorum").contains("1 of 3 nodes"), "{checks:?}");
}

#[tokio::test]
async fn a_host_that_does_not_answer_is_wrong_unless_its_node_is_offline() {
    let mut site = Site::new(cluster()).await;
    // Nothing listens there.
    site.hosts.push("https://127.0.0.1:1".to_owned());
    let checks = site.examine().await;
    assert_eq!(checks.bad(), ["api-hosts"], "{checks:?}");
    assert!(checks.detail("api-hosts").contains("https://127.0.0.1:1: "), "{checks:?}");

    site.hosts = vec!["https://127.0.0.1:1".to_owned()];
    let checks = site.examine().await;
    assert_eq!(checks.bad(), ["api-hosts"], "nothing else can be seen: {checks:?}");
    assert_eq!(checks.0.len(), 2, "but the record's part: {checks:?}");
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_is_told_with_its_host_and_fingerprint() {
    let mut site = Site::new(cluster()).await;
    site.pins = Some(vec![site.fingerprint("pve1"), site.fingerprint("pve3")]);
    let checks = site.examine().await;
    assert_eq!(checks.bad(), ["certificates"], "{checks:?}");
    let (detail, url) = (checks.detail("certificates"), site.url("pve2"));
    assert!(detail.starts_with(&format!("{url}: ")), "{detail}");
    assert!(detail.contains(&site.fingerprint("pve2")), "{detail}");
    assert!(checks.way_out("certificates").contains("proxmox.fingerprints"), "{checks:?}");

    site.pins = Some(vec!["AB".repeat(32)]);
    let checks = site.examine().await;
    assert_eq!(checks.bad(), ["certificates"], "{checks:?}");
    assert!(checks.find("token").is_none(), "no host was told the token: {checks:?}");
}

#[tokio::test]
async fn a_certificate_that_has_expired_is_told() {
    let site = Site::new(cluster()).await;
    site.act(Act::ExpireCertificate { node: "pve2".into() }).await;
    let checks = site.examine().await;
    assert_eq!(checks.bad(), ["certificates"], "{checks:?}");
    assert!(checks.detail("certificates").contains("xpired"), "{checks:?}");
}

#[tokio::test]
async fn a_token_that_is_refused_is_named_and_its_secret_is_not() {
    let mut site = Site::new(cluster()).await;
    site.secret = "another-secret".to_owned();
    let checks = site.examine().await;
    assert_eq!(checks.bad(), ["token"], "{checks:?}");
    assert!(checks.detail("token").starts_with("warren@pve!control: "), "{checks:?}");
    let way_out = checks.way_out("token");
    assert!(way_out.contains("pveum user token add warren@pve control"), "{way_out}");
    assert!(checks.find("pool").is_none(), "nothing else can be seen: {checks:?}");
    assert!(!format!("{checks:?}").contains("another-secret"));
}

#[tokio::test]
async fn clocks_that_are_apart_are_told() {
    let site = Site::new(cluster()).await;
    site.world.clock.advance(jiff::SignedDuration::from_mins(5));
    let checks = site.examine().await;
    assert_eq!(checks.bad(), ["clock"], "{checks:?}");
    assert!(checks.detail("clock").contains(&site.url("pve1")), "{checks:?}");
}
