use crate::dialect::Statements;

/// Tenants' own nodes: machines on Proxmox VE that are nodes of the host cluster.
pub(crate) const MIGRATION: Statements = Statements { name: "m0008_nodes", up: UP, down: DOWN };

const UP: &[&str] = &[
    // How many nodes of its own a tenant pays for; none on a shared plan.
    "ALTER TABLE tenants ADD COLUMN nodes {int} NOT NULL DEFAULT 0",
    // A released node's row stays, so that its name is never used again.
    "CREATE TABLE nodes (
        id {id} NOT NULL PRIMARY KEY,
        tenant {id} NOT NULL REFERENCES tenants (id),
        shape TEXT NOT NULL,
        name TEXT NOT NULL UNIQUE,
        mark TEXT NOT NULL UNIQUE,
        machine {id} NOT NULL UNIQUE,
        hardware_address TEXT NOT NULL,
        place TEXT,
        vm {int},
        address TEXT,
        secrets {bytes},
        secrets_key TEXT,
        created_at {int} NOT NULL,
        ready_at {int},
        release_requested_at {int},
        released_at {int},
        CHECK ((secrets IS NULL) = (secrets_key IS NULL)),
        CHECK (released_at IS NULL OR secrets IS NULL)
    ) {strict}",
    "CREATE INDEX nodes_tenant ON nodes (tenant, id)",
    "CREATE INDEX nodes_open ON nodes (id) WHERE released_at IS NULL",
    "CREATE UNIQUE INDEX nodes_vm ON nodes (vm) WHERE released_at IS NULL AND vm IS NOT NULL",
    "CREATE UNIQUE INDEX nodes_address ON nodes (address)
        WHERE released_at IS NULL AND address IS NOT NULL",
    // Numbers of machines that are left alone for a while: given back, or somebody else's.
    "CREATE TABLE resting_vms (
        vm {int} NOT NULL PRIMARY KEY,
        until {int} NOT NULL,
        reason TEXT NOT NULL
    ) {strict}",
    // What is done about a node is an operation of its own, beside that of its tenant.
    "ALTER TABLE operations ADD COLUMN node {id}",
    "ALTER TABLE operations ADD COLUMN cancel_requested_at {int}",
    "DROP INDEX operations_open",
    "CREATE UNIQUE INDEX operations_open ON operations (tenant)
        WHERE finished_at IS NULL AND node IS NULL",
    "CREATE UNIQUE INDEX operations_node_open ON operations (node)
        WHERE finished_at IS NULL AND node IS NOT NULL",
];

const DOWN: &[&str] = &[
    "DROP INDEX operations_node_open",
    "DROP INDEX operations_open",
    "DELETE FROM operations WHERE node IS NOT NULL",
    "CREATE UNIQUE INDEX operations_open ON operations (tenant) WHERE finished_at IS NULL",
    "ALTER TABLE operations DROP COLUMN cancel_requested_at",
    "ALTER TABLE operations DROP COLUMN node",
    "DROP TABLE resting_vms",
    "DROP TABLE nodes",
    "ALTER TABLE tenants DROP COLUMN nodes",
];
