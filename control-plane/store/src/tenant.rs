use crate::{
    Change, Created, IdempotencyKey, Store, StoreError, column,
    entity::tenants,
    error::write_error,
    idempotency::Known,
    operation::{self, About},
    organisation, plan_batch,
    txn::{Txn, in_txn},
};
use domain::{
    Authorized, ClusterName, CreateTenant, DeleteTenant, Generation, Operation, OperationKind,
    Organisation, OrganisationId, PlanName, Problem, Scope, Shift, Subscription, Tenant, TenantId,
    TenantName, Within,
};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, IntoActiveModel, PaginatorTrait,
    QueryFilter, QueryOrder, QuerySelect, Select, Set,
};

mod erase;
mod keys;
mod remove;
mod report;

pub use erase::RemovedTenant;
pub use report::TenantReport;

/// Why a tenant was not made.
#[derive(Debug, thiserror::Error)]
pub enum TenantCreateError {
    /// Another tenant has the name.
    #[error("the name is taken")]
    NameTaken,
    /// The organisation has as many tenants as it may have.
    #[error("{} may have {} tenants", .0.name, .0.max_tenants)]
    TooMany(Organisation),
    /// The idempotency key stands for another request.
    #[error("the idempotency key was used for another request")]
    IdempotencyMismatch,
    /// The record failed.
    #[error("write the tenant")]
    Store(#[from] StoreError),
}

write_error!(TenantCreateError);

impl Store {
    /// Makes a tenant with its create operation.
    ///
    /// # Errors
    /// If the name is taken, the key stands for another request, or the database fails.
    #[tracing::instrument(name = "db.tenant.create", skip_all)]
    pub async fn tenant_create(
        &self,
        proof: &Authorized<CreateTenant>,
        name: TenantName,
        plan: PlanName,
        nodes: u32,
        key: Option<&IdempotencyKey>,
    ) -> Result<Created<(Tenant, Operation)>, TenantCreateError> {
        in_txn!(self, |txn| create_in_txn(&mut txn, proof, &name, (plan, nodes), key))
    }

    /// A tenant that is not deleted.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.tenant.get", skip_all)]
    pub async fn tenant_get(&self, id: TenantId) -> Result<Option<Tenant>, StoreError> {
        let row = existing_by_id(id).one(&self.0.read).await?;
        row.map(Tenant::try_from).transpose()
    }

    /// The tenant that has a name now.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.tenant.by_name", skip_all)]
    pub async fn tenant_by_name(&self, name: &TenantName) -> Result<Option<Tenant>, StoreError> {
        let row = named(&self.0.read, name).await?;
        row.map(Tenant::try_from).transpose()
    }

    /// At most `limit` tenants that are not deleted, by identifier, starting after `after`.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.tenant.list", skip_all)]
    pub async fn tenant_list(
        &self,
        after: Option<TenantId>,
        limit: u64,
    ) -> Result<Vec<Tenant>, StoreError> {
        let mut select = existing();
        if let Some(after) = after {
            select = select.filter(tenants::Column::Id.gt(after.uuid()));
        }
        let select = select.order_by_asc(tenants::Column::Id).limit(limit);
        select.all(&self.0.read).await?.into_iter().map(Tenant::try_from).collect()
    }

    /// At most `limit` tenants that are not deleted and that somebody's roles reach, by identifier, starting after
    /// `after`.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.tenant.list_within", skip_all)]
    pub async fn tenant_list_within(
        &self,
        reach: &[Within],
        after: Option<TenantId>,
        limit: u64,
    ) -> Result<Vec<Tenant>, StoreError> {
        if reach.contains(&Within::Platform) {
            return self.tenant_list(after, limit).await;
        }
        let reached = reach.iter().fold(Condition::any(), |any, within| match within {
            Within::Platform => any,
            Within::Organisation(id) => any.add(tenants::Column::Organisation.eq(id.uuid())),
            Within::Tenant(id) => any.add(tenants::Column::Id.eq(id.uuid())),
        });
        if reached.is_empty() {
            return Ok(Vec::new());
        }
        let mut select = existing().filter(reached);
        if let Some(after) = after {
            select = select.filter(tenants::Column::Id.gt(after.uuid()));
        }
        let select = select.order_by_asc(tenants::Column::Id).limit(limit);
        select.all(&self.0.read).await?.into_iter().map(Tenant::try_from).collect()
    }

    /// Whose a tenant is or was: also of one that is deleted.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.tenant.scope", skip_all)]
    pub async fn tenant_scope(&self, id: TenantId) -> Result<Scope, StoreError> {
        let row = tenants::Entity::find_by_id(id.uuid()).one(&self.0.read).await?;
        let organisation = row.and_then(|row| row.organisation).map(OrganisationId::new);
        Ok(Scope::Tenant { id, organisation })
    }

