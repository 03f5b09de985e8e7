//! The host cluster itself: what tenants' pods stand on.

use crate::refusal::pod;
use anyhow::{Context, Result, ensure};
use black_box::{Lab, Node, until};
use serde_json::{Value, json};

/// A pod on a node, in a namespace of its own on the host, that says hello on port 8080; gone when dropped.
struct Greeter<'a> {
    lab: &'a Lab,
    name: String,
}

impl<'a> Greeter<'a> {
    fn new(lab: &'a Lab, node: &Node) -> Result<Self> {
        let name = format!("greets-{}-{}", node.name, std::process::id());
        let object = pod(&name, lab.image("busybox"), |pod| {
            pod["spec"]["nodeName"] = json!(node.name);
            let serve = "while :; do echo hello | nc -l -p 8080; done";
            pod["spec"]["containers"][0]["command"] = json!(["/bin/sh", "-c", serve]);
        });
        let greeter = Self { lab, name };
        lab.kubectl_with_input(&["create", "-f", "-"], &object.to_string())?.success()?;
        Ok(greeter)
    }

    fn address(&self) -> Result<String> {
        until(&format!("{} runs", self.name), 60, || {
            let pod = self.lab.kubectl(&["get", "pod", &self.name, "-o", "json"])?.success()?;
            let status = serde_json::from_str::<Value>(&pod)?["status"].clone();
            let is_running = status["phase"] == "Running";
            let address = status["podIP"].as_str().filter(|_| is_running).map(str::to_owned);
            Ok(address.ok_or_else(|| status.to_string()))
        })
    }
}

impl Drop for Greeter<'_> {
    fn drop(&mut self) {
        let _ = self.lab.kubectl(&["delete", "pod", &self.name, "--wait=false"]);
    }
}

#[test]
fn pods_of_both_nodes_reach_each_other() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let [one, two] = lab.nodes.as_slice() else { anyhow::bail!("two nodes: {:?}", lab.nodes) };
    let (one, two) = (Greeter::new(&lab, one)?, Greeter::new(&lab, two)?);
    for (from, to) in [(&one, &two), (&two, &one)] {
        from.address()?;
        let address = to.address()?;
        until("it says hello", 20, || {
            let ask = ["exec", &from.name, "--", "nc", "-w", "3", &address, "8080"];
            let output = lab.kubectl(&ask)?;
            Ok(if output.stdout == "hello\n" { Ok(()) } else { Err(output.text()) })
        })
        .with_context(|| format!("{} asks {}", from.name, to.name))?;
    }
    let listed = lab.kubectl(&["get", "nodes", "-o", "name"])?.success()?;
    ensure!(listed.lines().count() == 2, "two nodes: {listed}");
    Ok(())
}
