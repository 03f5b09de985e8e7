use crate::{TestTenant, pods::pod, until};
use anyhow::Result;
use serde_json::json;
use std::{
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Instant,
};

/// What one look at a tenant's web saw.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// When it was asked.
    pub asked: Instant,
    /// When the answer was there.
    pub answered: Instant,
    /// How many of its pods are available; nothing if the tenant's API server did not answer.
    pub available: Option<u64>,
}

impl Look {
    /// Whether there were fewer than the budget wants.
    #[must_use]
    pub fn is_below(&self) -> bool {
        self.available.is_some_and(|count| count < Web::LEAST)
    }
}

/// A Deployment in a tenant, with a budget: of its three pods two have to be available at every moment.
#[derive(Debug)]
pub struct Web<'a>(&'a TestTenant);

impl<'a> Web<'a> {
    /// How many pods the budget wants.
    const LEAST: u64 = 2;
    const ALL: u64 = 3;

    /// Makes it and waits until all of it is available.
    ///
    /// # Errors
    /// If the tenant refuses it, or it takes more than a minute.
    pub fn deployed(tenant: &'a TestTenant) -> Result<Self> {
        let labels = json!({ "app": "web" });
        let mut pod = pod("web", tenant.lab.image("busybox"), |pod| {
            let idle = "trap exit TERM; while :; do sleep 1; done";
            let limits = json!({ "limits": { "cpu": "50m", "memory": "32Mi" } });
            pod["spec"]["restartPolicy"] = "Always".into();
            pod["spec"]["containers"][0]["command"] = json!(["/bin/sh", "-c", idle]);
            pod["spec"]["containers"][0]["resources"] = limits;
        });
        let template = json!({ "metadata": { "labels": labels }, "spec": pod["spec"].take() });
        let metadata = json!({ "name": "web", "namespace": "default" });
        let selector = json!({ "matchLabels": labels });
        tenant.create(&json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata,
            "spec": { "replicas": Self::ALL, "selector": selector, "template": template },
        }))?;
        tenant.create(&json!({
            "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": metadata,
            "spec": { "minAvailable": Self::LEAST, "selector": selector },
        }))?;
        let web = Self(tenant);
        until("its three pods", 60, || {
            Ok(if web.is_whole()? { Ok(()) } else { Err("not yet".to_owned()) })
        })?;
        Ok(web)
    }

    /// Whether all of its pods are available.
    ///
    /// # Errors
    /// If `kubectl` cannot be started.
    pub fn is_whole(&self) -> Result<bool> {
        Ok(look(&mut self.question()?)?.available == Some(Self::ALL))
    }

    /// Does something, and looks at it again and again meanwhile.
    ///
    /// # Errors
    /// If `act` fails or `kubectl` cannot be started.
    pub fn watched<T>(&self, act: impl FnOnce() -> Result<T>) -> Result<(T, Vec<Look>)> {
        let is_over = AtomicBool::new(false);
        let mut question = self.question()?;
        thread::scope(|scope| {
            let watch = scope.spawn(|| {
                let mut seen = Vec::new();
                while !is_over.load(Ordering::Relaxed) {
                    seen.push(look(&mut question)?);
                }
                anyhow::Ok(seen)
            });
            let done = act();
            is_over.store(true, Ordering::Relaxed);
            let seen = watch.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            Ok((done?, seen))
        })
    }

    /// What asks for it; it can be asked again, from any thread.
    fn question(&self) -> Result<Command> {
        let path = "jsonpath={.status.availableReplicas}";
        let mut command = self.0.kubectl_command()?;
        command.args(["get", "deployment", "web", "--request-timeout=2s", "-o", path]);
        Ok(command)
    }
}

fn look(question: &mut Command) -> Result<Look> {
    let asked = Instant::now();
    let answer = question.output()?;
    let count = String::from_utf8_lossy(&answer.stdout).trim().parse().unwrap_or(0);
    let available = answer.status.success().then_some(count);
    Ok(Look { asked, answered: Instant::now(), available })
}
