use crate::dialect::Statements;

/// What is left over on Proxmox VE and in the host cluster, and when it was looked for.
pub(crate) const MIGRATION: Statements = Statements { name: "m0010_orphans", up: UP, down: DOWN };

const UP: &[&str] = &[
    // What was seen once is here too; it is reported when a later look still sees it.
    "CREATE TABLE orphans (
        id {id} NOT NULL PRIMARY KEY,
        key TEXT NOT NULL,
        area TEXT NOT NULL,
        kind TEXT NOT NULL,
        name TEXT NOT NULL,
        vm {int},
        place TEXT,
        storage TEXT,
        namespace TEXT,
        uid TEXT,
        size {int},
        proof TEXT NOT NULL,
        reason TEXT NOT NULL,
        node {id},
        state TEXT NOT NULL,
        cause TEXT,
        first_seen_at {int} NOT NULL,
        last_seen_at {int} NOT NULL,
        reported_at {int},
        asked_at {int},
        ended_at {int},
        CHECK (asked_at IS NULL OR reported_at IS NOT NULL)
    ) {strict}",
    "CREATE UNIQUE INDEX orphans_key ON orphans (key) WHERE ended_at IS NULL",
    "CREATE INDEX orphans_asked ON orphans (id) WHERE state IN ('asked', 'removing')",
    "CREATE TABLE swept_areas (
        area TEXT NOT NULL PRIMARY KEY,
        at {int} NOT NULL,
        obstacle TEXT
    ) {strict}",
    // Released nodes are found by what is left of them.
    "CREATE INDEX nodes_every_vm ON nodes (vm) WHERE vm IS NOT NULL",
];

const DOWN: &[&str] =
    &["DROP INDEX nodes_every_vm", "DROP TABLE swept_areas", "DROP TABLE orphans"];
