//! What is done about a tenant while nothing can be made on the host: its conditions say why, and a
//! tenant on its way out goes as far as it can.

use super::{Findings, Memory, Next, ReconcileError, removal, report};
use crate::{Context, host_state::Obstacle};
use domain::TenantId;

/// Makes one attempt; safe to repeat.
#[tracing::instrument(name = "reconcile.tenant_blocked", skip_all, fields(tenant.id = %tenant))]
pub(crate) async fn reconcile_blocked(
    cx: &Context,
    tenant: TenantId,
    memory: &mut Memory,
    obstacle: &Obstacle,
) -> Result<Next, ReconcileError> {
    let Some(record) = cx.store.tenant_get(tenant).await.map_err(ReconcileError::Store)? else {
        cx.tenants.forget(tenant);
        return Ok(Next::Gone);
    };
    if record.deletion_requested_at.is_some() {
        memory.is_past_start = true;
        return removal::proceed(cx, &record, memory).await;
    }
    let mut findings = Findings::new(&record, cx.clock.now());
    findings.fail(&obstacle.reason, &obstacle.message, !obstacle.is_refusal);
    report::send(cx, &record, findings).await?;
    // Whoever learns that the host is well again wakes everybody.
    Ok(Next::Turn)
}
