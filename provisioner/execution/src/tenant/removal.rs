//! Removes a tenant, in steps whose state is read from the world: any process can go on with it, from
//! any point, and every step ends with a proof of absence.

mod blocker;
mod steps;
mod world;

use super::{Memory, Next, ReconcileError};
use crate::{Context, api_server::ApiServer, volumes::Leftovers};
use domain::{
    Cause, ConditionKind, ConditionStatus, Operation, Problem, SessionState, StepState, Tenant,
};
use jiff::{SignedDuration, Timestamp};
use std::{collections::BTreeMap, time::Duration};
use steps::Steps;
use store::{MoveError, StoreError, TenantReport};
use world::{Namespace, World};

/// How long a forced removal goes on trying before it lists what is left.
const FORCED_FOR: SignedDuration = SignedDuration::from_secs(30);
/// The same if all that is left is held by others: whoever forces has been told so.
const FORCED_WHILE_HELD: SignedDuration = SignedDuration::from_secs(5);

/// What is remembered between two looks; losing it costs time, nothing else.
#[derive(Debug, Default)]
pub(super) struct Progress {
    forced: Option<Timestamp>,
    /// Whether the last look found nothing but what others hold.
    is_held: bool,
    /// The proofs of the steps that are done: what they removed has nobody left to make it anew, and
    /// the last step covers them all.
    proven: BTreeMap<&'static str, String>,
}

impl Progress {
    /// Whether a forced removal has tried for long enough.
    fn is_enough(&mut self, record: &Tenant, now: Timestamp) -> bool {
        if record.is_force_clean {
            self.forced.get_or_insert(now);
        }
        let enough = if self.is_held { FORCED_WHILE_HELD } else { FORCED_FOR };
        self.forced.is_some_and(|since| now.duration_since(since) >= enough)
    }
}

/// How long things may take before somebody is looked for who holds them.
const LATE_AFTER: SignedDuration = SignedDuration::from_secs(15);

/// What one step came to.
pub(super) enum Outcome {
    /// It is done; the sentence is the proof.
    Done(String),
    /// It is on its way.
    Waiting(String),
    /// Something is in the way that does not go by itself.
    Blocked(String),
    /// What is there is not Warren's; the sentence says so. Nothing of it is touched, also by force.
    Foreign(String),
}

/// The steps in their order. The control plane goes first, so that it makes nothing anew. Its Service
/// owns everything that was synced. Volumes can only go when no pod uses them, and on nodes that
/// are there. The namespace is last:
/// while it is being deleted, nothing in it can be told apart from what is stuck.
const STEPS: [&str; 6] = ["sessions", "workload", "service", "volumes", "nodes", "namespace"];

/// Takes the removal as far as it goes now.
pub(super) async fn proceed(
    cx: &Context,
    record: &Tenant,
    memory: &mut Memory,
) -> Result<Next, ReconcileError> {
    let now = cx.clock.now();
    let open = cx.store.operation_open(record.id).await.map_err(ReconcileError::Store)?;
    let began = record.deletion_requested_at.unwrap_or(now);
    let is_giving_up = memory.removal.is_enough(record, now);
    let mut steps = Steps::new(open.as_ref(), now);
    let mut left = Vec::new();
    let mut failure = None;
    let mut is_done = true;
    let mut is_held = true;
    let mut is_foreign = false;
    let world = world(cx, record, now.duration_since(began) > LATE_AFTER);
    for name in STEPS {
        if memory.removal.proven.contains_key(name) {
            continue;
        }
        let outcome = take(cx, record, &world, name).await.unwrap_or_else(|error| {
            let outcome = Outcome::Blocked(error.to_string());
            failure = Some(error);
            outcome
        });
        let is_in_the_way = match outcome {
            Outcome::Done(proof) => {
                steps.advance(name, StepState::Done, proof.clone());
                memory.removal.proven.insert(name, proof);
                continue;
            }
            Outcome::Waiting(message) => {
                is_held = false;
                left.push(format!("{name}: {message}"));
                steps.advance(name, StepState::Running, message);
                true
            }
            Outcome::Blocked(message) => {
                left.push(format!("{name}: {message}"));
                steps.advance(name, StepState::Blocked, message);
                // By force, what is not held goes all the same.
                !record.is_force_clean
            }
            Outcome::Foreign(message) => {
                left.push(format!("{name}: {message}"));
                steps.advance(name, StepState::Blocked, message);
                is_foreign = true;
                true
            }
        };
        is_done = false;
        if is_foreign || (is_in_the_way && !is_giving_up) {
            break;
        }
    }
    if is_done || is_giving_up || (is_foreign && record.is_force_clean) {
        let remaining = (!left.is_empty()).then(|| left_behind(record, &left, is_foreign));
        return finish(cx, record, steps, remaining).await;
    }
    memory.removal.is_held = is_held && failure.is_none();
    report(cx, record, open.as_ref(), steps, now).await?;
    match failure {
        Some(error) => Err(error),
        None => Ok(Next::After(patience(now.duration_since(began)))),
    }
}

