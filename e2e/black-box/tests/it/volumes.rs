//! Volumes on the disks of nodes go with their tenant when it asks for that.

use crate::dedicated::{own_node, text};
use crate::plan_change::{change, has_plan, made};
use anyhow::{Context as _, Result, ensure};
use black_box::{Lab, TestTenant, pods::pod, until};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Two processes of different users with a volume that they fill at their first start.
pub(crate) struct Keeper<'a>(&'a TestTenant);

/// Files of one user that nobody else may read, folders, links, and more bytes than one piece has.
const FIRST: &str = "umask 077; cd /data; [ -e begun ] || { mkdir own; echo secret > own/key; \
    dd if=/dev/urandom of=own/large bs=1M count=MIB 2>/dev/null; ln own/large same; ln -s own/key link; \
    mkfifo pipe; touch -d 2001-02-03 old; touch begun; }; trap exit TERM; while :; do sleep 1; done";
const SECOND: &str = "umask 027; cd /data; [ -e other ] || { mkdir other; echo more > other/text; \
    chmod 2750 other; }; trap exit TERM; while :; do sleep 1; done";

impl<'a> Keeper<'a> {
    /// Makes it, with so many MiB in its volume, and waits until it is ready.
    pub(crate) fn deployed(tenant: &'a TestTenant, mib: u32) -> Result<Self> {
        let labels = json!({ "app": "keeper" });
        let mut pod = pod("keeper", tenant.lab.image("busybox"), |pod| {
            let limits = json!({ "limits": { "cpu": "200m", "memory": "64Mi" } });
            let container = &mut pod["spec"]["containers"][0];
            container["resources"] = limits;
            container["volumeMounts"] = json!([{ "name": "data", "mountPath": "/data" }]);
            let mut second = container.clone();
            for (container, name, user, script) in [
                (container, "first", 1001, FIRST.replace("MIB", &mib.to_string())),
                (&mut second, "second", 1002, SECOND.to_owned()),
            ] {
                container["name"] = name.into();
                container["command"] = json!(["/bin/sh", "-c", script]);
                container["securityContext"]["runAsUser"] = user.into();
                container["securityContext"]["runAsGroup"] = user.into();
            }
            if let Some(all) = pod["spec"]["containers"].as_array_mut() {
                all.push(second);
            }
            pod["spec"]["restartPolicy"] = "Always".into();
        });
        let claim = json!({
            "metadata": { "name": "data" },
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": { "requests": { "storage": "256Mi" } },
            },
        });
        tenant.create(&json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet",
            "metadata": { "name": "keeper", "namespace": "default" },
            "spec": {
                "replicas": 1, "serviceName": "keeper",
                "selector": { "matchLabels": labels },
                "template": { "metadata": { "labels": labels }, "spec": pod["spec"].take() },
                "volumeClaimTemplates": [claim],
            },
        }))?;
        let keeper = Self(tenant);
        keeper.wait_ready()?;
        Ok(keeper)
    }

    pub(crate) fn wait_ready(&self) -> Result<()> {
        until("the keeper is ready and has all its files", 120, || {
            let path = "jsonpath={.status.readyReplicas}";
            let ready = self.0.kubectl(&["get", "statefulset", "keeper", "-o", path])?;
            let done =
                ready.stdout.trim() == "1" && self.shell("first", "test -e /data/begun").is_ok();
            Ok(if done { Ok(()) } else { Err(ready.text()) })
        })
    }

    fn shell(&self, container: &str, line: &str) -> Result<String> {
        self.0
            .kubectl(&["exec", "keeper-0", "-c", container, "--", "/bin/sh", "-c", line])?
            .success()
    }

    /// All that is in the volume: modes, owners, sizes and times, and the sums of what is in the files.
    pub(crate) fn seen(&self) -> Result<String> {
        let first = "cd /data; find . ! -path './other/*' -exec stat -c '%n %F %a %u:%g %s %Y %h %N' {} + | sort; \
                     md5sum own/* same link";
        let second = "cd /data/other; stat -c '%n %a %u:%g %s %Y' . *; md5sum *";
        Ok(self.shell("first", first)? + &self.shell("second", second)?)
    }

    /// The volume on the host.
    pub(crate) fn volume(&self) -> Result<Value> {
        let claims = self.0.host_objects(&["pvc"])?;
        let claims = claims["items"].as_array().cloned().unwrap_or_default();
        let is_ours =
            |claim: &&Value| text(claim, "/metadata/name").starts_with("data-keeper-0-x-");
        let claim = claims.iter().find(is_ours).context("the claim is on the host")?;
        let name = text(claim, "/spec/volumeName");
        let volume = self.0.lab.kubectl(&["get", "pv", name, "-o", "json"])?.success()?;
        Ok(serde_json::from_str(&volume)?)
    }
}

pub(crate) fn folder(volume: &Value) -> PathBuf {
    PathBuf::from(text(volume, "/spec/hostPath/path"))
}

/// What copying left of a tenant on the host.
pub(crate) fn left_of_copies(tenant: &TestTenant) -> Result<Vec<String>> {
    let copy = format!("warren-copy-{}", tenant.cluster()?);
    let names = tenant.lab.kubectl(&["get", "namespaces,pv", "-o", "name"])?.success()?;
    Ok(names.lines().filter(|name| name.contains(&copy)).map(str::to_owned).collect())
}

