use crate::{Store, StoreError, column, entity::runs};
use domain::{Run, TenantId};
use jiff::Timestamp;
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

impl Store {
    /// The tenants with runs that were over after `since`, of which it is not proven that nothing
    /// runs any more.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.run.unproven_tenants", skip_all)]
    pub async fn runs_unproven_tenants(
        &self,
        since: Timestamp,
    ) -> Result<Vec<TenantId>, StoreError> {
        let select = runs::Entity::find()
            .select_only()
            .column(runs::Column::Tenant)
            .distinct()
            .filter(unproven(since))
            .order_by_asc(runs::Column::Tenant);
        let ids = select.into_tuple().all(&self.0.read).await?;
        Ok(ids.into_iter().map(TenantId::new).collect())
    }

    /// Those runs of one tenant.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.run.unproven", skip_all)]
    pub async fn runs_unproven(
        &self,
        tenant: TenantId,
        since: Timestamp,
    ) -> Result<Vec<Run>, StoreError> {
        let select = runs::Entity::find()
            .filter(unproven(since))
            .filter(runs::Column::Tenant.eq(tenant.uuid()))
            .order_by_asc(runs::Column::Id);
        select.all(&self.0.read).await?.into_iter().map(Run::try_from).collect()
    }
}

fn unproven(since: Timestamp) -> Condition {
    Condition::all()
        .add(runs::Column::EndedAt.gte(column::time(since)))
        .add(runs::Column::SettledAt.is_null())
}
