//! What changes on a tenant's page while it is looked at.

use super::status;
use crate::{
    part::{OperationPart, Status},
    person::Person,
    refusal::Refusal,
    time::When,
    words,
};
use application::{
    operation,
    tenant::{self as tenants, TenantRef},
};
use askama::{Template, filters::HtmlSafe};
use domain::{Condition, OperationId, OperationState, Tenant, TenantPhase};
use jiff::Timestamp;

/// Operations that are looked at: a tenant's own and those of its nodes.
const OPERATIONS: u64 = 20;

/// The parts that change.
#[derive(Debug, Template)]
#[template(path = "tenant/live.html")]
pub(super) struct Live {
    /// Of the window: it carries the state, so that a tab in the background tells it.
    pub(super) title: String,
    pub(super) status: Status,
    pub(super) operations: Operations,
    pub(super) conditions: Conditions,
    /// Whether nothing will change by itself.
    pub(super) is_over: bool,
    /// The operations that are shown.
    pub(super) shown: Vec<OperationId>,
}

/// What is being done, or was done last.
#[derive(Debug, Template)]
#[template(path = "tenant/operations.html")]
pub(super) struct Operations {
    parts: Vec<OperationPart>,
}

/// What is known about the tenant.
#[derive(Debug, Template)]
#[template(path = "tenant/conditions.html")]
pub(super) struct Conditions {
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    name: &'static str,
    status: Status,
}

impl HtmlSafe for Operations {}
impl HtmlSafe for Conditions {}

impl Live {
    /// The tenant with its parts as they are now.
    pub(super) async fn load(
        person: &Person,
        reference: &TenantRef,
    ) -> Result<(Tenant, Self), Refusal> {
        let Person { app, actor, .. } = person;
        let tenant = tenants::get(app, actor, reference).await?.tenant;
        let latest = operation::list(app, actor, reference, None, OPERATIONS).await?.items;
        let open = latest.iter().filter(|operation| !operation.state.is_final());
        let began = open.map(|operation| operation.created_at).min();
        let mut shown = latest;
        match began {
            Some(began) => {
                // What failed since then may be why the rest waits.
                shown.retain(|operation| match operation.state {
                    OperationState::Succeeded => false,
                    OperationState::Failed => operation.created_at >= began,
                    OperationState::Waiting | OperationState::Running | OperationState::Undoing => {
                        true
                    }
                });
                // Those of its nodes are parts of the tenant's own, which began before them.
                shown.reverse();
            }
            None => shown.truncate(1),
        }
        let typicals = operation::typicals(app, shown.iter().map(|one| one.kind)).await?;
        let now = app.clock.now();
        let part = |one| OperationPart::new(one, &typicals, now);
        let status = status(&tenant, now);
        let live = Self {
            title: format!("{} · {}", status.word, tenant.name),
            status,
            operations: Operations { parts: shown.iter().map(part).collect() },
            conditions: Conditions::new(&tenant, now),
            is_over: began.is_none() && tenant.phase() == TenantPhase::Ready,
            shown: shown.iter().map(|operation| operation.id).collect(),
        };
        Ok((tenant, live))
    }
}

impl Conditions {
    fn new(tenant: &Tenant, now: Timestamp) -> Self {
        let row = |condition: &Condition| Row {
            name: words::condition_kind(condition.kind),
            status: Status::of(words::condition(condition.status))
                .because(&condition.message)
                .since(When::new(condition.since, now)),
        };
        Self { rows: tenant.conditions.iter().map(row).collect() }
    }
}
