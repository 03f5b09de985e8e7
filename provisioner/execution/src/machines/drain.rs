//! The steps in which a node is emptied and its machine destroyed.

use super::{
    build, host,
    owned::{self, Machine, look},
    power, seed,
};
use crate::{
    machines::{NodeContext, OwnNode},
    sagas::{Step, StepError},
};
use async_trait::async_trait;
use planning::Kind;
use serde_json::Value;

mod pods;
mod volumes;

pub(crate) use pods::evict;
pub(super) use pods::{Drain, emptied};

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
        volumes::are_settled(cx).await?;
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
