use crate::{
    Change, Store, StoreError, column,
    entity::{plan_changes, tenants},
    error::write_error,
    node,
    operation::{self, About},
    tenant::{existing_for_update, update_in_txn},
    txn::{Txn, in_txn},
};
use domain::{
    Authorized, ChangePlan, Operation, OperationId, OperationKind, PlanChange, PlanPreview,
    Problem, SessionsDuringMove, Shift, Subscription, Tenant, TenantId,
};
use sea_orm::{
    ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect, Set,
};

/// Why a change of plan was not begun.
#[derive(Debug, thiserror::Error)]
pub enum PlanChangeError {
    /// Something else is being done about the tenant.
    #[error("operation {} is not over", .0.id)]
    Busy(Box<Operation>),
    /// The tenant is on its way out.
    #[error("the tenant is being deleted")]
    Deleting,
    /// It pays for something else than the preview said.
    #[error("the tenant pays for something else by now")]
    Outdated,
    /// The record failed.
    #[error("write the change of plan")]
    Store(#[from] StoreError),
}

write_error!(PlanChangeError);

impl Store {
    /// Begins to change a tenant's plan as `preview` says. From here on there is room for both plans.
    ///
    /// # Errors
    /// `Busy` if anything else is being done about the tenant, `Deleting` if it is on its way out, `Outdated` if it
    /// does not pay for what the preview started from.
    #[tracing::instrument(name = "db.plan_change.begin", skip_all)]
    pub async fn plan_change_begin(
        &self,
        proof: &Authorized<ChangePlan>,
        tenant: TenantId,
        preview: &PlanPreview,
        sessions: SessionsDuringMove,
    ) -> Result<(PlanChange, Operation), PlanChangeError> {
        if proof.tenant() != Some(tenant) {
            return Err(StoreError::NotFound.into());
        }
        in_txn!(self, |txn| begin_in_txn(&mut txn, proof, tenant, (preview, sessions), None))
    }

    /// One change of plan, by its operation.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.plan_change.get", skip_all)]
    pub async fn plan_change_get(
        &self,
        operation: OperationId,
    ) -> Result<Option<PlanChange>, StoreError> {
        let row = plan_changes::Entity::find_by_id(operation.uuid()).one(&self.0.read).await?;
        row.map(PlanChange::try_from).transpose()
    }

    /// At most `limit` changes of a tenant's plan, newest first, starting after `after`.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.plan_change.list", skip_all)]
    pub async fn plan_change_list(
        &self,
        tenant: TenantId,
        after: Option<OperationId>,
        limit: u64,
    ) -> Result<Vec<PlanChange>, StoreError> {
        let mut select =
            plan_changes::Entity::find().filter(plan_changes::Column::Tenant.eq(tenant.uuid()));
        if let Some(after) = after {
            select = select.filter(plan_changes::Column::Operation.lt(after.uuid()));
        }
        let select = select.order_by_desc(plan_changes::Column::Operation).limit(limit);
        select.all(&self.0.read).await?.into_iter().map(PlanChange::try_from).collect()
    }

    /// How long tenants' API servers were away in the newest `limit` changes that restarted one, in milliseconds.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.plan_change.away", skip_all)]
    pub async fn plan_change_away(&self, limit: u64) -> Result<Vec<u32>, StoreError> {
        let select = plan_changes::Entity::find()
            .filter(plan_changes::Column::ApiAwayMs.is_not_null())
            .order_by_desc(plan_changes::Column::Operation)
            .limit(limit);
        let rows = select.all(&self.0.read).await?;
        rows.into_iter().filter_map(|row| away(&row).transpose()).collect()
    }

    /// Says where the tenant's new pods go: where they will be after the change, or where they were before it.
    ///
    /// # Errors
    /// `Stale` if the change is over or committed.
    #[tracing::instrument(name = "db.plan_change.place", skip_all)]
    pub async fn plan_change_place(
        &self,
        operation: OperationId,
        is_placed: bool,
    ) -> Result<(), StoreError> {
        in_txn!(self, |txn| place_in_txn(&mut txn, operation, is_placed))
    }

