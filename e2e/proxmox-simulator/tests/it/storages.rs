//! Storages, what lies on them, and uploads.

use serde_json::json;

use crate::asking::{Asking, ROOT, cluster, say};

fn upload(content: &str, name: &str, text: &str) -> String {
    let body = format!(
        "--x\r\nContent-Disposition: form-data; name=\"content\"\r\n\r\n{content}\r\n--x\r\n\
         Content-Disposition: form-data; name=\"filename\"; filename=\"{name}\"\r\n\r\n{text}\r\n--x--\r\n"
    );
    format!(
        "POST /api2/json/nodes/pve1/storage/shared/upload HTTP/1.1\r\nAuthorization: PVEAPIToken={ROOT}\r\n\
         Content-Type: multipart/form-data; boundary=x\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[tokio::test(start_paused = true)]
async fn an_image_is_uploaded_attached_and_removed() {
    let simulator = cluster().await;
    let asking = Asking::root(&simulator);
    asking.clone_to(100).await;
    let large = "x".repeat(600 * 1024);
    let answer = say(&mut simulator.connect("pve1"), &upload("iso", "seed.iso", &large)).await;
    assert_eq!(asking.end(answer.data().as_str().expect("a task")).await, "OK");
    let content = asking.get("/nodes/pve2/storage/shared/content?content=iso").await;
    assert_eq!(content.data()[0]["volid"], "shared:iso/seed.iso");
    assert_eq!(content.data()[0]["size"], json!(600 * 1024));
    let config = "/nodes/pve1/qemu/100/config";
    assert_eq!(asking.put(config, "ide2=shared:iso/seed.iso,media%3Dcdrom").await.status, 200);
    assert_eq!(
        asking.get(config).await.data()["ide2"],
        "shared:iso/seed.iso,media=cdrom,size=600K"
    );
    assert_eq!(asking.put(config, "ide2=none,media%3Dcdrom").await.status, 200);
    let path = "/nodes/pve1/storage/shared/content/shared:iso/seed.iso";
    assert_eq!(asking.run("DELETE", path, "").await, "OK");
    let content = asking.get("/nodes/pve2/storage/shared/content?content=iso").await;
    assert_eq!(content.data(), &json!([]));
}

#[tokio::test(start_paused = true)]
async fn a_start_without_its_image_fails_in_the_task() {
    let simulator = cluster().await;
    let asking = Asking::root(&simulator);
    asking.clone_to(100).await;
    let answer = say(&mut simulator.connect("pve1"), &upload("iso", "seed.iso", "x")).await;
    assert_eq!(asking.end(answer.data().as_str().expect("a task")).await, "OK");
    let form = "ide2=shared:iso/seed.iso,media%3Dcdrom";
    assert_eq!(asking.put("/nodes/pve1/qemu/100/config", form).await.status, 200);
    let path = "/nodes/pve1/storage/shared/content/shared:iso%2Fseed.iso";
    assert_eq!(asking.run("DELETE", path, "").await, "OK");
    let exit = asking.run("POST", "/nodes/pve1/qemu/100/status/start", "").await;
    assert_eq!(exit, "volume 'shared:iso/seed.iso' does not exist");
}

#[tokio::test(start_paused = true)]
async fn snippets_and_images_of_another_kind_are_not_uploaded() {
    let simulator = cluster().await;
    let answer = say(&mut simulator.connect("pve1"), &upload("snippets", "a.yaml", "x")).await;
    assert!(answer.error("content").contains("enumeration 'iso, vztmpl, import'"));
    let answer = say(&mut simulator.connect("pve1"), &upload("iso", "a.txt", "x")).await;
    assert!(answer.error("filename").contains("extension"));
    let answer = say(&mut simulator.connect("pve1"), &upload("vztmpl", "a.tar.gz", "x")).await;
    assert_eq!(answer.status, 500);
}

#[tokio::test(start_paused = true)]
async fn space_is_counted_where_it_is_taken() {
    let simulator = cluster().await;
    let asking = Asking::root(&simulator);
    let used = async |node: &str, storage: &str| {
        let path = format!("/nodes/{node}/storage/{storage}/status");
        asking.get(&path).await.data()["used"].as_u64().expect("a number") >> 30
    };
    assert_eq!((used("pve1", "local-lvm").await, used("pve2", "shared").await), (4, 4));
    let form = "newid=100&full=1&storage=local-lvm";
    assert_eq!(asking.run("POST", "/nodes/pve1/qemu/9000/clone", form).await, "OK");
    assert_eq!((used("pve1", "local-lvm").await, used("pve2", "local-lvm").await), (8, 4));
    let list = asking.get("/nodes/pve1/storage?content=images").await;
    let names: Vec<_> =
        list.data().as_array().expect("a list").iter().map(|s| s["storage"].clone()).collect();
    assert_eq!(names, [json!("local-lvm"), json!("shared")]);
}

#[tokio::test(start_paused = true)]
async fn a_storage_that_is_away_is_listed_and_takes_nothing() {
    let simulator = cluster().await;
    let asking = Asking::root(&simulator);
    let away = proxmox_simulator::Act::StorageOffline { storage: "shared".into() };
    simulator.act(away).await.expect("it goes");
    let status = asking.get("/nodes/pve1/storage/shared/status").await;
    assert_eq!((&status.data()["active"], &status.data()["avail"]), (&json!(0), &json!(0)));
    let end = asking.run("POST", "/nodes/pve1/qemu/9000/clone", "newid=100").await;
    assert!(end.contains("storage 'shared' is not online"), "{end}");
    let back = proxmox_simulator::Act::StorageOnline { storage: "shared".into() };
    simulator.act(back).await.expect("it is back");
    asking.clone_to(100).await;
}

#[tokio::test(start_paused = true)]
async fn a_base_is_not_removed_under_its_clones() {
    let simulator = cluster().await;
    let asking = Asking::root(&simulator);
    asking.clone_to(100).await;
    let exit = asking.run("DELETE", "/nodes/pve1/qemu/9000", "").await;
    assert!(exit.contains("is still in use by linked clone"), "{exit}");
    assert_eq!(asking.run("DELETE", "/nodes/pve1/qemu/100", "").await, "OK");
    assert_eq!(asking.run("DELETE", "/nodes/pve1/qemu/9000", "").await, "OK");
}

#[tokio::test(start_paused = true)]
async fn disks_that_nobody_names_go_only_when_asked() {
    let simulator = cluster().await;
    let asking = Asking::root(&simulator);
    for (query, left) in [("", 1), ("?purge=1&destroy-unreferenced-disks=1", 0)] {
        asking.clone_to(100).await;
        let config = "/nodes/pve1/qemu/100/config";
        assert_eq!(asking.put(config, "scsi1=local-lvm:1").await.status, 200);
        let act = proxmox_simulator::Act::SetOption { vm: 100, key: "scsi1".into(), value: None };
        simulator.act(act).await.expect("it is taken out");
        assert_eq!(asking.run("DELETE", &format!("/nodes/pve1/qemu/100{query}"), "").await, "OK");
        let disks = asking.get("/nodes/pve1/storage/local-lvm/content?vmid=100").await;
        assert_eq!(disks.data().as_array().map(Vec::len), Some(left), "{query}");
    }
}
