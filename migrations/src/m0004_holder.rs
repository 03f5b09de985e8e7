use crate::dialect::Statements;

/// Which process has the record.
pub(crate) const MIGRATION: Statements = Statements { name: "m0004_holder", up: UP, down: DOWN };

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
