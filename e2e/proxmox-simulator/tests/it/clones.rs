//! Section 1.5 of the facts: clones, ids, locks.

use proxmox_simulator::{Act, Config, Simulator, TemplateConfig};
use serde_json::json;

use crate::asking::{Asking, cluster};

const CLONE: &str = "/nodes/pve1/qemu/9000/clone";

#[tokio::test(start_paused = true)]
async fn of_clones_to_one_id_several_get_a_task_and_one_gets_the_vm() {
    let simulator = cluster().await;
    let asking = Asking::root(&simulator);
    let mut tasks = Vec::new();
    for number in 0..6 {
        let answer = asking.post(CLONE, &format!("newid=100&name=vm-{number}")).await;
        tasks.push(answer.data().as_str().expect("a task").to_owned());
    }
    let mut ends = Vec::new();
    for task in &tasks {
        ends.push(asking.end(task).await);
    }
    assert_eq!(ends.iter().filter(|end| *end == "OK").count(), 1, "{ends:?}");
    let lost = "unable to create VM 100: config file already exists";
    assert_eq!(ends.iter().filter(|end| *end == lost).count(), 5, "{ends:?}");
    let winner = ends.iter().position(|end| end == "OK").expect("there is one");
    let config = asking.get("/nodes/pve1/qemu/100/config").await;
    assert_eq!(config.data()["name"], format!("vm-{winner}"));
    let late = asking.post(CLONE, "newid=100").await;
    assert_eq!((late.status, late.reason.as_str()), (500, lost));
}

#[tokio::test(start_paused = true)]
async fn the_next_id_reserves_nothing_and_tells_whether_one_is_taken() {
    let simulator = cluster().await;
    let asking = Asking::root(&simulator);
    for _ in 0..3 {
        assert_eq!(asking.get("/cluster/nextid").await.data(), "100");
    }
    assert_eq!(asking.get("/cluster/nextid?vmid=100").await.data(), "100");
    let answer = asking.get("/cluster/nextid?vmid=9000").await;
    assert_eq!(answer.error("vmid"), "VM 9000 already exists on node 'pve1'");
}

#[tokio::test(start_paused = true)]
async fn a_clone_has_its_own_addresses_and_everything_else_of_its_template() {
    let simulator = cluster().await;
    let asking = Asking::root(&simulator);
    let form = "newid=100&name=acme-1&description=warren%3Aowned";
    assert_eq!(asking.run("POST", CLONE, form).await, "OK");
    let template = asking.get("/nodes/pve1/qemu/9000/config").await;
    let clone = asking.get("/nodes/pve1/qemu/100/config").await;
    let (template, clone) = (template.data(), clone.data());
    assert_eq!(clone["name"], "acme-1");
    assert_eq!(clone["description"], "warren:owned");
    assert_eq!(clone["tags"], template["tags"]);
    assert!(clone.get("template").is_none() && clone.get("lock").is_none());
    for own in ["net0", "smbios1", "vmgenid", "scsi0"] {
        assert_ne!(clone[own], template[own], "{own}");
    }
    assert_eq!(
        clone["scsi0"],
        "shared:9000/base-9000-disk-0.qcow2/100/vm-100-disk-0.qcow2,size=4G"
    );
}

#[tokio::test(start_paused = true)]
async fn a_full_clone_tells_how_far_it_is() {
    let simulator = cluster().await;
    let asking = Asking::root(&simulator);
    let answer = asking.post(CLONE, "newid=100&full=1&storage=local-lvm").await;
    let upid = answer.data().as_str().expect("a task").to_owned();
    assert_eq!(asking.end(&upid).await, "OK");
    let log = asking.log(&upid).await;
    assert!(log.contains(&"transferred 0.0 B of 4.0 GiB (0.00%)".to_owned()), "{log:?}");
    assert!(log.contains(&"transferred 4.0 GiB of 4.0 GiB (100.00%)".to_owned()), "{log:?}");
    assert_eq!(log.last().map(String::as_str), Some("TASK OK"));
    let config = asking.get("/nodes/pve1/qemu/100/config").await;
    assert_eq!(config.data()["scsi0"], "local-lvm:vm-100-disk-0,size=4G");
}

#[tokio::test(start_paused = true)]
async fn a_linked_clone_takes_no_storage_and_no_format() {
    let simulator = cluster().await;
    let asking = Asking::root(&simulator);
    for name in ["storage=shared", "format=raw"] {
        let answer = asking.post(CLONE, &format!("newid=100&{name}")).await;
        assert_eq!(answer.status, 500, "{name}");
        assert!(answer.reason.ends_with("not allowed for linked clones"), "{}", answer.reason);
    }
}

