use crate::dialect::Statements;

/// Changes of a tenant's plan.
pub(crate) const MIGRATION: Statements =
    Statements { name: "m0009_plan_changes", up: UP, down: DOWN };

const UP: &[&str] = &[
    // What a tenant will pay for when the change that is under way is done.
    "ALTER TABLE tenants ADD COLUMN next_plan TEXT",
    "ALTER TABLE tenants ADD COLUMN next_nodes {int} NOT NULL DEFAULT 0",
    // Whether its new pods go where they will be after it.
    "ALTER TABLE tenants ADD COLUMN is_placed {bool} NOT NULL DEFAULT FALSE",
    "CREATE TABLE plan_changes (
        operation {id} NOT NULL PRIMARY KEY REFERENCES operations (id),
        tenant {id} NOT NULL REFERENCES tenants (id),
        from_plan TEXT NOT NULL,
        from_nodes {int} NOT NULL,
        to_plan TEXT NOT NULL,
        to_nodes {int} NOT NULL,
        sessions TEXT NOT NULL,
        preview TEXT NOT NULL,
        created_at {int} NOT NULL,
        paused_at {int},
        committed_at {int},
        api_away_ms {int}
    ) {strict}",
    "CREATE INDEX plan_changes_tenant ON plan_changes (tenant, operation)",
    "CREATE INDEX plan_changes_away ON plan_changes (operation) WHERE api_away_ms IS NOT NULL",
];

const DOWN: &[&str] = &[
    "DROP TABLE plan_changes",
    "DELETE FROM operations WHERE kind = 'plan-change'",
    "ALTER TABLE tenants DROP COLUMN is_placed",
    "ALTER TABLE tenants DROP COLUMN next_nodes",
    "ALTER TABLE tenants DROP COLUMN next_plan",
];
