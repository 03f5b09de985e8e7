//! The steps before anything moves.

use super::{MoveContext, Moving, places::survey};
use crate::sagas::{Step, StepError};
use async_trait::async_trait;
use domain::{NodeShape, NodeState, blockers};
use jiff::SignedDuration;

/// How long machines may take to be made.
const MACHINES: SignedDuration = SignedDuration::from_mins(45);

/// Looks whether what was foreseen still holds.
#[derive(Debug)]
pub(super) struct Check;

#[async_trait]
impl Step<Moving> for Check {
    fn name(&self) -> &'static str {
        "check"
    }

    async fn run(&self, cx: &MoveContext<'_>) -> Result<String, StepError> {
        let tenant = cx.tenant().await?;
        let found = survey(cx.cx, &tenant, cx.to()).await?;
        if let Some(problem) = blockers(cx.to(), tenant.usage.as_ref(), &found, cx.volumes()).pop()
        {
            return Err(StepError::Fail(problem));
        }
        let pods: usize = found.waves.iter().map(Vec::len).sum();
        let (waves, sessions) = (found.waves.len(), found.sessions.len());
        Ok(format!(
            "nothing is in the way; {pods} pods will move in {waves} waves, {sessions} are of running sessions"
        ))
    }

    async fn undo(&self, cx: &MoveContext<'_>) -> Result<String, StepError> {
        withdraw(cx).await
    }
}

/// Waits for the nodes that the tenant will pay for. The record wants them since the change was asked for, so they are
/// made, and replaced, like all others.
#[derive(Debug)]
pub(super) struct Nodes;

#[async_trait]
impl Step<Moving> for Nodes {
    fn name(&self) -> &'static str {
        "nodes"
    }

    fn deadline(&self) -> SignedDuration {
        MACHINES
    }

    async fn run(&self, cx: &MoveContext<'_>) -> Result<String, StepError> {
        let to = cx.to();
        let Some(shape) = to.plan.node_shape() else {
            return Ok("the plan has no nodes of its own".to_owned());
        };
        let wanted = usize::try_from(to.nodes).unwrap_or(usize::MAX);
        let mut changes = cx.cx.store.changes();
        loop {
            let mut nodes = cx.cx.store.node_of_tenant(cx.subject.change.tenant).await?;
            // One that somebody switched off was proven, and is its tenant's to switch on.
            let is_proven = |state| matches!(state, NodeState::Ready | NodeState::Stopped);
            nodes.retain(|node| node.shape == shape && is_proven(node.state()));
            if nodes.len() >= wanted {
                return Ok(format!("{wanted} nodes are proven"));
            }
            cx.progress.say(format!("{} of {wanted} nodes are proven", nodes.len())).await;
            cx.news(&mut changes).await?;
        }
    }

    async fn undo(&self, cx: &MoveContext<'_>) -> Result<String, StepError> {
        withdraw(cx).await
    }
}

/// Wants the new plan's nodes no more, and waits until they are gone: they have been made since the change was asked for.
async fn withdraw(cx: &MoveContext<'_>) -> Result<String, StepError> {
    cx.cx.store.plan_change_withdraw(cx.subject.change.operation).await?;
    released(cx).await
}

/// Waits until the tenant has no nodes but those that it pays for.
pub(super) async fn released(cx: &MoveContext<'_>) -> Result<String, StepError> {
    let mut changes = cx.cx.store.changes();
    loop {
        let tenant = cx.tenant().await?;
        let nodes = cx.cx.store.node_of_tenant(tenant.id).await?;
        let is_surplus = |shape: NodeShape| {
            let count = nodes.iter().filter(|node| node.shape == shape).count();
            count.saturating_sub(usize::try_from(tenant.nodes_of(shape)).unwrap_or(usize::MAX))
        };
        let surplus: usize = NodeShape::ALL.into_iter().map(is_surplus).sum();
        if surplus == 0 {
            return Ok(format!("{} nodes of its own are left, all paid for", nodes.len()));
        }
        cx.progress.say(format!("{surplus} nodes are on their way out")).await;
        cx.news(&mut changes).await?;
    }
}
