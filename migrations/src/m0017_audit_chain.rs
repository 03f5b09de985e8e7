use crate::dialect::Statements;

/// The audit log's chain: each entry gets a number and a seal over itself and all before it, shortly after it was
/// written. Entries from before are sealed as they are found.
pub(crate) const MIGRATION: Statements =
    Statements { name: "m0017_audit_chain", up: UP, down: DOWN };

const UP: &[&str] = &[
    "ALTER TABLE audit ADD COLUMN sequence {int}",
    // The seal of the entry before.
    "ALTER TABLE audit ADD COLUMN previous {bytes}",
    "ALTER TABLE audit ADD COLUMN seal {bytes}",
    "CREATE UNIQUE INDEX audit_sequence ON audit (sequence)",
    "CREATE INDEX audit_unsealed ON audit (id) WHERE sequence IS NULL",
    "CREATE INDEX audit_organisation ON audit (organisation, id)",
    // One row: the last entry, so that one that is cut off at the end is missed.
    "CREATE TABLE audit_chain (
        id {int} NOT NULL PRIMARY KEY CHECK (id = 1),
        sequence {int} NOT NULL,
        seal {bytes} NOT NULL
    ) {strict}",
];

const DOWN: &[&str] = &[
    "DROP TABLE audit_chain",
    "DROP INDEX audit_organisation",
    "DROP INDEX audit_unsealed",
    "DROP INDEX audit_sequence",
    "ALTER TABLE audit DROP COLUMN seal",
    "ALTER TABLE audit DROP COLUMN previous",
    "ALTER TABLE audit DROP COLUMN sequence",
];
