use crate::dialect::Statements;

/// Sessions that are tried again.
pub(crate) const MIGRATION: Statements = Statements { name: "m0005_attempts", up: UP, down: DOWN };

const UP: &[&str] = &[
    // When the next run may begin, after one that failed.
    "ALTER TABLE sessions ADD COLUMN retry_at {int}",
    // What the run may use; runs from before may use what their sessions ask for.
    "ALTER TABLE runs ADD COLUMN resources TEXT",
    // When it was over for the record, why, and when it was proven that nothing of it runs.
    "ALTER TABLE runs ADD COLUMN ended_at {int}",
    "ALTER TABLE runs ADD COLUMN cause TEXT",
    "ALTER TABLE runs ADD COLUMN settled_at {int}",
    "CREATE INDEX runs_unsettled ON runs (tenant, ended_at)
        WHERE ended_at IS NOT NULL AND settled_at IS NULL",
    // How many log lines the runs before it have.
    "ALTER TABLE runs ADD COLUMN lines_before {int} NOT NULL DEFAULT 0",
];

const DOWN: &[&str] = &[
    "DROP INDEX runs_unsettled",
    "ALTER TABLE runs DROP COLUMN lines_before",
    "ALTER TABLE runs DROP COLUMN settled_at",
    "ALTER TABLE runs DROP COLUMN cause",
    "ALTER TABLE runs DROP COLUMN ended_at",
    "ALTER TABLE runs DROP COLUMN resources",
    "ALTER TABLE sessions DROP COLUMN retry_at",
];