    /// From here on the tenant pays for what it changes to, and there is no way back.
    ///
    /// # Errors
    /// `Stale` if the change is over.
    #[tracing::instrument(name = "db.plan_change.commit", skip_all)]
    pub async fn plan_change_commit(&self, operation: OperationId) -> Result<(), StoreError> {
        in_txn!(self, |txn| commit_in_txn(&mut txn, operation))
    }

    /// Gives the change up: the record says what it said before. Its operation goes on until nothing of the change is
    /// left.
    ///
    /// # Errors
    /// `Stale` if the change is over or committed.
    #[tracing::instrument(name = "db.plan_change.withdraw", skip_all)]
    pub async fn plan_change_withdraw(&self, operation: OperationId) -> Result<(), StoreError> {
        in_txn!(self, |txn| withdraw_in_txn(&mut txn, operation))
    }

    /// Ends the operation of a change.
    ///
    /// # Errors
    /// `Stale` if it is over.
    #[tracing::instrument(name = "db.plan_change.end", skip_all)]
    pub async fn plan_change_end(
        &self,
        operation: &Operation,
        problem: Option<Problem>,
    ) -> Result<(), StoreError> {
        in_txn!(self, |txn| end_in_txn(&mut txn, operation, problem.clone()))
    }

    /// Halts a change before its next wave, or lets it go on.
    ///
    /// # Errors
    /// `NotFound` if there is none, `Stale` if it is over.
    #[tracing::instrument(name = "db.plan_change.pause", skip_all)]
    pub async fn plan_change_pause(
        &self,
        proof: &Authorized<ChangePlan>,
        operation: OperationId,
        is_paused: bool,
    ) -> Result<PlanChange, StoreError> {
        in_txn!(self, |txn| pause_in_txn(&mut txn, proof, operation, is_paused))
    }

    /// Notes how long the tenant's API server was away, in milliseconds.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.plan_change.note_away", skip_all)]
    pub async fn plan_change_note_away(
        &self,
        operation: OperationId,
        milliseconds: u32,
    ) -> Result<(), StoreError> {
        let change = plan_changes::ActiveModel {
            api_away_ms: Set(Some(i64::from(milliseconds))),
            ..Default::default()
        };
        in_txn!(self, |txn| update_change(&mut txn, operation, change.clone()))
    }

