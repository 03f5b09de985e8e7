//! Section 1.9 of the facts: the guest agent.

use proxmox_simulator::Act;
use serde_json::json;
use tokio::time::{Duration, Instant, sleep};

use crate::asking::{Asking, cluster};

const AGENT: &str = "/nodes/pve1/qemu/100/agent";

#[tokio::test(start_paused = true)]
async fn an_agent_answers_when_its_guest_has_booted() {
    let simulator = cluster().await;
    let asking = Asking::root(&simulator);
    asking.clone_to(100).await;
    let off = asking.post(&format!("{AGENT}/ping"), "").await;
    assert_eq!(off.reason, "VM 100 is not running");
    assert_eq!(asking.run("POST", "/nodes/pve1/qemu/100/status/start", "").await, "OK");
    let began = Instant::now();
    let early = asking.post(&format!("{AGENT}/ping"), "").await;
    assert_eq!((early.status, early.reason.as_str()), (500, "QEMU guest agent is not running"));
    assert!(began.elapsed() >= Duration::from_millis(2_500));
    sleep(Duration::from_secs(6)).await;
    let up = asking.post(&format!("{AGENT}/ping"), "").await;
    assert_eq!(up.data(), &json!({"result": {}}));
    simulator.act(Act::SilenceAgent { vm: 100, is_silent: true }).await.expect("it is silent");
    assert_eq!(asking.post(&format!("{AGENT}/ping"), "").await.status, 500);
}

#[tokio::test(start_paused = true)]
async fn addresses_are_found_by_the_hardware_address() {
    let simulator = cluster().await;
    let asking = Asking::root(&simulator);
    asking.clone_to(100).await;
    let config = "/nodes/pve1/qemu/100/config";
    let form = "ipconfig0=ip%3D25.77.0.113/24,gw%3D25.77.0.1";
    assert_eq!(asking.put(config, form).await.status, 200);
    let mac =
        asking.get(config).await.data()["net0"].as_str().expect("a card")[7..24].to_lowercase();
    assert_eq!(asking.run("POST", "/nodes/pve1/qemu/100/status/start", "").await, "OK");
    sleep(Duration::from_secs(6)).await;
    let answer = asking.get(&format!("{AGENT}/network-get-interfaces")).await;
    let cards = answer.data()["result"].as_array().expect("a list").clone();
    assert_eq!(cards[0]["name"], "lo");
    let card =
        cards.iter().find(|card| card["hardware-address"] == mac.as_str()).expect("is there");
    let address = json!({"ip-address": "25.77.0.113", "ip-address-type": "ipv4", "prefix": 24});
    assert_eq!(card["ip-addresses"], json!([address]));
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_command_is_told_once() {
    let simulator = cluster().await;
    let asking = Asking::root(&simulator);
    asking.clone_to(100).await;
    assert_eq!(asking.run("POST", "/nodes/pve1/qemu/100/status/start", "").await, "OK");
    sleep(Duration::from_secs(6)).await;
    let pid = asking.post(&format!("{AGENT}/exec"), "command=echo&command=hello").await;
    let pid = pid.data()["pid"].clone();
    sleep(Duration::from_secs(1)).await;
    let path = format!("{AGENT}/exec-status?pid={pid}");
    let first = asking.get(&path).await;
    assert_eq!(first.data(), &json!({"exited": 1, "exitcode": 0, "out-data": "echo hello\n"}));
    let again = asking.get(&path).await;
    assert_eq!(again.status, 500);
    assert!(again.reason.contains("Invalid parameter 'pid'"), "{}", again.reason);
}

#[tokio::test(start_paused = true)]
async fn a_node_asks_three_agents_at_a_time() {
    let simulator = cluster().await;
    let asking = Asking::root(&simulator);
    asking.clone_to(100).await;
    assert_eq!(asking.run("POST", "/nodes/pve1/qemu/100/status/start", "").await, "OK");
    simulator.act(Act::SilenceAgent { vm: 100, is_silent: true }).await.expect("it is silent");
    let path = format!("{AGENT}/ping");
    let ask = async || {
        let began = Instant::now();
        assert_eq!(asking.post(&path, "").await.status, 500);
        began.elapsed().as_secs_f64()
    };
    let (one, two, three, four) = tokio::join!(ask(), ask(), ask(), ask());
    let waited = [one, two, three, four].into_iter().filter(|seconds| *seconds > 5.0).count();
    assert_eq!(waited, 1);
}

#[tokio::test(start_paused = true)]
async fn a_file_has_at_most_sixty_kibibytes() {
    let simulator = cluster().await;
    let asking = Asking::root(&simulator);
    asking.clone_to(100).await;
    assert_eq!(asking.run("POST", "/nodes/pve1/qemu/100/status/start", "").await, "OK");
    sleep(Duration::from_secs(6)).await;
    let path = format!("{AGENT}/file-write");
    assert_eq!(asking.post(&path, "file=/a&content=b").await.status, 200);
    let large = format!("file=/a&content={}", "x".repeat(61_441));
    assert!(asking.post(&path, &large).await.error("content").contains("61440"));
}
