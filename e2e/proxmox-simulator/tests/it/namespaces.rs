//! Machines in namespaces: what a machine is, and that nothing of it stays.
//!
//! Needs root, `ip`, `unshare` and `nsenter`, and changes this machine's namespaces and control groups while it runs,
//! so it must be asked for.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::asking::ROOT;
use crate::image::{Names, image};

const ASKED: &str = "PROXMOX_SIMULATOR_NAMESPACES";
const MAC: &str = "BC:24:11:00:00:01";
const USER: &str = "#cloud-config\nwrite_files:\n  - {path: /etc/own, content: mine, permissions: \"0600\"}\n\
    runcmd:\n  - cp /etc/own /run/done\n";

/// A simulator in a process of its own, with a switch.
struct Rig {
    folder: tempfile::TempDir,
    switch: String,
    child: Child,
    address: String,
}

impl Rig {
    fn new() -> Self {
        let folder = tempfile::tempdir_in("/var/lib").expect("a folder");
        let switch = format!("simulator-{}", std::process::id());
        for words in [
            format!("netns add {switch}"),
            format!("-n {switch} link add bridge0 type bridge"),
            format!("-n {switch} link set bridge0 up"),
        ] {
            run(Command::new("ip").args(words.split(' ')));
        }
        let path = folder.path();
        let settings = json!({
            "folder": path.join("machines"), "kept": [path],
            "programs": {"containerd": "/bin/false", "ctr": "/bin/false", "runc": "/bin/false", "kubelet": "/bin/false"},
            "cni_plugins": "/nowhere", "pause_image": "pause",
            "switches": {"vmbr0": {"namespace": switch, "bridge": "bridge0"}},
            "pods": "10.78.{host}.0/24", "cluster_pods": "10.78.0.0/16", "cluster_dns": "10.79.0.10",
            "authority": "/nowhere", "cgroup": format!("/{switch}"),
        });
        std::fs::write(path.join("machines.json"), settings.to_string()).expect("is written");
        let times =
            json!({"linked_clone_ms": 10, "start_ms": 10, "stop_ms": 10, "task_start_ms": 10});
        let config = json!({"is_plain": true, "times": times});
        std::fs::write(path.join("config.json"), config.to_string()).expect("is written");
        let (child, address) = serve(path);
        Self { folder, switch, child, address }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn ask(&self, method: &str, path: &str, kind: &str, body: &[u8]) -> Value {
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        let head = format!(
            "{method} /api2/json{path} HTTP/1.1\r\nAuthorization: PVEAPIToken={ROOT}\r\nConnection: close\r\n\
             Content-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).expect("is sent");
        stream.write_all(body).expect("is sent");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("is answered");
        let (head, body) = text.split_once("\r\n\r\n").expect("has a head");
        serde_json::from_str(body).unwrap_or_else(|_| json!({"head": head}))
    }

    fn form(&self, method: &str, path: &str, form: &str) -> Value {
        self.ask(method, path, "application/x-www-form-urlencoded", form.as_bytes())
    }

    /// Waits for the end of a task.
    fn end(&self, answer: &Value) -> String {
        let upid = answer["data"].as_str().expect("a task");
        let path = format!("/nodes/pve1/tasks/{upid}/status");
        let mut exit = None;
        until(|| {
            exit = self.form("GET", &path, "")["data"]["exitstatus"].as_str().map(str::to_owned);
            exit.is_some()
        });
        exit.expect("it ended")
    }

    fn power(&self, order: &str) -> String {
        self.end(&self.form("POST", &format!("/nodes/pve1/qemu/100/status/{order}"), ""))
    }

    /// Runs a command in the guest through the agent.
    fn inside(&self, script: &str) -> String {
        let body = json!({"command": ["sh", "-c", script]}).to_string();
        let path = "/nodes/pve1/qemu/100/agent";
        let mut answer = Value::Null;
        until(|| {
            let begun =
                self.ask("POST", &format!("{path}/exec"), "application/json", body.as_bytes());
            answer = begun["data"]["pid"].clone();
            answer.is_number()
        });
        let path = format!("{path}/exec-status?pid={answer}");
        until(|| {
            answer = self.form("GET", &path, "");
            answer["data"]["exited"] == json!(1)
        });
        answer["data"]["out-data"].as_str().unwrap_or_default().to_owned()
    }

    fn processes(&self) -> usize {
        let output = Command::new("pgrep").arg("-f").arg(self.path()).output().expect("pgrep runs");
        String::from_utf8_lossy(&output.stdout).lines().count()
    }

    fn has_group(&self) -> bool {
        ["pids", "unified", "memory"].iter().any(|kind| {
            Path::new("/sys/fs/cgroup").join(kind).join(&self.switch).join("vm-100").exists()
        }) || PathBuf::from("/sys/fs/cgroup").join(&self.switch).join("vm-100").exists()
    }

    fn has_cable(&self) -> bool {
        let output =
            Command::new("ip").args(["-n", &self.switch, "link", "show", "vm100"]).output();
        output.expect("ip runs").status.success()
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let program = env!("CARGO_BIN_EXE_proxmox-simulator");
        let _ = Command::new(program)
            .arg("clean")
            .arg("--machines")
            .arg(self.path().join("machines.json"))
            .status();
        let _ = Command::new("ip").args(["netns", "delete", &self.switch]).status();
    }
}

fn serve(path: &Path) -> (Child, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_proxmox-simulator"));
    command.arg("serve").arg("--config").arg(path.join("config.json"));
    command.arg("--machines").arg(path.join("machines.json"));
    command.arg("--control").arg(path.join("control.sock")).arg("--state").arg(path);
    let mut child = command.stdout(Stdio::piped()).spawn().expect("it starts");
    let mut line = String::new();
    let stdout = child.stdout.take().expect("is a pipe");
    BufReader::new(stdout).read_line(&mut line).expect("it says where it is");
    let places: Value = serde_json::from_str(&line).expect("is JSON");
    (child, places["nodes"]["pve1"].as_str().expect("an address").to_owned())
}

fn run(command: &mut Command) {
    assert!(command.status().expect("it runs").success(), "{command:?}");
}

#[expect(clippy::disallowed_methods, reason = "another process can only be looked at again")]
fn until(mut question: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !question() {
        assert!(Instant::now() < deadline, "not within 20 s");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn seed() -> Vec<u8> {
    let network = format!(
        "version: 2\nethernets:\n  a:\n    match: {{macaddress: \"{MAC}\"}}\n    addresses: [25.99.0.113/24]\n"
    );
    let files = [
        ("meta-data", "instance-id: a\nlocal-hostname: acme-1\n"),
        ("network-config", &*network),
        ("user-data", USER),
    ];
    let mut body = b"--x\r\nContent-Disposition: form-data; name=\"content\"\r\n\r\niso\r\n--x\r\n\
        Content-Disposition: form-data; name=\"filename\"; filename=\"seed.iso\"\r\n\r\n"
        .to_vec();
    body.extend(image("cidata", &files, Names::RockRidge));
    body.extend_from_slice(b"\r\n--x--\r\n");
    body
}

#[test]
#[expect(clippy::disallowed_methods, reason = "tests are told by the environment what they may do")]
fn a_machine_is_what_its_vm_and_its_cd_say_and_leaves_nothing() {
    if std::env::var(ASKED).is_err() {
        eprintln!("skipped: {ASKED} is not set");
        return;
    }
    let mut rig = Rig::new();
    let vm = "/nodes/pve1/qemu/100";
    assert_eq!(rig.end(&rig.form("POST", "/nodes/pve1/qemu/9000/clone", "newid=100")), "OK");
    let kind = "multipart/form-data; boundary=x";
    assert_eq!(rig.end(&rig.ask("POST", "/nodes/pve1/storage/shared/upload", kind, &seed())), "OK");
    let form = format!("net0=virtio%3D{MAC},bridge%3Dvmbr0&ide2=shared:iso/seed.iso,media%3Dcdrom");
    assert_eq!(rig.form("PUT", &format!("{vm}/config"), &form)["data"], Value::Null);
    assert_eq!(rig.power("start"), "OK");

    let config = rig.form("GET", &format!("{vm}/config"), "");
    let uuid =
        config["data"]["smbios1"].as_str().expect("has one").trim_start_matches("uuid=").to_owned();
    until(|| rig.inside("cat /run/done") == "mine");
    assert_eq!(rig.inside("hostname").trim(), "acme-1");
    assert_eq!(rig.inside("cat /sys/class/dmi/id/product_uuid").trim(), uuid);
    let id = rig.inside("cat /etc/machine-id");
    assert_eq!(id.trim().len(), 32);
    let own = std::fs::read_to_string("/etc/machine-id").unwrap_or_default();
    assert_ne!(id, own);
    assert!(rig.inside("ip -brief address").contains("25.99.0.113/24"));
    assert!(rig.inside("touch /usr/own || echo refused").contains("refused"));
    assert!(!Path::new("/etc/own").exists());

    let control = |order: Value| {
        let mut stream = UnixStream::connect(rig.path().join("control.sock")).expect("listens");
        writeln!(stream, "{order}").expect("is sent");
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).expect("is answered");
        assert!(line.contains("\"ok\":true"), "{line}");
    };
    control(json!({"act": {"act": "plug_vm", "vm": 100, "is_plugged": false}}));
    assert!(rig.inside("ip -brief link show eth0").contains("NO-CARRIER"));
    control(json!({"act": {"act": "plug_vm", "vm": 100, "is_plugged": true}}));

    assert!(rig.has_group() && rig.has_cable());
    assert_eq!(rig.power("shutdown"), "OK");
    assert!(!rig.has_group() && !rig.has_cable());
    assert_eq!(rig.power("start"), "OK");
    until(|| rig.inside("cat /run/done") == "mine");
    assert_eq!(rig.power("stop"), "OK");
    assert!(!rig.has_group() && !rig.has_cable());

    // A simulator that is killed takes its machines with it.
    assert_eq!(rig.power("start"), "OK");
    rig.child.kill().expect("is killed");
    rig.child.wait().expect("is gone");
    until(|| rig.processes() == 0 && !rig.has_cable());
    (rig.child, rig.address) = serve(rig.path());
    until(|| !rig.has_group());
    let current = rig.form("GET", &format!("{vm}/status/current"), "");
    assert_eq!(current["data"]["status"], "stopped");
}