    /// Asks for a change to be undone.
    ///
    /// # Errors
    /// `NotFound` if there is none, `Stale` if it is over, `Refused` if it is committed.
    #[tracing::instrument(name = "db.plan_change.cancel", skip_all)]
    pub async fn plan_change_cancel(
        &self,
        proof: &Authorized<ChangePlan>,
        operation: OperationId,
    ) -> Result<Operation, StoreError> {
        in_txn!(self, |txn| cancel_in_txn(&mut txn, proof, operation))
    }
}

/// Begins a change; `reserved` is the id of its operation if it was chosen before.
pub(crate) async fn begin_in_txn(
    txn: &mut Txn,
    proof: &Authorized<ChangePlan>,
    id: TenantId,
    (preview, sessions): (&PlanPreview, SessionsDuringMove),
    reserved: Option<OperationId>,
) -> Result<(PlanChange, Operation), PlanChangeError> {
    let row = existing_for_update(&txn.db, id).await?;
    if row.deletion_requested_at.is_some() {
        return Err(PlanChangeError::Deleting);
    }
    if let Some(open) = operation::open_row(&txn.db, id).await? {
        return Err(PlanChangeError::Busy(Box::new(open.try_into()?)));
    }
    for node in node::of_tenant(&txn.db, id).await? {
        let is_busy = node.state().is_off_on_purpose() || node.volumes.is_some();
        let open = if is_busy { operation::open_of_node(&txn.db, node.id).await? } else { None };
        if let Some(open) = open {
            return Err(PlanChangeError::Busy(Box::new(open)));
        }
    }
    if Tenant::try_from(row.clone())?.subscription() != preview.from {
        return Err(PlanChangeError::Outdated);
    }
    let Subscription { plan, nodes } = preview.to;
    let kind = OperationKind::PlanChange;
    let reserved = reserved.unwrap_or_else(|| OperationId::new(txn.store.ids.uuid()));
    let operation = operation::begin_as_in_txn(txn, reserved, kind, id, About::Tenant).await?;
    let change = plan_changes::Model {
        operation: operation.id.uuid(),
        tenant: id.uuid(),
        from_plan: preview.from.plan.as_str().to_owned(),
        from_nodes: i64::from(preview.from.nodes),
        to_plan: plan.as_str().to_owned(),
        to_nodes: i64::from(nodes),
        sessions: column::word(&sessions),
        preview: column::json(preview),
        created_at: txn.at(),
        paused_at: None,
        committed_at: None,
        api_away_ms: None,
    };
    let made = change.clone().into_active_model();
    plan_changes::Entity::insert(made)
        .exec_without_returning(&txn.db)
        .await
        .map_err(StoreError::from)?;
    let shift = Some(Shift { to: preview.to, is_placed: false });
    set_shift(txn, &row, shift).await?;
    txn.audit(Some(proof.actor()), "plan.change", Some(id), operation.id.to_string()).await?;
    Ok((change.try_into()?, operation))
}

/// Writes which change a tenant is in the middle of.
async fn set_shift(
    txn: &mut Txn,
    row: &tenants::Model,
    shift: Option<Shift>,
) -> Result<(), StoreError> {
    let change = tenants::ActiveModel {
        generation: Set(row.generation + 1),
        next_plan: Set(shift.map(|shift| shift.to.plan.as_str().to_owned())),
        next_nodes: Set(shift.map_or(0, |shift| i64::from(shift.to.nodes))),
        is_placed: Set(shift.is_some_and(|shift| shift.is_placed)),
        ..Default::default()
    };
    update_in_txn(txn, row, change).await
}

async fn existing(txn: &Txn, id: OperationId) -> Result<PlanChange, StoreError> {
    let row = plan_changes::Entity::find_by_id(id.uuid()).one(&txn.db).await?;
    PlanChange::try_from(row.ok_or(StoreError::NotFound)?)
}

/// A change that is not over, of a tenant whose plan the caller may change.
async fn own_for_update(
    txn: &Txn,
    proof: &Authorized<ChangePlan>,
    id: OperationId,
) -> Result<PlanChange, StoreError> {
    // Whoever may not hears nothing of it, not even that it is over.
    if proof.tenant() != Some(existing(txn, id).await?.tenant) {
        return Err(StoreError::NotFound);
    }
    Ok(open_for_update(txn, id).await?.0)
}

/// A change that is not over, with its tenant, which nobody else changes before the transaction ends.
async fn open_for_update(
    txn: &Txn,
    id: OperationId,
) -> Result<(PlanChange, tenants::Model), StoreError> {
    let change = existing(txn, id).await?;
    let tenant = existing_for_update(&txn.db, change.tenant).await?;
    let open = operation::open_row(&txn.db, change.tenant).await?;
    if open.is_none_or(|open| open.id != id.uuid()) {
        return Err(StoreError::Stale);
    }
    Ok((change, tenant))
}

async fn place_in_txn(txn: &mut Txn, id: OperationId, is_placed: bool) -> Result<(), StoreError> {
    let (change, tenant) = open_for_update(txn, id).await?;
    if change.committed_at.is_some() {
        return Err(StoreError::Stale);
    }
    if tenant.is_placed == is_placed {
        return Ok(());
    }
    set_shift(txn, &tenant, Some(Shift { to: change.to, is_placed })).await
}

async fn commit_in_txn(txn: &mut Txn, id: OperationId) -> Result<(), StoreError> {
    let (change, tenant) = open_for_update(txn, id).await?;
    if change.committed_at.is_some() {
        return Ok(());
    }
    let written = tenants::ActiveModel {
        generation: Set(tenant.generation + 1),
        plan: Set(change.to.plan.as_str().to_owned()),
        nodes: Set(i64::from(change.to.nodes)),
        next_plan: Set(None),
        next_nodes: Set(0),
        is_placed: Set(false),
        ..Default::default()
    };
    update_in_txn(txn, &tenant, written).await?;
    let at = Some(txn.at());
    let written = plan_changes::ActiveModel { committed_at: Set(at), ..Default::default() };
    update_change(txn, id, written).await?;
    txn.audit(None, "plan.commit", Some(change.tenant), id.to_string()).await
}

async fn withdraw_in_txn(txn: &mut Txn, id: OperationId) -> Result<(), StoreError> {
    let (change, tenant) = open_for_update(txn, id).await?;
    if change.committed_at.is_some() {
        return Err(StoreError::Stale);
    }
    if tenant.next_plan.is_none() {
        return Ok(());
    }
    set_shift(txn, &tenant, None).await
}

async fn end_in_txn(
    txn: &mut Txn,
    operation: &Operation,
    problem: Option<Problem>,
) -> Result<(), StoreError> {
    let (change, tenant) = open_for_update(txn, operation.id).await?;
    if change.committed_at.is_none() && tenant.next_plan.is_some() {
        set_shift(txn, &tenant, None).await?;
    }
    let steps = Some(operation.steps.clone());
    operation::end_in_txn(txn, operation.clone(), steps, problem).await?;
    txn.changed(Change::Tenant(change.tenant));
    Ok(())
}

async fn pause_in_txn(
    txn: &mut Txn,
    proof: &Authorized<ChangePlan>,
    id: OperationId,
    is_paused: bool,
) -> Result<PlanChange, StoreError> {
    let change = own_for_update(txn, proof, id).await?;
    if change.paused_at.is_some() == is_paused {
        return Ok(change);
    }
    let paused_at = is_paused.then_some(txn.now);
    let at = paused_at.map(column::time);
    let written = plan_changes::ActiveModel { paused_at: Set(at), ..Default::default() };
    update_change(txn, id, written).await?;
    let action = if is_paused { "plan.pause" } else { "plan.resume" };
    txn.audit(Some(proof.actor()), action, Some(change.tenant), id.to_string()).await?;
    Ok(PlanChange { paused_at, ..change })
}

async fn cancel_in_txn(
    txn: &mut Txn,
    proof: &Authorized<ChangePlan>,
    id: OperationId,
) -> Result<Operation, StoreError> {
    let change = own_for_update(txn, proof, id).await?;
    if change.committed_at.is_some() {
        return Err(StoreError::Refused("the change is past its point of no return"));
    }
    txn.audit(Some(proof.actor()), "plan.cancel", Some(change.tenant), id.to_string()).await?;
    operation::cancel_in_txn(txn, id).await
}

async fn update_change(
    txn: &mut Txn,
    id: OperationId,
    change: plan_changes::ActiveModel,
) -> Result<(), StoreError> {
    plan_changes::Entity::update_many()
        .set(change)
        .filter(plan_changes::Column::Operation.eq(id.uuid()))
        .exec(&txn.db)
        .await?;
    txn.changed(Change::Operation(id));
    Ok(())
}

fn away(row: &plan_changes::Model) -> Result<Option<u32>, StoreError> {
    let away = row.api_away_ms.map(u32::try_from).transpose();
    away.map_err(|error| StoreError::corrupt("plan_changes.api_away_ms", error))
}

fn subscription(plan: &str, nodes: i64) -> Result<Subscription, StoreError> {
    Ok(Subscription {
        plan: column::to_word("plan_changes.plan", plan)?,
        nodes: u32::try_from(nodes)
            .map_err(|error| StoreError::corrupt("plan_changes.nodes", error))?,
    })
}

impl TryFrom<plan_changes::Model> for PlanChange {
    type Error = StoreError;

    fn try_from(row: plan_changes::Model) -> Result<Self, StoreError> {
        Ok(Self {
            operation: OperationId::new(row.operation),
            tenant: TenantId::new(row.tenant),
            from: subscription(&row.from_plan, row.from_nodes)?,
            to: subscription(&row.to_plan, row.to_nodes)?,
            sessions: column::to_word("plan_changes.sessions", &row.sessions)?,
            preview: column::to_json("plan_changes.preview", &row.preview)?,
            created_at: column::to_time("plan_changes.created_at", row.created_at)?,
            paused_at: column::to_optional_time("plan_changes.paused_at", row.paused_at)?,
            committed_at: column::to_optional_time("plan_changes.committed_at", row.committed_at)?,
            api_away_ms: away(&row)?,
        })
    }
}
