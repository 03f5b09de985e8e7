//! One run of a session: a Job and a Secret in the tenant's cluster.

use crate::{
    baseline::AGENT,
    object::{Key, Kind, MANAGED_BY, MANAGED_BY_VALUE, Rendered},
    settings::{HostSettings, UserNamespaces},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use domain::{ProjectName, Run, RunId, Session};
use serde_json::{Value, json};
use std::fmt;

/// The label with the session's digits.
pub const SESSION_LABEL: &str = "warren.dev/session";
/// The label with the run's digits.
pub const RUN_LABEL: &str = "warren.dev/run";
/// How much longer than its agent a runner may take to end, in seconds: it sends the rest of the log and
/// how the agent ended.
const RUNNER_ENDS_SECONDS: u32 = 4;
/// How long a finished Job stays, in seconds, if nobody deletes it.
const KEPT_SECONDS: u32 = 300;
/// What a container says last before it fails is kept with the pod: the runner may have nobody else to tell.
const TERMINATION_MESSAGE: &str = "FallbackToLogsOnError";

/// What a run proves itself with.
#[derive(Clone, Copy)]
pub struct RunAccess<'a> {
    /// The run's token.
    pub token: &'a str,
    /// The authority behind the run endpoint's certificate, as PEM.
    pub authority: &'a str,
}

impl fmt::Debug for RunAccess<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RunAccess(…)")
    }
}

/// What one run consists of.
#[derive(Debug, Clone, PartialEq)]
pub struct RunObjects {
    /// Has to be made first: the pod waits for nothing.
    pub secret: Rendered,
    /// The Job.
    pub job: Rendered,
}

/// The address of a run's Job.
#[must_use]
pub fn job_key(project: &ProjectName, run: RunId) -> Key {
    Key::namespaced(Kind::Job, project.as_str(), &format!("run-{}", run.digits()))
}

/// The run that a pod of this name, inside its tenant, is of.
#[must_use]
pub fn run_of_pod(name: &str) -> Option<RunId> {
    let digits = name.strip_prefix("run-")?.split('-').next()?;
    format!("run_{digits}").parse().ok()
}

/// The address of a run's Secret.
#[must_use]
pub fn secret_key(project: &ProjectName, run: RunId) -> Key {
    Key { kind: Kind::Secret, ..job_key(project, run) }
}

/// A merge patch of the Secret: it goes with the Job. `job_uid` is that of the Job as it was accepted.
#[must_use]
pub fn owner_patch(run: RunId, job_uid: &str) -> Value {
    json!({ "metadata": { "ownerReferences": [{
        "apiVersion": Kind::Job.api_version(),
        "kind": Kind::Job.as_str(),
        "name": format!("run-{}", run.digits()),
        "uid": job_uid,
    }] } })
}

/// Renders the Secret and the Job of a run. Both are created once and never changed.
#[must_use]
pub fn render_run_job(
    session: &Session,
    run: &Run,
    host: &HostSettings,
    access: RunAccess<'_>,
) -> RunObjects {
    let project = &session.spec.project;
    let labels = json!({
        SESSION_LABEL: session.id.digits(),
        RUN_LABEL: run.id.digits(),
        MANAGED_BY: MANAGED_BY_VALUE,
    });
    let mut secret = json!({
        "metadata": { "labels": labels },
        "type": "Opaque",
        "immutable": true,
        "data": {
            "token": STANDARD.encode(access.token),
            "ca.crt": STANDARD.encode(access.authority),
        },
    });
    for (name, value) in &session.spec.secrets {
        secret["data"][secret_entry(name)] = STANDARD.encode(value).into();
    }
    let job = json!({
        "metadata": { "labels": labels },
        "spec": {
            "activeDeadlineSeconds": session.spec.timeout_seconds,
            // Warren itself decides about another attempt, by the class of the failure.
            "backoffLimit": 0,
            "completions": 1,
            "parallelism": 1,
            // A pod that is being ended is not yet replaced: two agents never work at the same time.
            "podReplacementPolicy": "Failed",
            "ttlSecondsAfterFinished": KEPT_SECONDS,
            "template": {
                "metadata": { "labels": labels },
                "spec": pod(session, run, host),
            },
        },
    });
    RunObjects {
        secret: Rendered::new(secret_key(project, run.id), None, secret),
        job: Rendered::new(job_key(project, run.id), None, job),
    }
}

