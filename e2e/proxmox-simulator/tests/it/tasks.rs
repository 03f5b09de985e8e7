//! Section 1.7 of the facts: tasks.

use proxmox_simulator::{Act, Effect};
use serde_json::json;

use crate::asking::{Asking, cluster};

const CLONE: &str = "/nodes/pve1/qemu/9000/clone";

#[tokio::test(start_paused = true)]
async fn a_task_runs_and_then_has_stopped() {
    let simulator = cluster().await;
    let asking = Asking::root(&simulator);
    let answer = asking.post(CLONE, "newid=100").await;
    let upid = answer.data().as_str().expect("a task").to_owned();
    assert!(
        upid.starts_with("UPID:pve1:") && upid.ends_with(":qmclone:9000:root@pam!test:"),
        "{upid}"
    );
    let path = format!("/nodes/pve1/tasks/{upid}/status");
    let running = asking.get(&path).await;
    assert_eq!(running.data()["status"], "running");
    assert!(running.data().get("exitstatus").is_none());
    simulator.settle().await;
    let stopped = asking.get(&path).await;
    assert_eq!(
        (&stopped.data()["status"], &stopped.data()["exitstatus"]),
        (&json!("stopped"), &json!("OK"))
    );
    let elsewhere = asking.at("pve3").get(&path).await;
    assert_eq!(elsewhere.data()["exitstatus"], "OK");
}

#[tokio::test(start_paused = true)]
async fn a_log_is_given_in_pieces_with_its_length_beside() {
    let simulator = cluster().await;
    let asking = Asking::root(&simulator);
    let answer = asking.post(CLONE, "newid=100&full=1").await;
    let upid = answer.data().as_str().expect("a task").to_owned();
    let path = format!("/nodes/pve1/tasks/{upid}/log");
    let empty = asking.get(&path).await;
    assert_eq!(empty.data(), &json!([{"n": 1, "t": "no content"}]));
    simulator.settle().await;
    let piece = asking.get(&format!("{path}?start=2&limit=2")).await;
    let numbers: Vec<_> =
        piece.data().as_array().expect("lines").iter().map(|line| line["n"].clone()).collect();
    assert_eq!(numbers, [json!(3), json!(4)]);
    assert_eq!(piece.body["total"], json!(asking.log(&upid).await.len()));
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_wrong_or_unknown_is_told_apart() {
    let simulator = cluster().await;
    let asking = Asking::root(&simulator);
    let wrong = asking.get("/nodes/pve1/tasks/nonsense/status").await;
    assert_eq!(wrong.error("upid"), "unable to parse worker upid");
    let unknown = "UPID:pve1:00000001:00000001:00000001:qmclone:100:root@pam:";
    let unknown = asking.get(&format!("/nodes/pve1/tasks/{unknown}/status")).await;
    assert_eq!(unknown.error("upid"), "no such task");
}

#[tokio::test(start_paused = true)]
async fn lists_show_what_ended_unless_more_is_wanted() {
    let simulator = cluster().await;
    let asking = Asking::root(&simulator);
    asking.clone_to(100).await;
    let missing = asking.run("POST", "/nodes/pve1/qemu/999/status/stop", "").await;
    assert_eq!(asking.post(CLONE, "newid=101").await.status, 200);
    let count = async |query: &str| {
        let answer = asking.get(&format!("/nodes/pve1/tasks{query}")).await;
        assert_eq!(answer.body["total"], json!(answer.data().as_array().map(Vec::len)));
        answer.data().as_array().expect("a list").len()
    };
    assert_eq!(count("").await, 2);
    assert_eq!(count("?source=active").await, 1);
    assert_eq!(count("?source=all&typefilter=qmclone&vmid=9000").await, 2);
    assert_eq!(count("?errors=1").await, 1);
    let failed = asking.get("/nodes/pve1/tasks?errors=1").await;
    assert_eq!(failed.data()[0]["status"], missing.as_str());
}

#[tokio::test(start_paused = true)]
async fn a_task_ends_in_one_of_three_ways() {
    let simulator = cluster().await;
    let asking = Asking::root(&simulator);
    asking.clone_to(100).await;
    simulator.inject(Effect::TaskWarns { count: 2 }.once("DELETE", "*/qemu/100"));
    let exit = asking.run("DELETE", "/nodes/pve1/qemu/100", "").await;
    assert_eq!(exit, "WARNINGS: 2");
    // The configuration is gone and the disk is not.
    assert_eq!(asking.get("/cluster/nextid?vmid=100").await.status, 200);
    let left = asking.get("/nodes/pve1/storage/shared/content?vmid=100").await;
    assert_eq!(left.data()[0]["vmid"], json!(100));
    let volume = left.data()[0]["volid"].as_str().expect("a name").to_owned();
    let path = format!("/nodes/pve1/storage/shared/content/{volume}");
    assert_eq!(asking.run("DELETE", &path, "").await, "OK");
    let left = asking.get("/nodes/pve1/storage/shared/content?vmid=100").await;
    assert_eq!(left.data(), &json!([]));
}

#[tokio::test(start_paused = true)]
async fn others_do_not_see_a_task_unless_they_may_audit() {
    let simulator = cluster().await;
    let root = Asking::root(&simulator);
    assert_eq!(root.post("/access/users", "userid=a%40pve").await.status, 200);
    let made = root.post("/access/users/a@pve/token/t1", "privsep=0").await;
    let token = format!("a@pve!t1={}", made.data()["value"].as_str().expect("a secret"));
    let answer = root.post(CLONE, "newid=100").await;
    let path = format!("/nodes/pve1/tasks/{}/status", answer.data().as_str().expect("a task"));
    let other = Asking::with_token(&simulator, &token);
    assert_eq!(other.get(&path).await.reason, "Permission check failed (/nodes/pve1, Sys.Audit)");
    assert_eq!(other.get("/nodes/pve1/tasks?source=all").await.data(), &json!([]));
}

#[tokio::test(start_paused = true)]
async fn tasks_that_ended_are_forgotten_one_day() {
    let simulator = cluster().await;
    let asking = Asking::root(&simulator);
    let answer = asking.post(CLONE, "newid=100").await;
    let upid = answer.data().as_str().expect("a task").to_owned();
    simulator.settle().await;
    simulator.act(Act::RotateTasks).await.expect("they are forgotten");
    let answer = asking.get(&format!("/nodes/pve1/tasks/{upid}/status")).await;
    assert_eq!(answer.error("upid"), "no such task");
}
