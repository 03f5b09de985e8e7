//! A tenant that has a node of its own asks for a second one. Ours: from the request until the node is proven and takes
//! pods. Theirs: what nobody can save, the simulator's own time to copy the template and the machine's own time from its
//! start until the host calls its node ready. Both are seen from outside, in the same attach.

use crate::{
    figure::{Figure, Goal},
    machine::rest,
};
use anyhow::{Context as _, Result, ensure};
use black_box::{Lab, TestTenant, kubectl_in, until};
use serde_json::{Value, json};
use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::Instant,
};

const PATIENCE_S: u64 = 300;

pub(crate) fn measure(lab: &Lab, runs: usize) -> Result<Vec<Figure>> {
    let tenant = with_own_node(lab, "bench-attach", 1)?;
    let (mut ours, mut clones, mut boots) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..runs {
        rest()?;
        let (clone, boot, asked) = attached(&tenant)?;
        ours.push(asked);
        clones.push(clone);
        boots.push(boot);
        let back = sized(&tenant, 1)?;
        tenant.operation_end(&back["operation"], PATIENCE_S)?;
    }
    tenant.removed(PATIENCE_S)?;
    let theirs = clones.iter().zip(&boots).map(|(clone, boot)| clone + boot).collect();
    let figure = |name: &str, ours| Figure {
        name: format!("node-attach{name}"),
        unit: "s",
        ours,
        theirs: Vec::new(),
        goal: Goal::None,
    };
    let whole = Figure { theirs, goal: Goal::Difference(3.0), ..figure("", ours) };
    Ok(vec![whole, figure(": copy of the template", clones), figure(": start to ready", boots)])
}

/// A ready tenant with so many nodes of its own.
pub(crate) fn with_own_node(lab: &Lab, name: &str, nodes: usize) -> Result<TestTenant> {
    let tenant = TestTenant::created_with_nodes(lab, name, nodes)?;
    tenant.wait_ready()?;
    Ok(tenant)
}

/// Asks for another number of nodes.
fn sized(tenant: &TestTenant, nodes: u32) -> Result<Value> {
    let wish = json!({ "plan": "dedicated-s", "nodes": nodes });
    let (status, change) = tenant.lab.post(&tenant.path("/plan-changes"), &wish)?;
    ensure!(status == 202, "{status} {change}");
    Ok(change)
}

/// One attach: the copy, the machine's start until it is ready, and all of it, in seconds.
fn attached(tenant: &TestTenant) -> Result<(f64, f64, f64)> {
    let lab = &tenant.lab;
    let before = lab.get(&tenant.path("/nodes"))?["items"][0]["name"].clone();
    let mut machine = Machine::new(lab)?;
    let watch = ReadyNodes::watched(lab)?;
    let asked = Instant::now();
    let change = sized(tenant, 2)?;
    let (name, took) = until("the second node", PATIENCE_S, || {
        machine.look(lab)?;
        let nodes = lab.get(&tenant.path("/nodes"))?;
        let all = nodes["items"].as_array().cloned().unwrap_or_default();
        let is_new = |node: &&Value| node["state"] == "ready" && node["name"] != before;
        let new = all.iter().find(is_new).and_then(|node| node["name"].as_str());
        Ok(new.map(|name| (name.to_owned(), asked.elapsed())).ok_or_else(|| nodes.to_string()))
    })?;
    let end = tenant.operation_end(&change["operation"], PATIENCE_S)?;
    ensure!(end["state"] == "succeeded", "{end}");
    let ready = watch.first(&name).with_context(|| format!("{name} was never seen as ready"))?;
    let Machine { copied: Some((begun, done)), started: Some(started), .. } = machine else {
        anyhow::bail!("its machine was not seen being made: {machine:?}")
    };
    let boot = ready.duration_since(started).as_secs_f64();
    Ok((done.duration_since(begun).as_secs_f64(), boot, took.as_secs_f64()))
}

/// When what happened to the one machine that is made; exact to the time between two looks.
#[derive(Debug)]
struct Machine {
    known: Vec<String>,
    begun: Option<Instant>,
    copied: Option<(Instant, Instant)>,
    started: Option<Instant>,
}

impl Machine {
    fn new(lab: &Lab) -> Result<Self> {
        let known = running(&lab.proxmox(&json!("state"))?);
        Ok(Self { known, begun: None, copied: None, started: None })
    }

    fn look(&mut self, lab: &Lab) -> Result<()> {
        let asked = Instant::now();
        let state = lab.proxmox(&json!("state"))?;
        let mut tasks = state["tasks"]["list"].as_array().into_iter().flatten();
        if tasks.any(|task| task["kind"] == "qmclone" && task["exit"].is_null()) {
            self.begun.get_or_insert(asked);
        } else if let (Some(begun), None) = (self.begun, self.copied) {
            self.copied = Some((begun, asked));
        }
        if self.started.is_none() && running(&state).iter().any(|vm| !self.known.contains(vm)) {
            self.started = Some(asked);
        }
        Ok(())
    }
}

/// The numbers of the machines that run.
fn running(state: &Value) -> Vec<String> {
    let all = state["vms"].as_object().into_iter().flatten();
    all.filter(|(_, vm)| !vm["run"].is_null()).map(|(number, _)| number.clone()).collect()
}

/// Listens to the host until it is dropped.
struct ReadyNodes {
    watch: Child,
    heard: Receiver<(String, Instant)>,
}

impl ReadyNodes {
    fn watched(lab: &Lab) -> Result<Self> {
        let path =
            "jsonpath={.metadata.name} {.status.conditions[?(@.type==\"Ready\")].status}{\"\\n\"}";
        let mut watch = kubectl_in(&lab.control_namespace, &lab.kubectl, &lab.kubeconfig);
        watch.args(["get", "nodes", "--watch", "-o", path]).stdout(Stdio::piped());
        let mut watch = watch.spawn().context("watch nodes")?;
        let lines = BufReader::new(watch.stdout.take().context("it was asked for")?).lines();
        let (told, heard) = channel();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                // Nobody may listen any more.
                let _ = told.send((line, Instant::now()));
            }
        });
        Ok(Self { watch, heard })
    }

    /// When the host called a node ready for the first time.
    fn first(&self, name: &str) -> Option<Instant> {
        let line = format!("{name} True");
        self.heard.try_iter().find(|(heard, _)| *heard == line).map(|(_, at)| at)
    }
}

impl Drop for ReadyNodes {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.watch.kill();
        let _ = self.watch.wait();
    }
}
