use crate::dialect::Statements;

/// Nodes that another one takes the place of, with the volumes on their disks or without them.
pub(crate) const MIGRATION: Statements =
    Statements { name: "m0015_replacements", up: UP, down: DOWN };

// What becomes of volumes on the node's disk; nothing if nobody asked for another one in its place.
const UP: &[&str] = &["ALTER TABLE nodes ADD COLUMN volumes TEXT"];

const DOWN: &[&str] = &["ALTER TABLE nodes DROP COLUMN volumes"];
