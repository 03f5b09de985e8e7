//! Section 1.6 of the facts: configurations.

use proxmox_simulator::Act;
use serde_json::json;

use crate::asking::{Asking, cluster};

const CONFIG: &str = "/nodes/pve1/qemu/100/config";

#[tokio::test(start_paused = true)]
async fn a_digest_that_is_old_is_refused() {
    let simulator = cluster().await;
    let asking = Asking::root(&simulator);
    asking.clone_to(100).await;
    let config = asking.get(CONFIG).await;
    let digest = config.data()["digest"].as_str().expect("a digest").to_owned();
    assert_eq!(asking.put(CONFIG, &format!("cores=3&digest={digest}")).await.status, 200);
    let answer = asking.put(CONFIG, &format!("cores=4&digest={digest}")).await;
    assert_eq!(answer.status, 500);
    assert!(answer.reason.contains("checksum mismatch"), "{}", answer.reason);
}

#[tokio::test(start_paused = true)]
async fn keys_are_encoded_twice_in_a_form_and_once_in_json() {
    let simulator = cluster().await;
    let asking = Asking::root(&simulator);
    asking.clone_to(100).await;
    let answer = asking.put(CONFIG, "sshkeys=ssh-ed25519%20AAAA").await;
    assert!(answer.error("sshkeys").contains("invalid urlencoded string"));
    assert_eq!(asking.put(CONFIG, "sshkeys=ssh-ed25519%2520AAAA").await.status, 200);
    let body = json!({"sshkeys": "ssh-ed25519%20AAAA"}).to_string();
    assert_eq!(asking.send("PUT", CONFIG, "application/json", &body).await.status, 200);
    assert_eq!(asking.get(CONFIG).await.data()["sshkeys"], "ssh-ed25519%20AAAA");
}

#[tokio::test(start_paused = true)]
async fn a_password_is_masked() {
    let simulator = cluster().await;
    let asking = Asking::root(&simulator);
    asking.clone_to(100).await;
    assert_eq!(asking.put(CONFIG, "cipassword=hunter2&ciuser=me").await.status, 200);
    let config = asking.get(CONFIG).await;
    assert_eq!(config.data()["cipassword"], "**********");
    assert!(!config.text.contains("hunter2"));
}

#[tokio::test(start_paused = true)]
async fn names_tags_and_unknown_options_are_checked() {
    let simulator = cluster().await;
    let asking = Asking::root(&simulator);
    asking.clone_to(100).await;
    assert!(asking.put(CONFIG, "name=a_b").await.error("name").contains("DNS name"));
    assert!(asking.put(CONFIG, "tags=a%3Db").await.error("tags").contains("tag"));
    assert!(asking.put(CONFIG, "other=1").await.error("other").starts_with("property is not"));
    let long = "x".repeat(8193);
    assert!(
        asking
            .put(CONFIG, &format!("description={long}"))
            .await
            .error("description")
            .contains("8192")
    );
    assert_eq!(asking.put(CONFIG, "tags=b,c%20a;").await.status, 200);
    assert_eq!(asking.get(CONFIG).await.data()["tags"], "a;b;c");
}

#[tokio::test(start_paused = true)]
async fn cores_of_a_vm_that_runs_wait_for_its_next_start() {
    let simulator = cluster().await;
    let asking = Asking::root(&simulator);
    asking.clone_to(100).await;
    assert_eq!(asking.run("POST", "/nodes/pve1/qemu/100/status/start", "").await, "OK");
    assert_eq!(asking.put(CONFIG, "cores=4&description=now").await.status, 200);
    let now = asking.get(&format!("{CONFIG}?current=1")).await;
    assert_eq!((&now.data()["cores"], &now.data()["description"]), (&json!(2), &json!("now")));
    assert_eq!(asking.get(CONFIG).await.data()["cores"], json!(4));
    let pending = asking.get("/nodes/pve1/qemu/100/pending").await;
    let cores = pending.data().as_array().expect("a list").iter().find(|e| e["key"] == "cores");
    assert_eq!(cores.expect("is listed")["pending"], json!(4));
    assert_eq!(asking.run("POST", "/nodes/pve1/qemu/100/status/reboot", "").await, "OK");
    let now = asking.get(&format!("{CONFIG}?current=1")).await;
    assert_eq!(now.data()["cores"], json!(4));
}

#[tokio::test(start_paused = true)]
async fn a_custom_seed_that_is_missing_is_noticed_at_the_start() {
    let simulator = cluster().await;
    let asking = Asking::root(&simulator);
    asking.clone_to(100).await;
    assert_eq!(asking.put(CONFIG, "cicustom=user%3Dlocal:snippets/x.yaml").await.status, 200);
    let exit = asking.run("POST", "/nodes/pve1/qemu/100/status/start", "").await;
    assert_eq!(exit, "volume 'local:snippets/x.yaml' does not exist");
}

