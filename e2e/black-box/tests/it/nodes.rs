//! The host cluster itself: what tenants' pods stand on.

use anyhow::{Context, Result, ensure};
use black_box::{Lab, Node, pods, program_in, run, until};
use serde_json::json;
use std::process::Command;

/// A pod on a node, in a namespace of its own on the host, that says hello on port 8080; gone when dropped.
struct Greeter<'a> {
    lab: &'a Lab,
    name: String,
}

impl<'a> Greeter<'a> {
    fn new(lab: &'a Lab, node: &Node) -> Result<Self> {
        let name = format!("greets-{}-{}", node.name, std::process::id());
        let object = pods::greeter(&name, lab.image("busybox"), |pod| {
            pod["spec"]["nodeName"] = json!(node.name);
        });
        let greeter = Self { lab, name };
        lab.kubectl_with_input(&["create", "-f", "-"], &object.to_string())?.success()?;
        Ok(greeter)
    }

    fn address(&self) -> Result<String> {
        until(&format!("{} runs", self.name), 60, || {
            let pod = self.lab.kubectl(&["get", "pod", &self.name, "-o", "json"])?.success()?;
            Ok(pods::address(&pod)?)
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

/// Every way out of the lab's namespaces leads to the switch, and from there nowhere.
#[test]
fn the_lab_has_no_route_to_the_outside_and_the_machine_none_to_the_lab() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let routes = |ip: &mut Command| run(ip.args(["route", "show", "table", "all"]), "")?.success();
    // Of the documentation (RFC 5737): nobody's, so that it is reached by a default route or not at all.
    let out = run(program_in("warren-switch", "ip").args(["route", "get", "198.51.100.1"]), "")?;
    ensure!(out.text().contains("unreachable"), "the switch leads nowhere: {}", out.text());
    for node in &lab.nodes {
        let all = routes(&mut program_in(&node.namespace, "ip"))?;
        let mut ways = all.lines().filter(|line| line.starts_with("default"));
        ensure!(ways.all(|way| way.contains("via 25.77.0.1 ")), "of {}: {all}", node.name);
    }
    let machine = routes(&mut Command::new("ip"))?;
    for own in ["25.77.", "10.78.", "10.79."] {
        ensure!(!machine.contains(own), "the machine has a route to {own}: {machine}");
    }
    Ok(())
}
