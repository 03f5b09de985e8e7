//! The steps in which a node is emptied and its machine destroyed.

use super::{
    build, host,
    owned::{self, Machine, look},
    power, seed,
};
use crate::{
    api_server::{ApiError, ApiServer},
    machines::{NodeContext, OwnNode},
    plan_change,
    sagas::{Step, StepError},
};
use async_trait::async_trait;
use domain::{Node, NodeState};
use jiff::SignedDuration;
use planning::{Key, Kind, exclusive::SYSTEM, pod};
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
impl Step<OwnNode> for Cordon {
    fn name(&self) -> &'static str {
        "cordon"
    }

    async fn run(&self, cx: &NodeContext<'_>) -> Result<String, StepError> {
        host::cordon(&host::server(cx), &cx.subject.node, true).await?;
        Ok("no new pod is placed on it".to_owned())
    }
}

/// Asks every pod to go. First its tenant's API server is asked, whose budgets count, and sessions run on; then the
/// host's, which knows no budgets but gives every process its time to end.
#[derive(Debug)]
pub(super) struct Drain;

#[async_trait]
impl Step<OwnNode> for Drain {
    fn name(&self) -> &'static str {
        "drain"
    }

    fn deadline(&self) -> SignedDuration {
        DRAIN
    }

    async fn run(&self, cx: &NodeContext<'_>) -> Result<String, StepError> {
        let host = host::server(cx);
        let begun = cx.now();
        loop {
            let mut pods = host::alive_on(&host, &cx.subject.node).await?;
            // What belongs to the node itself goes with it.
            pods.retain(|pod| pod.namespace.as_deref() != Some(SYSTEM));
            if pods.is_empty() {
                return Ok("no pod is left on it".to_owned());
            }
            let time = cx.now().duration_since(begun);
            // A node that is gone, or whose kubelet is, ends no pod: its machine is switched off next.
            if time > DRAIN * 3 / 4 || !is_ready(cx, &host).await? {
                return Ok(format!("{} pods end with the machine", pods.len()));
            }
            let story = if time > DRAIN / 2 {
                evict_all(&host, &pods)
                    .await
                    .unwrap_or_else(|| format!("{} pods are ending", pods.len()))
            } else if is_being_replaced(cx).await? {
                "it waits for the node that takes its place".to_owned()
            } else {
                let left = DRAIN / 2 - time;
                let story = ask_tenant(cx, &host, &pods).await?;
                format!("{story}; for {} s more its tenant's budgets count", left.as_secs())
            };
            cx.progress.say(story).await;
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// Whether another node is on its way, which the pods of this one can move to.
async fn is_being_replaced(cx: &NodeContext<'_>) -> Result<bool, StepError> {
    let node = &cx.subject.node;
    let nodes = cx.cx.store.node_of_tenant(node.tenant).await?;
    let is_other = |other: &&Node| other.shape == node.shape && other.id != node.id;
    Ok(nodes.iter().filter(is_other).any(|other| other.state() == NodeState::Attaching))
}

/// Asks the tenant's API server to let go of what runs on the node, sessions excepted. What is in the way, in words.
async fn ask_tenant(
    cx: &NodeContext<'_>,
    host: &ApiServer,
    pods: &[Key],
) -> Result<String, StepError> {
    let tenant = cx.cx.store.tenant_get(cx.subject.node.tenant).await?;
    let leaving = tenant.as_ref().is_none_or(|tenant| tenant.deletion_requested_at.is_some());
    let Some(tenant) = tenant.filter(|_| !leaving) else {
        // Nobody's budgets count any more.
        let story = evict_all(host, pods).await;
        return Ok(story.unwrap_or_else(|| format!("{} pods are ending", pods.len())));
    };
    let name = cx.subject.node.name.as_str();
    let (server, found) = match plan_change::on_node(cx.cx, &tenant, name).await {
        Ok(found) => found,
        // It may be starting; for a while it is waited for.
        Err(error) => return Ok(error.to_string()),
    };
    let movable = found.waves.iter().flatten().chain(&found.unmanaged);
    let keys: Vec<Key> = movable.filter_map(|name| pod::key(name)).collect();
    let blocked = evict_all(&server, &keys).await;
    let sessions = found.sessions.len();
    Ok(blocked.unwrap_or_else(|| match sessions {
        0 => format!("{} pods are ending", pods.len()),
        _ => format!("{sessions} pods of sessions run on"),
    }))
}

/// Asks all of these pods to go; what the last refusal said.
async fn evict_all(server: &ApiServer, pods: &[Key]) -> Option<String> {
    let mut refusal = None;
    for pod in pods {
        if let Err(error) = evict(server, pod).await {
            refusal = Some(error.to_string());
        }
    }
    refusal
}

async fn is_ready(cx: &NodeContext<'_>, host: &ApiServer) -> Result<bool, ApiError> {
    let ready = crate::node::ready(host, cx.subject.node.name.as_str()).await?;
    Ok(ready.is_some_and(|ready| ready.holds()))
}

/// Asks a pod to go, unless a budget forbids it now.
pub(crate) async fn evict(host: &ApiServer, pod: &Key) -> Result<(), ApiError> {
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
impl Step<OwnNode> for Stop {
    fn name(&self) -> &'static str {
        "stop"
    }

    async fn run(&self, cx: &NodeContext<'_>) -> Result<String, StepError> {
        power::off(cx).await
    }
}

/// Deletes the node.
#[derive(Debug)]
pub(super) struct Remove;

#[async_trait]
impl Step<OwnNode> for Remove {
    fn name(&self) -> &'static str {
        "remove"
    }

    async fn run(&self, cx: &NodeContext<'_>) -> Result<String, StepError> {
        power::leave(cx).await
    }
}

/// Destroys the machine with its disks.
#[derive(Debug)]
pub(super) struct Destroy;

#[async_trait]
impl Step<OwnNode> for Destroy {
    fn name(&self) -> &'static str {
        "destroy"
    }

    async fn run(&self, cx: &NodeContext<'_>) -> Result<String, StepError> {
        build::destroy(cx).await
    }
}

/// Proves that nothing is left: no machine, no disk, no image, no volume in the host cluster that needs the node.
#[derive(Debug)]
pub(super) struct Absence;

#[async_trait]
impl Step<OwnNode> for Absence {
    fn name(&self) -> &'static str {
        "absence"
    }

    async fn run(&self, cx: &NodeContext<'_>) -> Result<String, StepError> {
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
        let name = cx.subject.node.name.as_str();
        let bound = volumes.iter().filter(|volume| names(volume, name)).count();
        let volumes = match bound {
            0 => String::new(),
            bound => format!("; {bound} volumes were on its disk and are lost"),
        };
        Ok(format!("no machine, no disk, no image is left{volumes}"))
    }
}

/// Whether a volume is bound to a node.
fn names(volume: &Value, node: &str) -> bool {
    volume.pointer("/spec/nodeAffinity").is_some_and(|affinity| affinity.to_string().contains(node))
}
