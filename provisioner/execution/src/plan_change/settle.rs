//! The steps after everything has moved: proof, the new price, and the end of what is not needed any more.

use super::{
    MoveContext, Moving,
    moving::move_to,
    places::{self, Places},
    prepare::released,
};
use crate::{
    api_server::ApiServer,
    machines::look_at,
    sagas::{Step, StepError},
};
use async_trait::async_trait;
use domain::{ConditionKind, VolumesDuringMove, blockers};
use jiff::SignedDuration;

/// How long it may take until everything is proven.
const PROOF: SignedDuration = SignedDuration::from_mins(10);
/// How long machines may take to be destroyed.
const MACHINES: SignedDuration = SignedDuration::from_mins(45);

/// Proves, from the host's side, that the tenant is where it is to be and nowhere else.
#[derive(Debug)]
pub(super) struct Verify;

#[async_trait]
impl Step<Moving> for Verify {
    fn name(&self) -> &'static str {
        "verify"
    }

    fn deadline(&self) -> SignedDuration {
        PROOF
    }

    async fn run(&self, cx: &MoveContext<'_>) -> Result<String, StepError> {
        let tenant = cx.tenant().await?;
        let places = Places::of(cx.cx, &tenant, cx.to()).await?;
        let found = places::look(cx.cx, &tenant, &places).await?;
        let pods = found.waves.iter().map(Vec::len).sum::<usize>() + found.sessions.len();
        let copied = cx.volumes() == VolumesDuringMove::Copy;
        let left = pods + if copied { found.volumes.len() } else { 0 };
        if left > 0 {
            // What was on its way to the old place when the new one was chosen has arrived there by now.
            move_to(cx, cx.to()).await?;
            return Err(StepError::Retry(format!(
                "{left} pods and volumes were at the old place again"
            )));
        }
        if let Some(problem) = blockers(cx.to(), tenant.usage.as_ref(), &found, cx.volumes()).pop()
        {
            return Err(StepError::Retry(problem.detail));
        }
        for kind in [ConditionKind::ControlPlaneReady, ConditionKind::DnsReady] {
            if !tenant.conditions.is_true(kind) {
                return Err(StepError::Retry(format!("{kind} does not hold")));
            }
        }
        let host = ApiServer::host(cx.cx.host.client());
        let namespace = tenant.cluster.host_namespace();
        let Places::On(own) = &places else {
            return Ok("no pod is left on nodes of its own".to_owned());
        };
        let names: Vec<_> = own.iter().map(|node| node.name.clone()).collect();
        let seen = look_at(cx.cx, &host, &names, &namespace).await?;
        if let Some(first) = seen.foreign.first().or(seen.elsewhere.first()) {
            return Err(StepError::Retry(format!("{first} is where it does not belong")));
        }
        let count = names.len();
        Ok(format!("{count} nodes of its own: nobody else is there, and it is nowhere else"))
    }

    async fn undo(&self, _: &MoveContext<'_>) -> Result<String, StepError> {
        Ok("nothing was done".to_owned())
    }
}

/// From here on the tenant pays for the new plan, and there is no way back.
#[derive(Debug)]
pub(super) struct Commit;

#[async_trait]
impl Step<Moving> for Commit {
    fn name(&self) -> &'static str {
        "commit"
    }

    async fn run(&self, cx: &MoveContext<'_>) -> Result<String, StepError> {
        let operation = cx.subject.change.operation;
        cx.cx.store.plan_change_commit(operation).await?;
        Ok(format!("the tenant has plan {}", cx.to().plan))
    }
}

/// Waits until machines that are not paid for any more are gone.
#[derive(Debug)]
pub(super) struct Release;

#[async_trait]
impl Step<Moving> for Release {
    fn name(&self) -> &'static str {
        "release"
    }

    fn deadline(&self) -> SignedDuration {
        MACHINES
    }

    async fn run(&self, cx: &MoveContext<'_>) -> Result<String, StepError> {
        released(cx).await
    }
}
