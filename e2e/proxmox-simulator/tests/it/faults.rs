//! What can be made to go wrong.

use proxmox_simulator::{Act, Effect, Lock, Moment};
use serde_json::json;
use tokio::time::{Duration, Instant};

use crate::asking::{Asking, cluster};

const CLONE: &str = "/nodes/pve1/qemu/9000/clone";
const EXISTS: &str = "/cluster/nextid?vmid=100";

#[tokio::test(start_paused = true)]
async fn a_reply_is_lost_before_or_after_the_effect() {
    for after_effect in [false, true] {
        let simulator = cluster().await;
        let asking = Asking::root(&simulator);
        simulator.inject(Effect::ReplyLost { after_effect }.once("POST", "*/clone"));
        assert_eq!(asking.post(CLONE, "newid=100").await.status, 0);
        simulator.settle().await;
        let expected = if after_effect { 400 } else { 200 };
        assert_eq!(asking.get(EXISTS).await.status, expected);
        let list = asking.get("/nodes/pve1/tasks?source=all&typefilter=qmclone&vmid=9000").await;
        assert_eq!(list.data().as_array().map(Vec::len), Some(usize::from(after_effect)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_fails_before_its_work_in_the_middle_or_after_it() {
    for (at, is_there) in [(Moment::Begin, false), (Moment::Middle, false), (Moment::End, true)] {
        let simulator = cluster().await;
        let asking = Asking::root(&simulator);
        let text = "storage went away".to_owned();
        simulator.inject(Effect::TaskFails { text, at }.once("POST", "*/clone"));
        let exit = asking.run("POST", CLONE, "newid=100").await;
        assert!(exit.ends_with("storage went away"), "{exit}");
        assert_eq!(asking.get(EXISTS).await.status == 400, is_there, "{at:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lock_is_waited_for_in_vain_and_the_task_says_which() {
    let simulator = cluster().await;
    let asking = Asking::root(&simulator);
    let cases = [
        (Lock::NewId, 1, "can't lock file '/var/lock/qemu-server/lock-100.conf' - got timeout"),
        (Lock::Vm, 10, "can't lock file '/var/lock/qemu-server/lock-9001.conf' - got timeout"),
        (
            Lock::Storage,
            10,
            "clone failed: can't lock file '/var/lock/pve-manager/pve-storage-local-lvm' - got timeout",
        ),
    ];
    for (lock, seconds, text) in cases {
        simulator.inject(Effect::LockTimeout { lock }.once("POST", "*/clone"));
        let began = Instant::now();
        let exit = asking.run("POST", "/nodes/pve1/qemu/9001/clone", "newid=100").await;
        assert_eq!(exit, text);
        assert!(began.elapsed() >= Duration::from_secs(seconds));
        assert_eq!(asking.get(EXISTS).await.status, 200);
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_is_slow_or_answered_by_something_else() {
    let simulator = cluster().await;
    let asking = Asking::root(&simulator);
    simulator.inject(Effect::Slow { ms: 7_000 }.once("GET", "/version"));
    let began = Instant::now();
    assert_eq!(asking.get("/version").await.status, 200);
    assert!(began.elapsed() >= Duration::from_secs(7));
    let broken = Effect::Answer { status: 596, reason: "Broken pipe".into() };
    simulator.inject(broken.times(2, "GET", "/nodes/pve2/*"));
    for status in [596, 596, 200] {
        assert_eq!(asking.get("/nodes/pve2/qemu").await.status, status);
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_that_hangs_ends_when_it_is_aborted() {
    let simulator = cluster().await;
    let asking = Asking::root(&simulator);
    simulator.inject(Effect::TaskHangs.once("POST", "*/clone"));
    let answer = asking.post(CLONE, "newid=100").await;
    let upid = answer.data().as_str().expect("a task").to_owned();
    tokio::time::sleep(Duration::from_mins(10)).await;
    let path = format!("/nodes/pve1/tasks/{upid}");
    assert_eq!(asking.get(&format!("{path}/status")).await.data()["status"], "running");
    assert_eq!(asking.delete(&path).await.status, 200);
    assert_eq!(asking.end(&upid).await, "interrupted by signal");
}

#[tokio::test(start_paused = true)]
async fn a_fault_stays_until_it_is_cleared() {
    let simulator = cluster().await;
    let asking = Asking::root(&simulator);
    let broken = Effect::Answer { status: 500, reason: "got timeout".into() };
    let number = simulator.inject(broken.always("GET", "*"));
    assert_eq!(asking.get("/version").await.status, 500);
    assert_eq!(simulator.faults().len(), 1);
    simulator.clear(Some(number));
    assert_eq!(asking.get("/version").await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_template_is_missing_on_one_node() {
    let simulator = cluster().await;
    simulator.act(Act::DestroyVm { vm: 9002 }).await.expect("it is gone");
    let asking = Asking::root(&simulator);
    let answer = asking.post("/nodes/pve2/qemu/9002/clone", "newid=100").await;
    assert_eq!(answer.status, 500);
    assert_eq!(asking.run("POST", "/nodes/pve3/qemu/9003/clone", "newid=100").await, "OK");
}

#[tokio::test(start_paused = true)]
async fn a_storage_is_full() {
    let simulator = cluster().await;
    let asking = Asking::root(&simulator);
    let full = Act::FillStorage { storage: "shared".into(), free_mib: 100 };
    simulator.act(full).await.expect("it is full");
    let exit = asking.run("POST", CLONE, "newid=100&full=1").await;
    assert!(
        exit.starts_with("clone failed: ") && exit.ends_with("No space left on device"),
        "{exit}"
    );
    assert_eq!(asking.get(EXISTS).await.status, 200);
    assert_eq!(asking.run("POST", CLONE, "newid=100").await, "OK");
}

#[tokio::test(start_paused = true)]
async fn an_id_is_given_to_another_vm() {
    let simulator = cluster().await;
    let asking = Asking::root(&simulator);
    asking.clone_to(100).await;
    let config = "/nodes/pve1/qemu/100/config";
    let before = asking.get(config).await.data()["smbios1"].clone();
    let act = Act::RecycleVm { vm: 100, name: "theirs".into() };
    simulator.act(act).await.expect("it is theirs");
    let after = asking.get(config).await;
    assert_eq!(after.data()["name"], "theirs");
    assert_ne!(after.data()["smbios1"], before);
    let disks = asking.get("/nodes/pve1/storage/shared/content?vmid=100").await;
    assert_eq!(disks.data(), &json!([]));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_there_cannot_be_hit() {
    let simulator = cluster().await;
    let error = simulator.act(Act::DestroyVm { vm: 77 }).await.expect_err("is not there");
    assert_eq!(error.to_string(), "there is no VM 77");
    assert!(simulator.act(Act::NodeOffline { node: "x".into() }).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_node_that_loses_its_power_takes_its_vms_with_it() {
    let simulator = cluster().await;
    let asking = Asking::root(&simulator).at("pve2");
    asking.clone_to(100).await;
    assert_eq!(asking.run("POST", "/nodes/pve1/qemu/100/status/start", "").await, "OK");
    simulator.act(Act::NodeOffline { node: "pve1".into() }).await.expect("it goes off");
    assert_eq!(asking.get("/nodes/pve1/qemu/100/status/current").await.status, 595);
    simulator.act(Act::NodeOnline { node: "pve1".into() }).await.expect("it comes back");
    let current = asking.get("/nodes/pve1/qemu/100/status/current").await;
    assert_eq!(current.data()["status"], "stopped");
}
