use crate::dialect::Statements;

/// What sessions left is kept for a time.
pub(crate) const MIGRATION: Statements = Statements { name: "m0006_retention", up: UP, down: DOWN };

const UP: &[&str] = &[
    // From then on it is not there for anybody; its objects and their index go after that.
    "ALTER TABLE sessions ADD COLUMN log_removed_at {int}",
    "ALTER TABLE sessions ADD COLUMN files_removed_at {int}",
    // Whether something of what was removed may still be there.
    "ALTER TABLE sessions ADD COLUMN is_removing {bool} NOT NULL DEFAULT FALSE",
    "CREATE INDEX sessions_removing ON sessions (id) WHERE is_removing",
    "CREATE INDEX sessions_log_kept ON sessions (finished_at)
        WHERE finished_at IS NOT NULL AND run IS NOT NULL AND log_removed_at IS NULL",
    "CREATE INDEX sessions_files_kept ON sessions (finished_at)
        WHERE finished_at IS NOT NULL AND run IS NOT NULL AND files_removed_at IS NULL",
];

const DOWN: &[&str] = &[
    "DROP INDEX sessions_files_kept",
    "DROP INDEX sessions_log_kept",
    "DROP INDEX sessions_removing",
    "ALTER TABLE sessions DROP COLUMN is_removing",
    "ALTER TABLE sessions DROP COLUMN files_removed_at",
    "ALTER TABLE sessions DROP COLUMN log_removed_at",
];