#[tokio::test(start_paused = true)]
async fn another_node_needs_a_shared_storage() {
    let simulator = cluster().await;
    let asking = Asking::root(&simulator);
    let local = asking.post("/nodes/pve1/qemu/9001/clone", "newid=100&target=pve2").await;
    assert_eq!(local.reason, "can't clone VM to node 'pve2' (VM uses local storage)");
    let mixed = asking.post(CLONE, "newid=100&target=pve2&full=1&storage=local-lvm").await;
    assert_eq!(mixed.reason, "can't clone to non-shared storage 'local-lvm'");
    let nowhere = asking.post(CLONE, "newid=100&target=pve9").await;
    assert!(nowhere.reason.starts_with("no such cluster node"));
    assert_eq!(asking.run("POST", CLONE, "newid=100&target=pve2").await, "OK");
    assert_eq!(asking.get("/nodes/pve2/qemu/100/config").await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn twelve_linked_clones_of_one_template_all_succeed() {
    let simulator = cluster().await;
    let asking = Asking::root(&simulator);
    let mut tasks = Vec::new();
    for id in 100..112 {
        let answer = asking.post(CLONE, &format!("newid={id}")).await;
        tasks.push(answer.data().as_str().expect("a task").to_owned());
    }
    for task in &tasks {
        assert_eq!(asking.end(task).await, "OK");
    }
}

#[tokio::test(start_paused = true)]
async fn a_storm_of_clones_waits_for_the_storage_and_fails_in_the_task() {
    let mut config = Config::default();
    config.times.allocation_ms = 3_000;
    let simulator = Simulator::in_process(config).await.expect("it starts");
    let asking = Asking::root(&simulator);
    let mut tasks = Vec::new();
    for id in 100..108 {
        let answer = asking.post(CLONE, &format!("newid={id}")).await;
        tasks.push(answer.data().as_str().expect("a task").to_owned());
    }
    let mut ends = Vec::new();
    for task in &tasks {
        ends.push(asking.end(task).await);
    }
    let failed: Vec<_> = ends.iter().filter(|end| *end != "OK").collect();
    assert!(!failed.is_empty() && failed.len() < ends.len(), "{ends:?}");
    let text = "clone failed: cfs-lock 'storage-shared' error: got lock request timeout";
    assert!(failed.iter().all(|end| **end == text), "{ends:?}");
    let log = asking.log(&tasks[1]).await;
    assert!(log.contains(&"trying to acquire lock...".to_owned()), "{log:?}");
    // What failed left nothing behind.
    for (id, _) in (100..).zip(&ends).filter(|(_, end)| *end != "OK") {
        assert_eq!(asking.get(&format!("/cluster/nextid?vmid={id}")).await.status, 200);
    }
}

#[tokio::test(start_paused = true)]
async fn a_clone_that_is_aborted_leaves_nothing() {
    let simulator = cluster().await;
    let asking = Asking::root(&simulator);
    let answer = asking.post(CLONE, "newid=100&full=1").await;
    let upid = answer.data().as_str().expect("a task").to_owned();
    tokio::time::sleep(std::time::Duration::from_millis(400)).await;
    assert_eq!(asking.get("/nodes/pve1/qemu/100/config").await.data()["lock"], "clone");
    assert_eq!(asking.delete(&format!("/nodes/pve1/tasks/{upid}")).await.status, 200);
    assert_eq!(asking.end(&upid).await, "interrupted by signal");
    assert_eq!(asking.get("/cluster/nextid?vmid=100").await.status, 200);
    let disks = asking.get("/nodes/pve1/storage/shared/content?vmid=100").await;
    assert_eq!(disks.data(), &json!([]));
}

#[tokio::test(start_paused = true)]
async fn a_vm_of_somebody_else_survives_the_failure_of_a_clone() {
    let simulator = cluster().await;
    let asking = Asking::root(&simulator);
    let answer = asking.post(CLONE, "newid=100&full=1").await;
    let upid = answer.data().as_str().expect("a task").to_owned();
    tokio::time::sleep(std::time::Duration::from_millis(400)).await;
    let act = Act::RecycleVm { vm: 100, name: "theirs".into() };
    simulator.act(act).await.expect("it is theirs");
    assert!(asking.end(&upid).await.starts_with("clone failed: "));
    assert_eq!(asking.get("/nodes/pve1/qemu/100/config").await.data()["name"], "theirs");
}

#[tokio::test(start_paused = true)]
async fn a_cloud_init_drive_is_always_copied() {
    let mut config = Config::default();
    let template = TemplateConfig { id: 9010, has_cloudinit: true, ..config.templates[1].clone() };
    config.templates.push(template);
    let simulator = Simulator::in_process(config).await.expect("it starts");
    let asking = Asking::root(&simulator);
    assert_eq!(asking.run("POST", "/nodes/pve1/qemu/9010/clone", "newid=100").await, "OK");
    let config = asking.get("/nodes/pve1/qemu/100/config").await;
    assert_eq!(config.data()["ide2"], "local-lvm:vm-100-cloudinit,media=cdrom,size=4M");
    let dump = asking.get("/nodes/pve1/qemu/100/cloudinit/dump?type=meta").await;
    assert!(dump.data().as_str().expect("a text").starts_with("instance-id: "));
}

#[tokio::test(start_paused = true)]
async fn the_inventory_is_ten_seconds_old() {
    let simulator = cluster().await;
    let asking = Asking::root(&simulator);
    asking.clone_to(100).await;
    let find = async || {
        let answer = asking.get("/cluster/resources?type=vm").await;
        let list = answer.data().as_array().expect("a list").clone();
        list.into_iter().find(|vm| vm["vmid"] == json!(100)).expect("is listed")
    };
    let fresh = find().await;
    assert_eq!(fresh["status"], "unknown");
    assert!(fresh.get("name").is_none(), "{fresh}");
    tokio::time::sleep(std::time::Duration::from_secs(10)).await;
    let seen = find().await;
    assert_eq!(
        (&seen["status"], &seen["name"]),
        (&json!("stopped"), &json!("Copy-of-VM-k3s-node-9000"))
    );
    assert_eq!(asking.run("POST", "/nodes/pve1/qemu/100/status/start", "").await, "OK");
    assert_eq!(find().await["status"], "stopped");
    tokio::time::sleep(std::time::Duration::from_secs(10)).await;
    assert_eq!(find().await["status"], "running");
}
