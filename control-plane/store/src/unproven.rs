use crate::{
    Store, StoreError, column,
    entity::{runs, sessions},
};
use domain::TenantId;
use jiff::Timestamp;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait as _};

impl Store {
    /// The tenants with sessions that ended after `since` without a word from their runners: the
    /// record does not prove that the processes of their runs are over.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.run.unproven_tenants", skip_all)]
    pub async fn runs_unproven_tenants(
        &self,
        since: Timestamp,
    ) -> Result<Vec<TenantId>, StoreError> {
        let ended = sessions::Entity::find()
            .select_only()
            .column(sessions::Column::Run)
            .filter(sessions::Column::FinishedAt.gte(column::time(since)))
            .filter(sessions::Column::Run.is_not_null());
        let select = runs::Entity::find()
            .select_only()
            .column(runs::Column::Tenant)
            .distinct()
            .filter(runs::Column::ExitedAt.is_null())
            .filter(runs::Column::Id.in_subquery(ended.into_query()))
            .order_by_asc(runs::Column::Tenant);
        let ids = select.into_tuple().all(&self.0.read).await?;
        Ok(ids.into_iter().map(TenantId::new).collect())
    }
}
