//! How much there is of everything, counted by the database.

use crate::{Store, StoreError, column};
use domain::{OperationKind, PlanBatchLineState, SessionState, TenantPhase};
use sea_orm::{ConnectionTrait, Statement};
use serde::de::DeserializeOwned;

/// A tenant's phase as `Tenant::phase` derives it.
const TENANTS: &str = "SELECT CASE
        WHEN deletion_requested_at IS NOT NULL THEN 'deleting'
        WHEN is_ready THEN 'ready'
        WHEN was_ready THEN 'degraded'
        WHEN conditions <> '[]' THEN 'provisioning'
        ELSE 'pending' END AS word, count(*) AS count
    FROM tenants WHERE deleted_at IS NULL GROUP BY 1";
const SESSIONS: &str = "SELECT state AS word, count(*) AS count
    FROM sessions WHERE finished_at IS NULL GROUP BY state";
const OPERATIONS: &str = "SELECT kind AS word, count(*) AS count
    FROM operations WHERE finished_at IS NULL GROUP BY kind";
const LINES: &str = "SELECT state AS word, count(*) AS count
    FROM plan_batch_lines WHERE state IN ('waiting', 'running') GROUP BY state";

impl Store {
    /// How many tenants that are not deleted are in each phase; phases without any are left out.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.tenant.count", skip_all)]
    pub async fn tenant_count(&self) -> Result<Vec<(TenantPhase, u64)>, StoreError> {
        self.count("tenants.phase", TENANTS).await
    }

    /// How many sessions that are not over are in each state; states without any are left out.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.session.count", skip_all)]
    pub async fn session_count(&self) -> Result<Vec<(SessionState, u64)>, StoreError> {
        self.count("sessions.state", SESSIONS).await
    }

    /// How many operations of each kind are not over; kinds without any are left out.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.operation.count", skip_all)]
    pub async fn operation_count(&self) -> Result<Vec<(OperationKind, u64)>, StoreError> {
        self.count("operations.kind", OPERATIONS).await
    }

    /// How many lines of batches are in each state that is not final; states without any are left out.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.plan_batch.count", skip_all)]
    pub async fn plan_batch_line_count(
        &self,
    ) -> Result<Vec<(PlanBatchLineState, u64)>, StoreError> {
        self.count("plan_batch_lines.state", LINES).await
    }

    async fn count<T: DeserializeOwned>(
        &self,
        column: &'static str,
        sql: &str,
    ) -> Result<Vec<(T, u64)>, StoreError> {
        let statement = Statement::from_string(self.0.read.get_database_backend(), sql);
        let mut counts = Vec::new();
        for row in self.0.read.query_all_raw(statement).await? {
            let word: String = row.try_get("", "word")?;
            let count = column::to_count(column, row.try_get("", "count")?)?;
            counts.push((column::to_word::<T>(column, &word)?, count));
        }
        Ok(counts)
    }
}