fn world(cx: &Context, record: &Tenant, is_late: bool) -> World {
    World {
        host: ApiServer::host(cx.host.client()),
        namespace: record.cluster.host_namespace(),
        cluster: record.cluster.to_string(),
        is_forced: record.is_force_clean,
        is_late,
    }
}

/// Takes one step.
async fn take(
    cx: &Context,
    record: &Tenant,
    world: &World,
    name: &str,
) -> Result<Outcome, ReconcileError> {
    if name == "sessions" {
        return sessions(cx, record).await;
    }
    if name == "nodes" {
        return nodes(cx, record).await;
    }
    if let Namespace::Foreign(message) = world.owner().await? {
        return Ok(Outcome::Foreign(message));
    }
    match name {
        "workload" => Ok(world.workload().await?),
        "service" => Ok(world.service().await?),
        "volumes" => volumes(cx, record, world).await,
        _ => Ok(world.namespace().await?),
    }
}

/// A volume that is being replaced by its copy is whole again before it goes: until then nobody would remove it.
async fn volumes(cx: &Context, record: &Tenant, world: &World) -> Result<Outcome, ReconcileError> {
    let (host, cluster, now) = (&world.host, &record.cluster, cx.clock.now());
    match (Leftovers { host, cluster, now }).tidy().await? {
        Some(story) => Ok(Outcome::Waiting(story)),
        None => Ok(world.volumes().await?),
    }
}

/// What a forced removal tells of what it did not remove.
fn left_behind(record: &Tenant, left: &[String], is_foreign: bool) -> Problem {
    let hint = if is_foreign {
        "find out whose it is before anything in it is removed; Warren uses nothing of it again"
    } else {
        "remove it by hand; nothing of it is used again"
    };
    Problem {
        code: "left-behind".to_owned(),
        detail: format!(
            "the removal was forced and left in namespace {}: {}",
            record.cluster.host_namespace(),
            left.join("; ")
        ),
        hint: hint.to_owned(),
    }
}

/// The world is gone, or what is left of it is listed: the record says so.
async fn finish(
    cx: &Context,
    record: &Tenant,
    steps: Steps,
    remaining: Option<Problem>,
) -> Result<Next, ReconcileError> {
    cx.tenants.forget(record.id);
    if let Some(left) = &remaining {
        tracing::warn!(tenant.id = %record.id, left = %left.detail, "tenant removed by force");
    } else {
        tracing::info!(tenant.id = %record.id, "tenant removed");
    }
    cx.store
        .tenant_remove(record.id, steps.into_list(), remaining)
        .await
        .map_err(ReconcileError::Store)?;
    Ok(Next::Gone)
}

