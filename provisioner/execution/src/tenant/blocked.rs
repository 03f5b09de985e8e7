//! What is done about a tenant while nothing can be made on the host: its conditions say why, and a
//! tenant on its way out goes as far as it can.

use super::{Findings, Memory, Next, ReconcileError, report, wanted};
use crate::{Context, host_state::Obstacle};
use domain::TenantId;
use std::ops::ControlFlow;

/// Makes one attempt; safe to repeat.
#[tracing::instrument(name = "reconcile.tenant_blocked", skip_all, fields(tenant.id = %tenant))]
pub(crate) async fn reconcile_blocked(
    cx: &Context,
    tenant: TenantId,
    memory: &mut Memory,
    obstacle: &Obstacle,
) -> Result<Next, ReconcileError> {
    let record = match wanted(cx, tenant, memory).await? {
        ControlFlow::Continue(record) => record,
        ControlFlow::Break(next) => return Ok(next),
    };
    let mut findings = Findings::new(&record, cx.clock.now());
    findings.fail(&obstacle.reason, &obstacle.message, !obstacle.is_refusal);
    report::send(cx, &record, findings).await?;
    // Whoever learns that the host is well again wakes everybody.
    Ok(Next::Turn)
}
