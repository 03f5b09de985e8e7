//! `warren doctor`: yes where all is well, and what to do where it is not. It looks at the host as a whole, and a host that is
//! busy with other tests is not as it should be.

use anyhow::{Context, Result, ensure};
use black_box::{Lab, until};
use serde_json::{Value, json};

fn findings(stdout: &str) -> Result<Vec<Value>> {
    let answer: Value = serde_json::from_str(stdout).with_context(|| format!("read {stdout:?}"))?;
    let list = answer.as_array().or_else(|| answer["items"].as_array());
    Ok(list.with_context(|| format!("a list: {answer}"))?.clone())
}

/// What the doctor says about one thing.
pub(super) fn finding(stdout: &str, name: &str) -> Result<Value> {
    let found = findings(stdout)?.into_iter().find(|finding| finding["name"] == name);
    found.with_context(|| format!("{name} in {stdout}"))
}

#[test]
fn a_host_that_is_as_it_should_be_gets_only_yes_and_nothing_stays() -> Result<()> {
    let Some(lab) = Lab::alone() else { return Ok(()) };
    let output = lab.warren(&["doctor", "-o", "json"])?;
    ensure!(output.code == 0, "{}", output.text());
    let findings = findings(&output.stdout)?;
    let names: Vec<&str> = findings.iter().filter_map(|f| f["name"].as_str()).collect();
    for name in [
        "record",
        "objects",
        "host-version",
        "clock",
        "rights",
        "storage",
        "dns",
        "k3s-baseline",
        "admission-policies",
        "policy-enforcement",
        "user-namespaces",
        "name-lookup",
    ] {
        ensure!(names.contains(&name), "{name} is looked at: {names:?}");
    }
    for finding in &findings {
        ensure!(finding["isOk"] == true, "{finding}");
    }
    until("what was tried out is gone", 60, || {
        let selector = "app.kubernetes.io/managed-by=warren-doctor";
        let left = lab.kubectl(&["get", "namespaces", "-l", selector, "-o", "name"])?.success()?;
        Ok(if left.is_empty() { Ok(()) } else { Err(left) })
    })
}

#[test]
fn proxmox_is_as_it_should_be_until_a_right_is_missing_which_is_named() -> Result<()> {
    let Some(lab) = Lab::alone() else { return Ok(()) };
    lab.warren(&["doctor", "proxmox"])?.success()?;
    let taken = Taken::new(&lab, "/vms/9001", "VM.Clone")?;
    let output = lab.warren(&["doctor", "proxmox", "-o", "json"])?;
    ensure!(output.code == 1, "{}", output.text());
    let privileges = finding(&output.stdout, "privileges")?;
    let text = |name: &str| privileges[name].as_str().unwrap_or_default();
    ensure!(
        text("detail").contains("/vms/9001: VM.Clone")
            && text("wayOut").contains("pveum acl modify '/vms/9001'"),
        "{privileges}"
    );
    for other in findings(&output.stdout)? {
        ensure!(other["isOk"] == true || other["name"] == "privileges", "{other}");
    }
    drop(taken);
    lab.warren(&["doctor", "proxmox"])?.success().map(|_| ())
}

#[test]
fn without_a_default_storage_class_the_doctor_says_no_and_what_to_do() -> Result<()> {
    let Some(lab) = Lab::alone() else { return Ok(()) };
    let class = NotDefault::new(&lab)?;
    let output = lab.warren(&["doctor", "-o", "json"])?;
    ensure!(output.code == 1, "{}", output.text());
    let storage = finding(&output.stdout, "storage")?;
    let text = |name: &str| storage[name].as_str().unwrap_or_default();
    ensure!(
        storage["isOk"] == false
            && text("detail").contains(&class.1)
            && text("wayOut").contains("host_cluster.storage_class"),
        "{storage}"
    );
    for other in findings(&output.stdout)? {
        ensure!(other["isOk"] == true || other["name"] == "storage", "{other}");
    }
    Ok(())
}

/// A right of Warren's on the simulated Proxmox VE that is taken away; it is back when this is dropped.
struct Taken<'a>(&'a Lab, Value);

impl<'a> Taken<'a> {
    fn new(lab: &'a Lab, path: &str, privilege: &str) -> Result<Self> {
        let right = json!({ "path": path, "who": "warren@pve", "privilege": privilege });
        let taken = Self(lab, right);
        taken.act("take_privilege")?;
        Ok(taken)
    }

    fn act(&self, act: &str) -> Result<()> {
        let mut order = self.1.clone();
        order["act"] = act.into();
        self.0.proxmox(&json!({ "act": order })).map(|_| ())
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let _ = self.act("give_privilege_back");
    }
}

/// The default storage class, which is none at present; it is again when this is dropped.
struct NotDefault<'a>(&'a Lab, String);

impl<'a> NotDefault<'a> {
    fn new(lab: &'a Lab) -> Result<Self> {
        let mark = "storageclass.kubernetes.io/is-default-class";
        let text = lab.kubectl(&["get", "storageclass", "-o", "json"])?.success()?;
        let classes: Value = serde_json::from_str(&text)?;
        let is_default = |class: &&Value| class["metadata"]["annotations"][mark] == "true";
        let default = classes["items"].as_array().and_then(|all| all.iter().find(is_default));
        let name = default.and_then(|class| class["metadata"]["name"].as_str());
        let class = Self(lab, name.context("the lab has a default class")?.to_owned());
        class.mark("false")?;
        Ok(class)
    }

    fn mark(&self, value: &str) -> Result<()> {
        let mark = format!("storageclass.kubernetes.io/is-default-class={value}");
        let arguments = ["annotate", "--overwrite", "storageclass", &self.1, &mark];
        self.0.kubectl(&arguments)?.success().map(|_| ())
    }
}

impl Drop for NotDefault<'_> {
    fn drop(&mut self) {
        let _ = self.mark("true");
    }
}
