use crate::dialect::Statements;

/// The latest operations of a kind are found quickly: how long those took is shown with the next.
pub(crate) const MIGRATION: Statements =
    Statements { name: "m0014_operation_kinds", up: UP, down: DOWN };

const UP: &[&str] = &["CREATE INDEX operations_kind ON operations (kind, state, id)"];

const DOWN: &[&str] = &["DROP INDEX operations_kind"];