#[tokio::test(start_paused = true)]
async fn disks_grow_in_a_task_and_never_shrink() {
    let simulator = cluster().await;
    let asking = Asking::root(&simulator);
    asking.clone_to(100).await;
    let path = "/nodes/pve1/qemu/100/resize";
    assert_eq!(asking.run("PUT", path, "disk=scsi0&size=%2B10G").await, "OK");
    let config = asking.get(CONFIG).await;
    assert!(config.data()["scsi0"].as_str().expect("a drive").ends_with("size=14G"));
    let exit = asking.run("PUT", path, "disk=scsi0&size=2G").await;
    assert_eq!(exit, "shrinking disks is not supported");
    assert_eq!(asking.put(path, "disk=scsi7&size=2G").await.status, 500);
    assert!(asking.put(path, "disk=scsi0&size=lots").await.error("size").contains("pattern"));
}

#[tokio::test(start_paused = true)]
async fn drives_are_made_unused_and_removed() {
    let simulator = cluster().await;
    let asking = Asking::root(&simulator);
    asking.clone_to(100).await;
    assert_eq!(asking.put(CONFIG, "scsi1=local-lvm:8&ide2=local-lvm:cloudinit").await.status, 200);
    let config = asking.get(CONFIG).await;
    assert_eq!(config.data()["scsi1"], "local-lvm:vm-100-disk-0,size=8G");
    assert_eq!(config.data()["ide2"], "local-lvm:vm-100-cloudinit,media=cdrom,size=4M");
    assert_eq!(asking.put(CONFIG, "delete=scsi1,ide2").await.status, 200);
    let config = asking.get(CONFIG).await;
    assert_eq!(config.data()["unused0"], "local-lvm:vm-100-disk-0");
    assert!(config.data().get("ide2").is_none());
    assert_eq!(asking.put(CONFIG, "delete=unused0").await.status, 200);
    let left = asking.get("/nodes/pve1/storage/local-lvm/content?vmid=100").await;
    assert_eq!(left.data(), &json!([]));
    let missing = asking.put(CONFIG, "ide2=local:iso/none.iso,media%3Dcdrom").await;
    assert_eq!(missing.reason, "volume 'local:iso/none.iso' does not exist");
}

#[tokio::test(start_paused = true)]
async fn the_asynchronous_form_is_a_task() {
    let simulator = cluster().await;
    let asking = Asking::root(&simulator);
    asking.clone_to(100).await;
    assert_eq!(asking.run("POST", CONFIG, "memory=8192").await, "OK");
    assert_eq!(asking.get(CONFIG).await.data()["memory"], "8192");
}

#[tokio::test(start_paused = true)]
async fn a_vm_becomes_a_template_unless_something_is_against_it() {
    let simulator = cluster().await;
    let asking = Asking::root(&simulator);
    asking.clone_to(100).await;
    let path = "/nodes/pve1/qemu/100";
    let snapshot = format!("{path}/snapshot");
    assert_eq!(asking.run("POST", &snapshot, "snapname=before").await, "OK");
    assert_eq!(asking.post(&format!("{path}/template"), "").await.status, 500);
    assert_eq!(asking.run("DELETE", &format!("{snapshot}/before"), "").await, "OK");
    assert_eq!(asking.run("POST", &format!("{path}/template"), "").await, "OK");
    let config = asking.get(CONFIG).await;
    assert_eq!(config.data()["template"], json!(1));
    assert!(config.data()["scsi0"].as_str().expect("a drive").contains("base-100-disk-0"));
    let exit = asking.run("POST", &format!("{path}/status/start"), "").await;
    assert!(exit.contains("template"), "{exit}");
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_brings_back_what_was() {
    let simulator = cluster().await;
    let asking = Asking::root(&simulator);
    asking.clone_to(100).await;
    let snapshot = "/nodes/pve1/qemu/100/snapshot";
    assert_eq!(asking.run("POST", snapshot, "snapname=before").await, "OK");
    assert_eq!(asking.put(CONFIG, "cores=7").await.status, 200);
    assert_eq!(asking.run("POST", &format!("{snapshot}/before/rollback"), "").await, "OK");
    assert_eq!(asking.get(CONFIG).await.data()["cores"], json!(2));
    let list = asking.get(snapshot).await;
    let names: Vec<_> =
        list.data().as_array().expect("a list").iter().map(|entry| entry["name"].clone()).collect();
    assert_eq!(names, [json!("before"), json!("current")]);
}

#[tokio::test(start_paused = true)]
async fn what_somebody_else_changes_is_seen() {
    let simulator = cluster().await;
    let asking = Asking::root(&simulator);
    asking.clone_to(100).await;
    let act = Act::AdoptVm {
        vm: 100,
        name: Some("theirs".into()),
        description: Some("mine now".into()),
        tags: None,
    };
    simulator.act(act).await.expect("it is theirs");
    let config = asking.get(CONFIG).await;
    assert_eq!(
        (&config.data()["name"], &config.data()["description"]),
        (&json!("theirs"), &json!("mine now"))
    );
    simulator.act(Act::DestroyVm { vm: 100 }).await.expect("it is gone");
    assert_eq!(asking.get(CONFIG).await.status, 500);
}
