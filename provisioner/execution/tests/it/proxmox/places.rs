//! Nodes: their storages, networks and templates.

use super::site::{Site, cluster, templates};
use crate::grants::{entries, rights};
use execution::Templates;
use proxmox_client::{Bridge, StorageId, Tag};
use proxmox_simulator::{Act, Effect, TemplateConfig};
use std::time::Instant;

fn storage(name: &str) -> StorageId {
    StorageId::new(name).expect("a storage")
}

fn set(vm: u32, key: &str, value: Option<&str>) -> Act {
    Act::SetOption { vm, key: key.to_owned(), value: value.map(str::to_owned) }
}

#[tokio::test]
async fn a_storage_that_is_full_missing_or_away_is_told() {
    let site = Site::new(cluster()).await;
    let fill = |storage: &str, free_mib| Act::FillStorage { storage: storage.into(), free_mib };
    site.act(fill("local", 10)).await;
    site.act(fill("local-lvm", 0)).await;
    let checks = site.examine().await;
    assert_eq!(checks.bad(), ["disk-storage", "seed-storage"], "{checks:?}");
    let detail = checks.detail("seed-storage");
    assert!(detail.contains("local on pve2 has 10Mi left, and needs 64Mi"), "{detail}");

    site.act(fill("local", 1 << 10)).await;
    site.act(fill("local-lvm", 100 << 10)).await;
    let checks = site.examine().await;
    assert_eq!(checks.bad(), Vec::<&str>::new(), "{checks:?}");
    assert!(checks.detail("disk-storage").contains("200Gi"), "it warns: {checks:?}");
    assert!(!checks.way_out("disk-storage").is_empty(), "{checks:?}");

    site.act(Act::StorageOffline { storage: "local-lvm".into() }).await;
    let checks = site.examine().await;
    assert_eq!(checks.bad(), ["disk-storage"], "{checks:?}");
    let detail = checks.detail("disk-storage");
    for node in ["pve1", "pve2", "pve3"] {
        assert!(detail.contains(&format!("local-lvm on {node} is not active")), "{detail}");
    }
}

#[tokio::test]
async fn a_storage_on_some_nodes_only_or_of_the_wrong_kind_is_told() {
    let mut config = cluster();
    config.storages[0].nodes = vec!["pve1".into(), "pve3".into()];
    let mut site = Site::new(config).await;
    let checks = site.examine().await;
    assert_eq!(checks.bad(), ["seed-storage"], "{checks:?}");
    assert!(checks.detail("seed-storage").starts_with("local on pve2 is not there"), "{checks:?}");
    assert!(!checks.detail("seed-storage").contains("pve1"), "{checks:?}");

    site.settings.seed_storage = storage("local-lvm");
    let checks = site.examine().await;
    assert_eq!(checks.bad(), ["privileges", "seed-storage"], "{checks:?}");
    assert!(checks.detail("seed-storage").contains("does not take iso"), "{checks:?}");

    site.settings.seed_storage = storage("local");
    site.settings.storage = Some(storage("nowhere"));
    let checks = site.examine().await;
    assert_eq!(checks.bad(), ["privileges", "disk-storage", "seed-storage"], "{checks:?}");
    assert!(checks.way_out("disk-storage").contains("proxmox.storage"), "{checks:?}");
}

#[tokio::test]
async fn linked_clones_need_a_storage_that_can_make_them() {
    let mut config = cluster();
    config.storages[1].kind = "lvm".into();
    let mut site = Site::new(config).await;
    let checks = site.examine().await;
    assert_eq!(checks.bad(), ["disk-storage"], "{checks:?}");
    assert!(checks.detail("disk-storage").contains("linked clones"), "{checks:?}");
    site.settings.storage = Some(storage("local-lvm"));
    assert_eq!(site.examine().await.bad(), Vec::<&str>::new(), "whole copies it can make");
}

#[tokio::test]
async fn a_template_that_is_not_where_it_should_be_is_told_with_where_it_is() {
    let site = Site::new(cluster()).await;
    site.act(Act::MoveVm { vm: 9001, node: "pve3".into() }).await;
    let checks = site.examine().await;
    assert_eq!(checks.bad(), ["templates"], "{checks:?}");
    assert_eq!(checks.detail("templates"), "machine 9001 is not on pve2, but on pve3");
    site.act(Act::DestroyVm { vm: 9001 }).await;
    let checks = site.examine().await;
    assert_eq!(checks.detail("templates"), "there is no machine 9001");
}

