use crate::dialect::Statements;

/// How much of a session's log is kept, and how much is not.
pub(crate) const MIGRATION: Statements = Statements { name: "m0007_log_limit", up: UP, down: DOWN };

const UP: &[&str] = &[
    // The text of its log, line ends included, and that of the runs before it. What runs wrote before
    // this migration is not counted.
    "ALTER TABLE runs ADD COLUMN log_bytes {int} NOT NULL DEFAULT 0",
    "ALTER TABLE runs ADD COLUMN log_bytes_before {int} NOT NULL DEFAULT 0",
    // When its log had no room for a line.
    "ALTER TABLE runs ADD COLUMN log_full_at {int}",
    // Lines that its runner gave up, as it tells them.
    "ALTER TABLE runs ADD COLUMN log_missing_lines {int} NOT NULL DEFAULT 0",
];

const DOWN: &[&str] = &[
    "ALTER TABLE runs DROP COLUMN log_missing_lines",
    "ALTER TABLE runs DROP COLUMN log_full_at",
    "ALTER TABLE runs DROP COLUMN log_bytes_before",
    "ALTER TABLE runs DROP COLUMN log_bytes",
];
