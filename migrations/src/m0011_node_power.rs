use crate::dialect::Statements;

/// Nodes that are switched off and on again on purpose.
pub(crate) const MIGRATION: Statements =
    Statements { name: "m0011_node_power", up: UP, down: DOWN };

// Whether a node's machine is to run, and what is being done about that.
const UP: &[&str] = &["ALTER TABLE nodes ADD COLUMN power TEXT NOT NULL DEFAULT 'on'"];

const DOWN: &[&str] = &[
    "DELETE FROM operations WHERE kind IN ('node-stop', 'node-start', 'node-reboot')",
    "ALTER TABLE nodes DROP COLUMN power",
];
