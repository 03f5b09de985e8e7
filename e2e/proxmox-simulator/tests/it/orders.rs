//! The control socket, and the program that holds it.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use proxmox_simulator::control::send;
use serde_json::{Value, json};

const PROGRAM: &str = env!("CARGO_BIN_EXE_proxmox-simulator");

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts the program and returns the line that it begins with.
fn serve(folder: &Path) -> (Running, Value) {
    let mut command = Command::new(PROGRAM);
    command.arg("serve").arg("--state").arg(folder.join("state"));
    command.arg("--control").arg(folder.join("control"));
    let mut child = command.stdout(Stdio::piped()).spawn().expect("it starts");
    let mut line = String::new();
    let stdout = child.stdout.take().expect("is a pipe");
    let running = Running(child);
    BufReader::new(stdout).read_line(&mut line).expect("it says where it is");
    (running, serde_json::from_str(&line).expect("is JSON"))
}

fn order(folder: &Path, order: &Value) -> Value {
    let socket = folder.join("control");
    // The socket comes right after the line.
    while !socket.exists() {
        std::thread::yield_now();
    }
    send(&socket, &order.to_string()).expect("is answered")
}

#[test]
fn orders_are_obeyed_and_their_effect_outlives_a_kill() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let (mut running, first) = serve(folder);
    assert_eq!(order(folder, &json!("where"))["answer"]["authority"], first["authority"]);
    let fault = json!({"inject": {"fault": "task_hangs", "path": "*/clone", "times": null}});
    assert_eq!(order(folder, &fault), json!({"ok": true, "answer": 1}));
    let faults = order(folder, &json!("faults"));
    assert_eq!(faults["answer"][0][1]["fault"], "task_hangs");
    assert_eq!(order(folder, &json!({"clear": null}))["ok"], true);
    assert_eq!(order(folder, &json!("faults"))["answer"], json!([]));
    let act = json!({"act": {"act": "recycle_vm", "vm": 9002, "name": "theirs"}});
    assert_eq!(order(folder, &act)["ok"], true);
    let wrong = order(folder, &json!({"act": {"act": "destroy_vm", "vm": 77}}));
    assert_eq!(wrong, json!({"ok": false, "error": "there is no VM 77"}));
    assert_eq!(order(folder, &json!({"other": 1}))["ok"], false);
    running.0.kill().expect("is killed");
    running.0.wait().expect("is gone");
    std::fs::remove_file(folder.join("control")).expect("is left");

    let (_running, again) = serve(folder);
    assert_eq!(again["authority"], first["authority"]);
    let state = order(folder, &json!("state"));
    assert_eq!(state["answer"]["vms"]["9002"]["config"]["name"], "theirs");
    let mut control = Command::new(PROGRAM);
    control.arg("control").arg(folder.join("control")).arg("\"settle\"");
    let output = control.output().expect("it runs");
    assert!(output.status.success(), "{output:?}");
}
