use crate::{Lab, Output, kubectl_in, run, until};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// What the names of tenants begin with that several tests use.
const SHARED: &str = "for-tests";

/// A tenant for a test; one that is its own is deleted when the test lets go of it.
#[derive(Debug)]
pub struct TestTenant {
    /// The lab that it is in.
    pub lab: Lab,
    /// Its name.
    pub name: String,
    /// Its identifier.
    pub id: String,
    folder: tempfile::TempDir,
    is_shared: bool,
}

impl TestTenant {
    /// A ready tenant that many tests look at side by side: whoever asks first makes it, and it stays until
    /// the lab goes down or the next program of tests wants one. For tests of what every tenant has: what one
    /// of them makes there has a name of its own, and does not stand in the way of the others.
    ///
    /// # Errors
    /// If it cannot be made or does not become ready within two minutes.
    pub fn shared(lab: &Lab) -> Result<Self> {
        Self::found_or_made(lab, "shared")
    }

    /// Two such tenants, to be kept apart from each other.
    ///
    /// # Errors
    /// As [`TestTenant::shared`].
    pub fn shared_pair(lab: &Lab) -> Result<(Self, Self)> {
        Ok((Self::shared(lab)?, Self::found_or_made(lab, "other")?))
    }

    /// Deletes what programs of tests shared that have ended, and waits until there is no tenant any more: for a test
    /// that counts them, and has the lab to itself.
    ///
    /// # Errors
    /// If one is left after two minutes.
    pub fn none_left(lab: &Lab) -> Result<()> {
        delete_leftovers(lab)?;
        until("no tenant is left", 120, || {
            let tenants = lab.get("/api/v1/tenants")?;
            let is_empty = tenants["items"].as_array().is_some_and(Vec::is_empty);
            Ok(if is_empty { Ok(()) } else { Err(tenants.to_string()) })
        })
    }

    fn found_or_made(lab: &Lab, name: &str) -> Result<Self> {
        let name = format!("{SHARED}-{name}-{}", std::process::id());
        let (status, mut body) =
            lab.post("/api/v1/tenants", &json!({ "name": name, "plan": "pro" }))?;
        if status == 409 {
            body = lab.get(&format!("/api/v1/tenants/{name}"))?;
        } else {
            delete_leftovers(lab)?;
        }
        let mut tenant = Self::of(lab, &body)?;
        tenant.is_shared = true;
        tenant.wait_ready()?;
        Ok(tenant)
    }

    /// Makes a tenant and waits until it is ready.
    ///
    /// # Errors
    /// If it does not become ready within two minutes.
    pub fn ready(lab: &Lab, name: &str) -> Result<Self> {
        let tenant = Self::created(lab, name)?;
        tenant.wait_ready()?;
        Ok(tenant)
    }

    /// Makes a tenant.
    ///
    /// # Errors
    /// If it is refused.
    pub fn created(lab: &Lab, name: &str) -> Result<Self> {
        Self::created_with_plan(lab, name, "starter")
    }

    /// Makes a tenant on a plan.
    ///
    /// # Errors
    /// If it is refused.
    pub fn created_with_plan(lab: &Lab, name: &str, plan: &str) -> Result<Self> {
        let name = format!("{name}-{}", std::process::id());
        let (status, body) = lab.post("/api/v1/tenants", &json!({ "name": name, "plan": plan }))?;
        ensure!(status == 201, "create {name}: {status} {body}");
        Self::of(lab, &body)
    }

    /// A tenant that was made already, as the API answered.
    ///
    /// # Errors
    /// If the answer is none.
    pub fn of(lab: &Lab, body: &Value) -> Result<Self> {
        let text = |key: &str| body[key].as_str().map(str::to_owned);
        Ok(Self {
            lab: lab.clone(),
            name: text("name").context("a tenant has a name")?,
            id: text("id").context("a tenant has an id")?,
            folder: tempfile::tempdir()?,
            is_shared: false,
        })
    }

    /// Waits until it is ready.
    ///
    /// # Errors
    /// If it takes more than two minutes.
    pub fn wait_ready(&self) -> Result<()> {
        until(&format!("{} ready", self.name), 120, || {
            let tenant = self.describe()?;
            Ok(if tenant["phase"] == "ready" { Ok(()) } else { Err(tenant.to_string()) })
        })
    }

