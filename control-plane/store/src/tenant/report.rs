use super::{existing_by_id, existing_for_update, update_in_txn};
use crate::{
    Store, StoreError, column,
    entity::tenants,
    operation,
    txn::{Txn, in_txn},
};
use domain::{
    ConditionKind, Conditions, Generation, Operation, OperationId, OperationKind, OperationState,
    Step, Tenant, TenantId, Usage,
};
use jiff::Timestamp;
use sea_orm::Set;

/// What the provisioner found out about a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantReport {
    /// The generation that was looked at.
    pub observed_generation: Generation,
    /// What is known about the tenant.
    pub conditions: Conditions,
    /// What it uses; nothing keeps what was seen last.
    pub usage: Option<Usage>,
    /// The steps of an operation; nothing keeps them. If it is not the open one any more, nothing is
    /// said about the one that is.
    pub steps: Option<(OperationId, Vec<Step>)>,
    /// Whether the open operation is being worked on.
    pub is_operation_running: bool,
}

/// The columns of a tenant that a report sets.
#[derive(Debug, PartialEq, Eq)]
struct Status {
    observed_generation: Generation,
    conditions: Conditions,
    usage: Option<Usage>,
    was_ready: bool,
}

impl Store {
    /// Takes a report of the provisioner. Writes nothing when nothing differs. A create operation
    /// succeeds when the tenant is ready.
    ///
    /// # Errors
    /// `NotFound` if there is no such tenant, `Stale` if a newer generation was reported on before,
    /// `Refused` if there is no such generation, or if the database fails.
    #[tracing::instrument(name = "db.tenant.report", skip_all)]
    pub async fn tenant_report(
        &self,
        id: TenantId,
        report: TenantReport,
    ) -> Result<(), StoreError> {
        // Looked at first over a connection for reading: the common case must not wait for, or
        // hold up, those who write.
        let row = existing_by_id(id).one(&self.0.read).await?;
        let tenant = Tenant::try_from(row.ok_or(StoreError::NotFound)?)?;
        let open = self.operation_open(id).await?;
        let now = self.0.now();
        if status(&tenant, &report)?.is_none() && progress(open.as_ref(), &report, now).is_none() {
            return Ok(());
        }
        in_txn!(self, |txn| report_in_txn(&mut txn, id, &report))
    }
}

async fn report_in_txn(
    txn: &mut Txn,
    id: TenantId,
    report: &TenantReport,
) -> Result<(), StoreError> {
    let row = existing_for_update(&txn.db, id).await?;
    let open = operation::open_row(&txn.db, id).await?.map(Operation::try_from).transpose()?;
    if let Some(status) = status(&Tenant::try_from(row.clone())?, report)? {
        let change = tenants::ActiveModel {
            observed_generation: Set(status.observed_generation.0),
            conditions: Set(column::json(&status.conditions)),
            usage: Set(status.usage.as_ref().map(column::json)),
            was_ready: Set(status.was_ready),
            is_ready: Set(status.conditions.is_true(ConditionKind::Ready)),
            ..Default::default()
        };
        update_in_txn(txn, &row, change).await?;
    }
    if let Some(operation) = progress(open.as_ref(), report, txn.now) {
        operation::write_in_txn(txn, &operation).await?;
    }
    Ok(())
}

/// What the report changes about the tenant, if anything.
fn status(tenant: &Tenant, report: &TenantReport) -> Result<Option<Status>, StoreError> {
    if report.observed_generation < tenant.observed_generation {
        return Err(StoreError::Stale);
    }
    if report.observed_generation > tenant.generation {
        return Err(StoreError::Refused("a report on a generation that there is not"));
    }
    let before = Status {
        observed_generation: tenant.observed_generation,
        conditions: tenant.conditions.clone(),
        usage: tenant.usage,
        was_ready: tenant.was_ready,
    };
    let after = Status {
        observed_generation: report.observed_generation,
        conditions: report.conditions.clone(),
        usage: report.usage.or(tenant.usage),
        was_ready: tenant.was_ready || report.conditions.is_true(ConditionKind::Ready),
    };
    Ok((after != before).then_some(after))
}

/// What the report changes about the open operation, if anything.
fn progress(open: Option<&Operation>, report: &TenantReport, now: Timestamp) -> Option<Operation> {
    let before = open?;
    let mut after = before.clone();
    // Meanwhile somebody may have asked for something else, which has steps of its own.
    let is_meant = report.steps.as_ref().is_none_or(|(operation, _)| *operation == before.id);
    if is_meant {
        if let Some((_, steps)) = &report.steps {
            after.steps.clone_from(steps);
        }
        if report.is_operation_running {
            after.state = OperationState::Running;
        }
    }
    let is_ready = report.conditions.is_true(ConditionKind::Ready);
    if before.kind == OperationKind::TenantCreate && is_ready {
        after.state = OperationState::Succeeded;
        after.finished_at = Some(now);
    }
    (after != *before).then_some(after)
}
