//! A cluster that is stopped and started again.

use proxmox_simulator::{Config, Simulator};

use crate::asking::Asking;

#[tokio::test(start_paused = true)]
async fn what_was_done_is_there_after_a_restart_and_what_ran_was_interrupted() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = Config { folder: Some(folder.path().into()), ..Config::default() };
    let simulator = Simulator::in_process(config.clone()).await.expect("it starts");
    let asking = Asking::root(&simulator);
    asking.clone_to(100).await;
    assert_eq!(asking.run("POST", "/nodes/pve1/qemu/100/status/start", "").await, "OK");
    let answer = asking.post("/nodes/pve1/qemu/9000/clone", "newid=101&full=1").await;
    let upid = answer.data().as_str().expect("a task").to_owned();
    tokio::time::sleep(std::time::Duration::from_millis(400)).await;
    assert_eq!(asking.put("/nodes/pve1/qemu/100/config", "description=kept").await.status, 200);
    simulator.stop().await;

    let simulator = Simulator::in_process(config).await.expect("it starts again");
    let asking = Asking::root(&simulator);
    assert_eq!(asking.end(&upid).await, "interrupted by signal");
    let kept = asking.get("/nodes/pve1/qemu/100/config").await;
    assert_eq!(kept.data()["description"], "kept");
    let current = asking.get("/nodes/pve1/qemu/100/status/current").await;
    assert_eq!(current.data()["status"], "running");
    // As on a node that lost its power in the middle of a clone.
    let half = asking.get("/nodes/pve1/qemu/101/config").await;
    assert_eq!(half.data()["lock"], "clone");
}
