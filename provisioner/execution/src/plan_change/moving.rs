//! The step in which pods move, wave by wave. The tenant's own budgets count: its own API server is asked to let them go.

use super::{
    MoveContext, Moving,
    placement::place,
    places::{self, Places},
};
use crate::{
    api_server::ApiServer,
    machines::{cordon, evict},
    sagas::{Step, StepError},
    session::{Emptying, drain},
    volumes::{Copier, Reason, told},
};
use async_trait::async_trait;
use domain::{NodeState, Subscription, Tenant, VolumesDuringMove};
use jiff::SignedDuration;
use planning::{
    pod,
    volume::{self, Bound},
};
use serde_json::Value;
use std::{collections::HashSet, time::Duration};
use tokio::time::Instant;

/// How long sessions may run on, and with them the move: the longest time that a session may have, and some more.
const MOVE: SignedDuration = SignedDuration::from_hours(25);
/// How long the next wave waits for what replaces the last one to be ready.
const WAVE: Duration = Duration::from_mins(2);

/// Moves what is not where it is to be.
#[derive(Debug)]
pub(super) struct Move;

#[async_trait]
impl Step<Moving> for Move {
    fn name(&self) -> &'static str {
        "move"
    }

    fn deadline(&self) -> SignedDuration {
        MOVE
    }

    async fn run(&self, cx: &MoveContext<'_>) -> Result<String, StepError> {
        move_to(cx, cx.to()).await
    }

    async fn undo(&self, cx: &MoveContext<'_>) -> Result<String, StepError> {
        place(cx, false).await?;
        move_to(cx, cx.from()).await
    }
}

/// Moves the tenant to where it is when it pays for `side`.
pub(super) async fn move_to(cx: &MoveContext<'_>, side: Subscription) -> Result<String, StepError> {
    let (mut moved, mut waves, mut copied) = (0, 0, 0);
    tidy(cx, &cx.tenant().await?, side).await?;
    loop {
        let tenant = cx.tenant().await?;
        let places = Places::of(cx.cx, &tenant, side).await?;
        close_others(cx, &tenant, &places).await?;
        if is_halted(cx, side).await? {
            cx.progress.say(format!("halted after {waves} waves")).await;
            cx.pause().await?;
            continue;
        }
        if let Some(bound) = free(cx, &tenant, (side, &places)).await? {
            copier(cx, &tenant, side).copy(&bound).await?;
            copied += 1;
            continue;
        }
        let found = places::look(cx.cx, &tenant, &places).await?;
        if let Some(wave) = found.waves.first() {
            waves += 1;
            let left: usize = found.waves.iter().map(Vec::len).sum();
            cx.progress.say(format!("wave {waves}: {} of {left} pods", wave.len())).await;
            moved += send(cx, &tenant, (side, &places), (wave, &found.volumes)).await?;
            continue;
        }
        let (bare, running) = (found.unmanaged.len(), found.sessions.len());
        let waits = cx.volumes() == VolumesDuringMove::Copy && !found.volumes.is_empty();
        if bare + running == 0 && !waits {
            tidy(cx, &tenant, side).await?;
            let volumes = told(copied);
            return Ok(format!("{moved} pods moved{volumes}; nothing is left where it was"));
        }
        let emptying = Emptying {
            operation: cx.subject.change.operation,
            rule: cx.subject.change.sessions,
            // New runs go where everything else is by now.
            has_place: true,
            until: None,
        };
        let tally = drain(cx.cx, &found.runs, &emptying).await?;
        let story = match found.unmanaged.first() {
            None if waits && running == 0 => {
                format!("{} volumes are still in use where they are", found.volumes.len())
            }
            None if tally.is_empty() => format!("{running} pods of sessions are ending"),
            None => tally.to_string(),
            Some(first) => format!("{bare} pods are there that nothing makes anew, e.g. {first}"),
        };
        cx.progress.say(story).await;
        cx.pause().await?;
    }
}