async fn report(
    cx: &Context,
    record: &Tenant,
    open: Option<&Operation>,
    steps: Steps,
    now: Timestamp,
) -> Result<(), ReconcileError> {
    let steps = steps.into_list();
    let mut conditions = record.conditions.clone();
    conditions.set(
        ConditionKind::Ready,
        ConditionStatus::False,
        "Deleting",
        "the tenant is being removed",
        now,
    );
    let is_news = open.is_none_or(|operation| operation.steps != steps)
        || conditions != record.conditions
        || record.observed_generation != record.generation;
    if !is_news {
        return Ok(());
    }
    let report = TenantReport {
        observed_generation: record.generation,
        conditions,
        usage: None,
        steps: open.map(|operation| (operation.id, steps)),
        is_operation_running: true,
    };
    cx.store.tenant_report(record.id, report).await.map_err(ReconcileError::Store)
}

/// Ends every session. Its token is dead from then on; its process ends with the workload.
async fn sessions(cx: &Context, record: &Tenant) -> Result<Outcome, ReconcileError> {
    let active = cx.store.session_active(record.id).await.map_err(ReconcileError::Store)?;
    let mut left = 0_usize;
    for session in &active {
        let cause = Cause::plain("TenantDeleted", "the tenant was deleted");
        let ended = match session.state {
            SessionState::Starting | SessionState::Running => {
                let stopping = SessionState::Stopping;
                let moved = cx
                    .store
                    .session_move(session.id, session.revision, stopping, Some(cause.clone()))
                    .await;
                match moved {
                    Ok(moved) => end(cx, &moved, cause).await,
                    Err(error) => Err(error),
                }
            }
            SessionState::Queued | SessionState::Stopping => end(cx, session, cause).await,
            SessionState::Succeeded
            | SessionState::Failed
            | SessionState::TimedOut
            | SessionState::Stopped => Ok(()),
        };
        match ended {
            // Somebody else moved it: it is looked at again.
            Err(MoveError::Stale | MoveError::NotAllowed { .. }) => left += 1,
            Ok(()) | Err(MoveError::Store(StoreError::NotFound)) => {}
            Err(MoveError::Store(error)) => return Err(ReconcileError::Store(error)),
        }
    }
    Ok(match left {
        0 => Outcome::Done("no session is active".to_owned()),
        left => Outcome::Waiting(format!("{left} sessions are ending")),
    })
}

/// Gives up all nodes of its own. Each goes by an operation of its own.
async fn nodes(cx: &Context, record: &Tenant) -> Result<Outcome, ReconcileError> {
    let nodes = cx.store.node_of_tenant(record.id).await.map_err(ReconcileError::Store)?;
    if !nodes.is_empty() && cx.machines.is_none() {
        let message = format!(
            "{} of its nodes are left, and the configuration names no Proxmox VE: name the one they are on again",
            nodes.len()
        );
        return Ok(Outcome::Blocked(message));
    }
    for node in &nodes {
        match cx.store.node_release(node.id).await {
            Ok(_) | Err(StoreError::Ended | StoreError::Stale) => {}
            Err(error) => return Err(ReconcileError::Store(error)),
        }
    }
    Ok(match nodes.len() {
        0 => Outcome::Done("it has no node of its own".to_owned()),
        left => Outcome::Waiting(format!("{left} of its nodes are being released")),
    })
}

async fn end(cx: &Context, session: &domain::Session, cause: Cause) -> Result<(), MoveError> {
    cx.store
        .session_move(session.id, session.revision, SessionState::Stopped, Some(cause))
        .await
        .map(|_| ())
}

/// Deleting is quick at first, and what is not gone after a while takes long.
fn patience(since: SignedDuration) -> Duration {
    match since.as_secs() {
        ..5 => Duration::from_millis(200),
        5..30 => Duration::from_millis(500),
        30..300 => Duration::from_secs(2),
        _ => Duration::from_secs(10),
    }
}
