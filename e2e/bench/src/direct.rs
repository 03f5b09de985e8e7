//! The other side of sessions: Jobs that somebody creates directly in a tenant, without Warren, with an agent
//! that is the same on both sides.

use crate::probe::{Group, Object, Told};
use anyhow::{Context, Result};
use black_box::{Lab, TestTenant, program_in, run};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};

const PROJECT: &str = "agents";
/// The label of all Jobs of a batch.
pub(crate) const BATCH: &str = "bench";
/// How long the end of Jobs that are deleted may take.
const DELETION: [&str; 2] = ["--timeout=180s", "--request-timeout=180s"];

/// What runs, and what it may use.
pub(crate) struct Agent {
    image: String,
    command: [String; 3],
    cpu: &'static str,
    memory: &'static str,
}

/// What a Job has of what a session's Job has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// All of it: a Secret of its own, volumes, the runner's init container.
    Session,
    /// The agent's container alone.
    Bare,
}

/// Jobs of one tenant that one client creates one right after the other.
pub(crate) struct Batch<'a> {
    tenant: &'a TestTenant,
    names: Vec<String>,
    shape: Shape,
}

impl Agent {
    /// A line of Python, with what a session gets that asks for nothing.
    pub(crate) fn python(lab: &Lab, code: &str) -> Self {
        let command = ["python3", "-c", code].map(str::to_owned);
        Self { image: lab.image("agent").to_owned(), command, cpu: "250m", memory: "256Mi" }
    }

    /// A line of shell, with so little that many fit on the lab's nodes at the same time.
    pub(crate) fn small(lab: &Lab, line: &str) -> Self {
        let command = ["/bin/sh", "-c", line].map(str::to_owned);
        Self { image: lab.image("busybox").to_owned(), command, cpu: "40m", memory: "64Mi" }
    }

    /// The same with another processor share.
    pub(crate) fn with_cpu(self, cpu: &'static str) -> Self {
        Self { cpu, ..self }
    }

    /// What a session is asked for with.
    pub(crate) fn session(&self) -> Value {
        json!({"image": self.image, "command": self.command, "resources": self.resources()})
    }

    fn resources(&self) -> Value {
        json!({"cpu": self.cpu, "memory": self.memory})
    }

    fn job(&self, tenant: &TestTenant, name: &str, batch: &str, shape: Shape) -> Value {
        let tight = json!({"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]}});
        let amount = self.resources();
        let mut spec = json!({
            "restartPolicy": "Never", "automountServiceAccountToken": false, "enableServiceLinks": false,
            "serviceAccountName": "agent", "terminationGracePeriodSeconds": 1, "hostUsers": false,
            "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532,
                "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{"name": "agent", "image": self.image, "command": self.command,
                "securityContext": tight, "resources": {"requests": amount, "limits": amount}}],
        });
        if shape == Shape::Session {
            let resources = |cpu: &str, memory: &str| json!({"cpu": cpu, "memory": memory});
            spec["volumes"] = json!([{"name": "bin", "emptyDir": {}}, {"name": "in", "emptyDir": {}},
                {"name": "out", "emptyDir": {}}, {"name": "tmp", "emptyDir": {}},
                {"name": "run", "secret": {"secretName": name, "defaultMode": 288}}]);
            spec["containers"][0]["volumeMounts"] = json!([
                {"name": "bin", "mountPath": "/warren/bin", "readOnly": true},
                {"name": "in", "mountPath": "/warren/inputs"}, {"name": "out", "mountPath": "/warren/outputs"},
                {"name": "tmp", "mountPath": "/tmp"},
                {"name": "run", "mountPath": "/warren/run", "readOnly": true}]);
            spec["initContainers"] = json!([{"name": "runner", "image": tenant.lab.image("runner"),
                "command": ["/warren-runner", "install", "/warren/bin"], "securityContext": tight,
                "resources": {"requests": resources("10m", "16Mi"), "limits": resources("100m", "32Mi")},
                "volumeMounts": [{"name": "bin", "mountPath": "/warren/bin"}]}]);
        }
        json!({"apiVersion": "batch/v1", "kind": "Job",
            "metadata": {"name": name, "namespace": PROJECT, "labels": {BATCH: batch}},
            "spec": {"backoffLimit": 0, "activeDeadlineSeconds": 600, "template": {"spec": spec}}})
    }
}

