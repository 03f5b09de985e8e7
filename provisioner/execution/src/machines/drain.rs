//! The steps in which a node is emptied and its machine destroyed.

use super::{
    build, host,
    owned::{self, Machine, look},
    power, seed,
};
use crate::{
    api_server::{ApiError, ApiServer},
    sagas::{Step, StepContext, StepError},
};
use async_trait::async_trait;
use jiff::SignedDuration;
use planning::{Key, Kind};
use serde_json::{Value, json};
use std::time::Duration;

/// How long pods may take to go by themselves.
const DRAIN: SignedDuration = SignedDuration::from_mins(10);
/// Between two looks at the pods that are left.
const LOOK: Duration = Duration::from_secs(1);

/// Keeps new pods off the node.
#[derive(Debug)]
pub(super) struct Cordon;

#[async_trait]
impl Step for Cordon {
    fn name(&self) -> &'static str {
        "cordon"
    }

    async fn run(&self, cx: &StepContext<'_>) -> Result<String, StepError> {
        host::cordon(&host::server(cx), &cx.node).await?;
        Ok("no new pod is placed on it".to_owned())
    }

    async fn undo(&self, _: &StepContext<'_>) -> Result<String, StepError> {
        Err(forward_only())
    }
}

/// Asks every pod to go; the budgets of the tenant count as far as they are known on the host.
#[derive(Debug)]
pub(super) struct Drain;

#[async_trait]
impl Step for Drain {
    fn name(&self) -> &'static str {
        "drain"
    }

    fn deadline(&self) -> SignedDuration {
        DRAIN
    }

    async fn run(&self, cx: &StepContext<'_>) -> Result<String, StepError> {
        let host = host::server(cx);
        let begun = cx.now();
        loop {
            let pods = host::pods_on(&host, &cx.node).await?;
            if pods.is_empty() {
                return Ok("no pod is left on it".to_owned());
            }
            let late = cx.now().duration_since(begun) > DRAIN / 2;
            let mut words = Vec::new();
            for pod in &pods {
                if let Err(error) = evict(&host, pod).await {
                    words.push(error.to_string());
                }
            }
            // A node that is gone, or whose kubelet is, ends no pod: its machine is switched off next.
            if late || !is_ready(cx, &host).await? {
                return Ok(format!("{} pods end with the machine", pods.len()));
            }
            let story = words.pop().unwrap_or_else(|| format!("{} pods are ending", pods.len()));
            cx.progress.say(story).await;
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn undo(&self, _: &StepContext<'_>) -> Result<String, StepError> {
        Err(forward_only())
    }
}

async fn is_ready(cx: &StepContext<'_>, host: &ApiServer) -> Result<bool, ApiError> {
    let ready = crate::node::ready(host, cx.node.name.as_str()).await?;
    Ok(ready.is_some_and(|ready| ready.holds()))
}

/// Asks a pod to go, unless a budget forbids it now.
async fn evict(host: &ApiServer, pod: &Key) -> Result<(), ApiError> {
    let body = json!({
        "apiVersion": "policy/v1", "kind": "Eviction",
        "metadata": { "name": pod.name, "namespace": pod.namespace },
    });
    match host.create_below(pod, "eviction", &body).await {
        Ok(_) => Ok(()),
        Err(error) if error.is_not_found() => Ok(()),
        Err(error) => Err(error),
    }
}

/// Switches the machine off.
#[derive(Debug)]
pub(super) struct Stop;

#[async_trait]
impl Step for Stop {
    fn name(&self) -> &'static str {
        "stop"
    }

    async fn run(&self, cx: &StepContext<'_>) -> Result<String, StepError> {
        power::off(cx).await
    }

    async fn undo(&self, _: &StepContext<'_>) -> Result<String, StepError> {
        Err(forward_only())
    }
}

fn forward_only() -> StepError {
    StepError::Retry("a node that was given up is not brought back".to_owned())
}

/// Deletes the node.
#[derive(Debug)]
pub(super) struct Remove;

#[async_trait]
impl Step for Remove {
    fn name(&self) -> &'static str {
        "remove"
    }

    async fn run(&self, cx: &StepContext<'_>) -> Result<String, StepError> {
        power::leave(cx).await
    }

    async fn undo(&self, _: &StepContext<'_>) -> Result<String, StepError> {
        Err(forward_only())
    }
}

/// Destroys the machine with its disks.
#[derive(Debug)]
pub(super) struct Destroy;

#[async_trait]
impl Step for Destroy {
    fn name(&self) -> &'static str {
        "destroy"
    }

    async fn run(&self, cx: &StepContext<'_>) -> Result<String, StepError> {
        build::destroy(cx).await
    }

    async fn undo(&self, _: &StepContext<'_>) -> Result<String, StepError> {
        Err(forward_only())
    }
}

/// Proves that nothing is left: no machine, no disk, no image, no volume in the host cluster that needs the node.
#[derive(Debug)]
pub(super) struct Absence;

#[async_trait]
impl Step for Absence {
    fn name(&self) -> &'static str {
        "absence"
    }

    async fn run(&self, cx: &StepContext<'_>) -> Result<String, StepError> {
        if let Machine::Ours { vm, .. } = look(cx).await? {
            return Err(StepError::Retry(format!("machine {} is still there", vm.id())));
        }
        seed::remove(cx).await?;
        let disks = owned::disks(cx).await?;
        if let Some(first) = disks.first() {
            let count = disks.len();
            return Err(StepError::Retry(format!(
                "{count} disks of the machine are left, among them {first}"
            )));
        }
        let host = host::server(cx);
        let volumes = host.list(Kind::PersistentVolume, None, "").await?;
        let name = cx.node.name.as_str();
        let bound = volumes.iter().filter(|volume| names(volume, name)).count();
        let volumes = match bound {
            0 => String::new(),
            bound => format!("; {bound} volumes were on its disk and are lost"),
        };
        Ok(format!("no machine, no disk, no image is left{volumes}"))
    }

    async fn undo(&self, _: &StepContext<'_>) -> Result<String, StepError> {
        Err(forward_only())
    }
}

/// Whether a volume is bound to a node.
fn names(volume: &Value, node: &str) -> bool {
    volume.pointer("/spec/nodeAffinity").is_some_and(|affinity| affinity.to_string().contains(node))
}
