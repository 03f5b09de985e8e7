use crate::{Lab, program_in, run, until};
use anyhow::Result;
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

/// Nothing new is placed on a node, until this is dropped.
#[derive(Debug)]
pub struct Cordoned<'a>(&'a Lab, &'a Node);

impl Drop for Cordoned<'_> {
    fn drop(&mut self) {
        // As above.
        let _ = self.0.kubectl(&["uncordon", &self.1.name]);
    }
}
