use crate::{Change, Store, StoreError, column, entity::operations, txn::Txn};
use domain::{Operation, OperationId, OperationKind, OperationState, Problem, Step, TenantId};
use jiff::SignedDuration;
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder,
    QuerySelect, Set,
};

/// How long an operation should take at most; later it is shown as late.
const DEADLINE: SignedDuration = SignedDuration::from_mins(10);

const fn step_names(kind: OperationKind) -> &'static [&'static str] {
    match kind {
        OperationKind::TenantCreate => &["namespace", "control-plane", "baseline", "dns"],
        OperationKind::TenantDelete => &["sessions", "workload", "service", "volumes", "namespace"],
    }
}

impl Store {
    /// One operation.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.operation.get", skip_all)]
    pub async fn operation_get(&self, id: OperationId) -> Result<Option<Operation>, StoreError> {
        let row = operations::Entity::find_by_id(id.uuid()).one(&self.0.read).await?;
        row.map(Operation::try_from).transpose()
    }

    /// At most `limit` operations of a tenant, newest first, starting after `after`.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.operation.list", skip_all)]
    pub async fn operation_list(
        &self,
        tenant: TenantId,
        after: Option<OperationId>,
        limit: u64,
    ) -> Result<Vec<Operation>, StoreError> {
        let mut select =
            operations::Entity::find().filter(operations::Column::Tenant.eq(tenant.uuid()));
        if let Some(after) = after {
            select = select.filter(operations::Column::Id.lt(after.uuid()));
        }
        let select = select.order_by_desc(operations::Column::Id).limit(limit);
        select.all(&self.0.read).await?.into_iter().map(Operation::try_from).collect()
    }

    /// The operation of a tenant that is not over; there is at most one.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.operation.open", skip_all)]
    pub async fn operation_open(&self, tenant: TenantId) -> Result<Option<Operation>, StoreError> {
        let row = open_row(&self.0.read, tenant).await?;
        row.map(Operation::try_from).transpose()
    }
}

pub(crate) async fn open_row(
    db: &impl ConnectionTrait,
    tenant: TenantId,
) -> Result<Option<operations::Model>, StoreError> {
    let select = operations::Entity::find()
        .filter(operations::Column::Tenant.eq(tenant.uuid()))
        .filter(operations::Column::FinishedAt.is_null());
    Ok(select.one(db).await?)
}

/// The newest operation of a kind, over or not.
pub(crate) async fn newest(
    db: &impl ConnectionTrait,
    tenant: TenantId,
    kind: OperationKind,
) -> Result<Option<Operation>, StoreError> {
    let select = operations::Entity::find()
        .filter(operations::Column::Tenant.eq(tenant.uuid()))
        .filter(operations::Column::Kind.eq(column::word(&kind)))
        .order_by_desc(operations::Column::Id);
    select.one(db).await?.map(Operation::try_from).transpose()
}

pub(crate) async fn begin_in_txn(
    txn: &mut Txn,
    kind: OperationKind,
    tenant: TenantId,
) -> Result<Operation, StoreError> {
    let steps: Vec<Step> = step_names(kind).iter().copied().map(Step::waiting).collect();
    let row = operations::Model {
        id: txn.store.ids.uuid(),
        kind: column::word(&kind),
        tenant: tenant.uuid(),
        state: column::word(&OperationState::Waiting),
        steps: column::json(&steps),
        problem: None,
        created_at: txn.at(),
        deadline: txn.later(DEADLINE),
        finished_at: None,
    };
    operations::Entity::insert(row.clone().into_active_model())
        .exec_without_returning(&txn.db)
        .await?;
    txn.changed(Change::Operation(OperationId::new(row.id)));
    row.try_into()
}

/// Writes what may change of an operation that is not over: state, steps, problem.
pub(crate) async fn write_in_txn(txn: &mut Txn, operation: &Operation) -> Result<(), StoreError> {
    let change = operations::ActiveModel {
        state: Set(column::word(&operation.state)),
        steps: Set(column::json(&operation.steps)),
        problem: Set(operation.problem.as_ref().map(column::json)),
        finished_at: Set(operation.finished_at.map(column::time)),
        ..Default::default()
    };
    let updated = operations::Entity::update_many()
        .set(change)
        .filter(operations::Column::Id.eq(operation.id.uuid()))
        .filter(operations::Column::FinishedAt.is_null())
        .exec(&txn.db)
        .await?;
    if updated.rows_affected != 1 {
        return Err(StoreError::Stale);
    }
    txn.changed(Change::Operation(operation.id));
    Ok(())
}

/// Ends an operation, well or with a problem.
pub(crate) async fn end_in_txn(
    txn: &mut Txn,
    mut operation: Operation,
    steps: Option<Vec<Step>>,
    problem: Option<Problem>,
) -> Result<Operation, StoreError> {
    operation.state =
        if problem.is_none() { OperationState::Succeeded } else { OperationState::Failed };
    operation.problem = problem;
    operation.finished_at = Some(txn.now);
    if let Some(steps) = steps {
        operation.steps = steps;
    }
    write_in_txn(txn, &operation).await?;
    Ok(operation)
}

impl TryFrom<operations::Model> for Operation {
    type Error = StoreError;

    fn try_from(row: operations::Model) -> Result<Self, StoreError> {
        Ok(Self {
            id: OperationId::new(row.id),
            kind: column::to_word("operations.kind", &row.kind)?,
            tenant: TenantId::new(row.tenant),
            state: column::to_word("operations.state", &row.state)?,
            steps: column::to_json("operations.steps", &row.steps)?,
            problem: column::to_optional_json("operations.problem", row.problem.as_deref())?,
            created_at: column::to_time("operations.created_at", row.created_at)?,
            deadline: column::to_time("operations.deadline", row.deadline)?,
            finished_at: column::to_optional_time("operations.finished_at", row.finished_at)?,
        })
    }
}
