//! Section 1.8 of the facts: what goes wrong, and with which words.

use proxmox_simulator::Act;
use serde_json::json;

use crate::asking::{Asking, cluster};

#[tokio::test(start_paused = true)]
async fn what_is_not_there_is_a_500_with_a_text() {
    let simulator = cluster().await;
    let asking = Asking::root(&simulator);
    let gone = "Configuration file 'nodes/pve1/qemu-server/100.conf' does not exist";
    for (path, text) in [
        ("/nodes/pve1/qemu/100/config", gone),
        ("/nodes/pve1/qemu/100/status/current", gone),
        ("/pools/none", "pool 'none' does not exist"),
        ("/nodes/pve1/storage/none/content", "storage 'none' does not exist"),
    ] {
        let answer = asking.get(path).await;
        assert_eq!((answer.status, answer.reason.as_str()), (500, text), "{path}");
        assert_eq!(answer.body["message"], text);
        assert_eq!(answer.body["data"], json!(null));
    }
    let answer = asking.get("/nodes/other/qemu").await;
    assert_eq!(answer.status, 500);
    assert!(answer.reason.starts_with("hostname lookup 'other' failed"), "{}", answer.reason);
}

#[tokio::test(start_paused = true)]
async fn a_vm_is_only_on_its_own_node() {
    let simulator = cluster().await;
    let answer = Asking::root(&simulator).get("/nodes/pve2/qemu/9000/config").await;
    let text = "Configuration file 'nodes/pve2/qemu-server/9000.conf' does not exist";
    assert_eq!((answer.status, answer.reason.as_str()), (500, text));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_off_is_595_and_a_full_name_596() {
    let simulator = cluster().await;
    simulator.act(Act::NodeOffline { node: "pve2".into() }).await.expect("it goes off");
    let asking = Asking::root(&simulator);
    assert_eq!(asking.get("/nodes/pve2/qemu").await.status, 595);
    assert_eq!(asking.get("/nodes/pve3.simulated.example/qemu").await.status, 596);
    let nodes = asking.get("/nodes").await;
    let nodes = nodes.data().as_array().expect("a list").clone();
    let status = |name: &str| {
        nodes.iter().find(|node| node["node"] == name).map(|node| node["status"].clone())
    };
    assert_eq!(status("pve2"), Some(json!("offline")));
    assert_eq!(status("pve1"), Some(json!("online")));
    let whole = asking.get("/cluster/status").await;
    let entry = whole.data().as_array().expect("a list").iter().find(|e| e["name"] == "pve2");
    assert_eq!(entry.expect("is listed")["online"], json!(0));
    simulator.act(Act::NodeOnline { node: "pve2".into() }).await.expect("it comes back");
    assert_eq!(asking.get("/nodes/pve2/qemu").await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn without_a_quorum_reads_work_and_writes_do_not() {
    let simulator = cluster().await;
    simulator.act(Act::LoseQuorum).await.expect("it is lost");
    let asking = Asking::root(&simulator);
    assert_eq!(asking.get("/nodes/pve1/qemu").await.status, 200);
    let answer = asking.post("/nodes/pve1/qemu/9000/clone", "newid=100").await;
    assert_eq!((answer.status, answer.reason.as_str()), (500, "cluster not ready - no quorum?"));
    let whole = asking.get("/cluster/status").await;
    assert_eq!(whole.data()[0]["quorate"], json!(0));
}

#[tokio::test(start_paused = true)]
async fn power_of_what_runs_runs_not_or_is_not_there() {
    let simulator = cluster().await;
    let asking = Asking::root(&simulator);
    asking.clone_to(100).await;
    let status = |order: &str| format!("/nodes/pve1/qemu/100/status/{order}");
    for idle in ["stop", "shutdown"] {
        assert_eq!(asking.run("POST", &status(idle), "").await, "OK");
    }
    assert_eq!(asking.run("POST", &status("start"), "").await, "OK");
    assert_eq!(asking.run("POST", &status("start"), "").await, "VM 100 already running");
    assert_eq!(asking.run("POST", &status("reset"), "").await, "OK");
    let missing = asking.run("POST", "/nodes/pve1/qemu/999/status/stop", "").await;
    assert_eq!(missing, "Configuration file 'nodes/pve1/qemu-server/999.conf' does not exist");
}

#[tokio::test(start_paused = true)]
async fn a_vm_that_runs_or_is_protected_is_not_removed() {
    let simulator = cluster().await;
    let asking = Asking::root(&simulator);
    asking.clone_to(100).await;
    let path = "/nodes/pve1/qemu/100";
    assert_eq!(asking.run("POST", &format!("{path}/status/start"), "").await, "OK");
    let answer = asking.delete(path).await;
    assert_eq!(
        (answer.status, answer.reason.as_str()),
        (500, "VM 100 is running - destroy failed")
    );
    assert_eq!(asking.put(&format!("{path}/config"), "protection=1").await.status, 200);
    let answer = asking.delete(path).await;
    assert_eq!(answer.reason, "can't remove VM 100 - protection mode enabled");
}

#[tokio::test(start_paused = true)]
async fn a_removal_that_does_not_wait_for_the_stop_is_refused() {
    let simulator = cluster().await;
    let asking = Asking::root(&simulator);
    asking.clone_to(100).await;
    let path = "/nodes/pve1/qemu/100";
    assert_eq!(asking.run("POST", &format!("{path}/status/start"), "").await, "OK");
    assert_eq!(asking.post(&format!("{path}/status/stop"), "").await.status, 200);
    assert_eq!(asking.delete(path).await.status, 500);
    simulator.settle().await;
    assert_eq!(asking.run("DELETE", path, "").await, "OK");
}

#[tokio::test(start_paused = true)]
async fn a_locked_vm_refuses_at_once_or_in_the_task() {
    let simulator = cluster().await;
    let asking = Asking::root(&simulator);
    asking.clone_to(100).await;
    simulator.act(Act::LockVm { vm: 100, lock: "backup".into() }).await.expect("it is locked");
    let path = "/nodes/pve1/qemu/100";
    let locked = "VM is locked (backup)";
    let answer = asking.put(&format!("{path}/config"), "cores=1").await;
    assert_eq!((answer.status, answer.reason.as_str()), (500, locked));
    let answer = asking.post(&format!("{path}/clone"), "newid=101").await;
    assert_eq!((answer.status, answer.reason.as_str()), (500, locked));
    assert_eq!(asking.run("POST", &format!("{path}/status/start"), "").await, locked);
    assert_eq!(asking.run("DELETE", path, "").await, locked);
    assert_eq!(asking.get(&format!("{path}/config")).await.data()["lock"], "backup");
}

#[tokio::test(start_paused = true)]
async fn a_guest_that_does_not_listen_ends_the_shutdown_or_is_ended() {
    let simulator = cluster().await;
    let asking = Asking::root(&simulator);
    asking.clone_to(100).await;
    let status = |order: &str| format!("/nodes/pve1/qemu/100/status/{order}");
    assert_eq!(asking.run("POST", &status("start"), "").await, "OK");
    simulator.act(Act::DeafenVm { vm: 100, is_deaf: true }).await.expect("it is deaf");
    let exit = asking.run("POST", &status("shutdown"), "timeout=10").await;
    assert_eq!(exit, "VM quit/powerdown failed - got timeout");
    assert_eq!(asking.run("POST", &status("shutdown"), "timeout=10&forceStop=1").await, "OK");
    assert_eq!(asking.get(&status("current")).await.data()["status"], "stopped");
}
