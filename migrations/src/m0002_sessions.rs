use crate::dialect::Statements;

/// Sessions, their runs, and the index of what the runs left in the object store.
pub(crate) const MIGRATION: Statements = Statements { name: "m0002_sessions", up: UP, down: DOWN };

/// Not stored: log lines, results and the bytes of inputs and artifacts. They live in the object
/// store; here is where they are.
const UP: &[&str] = &[
    // `run` refers to runs (id), which refers back; the transaction that sets it makes both.
    // `spec` is encrypted, with all that a caller sent; `uploads` are the digests of the uploads that it
    // names, one after each space, so that they are kept as long as the session needs them.
    "CREATE TABLE sessions (
        id {id} NOT NULL PRIMARY KEY,
        tenant {id} NOT NULL REFERENCES tenants (id),
        project TEXT NOT NULL,
        state TEXT NOT NULL,
        cause TEXT,
        spec {bytes} NOT NULL,
        spec_key TEXT NOT NULL,
        uploads TEXT NOT NULL,
        revision {int} NOT NULL,
        run {id},
        created_at {int} NOT NULL,
        starting_at {int},
        running_at {int},
        stop_requested_at {int},
        finished_at {int},
        CHECK ((finished_at IS NOT NULL)
            = (state IN ('succeeded', 'failed', 'timed-out', 'stopped')))
    ) {strict}",
    "CREATE INDEX sessions_tenant ON sessions (tenant, id)",
    "CREATE INDEX sessions_active ON sessions (tenant, id) WHERE finished_at IS NULL",
    "CREATE TABLE runs (
        id {id} NOT NULL PRIMARY KEY,
        session {id} NOT NULL REFERENCES sessions (id),
        tenant {id} NOT NULL REFERENCES tenants (id),
        attempt {int} NOT NULL,
        token_hash {bytes} NOT NULL UNIQUE,
        created_at {int} NOT NULL,
        job_created_at {int},
        started_at {int},
        heartbeat_at {int},
        exited_at {int},
        exit TEXT,
        usage TEXT,
        next_log_line {int} NOT NULL,
        UNIQUE (session, attempt),
        CHECK ((exited_at IS NULL) = (exit IS NULL))
    ) {strict}",
    "CREATE TABLE log_segments (
        run {id} NOT NULL REFERENCES runs (id),
        first {int} NOT NULL,
        lines {int} NOT NULL,
        bytes {int} NOT NULL,
        path TEXT NOT NULL,
        digest TEXT NOT NULL,
        PRIMARY KEY (run, first),
        CHECK (first > 0 AND lines > 0)
    ) {strict}",
    "CREATE TABLE artifacts (
        run {id} NOT NULL REFERENCES runs (id),
        path TEXT NOT NULL,
        size {int} NOT NULL,
        digest TEXT NOT NULL,
        blob TEXT NOT NULL,
        PRIMARY KEY (run, path)
    ) {strict}",
    "CREATE TABLE blobs (
        tenant {id} NOT NULL REFERENCES tenants (id),
        digest TEXT NOT NULL,
        size {int} NOT NULL,
        created_at {int} NOT NULL,
        PRIMARY KEY (tenant, digest)
    ) {strict}",
];

const DOWN: &[&str] = &[
    "DROP TABLE blobs",
    "DROP TABLE artifacts",
    "DROP TABLE log_segments",
    "DROP TABLE runs",
    "DROP TABLE sessions",
];