    /// The tenant as the API shows it.
    ///
    /// # Errors
    /// If the API does not show it.
    pub fn describe(&self) -> Result<Value> {
        self.lab.get(&self.path(""))
    }

    /// The path of something of this tenant in the API.
    #[must_use]
    pub fn path(&self, rest: &str) -> String {
        format!("/api/v1/tenants/{}{rest}", self.id)
    }

    /// The name of its virtual cluster on the host.
    ///
    /// # Errors
    /// If the API does not show it.
    pub fn cluster(&self) -> Result<String> {
        Ok(self.describe()?["cluster"]
            .as_str()
            .context("an operator sees the cluster's name")?
            .to_owned())
    }

    /// Its namespace on the host.
    ///
    /// # Errors
    /// If the API does not show it.
    pub fn host_namespace(&self) -> Result<String> {
        Ok(format!("warren-{}", self.cluster()?))
    }

    /// `kubectl` with the kubeconfig that Warren hands out for this tenant.
    ///
    /// # Errors
    /// If there is no kubeconfig or `kubectl` cannot be started.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<Output> {
        self.kubectl_with_input(arguments, "")
    }

    /// The same with something on standard input.
    ///
    /// # Errors
    /// As for [`TestTenant::kubectl`].
    pub fn kubectl_with_input(&self, arguments: &[&str], input: &str) -> Result<Output> {
        run(self.kubectl_command()?.args(arguments), input)
    }

    /// The command itself, for what goes on while the test does something else.
    ///
    /// # Errors
    /// As for [`TestTenant::kubectl`].
    pub fn kubectl_command(&self) -> Result<Command> {
        let kubeconfig = self.kubeconfig()?;
        Ok(kubectl_in(&self.lab.control_namespace, &self.lab.kubectl, &kubeconfig))
    }

    /// A file with the tenant's kubeconfig.
    ///
    /// # Errors
    /// If Warren hands out none.
    pub fn kubeconfig(&self) -> Result<PathBuf> {
        let path = self.folder.path().join("kubeconfig");
        if !path.exists() {
            let answer =
                self.lab.request(reqwest::Method::GET, &self.path("/kubeconfig"))?.send()?;
            ensure!(
                answer.status().is_success(),
                "kubeconfig: {} {}",
                answer.status(),
                answer.text()?
            );
            std::fs::write(&path, answer.text()?)?;
        }
        Ok(path)
    }

    /// `kubectl` in its namespace on the host, as the host's administrator.
    ///
    /// # Errors
    /// If `kubectl` cannot be started.
    pub fn on_host(&self, arguments: &[&str]) -> Result<Output> {
        self.on_host_with_input(arguments, "")
    }

    /// The same with something on standard input.
    ///
    /// # Errors
    /// As for [`TestTenant::on_host`].
    pub fn on_host_with_input(&self, arguments: &[&str], input: &str) -> Result<Output> {
        let namespace = self.host_namespace()?;
        let arguments: Vec<&str> =
            ["-n", namespace.as_str()].into_iter().chain(arguments.iter().copied()).collect();
        self.lab.kubectl_with_input(&arguments, input)
    }

    /// Makes an object in the tenant.
    ///
    /// # Errors
    /// If it is refused.
    pub fn create(&self, object: &Value) -> Result<()> {
        self.kubectl_with_input(&["create", "-f", "-"], &object.to_string())?.success()?;
        Ok(())
    }

    /// Objects of the tenant as JSON, by the words that follow `kubectl get`.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn objects(&self, arguments: &[&str]) -> Result<Value> {
        let arguments: Vec<&str> =
            ["get", "-o", "json"].into_iter().chain(arguments.iter().copied()).collect();
        Ok(serde_json::from_str(&self.kubectl(&arguments)?.success()?)?)
    }

    /// The same on the host.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn host_objects(&self, arguments: &[&str]) -> Result<Value> {
        let arguments: Vec<&str> =
            ["get", "-o", "json"].into_iter().chain(arguments.iter().copied()).collect();
        Ok(serde_json::from_str(&self.on_host(&arguments)?.success()?)?)
    }

    /// Starts a session and returns its identifier.
    ///
    /// # Errors
    /// If it is refused.
    pub fn session(&self, body: &Value) -> Result<String> {
        let (status, session) = self.lab.post(&self.path("/sessions"), body)?;
        ensure!(status == 201, "session: {status} {session}");
        Ok(session["id"].as_str().context("a session has an id")?.to_owned())
    }

    /// Starts a session that runs a shell line in the small image.
    ///
    /// # Errors
    /// If it is refused.
    pub fn shell_session(&self, line: &str) -> Result<String> {
        self.session(
            &json!({ "image": self.lab.image("busybox"), "command": ["/bin/sh", "-c", line] }),
        )
    }

    /// A session as the API shows it.
    ///
    /// # Errors
    /// If the API does not show it.
    pub fn session_get(&self, id: &str) -> Result<Value> {
        self.lab.get(&self.path(&format!("/sessions/{id}")))
    }

    /// Waits until a session is in one of some states.
    ///
    /// # Errors
    /// If that takes more than `seconds`.
    pub fn session_wait(&self, id: &str, states: &[&str], seconds: u64) -> Result<Value> {
        until(&format!("session {id} {states:?}"), seconds, || {
            let session = self.session_get(id)?;
            let state = session["state"].as_str().unwrap_or_default();
            Ok(if states.contains(&state) { Ok(session) } else { Err(session.to_string()) })
        })
    }

    /// Waits until a session is over.
    ///
    /// # Errors
    /// If that takes more than `seconds`.
    pub fn session_end(&self, id: &str, seconds: u64) -> Result<Value> {
        self.session_wait(id, &["succeeded", "failed", "timed-out", "stopped"], seconds)
    }

    /// The same, told at the moment of its end instead of at the next question.
    ///
    /// # Errors
    /// If that takes more than `seconds`.
    pub fn session_end_told(&self, id: &str, seconds: u64) -> Result<Value> {
        // Less than a client waits for an answer.
        const AT_ONCE: u64 = 30;
        let path = self.path(&format!("/sessions/{id}"));
        until(&format!("session {id} over"), seconds, || {
            let wait = format!("wait={}", seconds.min(AT_ONCE));
            let request = self.lab.request(reqwest::Method::GET, &path)?.header("Prefer", wait);
            let session: Value = request.send()?.error_for_status()?.json()?;
            let is_over = session["finishedAt"].is_string();
            Ok(if is_over { Ok(session) } else { Err(session.to_string()) })
        })
    }

    /// The log of a session as text.
    ///
    /// # Errors
    /// If the API does not show it.
    pub fn session_log(&self, id: &str) -> Result<String> {
        let path = self.path(&format!("/sessions/{id}/logs"));
        let answer =
            self.lab.request(reqwest::Method::GET, &path)?.header("Accept", "text/plain").send()?;
        ensure!(answer.status().is_success(), "log: {}", answer.status());
        Ok(answer.text()?)
    }

    /// Asks for the deletion and returns the operation.
    ///
    /// # Errors
    /// If it is refused.
    pub fn delete(&self, query: &str) -> Result<Value> {
        let answer = self.lab.request(reqwest::Method::DELETE, &self.path(query))?.send()?;
        ensure!(answer.status().as_u16() == 202, "delete: {} {}", answer.status(), answer.text()?);
        Ok(answer.json()?)
    }

    /// Waits until an operation has ended.
    ///
    /// # Errors
    /// If that takes more than `seconds`.
    pub fn operation_end(&self, operation: &Value, seconds: u64) -> Result<Value> {
        let id = operation["id"].as_str().context("an operation has an id")?;
        until(&format!("operation {id}"), seconds, || {
            let operation = self.lab.get(&format!("/api/v1/operations/{id}"))?;
            let is_over = operation["state"] == "succeeded" || operation["state"] == "failed";
            Ok(if is_over { Ok(operation) } else { Err(operation.to_string()) })
        })
    }
}

/// Deletes what programs of tests shared that have ended since.
fn delete_leftovers(lab: &Lab) -> Result<()> {
    let tenants = lab.get("/api/v1/tenants")?;
    let names =
        tenants["items"].as_array().into_iter().flatten().filter_map(|t| t["name"].as_str());
    for name in names.filter(|name| name.starts_with(SHARED)) {
        let process = name.rsplit('-').next().unwrap_or_default();
        if !Path::new("/proc").join(process).exists() {
            let path = format!("/api/v1/tenants/{name}");
            lab.request(reqwest::Method::DELETE, &path)?.send()?;
        }
    }
    Ok(())
}

impl Drop for TestTenant {
    fn drop(&mut self) {
        if !self.is_shared {
            // Best effort: a test that failed must not leave a control plane running for the others.
            let _ = self.delete("");
        }
    }
}