impl<'a> Batch<'a> {
    pub(crate) fn new(tenant: &'a TestTenant, count: usize, shape: Shape) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let name = |_| format!("direct-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        Self { tenant, names: (0..count).map(name).collect(), shape }
    }

    fn group(&self, agent: &Agent) -> Result<Group> {
        let batch = self.names.first().context("a batch has a Job")?.clone();
        let mut objects = Vec::new();
        for name in &self.names {
            if self.shape == Shape::Session {
                let path = format!("/api/v1/namespaces/{PROJECT}/secrets");
                objects.push(Object { path, body: secret(name) });
            }
            let path = format!("/apis/batch/v1/namespaces/{PROJECT}/jobs");
            let body = agent.job(self.tenant, name, &batch, self.shape);
            objects.push(Object { path, body });
        }
        Ok(Group {
            kubeconfig: self.tenant.kubeconfig()?,
            namespace: PROJECT.into(),
            batch,
            objects,
        })
    }

    /// What the agent of its first Job has said.
    pub(crate) fn log(&self) -> Result<String> {
        let job = self.names.first().map(|name| format!("job/{name}")).context("a Job")?;
        self.tenant.kubectl(&["-n", PROJECT, "logs", &job])?.success()
    }
}

/// Creates all batches at once, each over an open connection of its own, and waits until all Jobs are complete.
pub(crate) fn complete(
    lab: &Lab,
    agent: &Agent,
    batches: &[Batch<'_>],
    seconds: u64,
) -> Result<Vec<Told>> {
    let groups: Vec<Group> =
        batches.iter().map(|batch| batch.group(agent)).collect::<Result<_>>()?;
    let mut command = program_in(&lab.control_namespace, std::env::current_exe()?);
    command.arg("complete").arg(seconds.to_string());
    let told = run(&mut command, &serde_json::to_string(&groups)?)?.success()?;
    serde_json::from_str(&told).context("read what the probe tells")
}

/// Deletes Jobs of one tenant with their pods: what goes away would take the time of the other side.
pub(crate) fn delete(batches: &[Batch<'_>]) -> Result<()> {
    let Some(Batch { tenant, shape, .. }) = batches.first() else { return Ok(()) };
    let names: Vec<&str> =
        batches.iter().flat_map(|batch| &batch.names).map(String::as_str).collect();
    delete_all(tenant, "jobs", &names)?;
    if *shape == Shape::Session {
        delete_all(tenant, "secrets", &names)?;
    }
    Ok(())
}

/// The same with the Jobs of sessions that are over.
pub(crate) fn delete_of_sessions(tenant: &TestTenant) -> Result<()> {
    delete_all(tenant, "jobs", &["-l", "app.kubernetes.io/managed-by=warren"])
}

fn delete_all(tenant: &TestTenant, kind: &str, which: &[&str]) -> Result<()> {
    let mut words = vec!["-n", PROJECT, "delete", kind, "--cascade=foreground"];
    words.extend(DELETION);
    words.extend(which);
    tenant.kubectl(&words)?.success().map(drop)
}

/// What a run's Secret holds: a token and an authority of the usual sizes.
fn secret(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "immutable": true, "type": "Opaque",
        "metadata": {"name": name, "namespace": PROJECT},
        "stringData": {"token": "x".repeat(47), "ca.crt": "x".repeat(600)}})
}

/// The time of day that an agent told with a word before it.
pub(crate) fn spoken(log: &str, word: &str) -> Result<f64> {
    let time = log.lines().find_map(|line| line.strip_prefix(word)?.strip_prefix(' '));
    time.with_context(|| format!("the agent says when it {word}"))?.trim().parse().context("a time")
}
