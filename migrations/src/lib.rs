//! Numbered changes of the record's schema, the same for SQLite and PostgreSQL.
//!
//! A migration expands; backfills and contractions come in later releases. What is applied is never
//! edited. All pending migrations run in the transaction that the caller gives.

mod dialect;
mod m0001_tenants;
mod m0002_sessions;
mod m0003_upkeep;
mod m0004_holder;
mod m0005_attempts;
mod m0006_retention;
mod m0007_log_limit;
mod m0008_nodes;
mod m0009_plan_changes;
mod m0010_orphans;
mod m0011_node_power;
mod m0012_plan_batches;
mod m0013_drains;
mod m0014_operation_kinds;
mod m0015_replacements;
mod m0016_people;
mod m0017_audit_chain;

pub use sea_orm_migration::MigratorTrait;
use sea_orm_migration::{
    DbErr, MigrationTrait, async_trait::async_trait, sea_orm::DatabaseTransaction,
};

/// Every migration, oldest first.
#[derive(Debug)]
pub struct Migrator;

#[async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m0001_tenants::MIGRATION),
            Box::new(m0002_sessions::MIGRATION),
            Box::new(m0003_upkeep::MIGRATION),
            Box::new(m0004_holder::MIGRATION),
            Box::new(m0005_attempts::MIGRATION),
            Box::new(m0006_retention::MIGRATION),
            Box::new(m0007_log_limit::MIGRATION),
            Box::new(m0008_nodes::MIGRATION),
            Box::new(m0009_plan_changes::MIGRATION),
            Box::new(m0010_orphans::MIGRATION),
            Box::new(m0011_node_power::MIGRATION),
            Box::new(m0012_plan_batches::MIGRATION),
            Box::new(m0013_drains::MIGRATION),
            Box::new(m0014_operation_kinds::MIGRATION),
            Box::new(m0015_replacements::MIGRATION),
            Box::new(m0016_people::MIGRATION),
            Box::new(m0017_audit_chain::MIGRATION),
        ]
    }
}

/// Brings the schema to the newest version, inside `txn`: all of it or nothing.
///
/// # Errors
/// If a statement is refused, or the database was written by a newer release.
pub async fn migrate(txn: &DatabaseTransaction) -> Result<(), DbErr> {
    Migrator::up(txn, None).await
}
