use crate::dialect::Statements;

/// What is needed to count without reading rows, and to remove what nobody needs any more.
pub(crate) const MIGRATION: Statements = Statements { name: "m0003_upkeep", up: UP, down: DOWN };

/// `is_ready` repeats what `conditions` say, so that tenants can be counted by phase.
const UP: &[&str] = &[
    "ALTER TABLE tenants ADD COLUMN is_ready {bool} NOT NULL DEFAULT FALSE",
    r#"UPDATE tenants SET is_ready = TRUE
        WHERE conditions LIKE '%"kind":"Ready","status":"True"%'"#,
    // When nothing of a removed tenant was left in the object store, and nothing could still come.
    "ALTER TABLE tenants ADD COLUMN erased_at {int}",
    "CREATE INDEX tenants_unerased ON tenants (id)
        WHERE deleted_at IS NOT NULL AND erased_at IS NULL",
    "CREATE INDEX runs_tenant ON runs (tenant, id)",
    // When an upload was last sent, or named by a session.
    "ALTER TABLE blobs ADD COLUMN needed_at {int} NOT NULL DEFAULT 0",
    "UPDATE blobs SET needed_at = coalesce((SELECT max(sessions.created_at) FROM sessions
        WHERE sessions.tenant = blobs.tenant
        AND sessions.uploads LIKE '%' || blobs.digest || '%'), created_at)",
    // Its bytes are about to go; the row goes after them.
    "ALTER TABLE blobs ADD COLUMN removing_at {int}",
    "CREATE INDEX blobs_needed_at ON blobs (needed_at)",
];

const DOWN: &[&str] = &[
    "DROP INDEX blobs_needed_at",
    "ALTER TABLE blobs DROP COLUMN removing_at",
    "ALTER TABLE blobs DROP COLUMN needed_at",
    "DROP INDEX runs_tenant",
    "DROP INDEX tenants_unerased",
    "ALTER TABLE tenants DROP COLUMN erased_at",
    "ALTER TABLE tenants DROP COLUMN is_ready",
];
