//! What becomes of volumes on the disk of a node that is emptied. Those of one that is replaced go with the pods that use
//! them, for as long as nobody gives them up.

use crate::{
    machines::{
        NodeContext, host,
        owned::{Machine, look},
    },
    plan_change,
    sagas::StepError,
    volumes::{Copier, Leftovers, Reason, replaced},
};
use domain::{Node, Tenant};

/// How it is about them.
#[derive(Debug)]
pub(super) enum Volumes {
    /// None is there that is to come along.
    Done,
    /// One has been copied.
    Copied,
    /// They wait for this.
    Waiting(String),
}

/// Where they could go, and whether they can be read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Circumstances {
    /// Whether there is another node for them.
    pub(super) has_place: bool,
    /// Whether the kubelet of this one answers.
    pub(super) is_ready: bool,
}

/// Lets what an earlier attempt has begun come to its end; whether there was anything.
pub(super) async fn resume(cx: &NodeContext<'_>) -> Result<bool, StepError> {
    let found = wanted(cx).await?.filter(|(node, _)| node.is_copied());
    let Some((_, tenant)) = found else { return Ok(false) };
    let is_begun = left(cx, &tenant).await?.is_some();
    if is_begun {
        copier(cx, &tenant).tidy().await?;
    }
    Ok(is_begun)
}

/// Copies one that nobody uses now.
pub(super) async fn take_along(
    cx: &NodeContext<'_>,
    circumstances: Circumstances,
) -> Result<Volumes, StepError> {
    let Some((node, tenant)) = wanted(cx).await? else { return Ok(Volumes::Done) };
    if !node.is_copied() {
        // What was begun before they were given up goes as far as it goes.
        left(cx, &tenant).await?;
        return Ok(Volumes::Done);
    }
    let bound = plan_change::bound_to(cx.cx, &tenant, &node.name).await?;
    if bound.is_empty() {
        return Ok(Volumes::Done);
    }
    let claims: Vec<_> = bound.iter().map(|bound| bound.claim.as_str()).collect();
    let what = format!("the volumes of {}", claims.join(", "));
    if !circumstances.is_ready {
        if matches!(look(cx).await?, Machine::Absent) {
            return Ok(Volumes::Done);
        }
        return Ok(Volumes::Waiting(format!(
            "{what} are on its disk, and its kubelet does not answer; to give them up: warren node replace --volumes lose"
        )));
    }
    if !circumstances.has_place {
        return Ok(Volumes::Waiting(format!("{what} have no other node to go to yet")));
    }
    let copier = copier(cx, &tenant);
    let Some(free) = copier.free(bound).await? else {
        return Ok(Volumes::Waiting(format!("{what} are still in use")));
    };
    copier.copy(&free).await?;
    Ok(Volumes::Copied)
}

/// Fails while anything of a copy is left.
pub(super) async fn are_settled(cx: &NodeContext<'_>) -> Result<(), StepError> {
    let Some((_, tenant)) = wanted(cx).await? else { return Ok(()) };
    match left(cx, &tenant).await? {
        None => Ok(()),
        Some(story) => Err(StepError::Retry(story)),
    }
}

/// The node as it is wanted now, and its tenant; nothing if no volume of it is to come along or to be given up.
async fn wanted(cx: &NodeContext<'_>) -> Result<Option<(Node, Tenant)>, StepError> {
    if cx.subject.node.volumes.is_none() {
        return Ok(None);
    }
    Ok(replaced(cx.cx, cx.subject.node.id).await?)
}

/// Goes on with what was begun, as far as it goes now. What it waits for; nothing if nothing is left.
async fn left(cx: &NodeContext<'_>, tenant: &Tenant) -> Result<Option<String>, StepError> {
    let host = host::server(cx);
    let left = Leftovers { host: &host, cluster: &tenant.cluster, now: cx.now() };
    Ok(left.tidy().await?)
}

fn copier<'a>(cx: &'a NodeContext<'_>, tenant: &'a Tenant) -> Copier<'a> {
    let reason = Reason::Release(cx.subject.node.id);
    Copier { cx: cx.cx, progress: cx.progress, tenant, isolation: tenant.isolation(), reason }
}
