//! From the request for a session to its running process, against Jobs of the same shape that are
//! created directly in the same tenant.

use crate::{
    figure::{Figure, Goal},
    probe,
};
use anyhow::{Context, Result, ensure};
use black_box::{Lab, TestTenant, program_in, run, until};
use serde_json::{Value, json};

/// Prints the time of day with more than seconds: the agent image has a real Python.
const SAY_WHEN: &str = "import time; print('started', time.time())";

/// How many sessions one after the other stand against one burst: a 95th percentile wants some values.
const ALONE: usize = 4;

pub(crate) fn measure(lab: &Lab, runs: usize) -> Result<Vec<Figure>> {
    let tenant = TestTenant::created_with_plan(lab, "bench-sessions", "enterprise")?;
    tenant.wait_ready()?;
    // Both sides warm: image on the node, connections open.
    sessions(&tenant, 1)?;
    jobs(&tenant, 1, Shape::Session)?;
    let mut figures = Vec::new();
    for (at_once, runs) in [(1, ALONE * runs), (10, runs)] {
        let (mut ours, mut theirs, mut bare) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..runs {
            theirs.extend(jobs(&tenant, at_once, Shape::Session)?);
            ours.extend(sessions(&tenant, at_once)?);
            bare.extend(jobs(&tenant, at_once, Shape::Bare)?);
        }
        let figure = |suffix: &str, ours: &[f64], theirs: &[f64], goal| Figure {
            name: format!("session-cold {at_once} at once{suffix}"),
            unit: "ms",
            ours: ours.to_vec(),
            theirs: theirs.to_vec(),
            goal,
        };
        figures.push(figure(" p50", &ours, &theirs, Goal::Difference(60.0)));
        figures.push(figure(" p95", &ours, &theirs, Goal::DifferenceP95(150.0)));
        figures.push(figure(" / bare Job", &ours, &bare, Goal::None));
    }
    Ok(figures)
}

fn sessions(tenant: &TestTenant, count: usize) -> Result<Vec<f64>> {
    let body = json!({"image": tenant.lab.image("agent"), "command": ["python3", "-c", SAY_WHEN]});
    let started: Vec<(String, f64)> = (0..count)
        .map(|_| {
            let start = probe::now();
            Ok((tenant.session(&body)?, start))
        })
        .collect::<Result<_>>()?;
    started
        .iter()
        .map(|(id, start)| {
            let session = tenant.session_end(id, 120)?;
            ensure!(session["state"] == "succeeded", "{session}");
            Ok((spoken(&tenant.session_log(id)?)? - start) * 1000.0)
        })
        .collect()
}

/// What a Job has of what a session's Job has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// All of it: a Secret of its own, volumes, the runner's init container.
    Session,
    /// The agent's container alone.
    Bare,
}

/// Jobs that somebody creates directly, one after the other over one open connection. The clock of each
/// starts before its first request.
fn jobs(tenant: &TestTenant, count: usize, shape: Shape) -> Result<Vec<f64>> {
    let folder = tempfile::tempdir()?;
    let names: Vec<String> = (0..count)
        .map(|number| {
            format!("direct-{}-{number}", format!("{:.6}", probe::now()).replace('.', ""))
        })
        .collect();
    let objects: Vec<Vec<Value>> = names
        .iter()
        .map(|name| {
            let job = json!({"path": "/apis/batch/v1/namespaces/agents/jobs", "body": job(tenant, name, shape)});
            let secret = json!({"path": "/api/v1/namespaces/agents/secrets", "body": secret(name)});
            if shape == Shape::Session { vec![secret, job] } else { vec![job] }
        })
        .collect();
    let file = folder.path().join("objects.json");
    std::fs::write(&file, json!(objects).to_string())?;
    let mut command = program_in(&tenant.lab.control_namespace, std::env::current_exe()?);
    command.arg("submit").arg(tenant.kubeconfig()?).arg(&file);
    let starts: Vec<f64> = serde_json::from_str(&run(&mut command, "")?.success()?)?;
    let mut times = Vec::new();
    for (name, start) in names.iter().zip(starts) {
        let log = until(&format!("{name} has spoken"), 120, || {
            let log = tenant.kubectl(&["-n", "agents", "logs", &format!("job/{name}")])?;
            Ok(if log.stdout.contains("started") { Ok(log.stdout) } else { Err(log.text()) })
        })?;
        times.push((spoken(&log)? - start) * 1000.0);
    }
    for name in &names {
        tenant.kubectl(&["-n", "agents", "delete", "job", name])?.success()?;
        if shape == Shape::Session {
            tenant.kubectl(&["-n", "agents", "delete", "secret", name])?.success()?;
        }
    }
    Ok(times)
}

/// What a run's Secret holds: a token and an authority of the usual sizes.
fn secret(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "immutable": true, "type": "Opaque",
        "metadata": {"name": name, "namespace": "agents"},
        "stringData": {"token": "x".repeat(47), "ca.crt": "x".repeat(600)}})
}

fn job(tenant: &TestTenant, name: &str, shape: Shape) -> Value {
    let tight = json!({"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]}});
    let resources = |cpu: &str, memory: &str| json!({"cpu": cpu, "memory": memory});
    let agent = resources("250m", "256Mi");
    let mut spec = json!({
        "restartPolicy": "Never", "automountServiceAccountToken": false, "enableServiceLinks": false,
        "serviceAccountName": "agent", "terminationGracePeriodSeconds": 1, "hostUsers": false,
        "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532,
            "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{"name": "agent", "image": tenant.lab.image("agent"), "command": ["python3", "-c", SAY_WHEN],
            "securityContext": tight, "resources": {"requests": agent, "limits": agent}}],
    });
    if shape == Shape::Session {
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
    json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "namespace": "agents"},
        "spec": {"backoffLimit": 0, "activeDeadlineSeconds": 600, "template": {"spec": spec}}})
}

fn spoken(log: &str) -> Result<f64> {
    let line = log
        .lines()
        .find_map(|line| line.strip_prefix("started "))
        .context("the agent says when it started")?;
    line.trim().parse().context("a time")
}