#[tokio::test]
async fn a_template_that_is_none_or_is_not_fit_is_told() {
    let site = Site::new(cluster()).await;
    site.act(set(9000, "template", None)).await;
    site.act(Act::LockVm { vm: 9001, lock: "backup".into() }).await;
    site.act(set(9001, "ide2", Some("local-lvm:vm-9001-disk-7,size=1G"))).await;
    site.act(set(9002, "scsi0", None)).await;
    site.act(set(9002, "scsi1", Some("local-lvm:vm-9002-cloudinit,media=cdrom"))).await;
    site.act(set(9002, "agent", None)).await;
    let checks = site.examine().await;
    assert_eq!(checks.bad(), ["templates", "template-drives"], "{checks:?}");
    let templates = checks.detail("templates");
    assert_eq!(
        templates,
        "machine 9000 on pve1 is no template; template 9001 on pve2 is locked: backup"
    );
    assert_eq!(
        checks.detail("template-drives"),
        "template 9001 on pve2 has a disk at ide2; template 9002 on pve3 has no disk to start from; \
         template 9002 on pve3 has a cloud-init drive of its own at scsi1"
    );
    let agent = checks.detail("guest-agent");
    assert!(agent.contains("9002 on pve3") && !agent.contains("9001"), "it warns: {agent}");
}

#[tokio::test]
async fn a_node_or_bridge_or_pool_that_is_not_there_is_named() {
    let mut site = Site::new(cluster()).await;
    let mut named = templates();
    named.insert("pve9".parse().expect("a node"), named[&"pve1".parse().expect("a node")]);
    site.settings.templates = Templates::Named(named);
    site.settings.bridge = Bridge::new("vmbr7").expect("a bridge");
    site.settings.pool = "other".parse().expect("a pool");
    let checks = site.examine().await;
    assert_eq!(checks.bad(), ["privileges", "pool", "nodes", "network"], "{checks:?}");
    assert!(checks.detail("nodes").starts_with("pve9 "), "{checks:?}");
    assert!(checks.detail("network").contains("pve2 has no bridge vmbr7"), "{checks:?}");
    assert!(checks.way_out("pool").contains("pveum pool add other"), "{checks:?}");
}

#[tokio::test]
async fn a_node_that_says_nothing_is_a_finding_and_no_hang() {
    let site = Site::new(cluster()).await;
    site.simulator().inject(Effect::Slow { ms: 600_000 }.once("GET", "/nodes/pve2/storage"));
    let began = Instant::now();
    let checks = site.examine().await;
    assert!(began.elapsed().as_secs() < 12, "{:?}", began.elapsed());
    assert_eq!(checks.bad(), ["disk-storage", "seed-storage"], "{checks:?}");
    assert!(checks.detail("seed-storage").contains("pve2: no answer within 6 s"), "{checks:?}");
}

#[tokio::test]
async fn templates_are_found_by_their_tag_of_several_on_a_node_the_newest() {
    let mut config = cluster();
    let newer = config.templates[1].clone();
    config.templates.push(TemplateConfig { id: 9010, name: "newer".to_owned(), ..newer });
    config.entries.extend(entries(rights([9010])));
    for template in config.templates.iter_mut().filter(|template| template.id != 9002) {
        template.tags = "k3s;Warren-Node".to_owned();
    }
    let mut site = Site::new(config).await;
    let tag = Tag::new("warren-node").expect("a tag");
    site.settings.templates = Templates::Tagged(tag);
    let checks = site.examine().await;
    assert_eq!(checks.bad(), Vec::<&str>::new(), "{checks:?}");
    assert_eq!(checks.detail("templates"), "9000 on pve1, 9010 on pve2");

    site.settings.templates = Templates::Tagged(Tag::new("nobodys").expect("a tag"));
    let checks = site.examine().await;
    assert_eq!(
        checks.bad(),
        ["disk-storage", "seed-storage", "network", "templates"],
        "{checks:?}"
    );
    assert!(checks.detail("templates").contains("the tag nobodys"), "{checks:?}");
    assert!(checks.way_out("templates").contains("qm set ID --tags nobodys"), "{checks:?}");
}