    /// Tenants that are not ready, whatever the reason, by identifier.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.tenant.unready", skip_all)]
    pub async fn tenant_unready(&self, limit: u64) -> Result<Vec<Tenant>, StoreError> {
        let select = existing()
            .filter(tenants::Column::IsReady.eq(false))
            .order_by_asc(tenants::Column::Id)
            .limit(limit);
        select.all(&self.0.read).await?.into_iter().map(Tenant::try_from).collect()
    }

    /// Every tenant that exists: what the provisioner looks at when it starts.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.tenant.unsettled", skip_all)]
    pub async fn tenant_unsettled(&self) -> Result<Vec<TenantId>, StoreError> {
        let select = existing().select_only().column(tenants::Column::Id);
        let ids = select.order_by_asc(tenants::Column::Id).into_tuple().all(&self.0.read).await?;
        Ok(ids.into_iter().map(TenantId::new).collect())
    }

    /// Asks for a tenant's deletion, once; a create operation on its way is superseded. Returns the
    /// delete operation, also when it was asked for before. Force-clean may be added later, and is
    /// never taken back.
    ///
    /// # Errors
    /// If there is no such tenant, the proof is for another one, or the database fails.
    #[tracing::instrument(name = "db.tenant.delete", skip_all)]
    pub async fn tenant_delete(
        &self,
        proof: &Authorized<DeleteTenant>,
        id: TenantId,
        is_force_clean: bool,
    ) -> Result<Operation, StoreError> {
        if proof.tenant() != Some(id) {
            return Err(StoreError::NotFound);
        }
        in_txn!(self, |txn| delete_in_txn(&mut txn, proof, id, is_force_clean))
    }
}

async fn create_in_txn(
    txn: &mut Txn,
    proof: &Authorized<CreateTenant>,
    name: &TenantName,
    (plan, nodes): (PlanName, u32),
    key: Option<&IdempotencyKey>,
) -> Result<Created<(Tenant, Operation)>, TenantCreateError> {
    const KIND: &str = "tenant.create";
    if let Some(key) = key {
        match key.look_up_in_txn(txn, KIND).await? {
            Known::Nothing => {}
            Known::Same(tenant) => return replay(txn, TenantId::new(tenant)).await,
            Known::Other => return Err(TenantCreateError::IdempotencyMismatch),
        }
    }
    if named(&txn.db, name).await?.is_some() {
        return Err(TenantCreateError::NameTaken);
    }
    if let Some(id) = proof.organisation() {
        let organisation = organisation::for_update(txn, id).await?;
        let tenants = existing().filter(tenants::Column::Organisation.eq(id.uuid()));
        if tenants.count(&txn.db).await? >= u64::from(organisation.max_tenants) {
            return Err(TenantCreateError::TooMany(organisation));
        }
    }
    let id = TenantId::new(txn.store.ids.uuid());
    let row = tenants::Model {
        id: id.uuid(),
        name: name.as_str().to_owned(),
        plan: plan.as_str().to_owned(),
        cluster: ClusterName::from_random(txn.store.ids.secret()).as_str().to_owned(),
        generation: 1,
        observed_generation: 0,
        conditions: column::json(&domain::Conditions::default()),
        usage: None,
        was_ready: false,
        is_force_clean: false,
        keys: None,
        keys_key: None,
        created_at: txn.at(),
        deletion_requested_at: None,
        deleted_at: None,
        is_ready: false,
        erased_at: None,
        nodes: i64::from(nodes),
        next_plan: None,
        next_nodes: 0,
        is_placed: false,
        organisation: proof.organisation().map(OrganisationId::uuid),
    };
    tenants::Entity::insert(row.clone().into_active_model())
        .exec_without_returning(&txn.db)
        .await?;
    txn.changed(Change::Tenant(id));
    let about = if nodes > 0 { About::TenantWithNodes } else { About::Tenant };
    let operation = operation::begin_in_txn(txn, OperationKind::TenantCreate, id, about).await?;
    if let Some(key) = key {
        key.keep_in_txn(txn, KIND, id.uuid()).await?;
    }
    txn.audit(Some(proof.actor()), KIND, Some(id), id.to_string()).await?;
    Ok(Created::new((Tenant::try_from(row)?, operation)))
}

/// What the first request made, as it is now; even if it is deleted by now.
async fn replay(
    txn: &Txn,
    id: TenantId,
) -> Result<Created<(Tenant, Operation)>, TenantCreateError> {
    let row = tenants::Entity::find_by_id(id.uuid()).one(&txn.db).await?;
    let tenant = Tenant::try_from(row.ok_or(StoreError::NotFound)?)?;
    let operation = operation::newest(&txn.db, id, OperationKind::TenantCreate).await?;
    Ok(Created::replay((tenant, operation.ok_or(StoreError::NotFound)?)))
}

async fn delete_in_txn(
    txn: &mut Txn,
    proof: &Authorized<DeleteTenant>,
    id: TenantId,
    is_force_clean: bool,
) -> Result<Operation, StoreError> {
    let row = existing_for_update(&txn.db, id).await?;
    let open = operation::open_row(&txn.db, id).await?.map(Operation::try_from).transpose()?;
    let operation = match (row.deletion_requested_at, open) {
        (Some(_), Some(operation)) => {
            if row.is_force_clean || !is_force_clean {
                return Ok(operation);
            }
            operation
        }
        (Some(_), None) => {
            let missing = "a tenant on its way out has no delete operation";
            return Err(StoreError::corrupt("operations.tenant", missing));
        }
        (None, open) => {
            if let Some(open) = open {
                operation::end_in_txn(txn, open, None, Some(superseded())).await?;
            }
            plan_batch::tenant_leaves_in_txn(txn, id).await?;
            let kind = OperationKind::TenantDelete;
            operation::begin_in_txn(txn, kind, id, About::Tenant).await?
        }
    };
    let change = tenants::ActiveModel {
        generation: Set(row.generation + 1),
        deletion_requested_at: Set(row.deletion_requested_at.or(Some(txn.at()))),
        is_force_clean: Set(row.is_force_clean || is_force_clean),
        ..Default::default()
    };
    update_in_txn(txn, &row, change).await?;
    let action = if is_force_clean { "tenant.delete.force" } else { "tenant.delete" };
    txn.audit(Some(proof.actor()), action, Some(id), id.to_string()).await?;
    Ok(operation)
}

/// What an operation ends with whose tenant was to be deleted.
pub(crate) const SUPERSEDED: &str = "superseded";

fn superseded() -> Problem {
    Problem {
        code: SUPERSEDED.to_owned(),
        detail: "the tenant's deletion was asked for before this was done".to_owned(),
        hint: "nothing is to be done; the delete operation goes on".to_owned(),
    }
}

/// Tenants that are not deleted.
fn existing() -> Select<tenants::Entity> {
    tenants::Entity::find().filter(tenants::Column::DeletedAt.is_null())
}

pub(crate) fn existing_by_id(id: TenantId) -> Select<tenants::Entity> {
    existing().filter(tenants::Column::Id.eq(id.uuid()))
}

async fn named(
    db: &impl ConnectionTrait,
    name: &TenantName,
) -> Result<Option<tenants::Model>, StoreError> {
    Ok(existing().filter(tenants::Column::Name.eq(name.as_str())).one(db).await?)
}

/// A tenant that is not deleted; nobody else changes it before the transaction ends.
pub(crate) async fn existing_for_update(
    db: &impl ConnectionTrait,
    id: TenantId,
) -> Result<tenants::Model, StoreError> {
    let select = existing_by_id(id).lock_exclusive();
    select.one(db).await?.ok_or(StoreError::NotFound)
}

/// Writes a change that was decided from `row`.
pub(crate) async fn update_in_txn(
    txn: &mut Txn,
    row: &tenants::Model,
    change: tenants::ActiveModel,
) -> Result<(), StoreError> {
    let updated = tenants::Entity::update_many()
        .set(change)
        .filter(tenants::Column::Id.eq(row.id))
        .filter(tenants::Column::Generation.eq(row.generation))
        .filter(tenants::Column::DeletedAt.is_null())
        .exec(&txn.db)
        .await?;
    if updated.rows_affected != 1 {
        return Err(StoreError::Stale);
    }
    txn.changed(Change::Tenant(TenantId::new(row.id)));
    Ok(())
}

fn shift(plan: &str, row: &tenants::Model) -> Result<Shift, StoreError> {
    let plan = column::to_word("tenants.next_plan", plan)?;
    let to = Subscription { plan, nodes: nodes(row.next_nodes)? };
    Ok(Shift { to, is_placed: row.is_placed })
}

fn nodes(count: i64) -> Result<u32, StoreError> {
    u32::try_from(count).map_err(|error| StoreError::corrupt("tenants.nodes", error))
}

impl TryFrom<tenants::Model> for Tenant {
    type Error = StoreError;

    fn try_from(row: tenants::Model) -> Result<Self, StoreError> {
        let name = TenantName::parse("/name", &row.name);
        let deletion = row.deletion_requested_at;
        Ok(Self {
            id: TenantId::new(row.id),
            name: name.map_err(|error| StoreError::corrupt("tenants.name", error))?,
            organisation: row.organisation.map(OrganisationId::new),
            plan: column::to_word("tenants.plan", &row.plan)?,
            nodes: nodes(row.nodes)?,
            shift: row.next_plan.as_deref().map(|plan| shift(plan, &row)).transpose()?,
            cluster: ClusterName::stored(row.cluster),
            generation: Generation(row.generation),
            observed_generation: Generation(row.observed_generation),
            conditions: column::to_json("tenants.conditions", &row.conditions)?,
            usage: column::to_optional_json("tenants.usage", row.usage.as_deref())?,
            was_ready: row.was_ready,
            created_at: column::to_time("tenants.created_at", row.created_at)?,
            deletion_requested_at: column::to_optional_time("tenants.deletion", deletion)?,
            is_force_clean: row.is_force_clean,
        })
    }
}