fn pod(session: &Session, run: &Run, host: &HostSettings) -> Value {
    let empty = |name: &str| json!({ "name": name, "emptyDir": {} });
    let user = session.spec.run_as_user;
    let files = ["ca.crt", "token"].map(|file| json!({ "key": file, "path": file }));
    let mut pod = json!({
        "automountServiceAccountToken": false,
        "containers": [agent(session, run, host)],
        "enableServiceLinks": false,
        "initContainers": [install(host)],
        "restartPolicy": "Never",
        "securityContext": {
            "fsGroup": user,
            "runAsGroup": user,
            // Pod Security lets root run in a user namespace only.
            "runAsNonRoot": user != 0,
            "runAsUser": user,
            "seccompProfile": { "type": "RuntimeDefault" },
        },
        "serviceAccountName": AGENT,
        "terminationGracePeriodSeconds": session.spec.grace_period_seconds + RUNNER_ENDS_SECONDS,
        "volumes": [
            empty("warren-bin"),
            empty("warren-inputs"),
            empty("warren-outputs"),
            empty("tmp"),
            {
                "name": "warren-run",
                "secret": {
                    "secretName": format!("run-{}", run.id.digits()),
                    "defaultMode": 0o440,
                    "items": files,
                },
            },
        ],
    });
    if host.user_namespaces == UserNamespaces::Forced {
        pod["hostUsers"] = json!(false);
    }
    pod
}

/// Copies the runner into a volume, so that any image can be an agent's.
fn install(host: &HostSettings) -> Value {
    let amount = json!({ "cpu": "100m", "memory": "32Mi" });
    json!({
        "name": "runner",
        "image": host.images.runner,
        "imagePullPolicy": "IfNotPresent",
        "args": ["install", "/warren/bin"],
        "resources": { "limits": amount, "requests": { "cpu": "10m", "memory": "16Mi" } },
        "securityContext": container_security(),
        "terminationMessagePolicy": TERMINATION_MESSAGE,
        "volumeMounts": [{ "name": "warren-bin", "mountPath": "/warren/bin" }],
    })
}

fn agent(session: &Session, run: &Run, host: &HostSettings) -> Value {
    let spec = &session.spec;
    let mut command = vec!["/warren/bin/runner".to_owned(), "--".to_owned()];
    command.extend(spec.command.iter().cloned());
    let own = [
        ("WARREN_SESSION_ID", session.id.to_string()),
        ("WARREN_RUN_ID", run.id.to_string()),
        ("WARREN_RUN_ENDPOINT", format!("https://{}", host.run_endpoint)),
        ("WARREN_RUN_GATE", host.run_gate.to_string()),
        ("WARREN_INPUT_MANIFEST", "/warren/inputs/manifest.json".to_owned()),
        ("WARREN_OUTPUT_DIR", "/warren/outputs".to_owned()),
    ];
    // Kubernetes would replace `$(NAME)` and halve `$$`; what the caller wrote is what the agent gets.
    let literal = |text: &str| text.replace('$', "$$");
    let mut env: Vec<Value> =
        own.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
    env.extend(
        spec.env.iter().map(|(name, value)| json!({ "name": name, "value": literal(value) })),
    );
    if !spec.secrets.is_empty() {
        let names: Vec<&str> = spec.secrets.keys().map(String::as_str).collect();
        env.push(json!({ "name": "WARREN_SECRETS", "value": names.join(",") }));
    }
    env.extend(spec.secrets.keys().map(|name| {
        let entry =
            json!({ "name": format!("run-{}", run.id.digits()), "key": secret_entry(name) });
        json!({ "name": name, "valueFrom": { "secretKeyRef": entry } })
    }));
    let command: Vec<String> = command.iter().map(|word| literal(word)).collect();
    let args: Vec<String> = spec.args.iter().map(|word| literal(word)).collect();
    let amount = json!({
        "cpu": run.resources.cpu.to_string(),
        "memory": run.resources.memory.to_string(),
    });
    let mount = |name: &str, path: &str| json!({ "name": name, "mountPath": path });
    json!({
        "name": "agent",
        "image": spec.image,
        "command": command,
        "args": args,
        "env": env,
        "resources": { "limits": amount, "requests": amount },
        "securityContext": container_security(),
        "terminationMessagePolicy": TERMINATION_MESSAGE,
        "volumeMounts": [
            { "name": "warren-bin", "mountPath": "/warren/bin", "readOnly": true },
            mount("warren-inputs", "/warren/inputs"),
            mount("warren-outputs", "/warren/outputs"),
            mount("tmp", "/tmp"),
            { "name": "warren-run", "mountPath": "/warren/run", "readOnly": true },
        ],
    })
}

/// Where the value of a variable is in the run's Secret.
fn secret_entry(variable: &str) -> String {
    format!("env-{variable}")
}

fn container_security() -> Value {
    json!({
        "allowPrivilegeEscalation": false,
        "capabilities": { "drop": ["ALL"] },
        "readOnlyRootFilesystem": true,
    })
}
