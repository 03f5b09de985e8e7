use crate::{
    Change, Store, StoreError, column,
    entity::operations,
    plan_batch,
    txn::{Txn, in_txn},
};
use domain::{
    NodeId, Operation, OperationId, OperationKind, OperationState, Problem, Step, TenantId,
};
use jiff::SignedDuration;
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder,
    QuerySelect, Set,
};

/// How long an operation should take at most; later it is shown as late.
const fn patience(kind: OperationKind) -> SignedDuration {
    match kind {
        OperationKind::TenantCreate | OperationKind::TenantDelete => SignedDuration::from_mins(10),
        OperationKind::NodeAttach
        | OperationKind::NodeRelease
        | OperationKind::NodeStop
        | OperationKind::NodeStart
        | OperationKind::NodeReboot => SignedDuration::from_mins(30),
        OperationKind::PlanChange => SignedDuration::from_mins(60),
    }
}

/// What an operation is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum About {
    /// The whole tenant.
    Tenant,
    /// A tenant that pays for nodes of its own.
    TenantWithNodes,
    /// One node of it.
    Node(NodeId),
}

/// Where a tenant's nodes are waited for: what follows runs on them.
const AFTER_BASELINE: usize = 3;

const fn step_names(kind: OperationKind) -> &'static [&'static str] {
    match kind {
        OperationKind::TenantCreate => &["namespace", "control-plane", "baseline", "dns"],
        OperationKind::TenantDelete => {
            &["sessions", "workload", "service", "volumes", "nodes", "namespace"]
        }
        OperationKind::NodeAttach => {
            &["reserve", "clone", "configure", "seed", "admit", "start", "join", "verify", "tidy"]
        }
        OperationKind::NodeRelease => &["cordon", "drain", "stop", "remove", "destroy", "absence"],
        OperationKind::NodeStop => &["cordon", "drain", "stop"],
        OperationKind::NodeStart => &["start", "verify", "uncordon"],
        OperationKind::NodeReboot => &["cordon", "drain", "stop", "start", "verify", "uncordon"],
        OperationKind::PlanChange => {
            &["check", "nodes", "placement", "move", "verify", "commit", "release"]
        }
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

    /// The operation of a tenant that is not over; there is at most one. What is done about its nodes
    /// are others.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.operation.open", skip_all)]
    pub async fn operation_open(&self, tenant: TenantId) -> Result<Option<Operation>, StoreError> {
        let row = open_row(&self.0.read, tenant).await?;
        row.map(Operation::try_from).transpose()
    }

    /// The latest operations of a kind that succeeded, at most `limit`, of any tenant.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.operation.succeeded", skip_all)]
    pub async fn operation_succeeded(
        &self,
        kind: OperationKind,
        limit: u64,
    ) -> Result<Vec<Operation>, StoreError> {
        let select = operations::Entity::find()
            .filter(operations::Column::Kind.eq(column::word(&kind)))
            .filter(operations::Column::State.eq(column::word(&OperationState::Succeeded)))
            .order_by_desc(operations::Column::Id)
            .limit(limit);
        select.all(&self.0.read).await?.into_iter().map(Operation::try_from).collect()
    }

    /// The latest operations that failed, of any tenant, newest first.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.operation.failed", skip_all)]
    pub async fn operation_failed(&self, limit: u64) -> Result<Vec<Operation>, StoreError> {
        let select = operations::Entity::find()
            .filter(operations::Column::State.eq(column::word(&OperationState::Failed)))
            .order_by_desc(operations::Column::Id)
            .limit(limit);
        select.all(&self.0.read).await?.into_iter().map(Operation::try_from).collect()
    }

    /// The operations of reversible steps that are not over, oldest first.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.operation.sagas", skip_all)]
    pub async fn operation_sagas(&self) -> Result<Vec<Operation>, StoreError> {
        let sagas = OperationKind::ALL.into_iter().filter(|kind| kind.is_saga());
        let select = operations::Entity::find()
            .filter(operations::Column::Kind.is_in(sagas.map(|kind| column::word(&kind))))
            .filter(operations::Column::FinishedAt.is_null())
            .order_by_asc(operations::Column::Id);
        select.all(&self.0.read).await?.into_iter().map(Operation::try_from).collect()
    }

    /// Writes how far an operation is.
    ///
    /// # Errors
    /// `Stale` if it is over, or if the database fails.
    #[tracing::instrument(name = "db.operation.progress", skip_all)]
    pub async fn operation_progress(&self, operation: &Operation) -> Result<(), StoreError> {
        in_txn!(self, |txn| write_in_txn(&mut txn, operation))
    }
}

/// Asks for an operation to be undone; the first time counts.
pub(crate) async fn cancel_in_txn(txn: &mut Txn, id: OperationId) -> Result<Operation, StoreError> {
    let row = operations::Entity::find_by_id(id.uuid()).one(&txn.db).await?;
    let row = row.ok_or(StoreError::NotFound)?;
    if row.cancel_requested_at.is_some() {
        return row.try_into();
    }
    let at = Some(txn.at());
    let change = operations::ActiveModel { cancel_requested_at: Set(at), ..Default::default() };
    let updated = operations::Entity::update_many()
        .set(change)
        .filter(operations::Column::Id.eq(row.id))
        .filter(operations::Column::FinishedAt.is_null())
        .exec(&txn.db)
        .await?;
    if updated.rows_affected != 1 {
        return Err(StoreError::Stale);
    }
    txn.changed(Change::Operation(id));
    operations::Model { cancel_requested_at: at, ..row }.try_into()
}

pub(crate) async fn open_row(
    db: &impl ConnectionTrait,
    tenant: TenantId,
) -> Result<Option<operations::Model>, StoreError> {
    let select = operations::Entity::find()
        .filter(operations::Column::Tenant.eq(tenant.uuid()))
        .filter(operations::Column::Node.is_null())
        .filter(operations::Column::FinishedAt.is_null());
    Ok(select.one(db).await?)
}

/// The operation about a node that is not over.
pub(crate) async fn open_of_node(
    db: &impl ConnectionTrait,
    node: NodeId,
) -> Result<Option<Operation>, StoreError> {
    let select = operations::Entity::find()
        .filter(operations::Column::Node.eq(node.uuid()))
        .filter(operations::Column::FinishedAt.is_null());
    select.one(db).await?.map(Operation::try_from).transpose()
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
    about: About,
) -> Result<Operation, StoreError> {
    let id = OperationId::new(txn.store.ids.uuid());
    begin_as_in_txn(txn, id, kind, tenant, about).await
}

/// Begins an operation whose id was chosen before.
pub(crate) async fn begin_as_in_txn(
    txn: &mut Txn,
    id: OperationId,
    kind: OperationKind,
    tenant: TenantId,
    about: About,
) -> Result<Operation, StoreError> {
    let mut steps: Vec<Step> = step_names(kind).iter().copied().map(Step::waiting).collect();
    if kind == OperationKind::TenantCreate && about == About::TenantWithNodes {
        steps.insert(AFTER_BASELINE, Step::waiting("nodes"));
    }
    let row = operations::Model {
        id: id.uuid(),
        kind: column::word(&kind),
        tenant: tenant.uuid(),
        state: column::word(&OperationState::Waiting),
        steps: column::json(&steps),
        problem: None,
        created_at: txn.at(),
        deadline: txn.later(patience(kind)),
        finished_at: None,
        node: match about {
            About::Tenant | About::TenantWithNodes => None,
            About::Node(node) => Some(node.uuid()),
        },
        cancel_requested_at: None,
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
    if operation.kind == OperationKind::PlanChange {
        plan_batch::ended_in_txn(txn, &operation).await?;
    }
    Ok(operation)
}

impl TryFrom<operations::Model> for Operation {
    type Error = StoreError;

    fn try_from(row: operations::Model) -> Result<Self, StoreError> {
        Ok(Self {
            id: OperationId::new(row.id),
            kind: column::to_word("operations.kind", &row.kind)?,
            tenant: TenantId::new(row.tenant),
            node: row.node.map(NodeId::new),
            state: column::to_word("operations.state", &row.state)?,
            steps: column::to_json("operations.steps", &row.steps)?,
            problem: column::to_optional_json("operations.problem", row.problem.as_deref())?,
            created_at: column::to_time("operations.created_at", row.created_at)?,
            deadline: column::to_time("operations.deadline", row.deadline)?,
            finished_at: column::to_optional_time("operations.finished_at", row.finished_at)?,
            cancel_requested_at: column::to_optional_time(
                "operations.cancel_requested_at",
                row.cancel_requested_at,
            )?,
        })
    }
}
