use crate::dialect::Statements;

/// Changes of plan of many tenants, and such that begin later.
pub(crate) const MIGRATION: Statements =
    Statements { name: "m0012_plan_batches", up: UP, down: DOWN };

const UP: &[&str] = &[
    // The tenant is that of a change that its own people planned; a batch of operators has none.
    "CREATE TABLE plan_batches (
        id {id} NOT NULL PRIMARY KEY,
        tenant {id} REFERENCES tenants (id),
        name TEXT,
        to_plan TEXT NOT NULL,
        to_nodes {int} NOT NULL,
        sessions TEXT NOT NULL,
        preview TEXT,
        max_parallel {int} NOT NULL,
        stop_on_failure {bool} NOT NULL,
        start_at {int},
        token {id} NOT NULL,
        request_id TEXT NOT NULL,
        revision {int} NOT NULL,
        created_at {int} NOT NULL,
        paused_at {int},
        cancelled_at {int},
        finished_at {int}
    ) {strict}",
    "CREATE INDEX plan_batches_open ON plan_batches (id) WHERE finished_at IS NULL",
    // An operation's id is chosen with the line; there is no such operation before the line begins.
    "CREATE TABLE plan_batch_lines (
        batch {id} NOT NULL REFERENCES plan_batches (id),
        position {int} NOT NULL,
        tenant {id} NOT NULL REFERENCES tenants (id),
        state TEXT NOT NULL,
        operation {id} NOT NULL,
        problem TEXT,
        busy_until {int},
        started_at {int},
        finished_at {int},
        PRIMARY KEY (batch, position)
    ) {strict}",
    // A tenant waits once; and its lines that never began stand beside its changes.
    "CREATE UNIQUE INDEX plan_batch_lines_waiting ON plan_batch_lines (tenant) WHERE state = 'waiting'",
    "CREATE UNIQUE INDEX plan_batch_lines_operation ON plan_batch_lines (operation)",
    "CREATE INDEX plan_batch_lines_unbegun ON plan_batch_lines (tenant, operation) WHERE started_at IS NULL",
    "CREATE INDEX plan_batch_lines_open ON plan_batch_lines (state) WHERE state IN ('waiting', 'running')",
];

const DOWN: &[&str] = &["DROP TABLE plan_batch_lines", "DROP TABLE plan_batches"];
