use crate::dialect;
use sea_orm_migration::{
    MigrationName, MigrationTrait, SchemaManager, async_trait::async_trait, sea_orm::DbErr,
};

/// Which process has the record.
pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0004_holder"
    }
}

const UP: &[&str] = &[
    // One row. Every process that takes the record over counts the epoch up; whoever has an older
    // one cannot write any more.
    "CREATE TABLE holder (
        role TEXT NOT NULL PRIMARY KEY,
        epoch {int} NOT NULL,
        name TEXT NOT NULL,
        since {int} NOT NULL
    ) {strict}",
];

const DOWN: &[&str] = &["DROP TABLE holder"];

#[async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        dialect::run(manager, UP).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        dialect::run(manager, DOWN).await
    }
}
