use crate::{Lab, program_in, run, until};
use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;

/// A node of the host cluster.
#[derive(Debug, Clone, Deserialize)]
pub struct Node {
    /// Its name in Kubernetes.
    pub name: String,
    /// Its network namespace.
    pub namespace: String,
    /// Its address.
    pub address: String,
}

impl Node {
    /// Pulls its cable, as seen from outside: all at once it says nothing more.
    ///
    /// # Errors
    /// If the lab's switch has no such cable.
    pub fn unplug(&self) -> Result<Unplugged<'_>> {
        self.plug("down")?;
        Ok(Unplugged(self))
    }

    fn plug(&self, state: &str) -> Result<String> {
        let mut ip = program_in("warren-switch", "ip");
        run(ip.args(["link", "set", &self.name, state]), "")?.success()
    }

    /// Kills its kubelet and all processes of one of its pods, as a machine does that loses its power; the
    /// kubelet stays away until what is given is dropped.
    ///
    /// # Errors
    /// If the kubelet does not run, or no process of the pod does.
    pub fn kill<'a>(&self, lab: &'a Lab, pod_uid: &str) -> Result<Dead<'a>> {
        let kubelet = format!("kubelet-{}", self.name);
        let process = lab.process(&kubelet)?.parse().ok().and_then(Pid::from_raw);
        let process = process.with_context(|| format!("the process number of {kubelet}"))?;
        kill_process(process, Signal::KILL).with_context(|| format!("kill {kubelet}"))?;
        let dead = Dead(lab, kubelet);
        let processes = processes_of(pod_uid)?;
        ensure!(!processes.is_empty(), "no process of pod {pod_uid} runs");
        for process in processes {
            // Some end with others.
            let _ = kill_process(process, Signal::KILL);
        }
        Ok(dead)
    }

    /// Keeps new pods away from it.
    ///
    /// # Errors
    /// If the host does not do so.
    pub fn cordon<'a>(&'a self, lab: &'a Lab) -> Result<Cordoned<'a>> {
        lab.kubectl(&["cordon", &self.name])?.success()?;
        Ok(Cordoned(lab, self))
    }

    /// Waits until the host counts on it.
    ///
    /// # Errors
    /// If that takes more than `seconds`.
    pub fn wait_ready(&self, lab: &Lab, seconds: u64) -> Result<()> {
        let path = "jsonpath={.status.conditions[?(@.type==\"Ready\")].status}";
        until(&format!("node {} ready", self.name), seconds, || {
            let state = lab.kubectl(&["get", "node", &self.name, "-o", path])?.success()?;
            Ok(if state == "True" { Ok(()) } else { Err(state) })
        })
    }
}

/// A node whose cable is pulled, until this is dropped.
#[derive(Debug)]
pub struct Unplugged<'a>(&'a Node);

impl Drop for Unplugged<'_> {
    fn drop(&mut self) {
        // Best effort: a node that stays away is seen by whatever comes next.
        let _ = self.0.plug("up");
    }
}

/// What runs in the control groups of a pod.
fn processes_of(pod_uid: &str) -> Result<Vec<Pid>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let entry = entry?;
        let Some(number) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // Others end while this looks around.
        let groups = std::fs::read_to_string(entry.path().join("cgroup")).unwrap_or_default();
        if groups.contains(pod_uid) || groups.contains(&pod_uid.replace('-', "_")) {
            found.extend(Pid::from_raw(number));
        }
    }
    Ok(found)
}

/// A node without a kubelet, until this is dropped.
#[derive(Debug)]
pub struct Dead<'a>(&'a Lab, String);

impl Drop for Dead<'_> {
    fn drop(&mut self) {
        // As above.
        let _ = self.0.restart(&self.1, "KILL");
    }
}

/// Nothing new is placed on a node, until this is dropped.
#[derive(Debug)]
pub struct Cordoned<'a>(&'a Lab, &'a Node);

impl Drop for Cordoned<'_> {
    fn drop(&mut self) {
        // As above.
        let _ = self.0.kubectl(&["uncordon", &self.1.name]);
    }
}
