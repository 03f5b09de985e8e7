//! What operators do to nodes: one is emptied, by what empties every node, and is opened again.

use super::{
    cluster::Phase,
    history::{History, alive},
    user::actor,
};
use crate::session::{Emptying, drain};
use domain::{
    Authorized, ChangePlan, DrainEnd, OnDrain, OperationId, PlanName, RunId, Scope,
    SessionsDuringMove, Subscription, authorize, sample,
};
use jiff::{SignedDuration, Timestamp};
use rand::{Rng as _, seq::IndexedRandom as _};
use std::collections::BTreeMap;
use store::PlanChangeError;

/// Between two looks at what is left on a node.
const LOOK: SignedDuration = SignedDuration::from_secs(1);
/// How long pods may take to end when they are told to.
const TOLD: SignedDuration = SignedDuration::from_secs(60);

/// A node that is being emptied.
#[derive(Debug, Clone, Copy)]
pub(super) struct Emptied {
    node: usize,
    emptying: Emptying,
    until: Timestamp,
    /// When it is looked at next.
    pub(super) next: Timestamp,
}

/// Begins to empty a node.
pub(super) async fn empty(history: &mut History<'_>, node: usize) {
    let Some(operation) = operation(history).await else { return };
    let now = history.cluster.now;
    let rng = &mut history.rng;
    let until = now + SignedDuration::from_secs(rng.random_range(0..40));
    let rules = [SessionsDuringMove::Own, SessionsDuringMove::Own, SessionsDuringMove::Own];
    let rules = [&rules[..], &[SessionsDuringMove::Wait, SessionsDuringMove::Stop]].concat();
    let rule = rules.choose(rng).copied().unwrap_or(SessionsDuringMove::Own);
    let has_place = rng.random_ratio(3, 4);
    let emptying = Emptying { operation, rule, has_place, until: Some(until) };
    history.cluster.nodes[node].is_closed = true;
    history.emptied = Some(Emptied { node, emptying, until, next: now });
}

/// The operation that all of this is done by.
async fn operation(history: &mut History<'_>) -> Option<OperationId> {
    let proof: Authorized<ChangePlan> =
        authorize(&actor(), Scope::tenant(history.tenant)).expect("operators may");
    let preview = sample::preview(
        Subscription { plan: PlanName::Starter, nodes: 0 },
        Subscription { plan: PlanName::Pro, nodes: 0 },
    );
    let store = history.ground.cx.store.clone();
    let begun = store.plan_change_begin(&proof, history.tenant, &preview, SessionsDuringMove::Own);
    match alive(begun).await {
        Ok(Ok((_, operation))) => Some(operation.id),
        Ok(Err(PlanChangeError::Busy(operation))) => Some(operation.id),
        Ok(Err(error)) => {
            history.violations.push(format!("nothing can be done about the tenant: {error}"));
            None
        }
        Err(_) => {
            history.kill();
            None
        }
    }
}

/// One look of the step that empties a node.
pub(super) async fn look(history: &mut History<'_>) {
    let Some(mut emptied) = history.emptied else { return };
    let now = history.cluster.now;
    let runs = runs_on(history, emptied.node);
    if runs.is_empty() || now >= emptied.until + TOLD {
        history.cluster.nodes[emptied.node].is_closed = false;
        history.emptied = None;
        return;
    }
    note_what_may_end(history, &runs, &emptied);
    let cx = history.ground.cx.clone();
    match alive(drain(&cx, &runs, &emptied.emptying)).await {
        Ok(tally) => drop(tally.expect("the record answers")),
        Err(_) => return history.kill(),
    }
    if now >= emptied.until {
        for run in runs.keys() {
            history.cluster.tell_to_end(*run);
        }
    }
    emptied.next = now + LOOK;
    history.emptied = Some(emptied);
}

/// What has processes on a node.
fn runs_on(history: &History<'_>, node: usize) -> BTreeMap<RunId, String> {
    let pods = history.cluster.pods.values();
    let is_there = |pod: &&super::cluster::Pod| {
        pod.node == Some(node) && pod.is_on_host && !matches!(pod.phase, Phase::Ended { .. })
    };
    pods.filter(is_there).map(|pod| (pod.run, format!("node-{node}"))).collect()
}

/// How runs may be ended from now on, by what their sessions say.
fn note_what_may_end(history: &mut History<'_>, runs: &BTreeMap<RunId, String>, emptied: &Emptied) {
    let is_over = history.cluster.now >= emptied.until;
    for session in history.seen.values() {
        let Some(run) = session.run.filter(|run| runs.contains_key(run)) else { continue };
        let policy = match emptied.emptying.rule {
            SessionsDuringMove::Own => session.spec.on_drain,
            SessionsDuringMove::Wait => OnDrain::Wait,
            SessionsDuringMove::Stop => OnDrain::Stop,
        };
        let end = match policy {
            OnDrain::Stop => DrainEnd::Stop,
            OnDrain::Restart if emptied.emptying.has_place || is_over => DrainEnd::Restart,
            OnDrain::Wait if is_over => DrainEnd::CutOff,
            OnDrain::Restart | OnDrain::Wait => continue,
        };
        history.may_end.entry(run).or_default().push(end);
    }
}
