use crate::dialect::Statements;

/// Runs that are ended because their node is emptied.
pub(crate) const MIGRATION: Statements = Statements { name: "m0013_drains", up: UP, down: DOWN };

// The order to end a run: since when, by which operation, how.
const UP: &[&str] = &["ALTER TABLE runs ADD COLUMN drain TEXT"];

const DOWN: &[&str] = &["ALTER TABLE runs DROP COLUMN drain"];
