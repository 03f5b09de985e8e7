//! Section 1.11 of the facts: releases.

use proxmox_simulator::{Config, Release, Simulator};
use serde_json::json;

use crate::asking::{Asking, cluster};

async fn old(release: Release) -> Simulator {
    let config = Config { release, ..Config::default() };
    Simulator::in_process(config).await.expect("it starts")
}

#[tokio::test(start_paused = true)]
async fn each_release_says_which_it_is() {
    for (release, name) in [(Release::V7_4, "7.4"), (Release::V8_4, "8.4"), (Release::V9_2, "9.2")]
    {
        let simulator = old(release).await;
        let version = Asking::root(&simulator).get("/version").await;
        assert_eq!(version.data()["release"], name);
    }
}

#[tokio::test(start_paused = true)]
async fn seven_resizes_at_once_and_says_nothing_in_the_body() {
    let simulator = old(Release::V7_4).await;
    let asking = Asking::root(&simulator);
    asking.clone_to(100).await;
    let path = "/nodes/pve1/qemu/100/resize";
    assert_eq!(asking.put(path, "disk=scsi0&size=9G").await.data(), &json!(null));
    let config = asking.get("/nodes/pve1/qemu/100/config").await;
    assert!(config.data()["scsi0"].as_str().expect("a drive").ends_with("size=9G"));
    assert_eq!(config.data()["memory"], json!(2048));
    let answer = asking.get("/nodes/pve1/qemu/101/config").await;
    assert!(answer.reason.starts_with("Configuration file"));
    assert_eq!(answer.body, json!({"data": null}));
}

#[tokio::test(start_paused = true)]
async fn seven_takes_a_command_as_one_text_and_pools_by_path() {
    let simulator = old(Release::V7_4).await;
    let asking = Asking::root(&simulator);
    let path = "/nodes/pve1/qemu/9000/agent/exec";
    assert!(!asking.post(path, "command=a&command=b").await.error("command").is_empty());
    assert_eq!(asking.post("/pools", "poolid=a").await.status, 200);
    assert_eq!(asking.delete("/pools?poolid=a").await.status, 501);
    assert_eq!(asking.delete("/pools/a").await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn seven_loses_json_on_the_way_to_another_node() {
    let simulator = old(Release::V7_4).await;
    let body = json!({"newid": 100}).to_string();
    let path = "/nodes/pve1/qemu/9000/clone";
    let asking = Asking::root(&simulator);
    let far = asking.at("pve2").send("POST", path, "application/json", &body).await;
    assert!(far.error("newid").contains("missing"));
    assert_eq!(asking.send("POST", path, "application/json", &body).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn options_of_later_releases_are_unknown_to_seven() {
    let (seven, nine) = (old(Release::V7_4).await, cluster().await);
    for (simulator, status) in [(&seven, 400), (&nine, 200)] {
        let asking = Asking::root(simulator);
        let config = asking.put("/nodes/pve1/qemu/9000/config", "ciupgrade=0").await;
        assert_eq!(config.status, status);
        let stop = asking.post("/nodes/pve1/qemu/9000/status/stop", "overrule-shutdown=1").await;
        assert_eq!(stop.status, status);
    }
}

#[tokio::test(start_paused = true)]
async fn roles_know_the_privileges_of_their_release() {
    for (release, name, status) in [
        (Release::V8_4, "VM.Monitor", 200),
        (Release::V8_4, "VM.GuestAgent.Audit", 400),
        (Release::V9_2, "VM.Monitor", 400),
        (Release::V9_2, "VM.GuestAgent.Audit", 200),
        (Release::V7_4, "SDN.Use", 400),
    ] {
        let simulator = old(release).await;
        let asking = Asking::root(&simulator);
        let answer = asking.post("/access/roles", &format!("roleid=r&privs={name}")).await;
        assert_eq!(answer.status, status, "{release:?} {name}");
    }
}
