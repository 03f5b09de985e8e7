//! Machines in which nothing runs but a kubelet that is a few lines: it reads the image in its machine's drive, joins
//! with what it finds there and as far as the host lets it, and stays until its power goes. Like a real one it registers
//! again when its node is deleted under it.

use super::it::fake::{Fake, Objects};
use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use domain::Clock;
use jiff::Timestamp;
use planning::machine::UNPROVEN;
use proxmox_simulator::{
    machines::{Hardware, Interface, MachineError, Machines, Output, imaginary::Imaginary},
    nocloud::Seed,
};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{task::AbortHandle, time::sleep};

/// From the power button to the kubelet.
const BOOT: Duration = Duration::from_secs(3);
/// Between two things that a kubelet does.
const TURN: Duration = Duration::from_secs(1);
/// How long the host says of a node what it heard last: the node controller's grace period.
const BELIEVED: Duration = Duration::from_secs(40);

/// All machines of a history.
#[derive(Debug)]
pub(super) struct Kubelets {
    machines: Imaginary,
    host: Fake,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// What the agents of K3s were told, by machine: their disks.
    disks: HashMap<u32, Disk>,
    running: HashMap<u32, (Option<String>, AbortHandle)>,
    /// How often a guest was told to shut down.
    shutdowns: usize,
    violations: Vec<String>,
}

#[derive(Debug, Clone)]
struct Disk {
    config: Value,
    /// Whether it has a certificate by now.
    has_joined: bool,
}

impl Kubelets {
    pub(super) fn new(host: Fake, clock: Arc<dyn Clock>) -> Arc<Self> {
        let machines = Imaginary::new(BOOT, TURN);
        Arc::new(Self { machines, host, clock, state: Mutex::default() })
    }

    /// What must never have happened.
    pub(super) fn violations(&self) -> Vec<String> {
        self.state().violations.clone()
    }

