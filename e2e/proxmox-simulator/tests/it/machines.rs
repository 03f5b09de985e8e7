//! What VMs are when they run: here machines that only take time.

use std::sync::Arc;
use std::time::Duration;

use proxmox_simulator::machines::imaginary::Imaginary;
use proxmox_simulator::{Clock, Config, Simulator};
use serde_json::json;

use crate::asking::{Asking, ROOT};
use crate::image::{Names, image};

const USER: &str = "#cloud-config\nwrite_files:\n  - path: /etc/a\n    content: b\n";

#[tokio::test(start_paused = true)]
async fn a_machine_boots_with_what_its_cd_says() {
    let machines = Arc::new(Imaginary::new(Duration::from_secs(5), Duration::from_secs(2)));
    let config = Config { is_plain: true, ..Config::default() };
    let simulator = Simulator::start(config, Clock::starting_at(1_800_000_000), machines.clone())
        .await
        .expect("it starts");
    let asking = Asking::root(&simulator);
    asking.clone_to(100).await;
    let path = "/nodes/pve1/qemu/100/config";
    let mac = "BC:24:11:00:00:01";
    assert_eq!(asking.put(path, &format!("net0=virtio%3D{mac},bridge%3Dvmbr0")).await.status, 200);
    let network = format!(
        "version: 2\nethernets:\n  net0:\n    match: {{macaddress: \"{mac}\"}}\n    addresses: [25.77.0.113/24]\n"
    );
    let files = [
        ("meta-data", "instance-id: a\nlocal-hostname: acme-1\n"),
        ("network-config", &network),
        ("user-data", USER),
    ];
    let iso = image("cidata", &files, Names::Joliet);
    upload(&simulator, &iso).await;
    assert_eq!(asking.put(path, "ide2=shared:iso/seed.iso,media%3Dcdrom").await.status, 200);
    assert_eq!(asking.run("POST", "/nodes/pve1/qemu/100/status/start", "").await, "OK");
    let seed = machines.seed(100).expect("it read its CD");
    assert_eq!(seed.hostname(), "acme-1");
    assert_eq!(seed.file("/etc/a").as_deref(), Some(&b"b"[..]));
    tokio::time::sleep(Duration::from_secs(6)).await;
    let answer = asking.get("/nodes/pve1/qemu/100/agent/network-get-interfaces").await;
    let address = json!({"ip-address": "25.77.0.113", "ip-address-type": "ipv4", "prefix": 24});
    assert_eq!(answer.data()["result"][1]["ip-addresses"], json!([address]));
}

async fn upload(simulator: &Simulator, iso: &[u8]) {
    use tokio::io::AsyncWriteExt as _;
    let mut body = b"--x\r\nContent-Disposition: form-data; name=\"content\"\r\n\r\niso\r\n--x\r\n\
        Content-Disposition: form-data; name=\"filename\"; filename=\"seed.iso\"\r\n\r\n"
        .to_vec();
    body.extend_from_slice(iso);
    body.extend_from_slice(b"\r\n--x--\r\n");
    let head = format!(
        "POST /api2/json/nodes/pve1/storage/shared/upload HTTP/1.1\r\nAuthorization: PVEAPIToken={ROOT}\r\n\
         Content-Type: multipart/form-data; boundary=x\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = simulator.connect("pve1");
    stream.write_all(head.as_bytes()).await.expect("is sent");
    stream.write_all(&body).await.expect("is sent");
    let answer = crate::asking::read(&mut stream).await;
    let upid = answer.data().as_str().expect("a task").to_owned();
    assert_eq!(Asking::root(simulator).end(&upid).await, "OK");
}

#[tokio::test(start_paused = true)]
async fn a_guest_that_goes_off_by_itself_is_seen_as_stopped() {
    let machines = Arc::new(Imaginary::new(Duration::from_secs(5), Duration::from_secs(2)));
    let config = Config { is_plain: true, ..Config::default() };
    let simulator = Simulator::start(config, Clock::starting_at(1_800_000_000), machines.clone())
        .await
        .expect("it starts");
    let asking = Asking::root(&simulator);
    asking.clone_to(100).await;
    assert_eq!(asking.run("POST", "/nodes/pve1/qemu/100/status/start", "").await, "OK");
    proxmox_simulator::machines::Machines::shut_down(&*machines, 100).await.expect("it is told");
    let current = "/nodes/pve1/qemu/100/status/current";
    assert_eq!(asking.get(current).await.data()["status"], "running");
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(asking.get(current).await.data()["status"], "stopped");
}