/// Keeps new pods off the nodes of its own that the tenant will not be on, and lets them onto the others.
async fn close_others(
    cx: &MoveContext<'_>,
    tenant: &Tenant,
    places: &Places,
) -> Result<(), StepError> {
    let host = ApiServer::host(cx.cx.host.client());
    for node in cx.cx.store.node_of_tenant(tenant.id).await? {
        if node.state() == NodeState::Ready {
            let is_closed = places.own().iter().all(|own| own.id != node.id);
            cordon(&host, &node, is_closed).await?;
        }
    }
    Ok(())
}

fn copier<'a>(cx: &'a MoveContext<'_>, tenant: &'a Tenant, side: Subscription) -> Copier<'a> {
    let reason = if side == cx.from() { Reason::MoveBack } else { Reason::Move };
    Copier { cx: cx.cx, progress: cx.progress, tenant, isolation: side.isolation(), reason }
}

/// A volume that is to be copied and that nobody uses now.
async fn free(
    cx: &MoveContext<'_>,
    tenant: &Tenant,
    (side, places): (Subscription, &Places),
) -> Result<Option<Bound>, StepError> {
    if cx.volumes() == VolumesDuringMove::Stop {
        return Ok(None);
    }
    let bound = places::bound(cx.cx, tenant, places).await?;
    copier(cx, tenant, side).free(bound).await
}

/// Lets a copy that was begun come to its end.
async fn tidy(cx: &MoveContext<'_>, tenant: &Tenant, side: Subscription) -> Result<(), StepError> {
    match cx.volumes() {
        VolumesDuringMove::Stop => Ok(()),
        VolumesDuringMove::Copy => copier(cx, tenant, side).tidy().await,
    }
}

/// Whether somebody has halted the change; the way back is not.
async fn is_halted(cx: &MoveContext<'_>, side: Subscription) -> Result<bool, StepError> {
    if side == cx.from() {
        return Ok(false);
    }
    let change = cx.cx.store.plan_change_get(cx.subject.change.operation).await;
    Ok(change?.is_some_and(|change| change.paused_at.is_some()))
}

/// Lets one wave go, and waits until what comes in its place is ready. How many went.
async fn send(
    cx: &MoveContext<'_>,
    tenant: &Tenant,
    (side, places): (Subscription, &Places),
    (wave, bound): (&[String], &[String]),
) -> Result<usize, StepError> {
    let server = places::server(cx.cx, tenant).await?;
    let mut gone = HashSet::new();
    let until = Instant::now() + WAVE;
    loop {
        let mut story = None;
        for name in wave.iter().filter(|name| !gone.contains(*name)).collect::<Vec<_>>() {
            if let Some(key) = pod::key(name) {
                match evict(&server, &key).await {
                    Ok(()) => drop(gone.insert(name)),
                    Err(error) => story = Some(error.to_string()),
                }
            }
        }
        cx.pause().await?;
        let pods = places::pods(cx.cx, tenant).await?;
        let place = |found: &Value| {
            let at = found.pointer("/spec/nodeName").and_then(Value::as_str);
            at.filter(|at| !at.is_empty()).map(|at| places.contains(at))
        };
        // A StatefulSet's new pod has the name of the one that went.
        let is_old = |found: &&Value| {
            wave.contains(&pod::name(found)) && pod::is_alive(found) && place(found) == Some(false)
        };
        let old = pods.iter().filter(is_old).count();
        let is_waiting = |found: &&Value| {
            // What waits for its volume is waited for when that is copied.
            pod::is_alive(found)
                && !pod::is_ready(found)
                && !volume::uses_any(found, bound)
                && place(found).unwrap_or(true)
        };
        let new = pods.iter().filter(is_waiting).count();
        // What is not ready for other reasons holds nobody up for ever; the budgets still count.
        if old == 0 && (new == 0 || Instant::now() > until) {
            return Ok(gone.len());
        }
        // Whoever waits for a volume does not wait for others' budgets.
        if !bound.is_empty() && free(cx, tenant, (side, places)).await?.is_some() {
            return Ok(gone.len());
        }
        if gone.is_empty() && is_halted(cx, side).await? {
            return Ok(0);
        }
        let count = wave.len();
        let story = story
            .unwrap_or_else(|| format!("{old} of {count} pods are ending, {new} are starting"));
        cx.progress.say(story).await;
    }
}
