use crate::dialect::Statements;

/// Tenants, their operations, who may ask, and what was asked.
pub(crate) const MIGRATION: Statements = Statements { name: "m0001_tenants", up: UP, down: DOWN };

/// Times are milliseconds since the epoch, UTC. Lists and structures are JSON texts.
///
/// Not stored: a tenant's phase and a run token's validity (both are derived), tokens (only their
/// SHA-256), anything that Kubernetes knows better.
const UP: &[&str] = &[
    // A deleted tenant's row stays, so that its cluster's name is never used again.
    "CREATE TABLE tenants (
        id {id} NOT NULL PRIMARY KEY,
        name TEXT NOT NULL,
        plan TEXT NOT NULL,
        cluster TEXT NOT NULL UNIQUE,
        generation {int} NOT NULL,
        observed_generation {int} NOT NULL,
        conditions TEXT NOT NULL,
        usage TEXT,
        was_ready {bool} NOT NULL,
        is_force_clean {bool} NOT NULL,
        keys {bytes},
        keys_key TEXT,
        created_at {int} NOT NULL,
        deletion_requested_at {int},
        deleted_at {int},
        CHECK (observed_generation <= generation),
        CHECK ((keys IS NULL) = (keys_key IS NULL)),
        CHECK (deleted_at IS NULL OR (deletion_requested_at IS NOT NULL AND keys IS NULL))
    ) {strict}",
    "CREATE UNIQUE INDEX tenants_name ON tenants (name) WHERE deleted_at IS NULL",
    "CREATE TABLE operations (
        id {id} NOT NULL PRIMARY KEY,
        kind TEXT NOT NULL,
        tenant {id} NOT NULL REFERENCES tenants (id),
        state TEXT NOT NULL,
        steps TEXT NOT NULL,
        problem TEXT,
        created_at {int} NOT NULL,
        deadline {int} NOT NULL,
        finished_at {int},
        CHECK ((finished_at IS NOT NULL) = (state IN ('succeeded', 'failed')))
    ) {strict}",
    "CREATE INDEX operations_tenant ON operations (tenant, id)",
    "CREATE UNIQUE INDEX operations_open ON operations (tenant) WHERE finished_at IS NULL",
    "CREATE TABLE tokens (
        id {id} NOT NULL PRIMARY KEY,
        hash {bytes} NOT NULL UNIQUE,
        role TEXT NOT NULL,
        tenant {id} REFERENCES tenants (id),
        name TEXT NOT NULL,
        is_bootstrap {bool} NOT NULL,
        created_at {int} NOT NULL,
        CHECK ((tenant IS NULL) = (role = 'operator'))
    ) {strict}",
    "CREATE INDEX tokens_tenant ON tokens (tenant)",
    "CREATE UNIQUE INDEX tokens_bootstrap ON tokens (is_bootstrap) WHERE is_bootstrap",
    // Encrypted; the name is part of what is authenticated.
    "CREATE TABLE settings (
        name TEXT NOT NULL PRIMARY KEY,
        value {bytes} NOT NULL,
        value_key TEXT NOT NULL,
        created_at {int} NOT NULL
    ) {strict}",
    "CREATE TABLE idempotency (
        actor {id} NOT NULL,
        key TEXT NOT NULL,
        request_digest {bytes} NOT NULL,
        kind TEXT NOT NULL,
        target {id} NOT NULL,
        created_at {int} NOT NULL,
        PRIMARY KEY (actor, key)
    ) {strict}",
    "CREATE INDEX idempotency_created_at ON idempotency (created_at)",
    // No references: the log outlives what it tells of.
    "CREATE TABLE audit (
        id {id} NOT NULL PRIMARY KEY,
        at {int} NOT NULL,
        token {id},
        role TEXT,
        tenant {id},
        action TEXT NOT NULL,
        target TEXT NOT NULL,
        request_id TEXT NOT NULL
    ) {strict}",
    "CREATE INDEX audit_tenant ON audit (tenant, id)",
    "CREATE TABLE outbox (
        sequence {sequence},
        kind TEXT NOT NULL,
        target {id} NOT NULL,
        at {int} NOT NULL
    ) {strict}",
    "CREATE INDEX outbox_at ON outbox (at)",
];

const DOWN: &[&str] = &[
    "DROP TABLE outbox",
    "DROP TABLE audit",
    "DROP TABLE idempotency",
    "DROP TABLE settings",
    "DROP TABLE tokens",
    "DROP TABLE operations",
    "DROP TABLE tenants",
];