    /// How often a guest was told to shut down, which is not to lose its plug.
    pub(super) fn shutdowns(&self) -> usize {
        self.state().shutdowns
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a machine's disk holds: what it was told at its first start.
    fn disk(&self, hardware: &Hardware) -> Option<Disk> {
        let seed = hardware.cd.as_ref().and_then(|cd| Seed::read(cd).ok());
        let file = seed.and_then(|seed| seed.file("/etc/rancher/k3s/config.yaml"));
        let config = file.and_then(|text| serde_json::from_slice(&text).ok());
        let mut state = self.state();
        if let Some(config) = config {
            let disk = Disk { config, has_joined: false };
            state.disks.entry(hardware.vm).or_insert(disk);
        }
        state.disks.get(&hardware.vm).cloned()
    }

    fn power_on(&self, hardware: &Hardware) {
        let kubelet = self.disk(hardware).map(|disk| Kubelet {
            host: self.host.clone(),
            clock: Arc::clone(&self.clock),
            uuid: hardware.uuid.clone().unwrap_or_default(),
            disk,
        });
        let task = tokio::spawn(async move {
            sleep(BOOT).await;
            let Some(mut kubelet) = kubelet else { return };
            loop {
                kubelet.take_turn();
                sleep(TURN).await;
            }
        });
        let mut state = self.state();
        let twin = state.running.iter().find(|(_, (uuid, _))| *uuid == hardware.uuid);
        if let Some((vm, _)) = twin {
            let violation = format!("machines {vm} and {} are the same node", hardware.vm);
            state.violations.push(violation);
        }
        state.running.insert(hardware.vm, (hardware.uuid.clone(), task.abort_handle()));
    }

    /// Its node is heard of no more, which the host finds out after a while.
    fn power_off(&self, vm: u32) {
        let mut state = self.state();
        let Some((_, kubelet)) = state.running.remove(&vm) else { return };
        kubelet.abort();
        let Some(disk) = state.disks.get_mut(&vm) else { return };
        let name = text(&disk.config["node-name"]);
        let last = self.host.objects(|objects| Some(heard(objects.get("nodes", "", &name)?)));
        disk.has_joined |= last.is_some();
        let host = self.host.clone();
        tokio::spawn(async move {
            sleep(BELIEVED).await;
            let Some(last) = last else { return };
            host.objects(|objects| {
                if objects.get("nodes", "", &name).is_some_and(|node| heard(node) == last) {
                    objects.change("nodes", "", &name, |node| say_ready(node, "Unknown", &last));
                }
            });
        });
    }
}

impl Drop for Kubelets {
    fn drop(&mut self) {
        for (_, kubelet) in self.state().running.values() {
            kubelet.abort();
        }
    }
}

struct Kubelet {
    host: Fake,
    clock: Arc<dyn Clock>,
    uuid: String,
    disk: Disk,
}

impl Kubelet {
    fn take_turn(&mut self) {
        let (name, now) = (text(&self.disk.config["node-name"]), self.clock.now());
        let Self { host, disk, uuid, .. } = self;
        let heard = format!("{now:.0}");
        host.objects(|objects| {
            if objects.get("nodes", "", &name).is_some() {
                objects.change("nodes", "", &name, |node| say_ready(node, "True", &heard));
                end_pods(objects, &name);
            } else if is_let_in(objects, disk, &name, now) {
                let mut node = node(&disk.config, &name, uuid);
                say_ready(&mut node, "False", &heard);
                objects.put("v1", "nodes", node);
                disk.has_joined = true;
            }
        });
    }
}

/// Whether the host expects a node, and lets it in by its token and its password, or by the certificate that it got.
fn is_let_in(objects: &Objects, disk: &Disk, name: &str, now: Timestamp) -> bool {
    let expected = objects.get("secrets", "kube-system", "warren-expected-nodes");
    let mut taints = disk.config["node-taint"].as_array().into_iter().flatten().map(text);
    let own = taints.find_map(|taint| {
        taint.strip_prefix("warren.dev/cluster=")?.strip_suffix(":NoSchedule").map(str::to_owned)
    });
    let entry = own.map(|cluster| format!("{name}.{cluster}"));
    if entry.is_none_or(|entry| expected.is_none_or(|list| list["data"][entry].is_null())) {
        return false;
    }
    if disk.has_joined {
        return true;
    }
    let password = format!("{name}.node-password.k3s");
    let token = text(&disk.config["token"]);
    let halves = token.split_once("::").and_then(|(_, halves)| halves.split_once('.'));
    let Some((id, secret)) = halves else { return false };
    let known = objects.get("secrets", "kube-system", &format!("bootstrap-token-{id}"));
    let field = |name: &str| known.map(|known| decoded(&known["data"][name])).unwrap_or_default();
    let is_alive = field("expiration").parse::<Timestamp>().is_ok_and(|end| now < end);
    objects.get("secrets", "kube-system", &password).is_some()
        && field("token-secret") == secret
        && is_alive
}

/// The node as its kubelet registers it: it is not ready yet.
fn node(config: &Value, name: &str, uuid: &str) -> Value {
    let taints = config["node-taint"].as_array().into_iter().flatten().filter_map(|taint| {
        let (key, rest) = taint.as_str()?.split_once('=')?;
        let (value, effect) = rest.split_once(':')?;
        Some(json!({ "key": key, "value": value, "effect": effect }))
    });
    let taints: Vec<Value> = taints.collect();
    assert!(taints.iter().any(|taint| taint["key"] == UNPROVEN), "nobody is let in unproven");
    let args = config["kubelet-arg"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let provider = args.into_iter().find_map(|arg| arg.strip_prefix("provider-id="));
    json!({
        "metadata": { "name": name, "labels": { "kubernetes.io/hostname": name } },
        "spec": { "providerID": provider, "taints": taints },
        "status": {
            "addresses": [{ "type": "InternalIP", "address": config["node-ip"] }],
            "nodeInfo": { "systemUUID": uuid, "kubeletVersion": "v1.36.0+k3s1" },
        },
    })
}

fn say_ready(node: &mut Value, status: &str, heard: &str) {
    let condition = json!({ "type": "Ready", "status": status, "lastHeartbeatTime": heard });
    node["status"]["conditions"] = json!([condition]);
}

/// When a node's kubelet was heard of last.
fn heard(node: &Value) -> String {
    text(&node["status"]["conditions"][0]["lastHeartbeatTime"])
}

/// Pods that were told to go are gone.
fn end_pods(objects: &mut Objects, node: &str) {
    for pod in objects.list("pods") {
        let is_going = !pod["metadata"]["deletionTimestamp"].is_null();
        if is_going && pod["spec"]["nodeName"] == node {
            let metadata = &pod["metadata"];
            objects.remove("pods", &text(&metadata["namespace"]), &text(&metadata["name"]));
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn decoded(value: &Value) -> String {
    let bytes = STANDARD.decode(value.as_str().unwrap_or_default()).unwrap_or_default();
    String::from_utf8(bytes).unwrap_or_default()
}

#[async_trait]
impl Machines for Kubelets {
    async fn start(&self, hardware: Hardware) -> Result<(), MachineError> {
        self.power_on(&hardware);
        self.machines.start(hardware).await
    }

    async fn stop(&self, vm: u32) -> Result<(), MachineError> {
        self.power_off(vm);
        self.machines.stop(vm).await
    }

    async fn shut_down(&self, vm: u32) -> Result<(), MachineError> {
        self.state().shutdowns += 1;
        self.power_off(vm);
        self.machines.stop(vm).await
    }

    fn is_running(&self, vm: u32) -> bool {
        self.machines.is_running(vm)
    }

    async fn resume(&self, hardware: Hardware) -> bool {
        self.start(hardware).await.is_ok()
    }

    async fn plug(&self, vm: u32, is_plugged: bool) -> Result<(), MachineError> {
        self.machines.plug(vm, is_plugged).await
    }

    async fn interfaces(&self, vm: u32) -> Option<Vec<Interface>> {
        self.machines.interfaces(vm).await
    }

    async fn run(&self, vm: u32, command: &[String], input: &str) -> Result<Output, MachineError> {
        self.machines.run(vm, command, input).await
    }

    async fn write_file(&self, vm: u32, path: &str, content: &[u8]) -> Result<(), MachineError> {
        self.machines.write_file(vm, path, content).await
    }

    async fn discard(&self, vm: u32) {
        self.state().disks.remove(&vm);
        self.machines.discard(vm).await;
    }

    async fn end(&self) {
        self.machines.end().await;
    }
}