/// Checks that all is where it is to be: the same content at another place, and nothing at the old one.
pub(crate) fn has_moved(keeper: &Keeper<'_>, seen: &str, old: &Path) -> Result<()> {
    keeper.wait_ready()?;
    let now = keeper.seen()?;
    ensure!(now == seen, "before:\n{seen}\nafter:\n{now}");
    let volume = keeper.volume()?;
    ensure!(folder(&volume) != old, "it lies elsewhere: {volume}");
    ensure!(!old.exists(), "the old folder is removed");
    ensure!(text(&volume, "/spec/persistentVolumeReclaimPolicy") == "Delete", "{volume}");
    until("nothing of copying is left", 30, || {
        let left = left_of_copies(keeper.0)?;
        Ok(if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) })
    })
}

/// Waits until the step that copies says something with `part` in it, looking as often as it can.
pub(crate) fn wait_said(lab: &Lab, begun: &Value, part: &str) -> Result<()> {
    let path = format!("/api/v1/operations/{}", text(begun, "/id"));
    until(part, 180, || {
        let operation = lab.get(&path)?;
        let steps = operation["steps"].as_array().cloned().unwrap_or_default();
        let is_said = |step: &Value| {
            let copies = step["name"] == "move" || step["name"] == "drain";
            copies && text(step, "/message").contains(part)
        };
        Ok(if steps.iter().any(is_said) { Ok(()) } else { Err(operation.to_string()) })
    })
}

#[test]
fn a_volume_goes_with_its_tenant_to_a_node_of_its_own_and_back() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let tenant = made(&lab, "volumes", "pro")?;
    let keeper = Keeper::deployed(&tenant, 24)?;
    let seen = keeper.seen()?;
    let path = tenant.path("/plan-changes?dryRun=true");
    let (_, preview) = lab.post(&path, &json!({ "plan": "dedicated-s" }))?;
    ensure!(text(&preview, "/blockers/0/code") == "volumes-in-the-way", "{preview}");
    let wish = json!({ "plan": "dedicated-s", "volumes": "copy" });
    let (_, preview) = lab.post(&path, &wish)?;
    ensure!(preview["blockers"] == json!([]), "{preview}");
    let volume =
        json!([{ "claim": "default/data-keeper-0", "size": 256 << 20, "outcome": "copy" }]);
    ensure!(preview["movedVolumes"] == volume, "{preview}");

    for (wish, nodes) in [(wish, 1), (json!({ "plan": "pro", "volumes": "copy" }), 0)] {
        let old = folder(&keeper.volume()?);
        let begun = change(&tenant, &lab, &wish)?;
        let end = tenant.operation_end(&begun["operation"], 300)?;
        ensure!(end["state"] == "succeeded", "{end}");
        has_plan(&lab, &tenant, text(&wish, "/plan"), nodes)?;
        has_moved(&keeper, &seen, &old)?;
        if nodes == 1 {
            comes_along(&lab, &keeper, &seen)?;
        }
    }
    Ok(())
}

/// Nobody loses the volume by replacing the node that it is on: it goes to the next one, if that is wanted.
fn comes_along(lab: &Lab, keeper: &Keeper<'_>, seen: &str) -> Result<()> {
    let (tenant, node) = (keeper.0, own_node(lab, keeper.0)?);
    let path = tenant.path(&format!("/nodes/{}/replace", text(&node, "/id")));
    let (status, refused) = lab.post(&path, &json!({}))?;
    ensure!(status == 409 && refused["code"] == "node-has-volumes", "{status} {refused}");
    ensure!(text(&refused, "/detail").contains("default/data-keeper-0"), "{refused}");
    let old = folder(&keeper.volume()?);
    let (status, begun) = lab.post(&path, &json!({ "volumes": "copy" }))?;
    ensure!(status == 202, "{status} {begun}");
    let wish = json!({ "plan": "pro", "volumes": "copy" });
    let (status, refused) = lab.post(&tenant.path("/plan-changes"), &wish)?;
    ensure!(status == 409 && refused["code"] == "tenant-busy", "{status} {refused}");
    let end = tenant.operation_end(&begun, 300)?;
    ensure!(end["state"] == "succeeded", "{end}");
    ensure!(own_node(lab, tenant)?["id"] != node["id"], "another one took its place");
    has_moved(keeper, seen, &old)
}

#[test]
fn a_tenant_that_is_deleted_while_its_volume_is_replaced_leaves_nothing() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    for moment in [" copied; its pods are down", "not bound to its new volume"] {
        let tenant = made(&lab, "copy-deleted", "pro")?;
        let keeper = Keeper::deployed(&tenant, 150)?;
        let (old, cluster) = (folder(&keeper.volume()?), tenant.cluster()?);
        let begun = change(&tenant, &lab, &json!({ "plan": "dedicated-s", "volumes": "copy" }))?;
        wait_said(&lab, &begun, moment)?;
        let end = tenant.operation_end(&tenant.delete("")?, 300)?;
        ensure!(end["state"] == "succeeded", "{moment}: {end}");
        let left = lab.kubectl(&["get", "namespaces,pv", "-o", "wide"])?.success()?;
        ensure!(!left.contains(&cluster), "{moment}: {left}");
        ensure!(!old.exists(), "{moment}: its folder is removed");
    }
    Ok(())
}
