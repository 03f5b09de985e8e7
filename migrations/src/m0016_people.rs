use crate::dialect::Statements;

/// People: accounts, organisations, who is in which, invites, and the browsers in which somebody is signed in.
pub(crate) const MIGRATION: Statements = Statements { name: "m0016_people", up: UP, down: DOWN };

/// Not stored: passwords (only what Argon2id makes of them), and the secrets of invites and of browsers (only their
/// SHA-256).
const UP: &[&str] = &[
    "CREATE TABLE organisations (
        id {id} NOT NULL PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        max_tenants {int} NOT NULL,
        created_at {int} NOT NULL
    ) {strict}",
    "CREATE TABLE accounts (
        id {id} NOT NULL PRIMARY KEY,
        email TEXT NOT NULL UNIQUE,
        name TEXT NOT NULL,
        password TEXT NOT NULL,
        created_at {int} NOT NULL
    ) {strict}",
    // Without an organisation: who runs the platform.
    "CREATE TABLE members (
        id {id} NOT NULL PRIMARY KEY,
        account {id} NOT NULL REFERENCES accounts (id),
        organisation {id} REFERENCES organisations (id),
        role TEXT NOT NULL,
        since {int} NOT NULL,
        CHECK ((organisation IS NULL) = (role = 'operator'))
    ) {strict}",
    "CREATE UNIQUE INDEX members_once ON members (account, organisation) WHERE organisation IS NOT NULL",
    "CREATE UNIQUE INDEX members_operators ON members (account) WHERE organisation IS NULL",
    "CREATE INDEX members_organisation ON members (organisation, id)",
    "CREATE TABLE invites (
        id {id} NOT NULL PRIMARY KEY,
        hash {bytes} NOT NULL UNIQUE,
        organisation {id} REFERENCES organisations (id),
        role TEXT NOT NULL,
        note TEXT NOT NULL,
        created_at {int} NOT NULL,
        expires_at {int} NOT NULL,
        CHECK ((organisation IS NULL) = (role = 'operator'))
    ) {strict}",
    "CREATE INDEX invites_organisation ON invites (organisation, id)",
    "CREATE TABLE sign_ins (
        id {id} NOT NULL PRIMARY KEY,
        account {id} NOT NULL REFERENCES accounts (id),
        hash {bytes} NOT NULL UNIQUE,
        device TEXT NOT NULL,
        created_at {int} NOT NULL,
        last_used_at {int} NOT NULL,
        expires_at {int} NOT NULL
    ) {strict}",
    "CREATE INDEX sign_ins_account ON sign_ins (account, id)",
    // By the digest of what was typed as an address, whether there is such an account or not.
    "CREATE TABLE sign_in_failures (
        key {bytes} NOT NULL PRIMARY KEY,
        failures {int} NOT NULL,
        last_at {int} NOT NULL
    ) {strict}",
    "ALTER TABLE tenants ADD COLUMN organisation {id}",
    "CREATE INDEX tenants_organisation ON tenants (organisation, id)",
    "ALTER TABLE audit ADD COLUMN account {id}",
    "ALTER TABLE audit ADD COLUMN organisation {id}",
    // Whether what stands in `token` names an account.
    "ALTER TABLE plan_batches ADD COLUMN is_account {bool} NOT NULL DEFAULT FALSE",
];

const DOWN: &[&str] = &[
    "ALTER TABLE plan_batches DROP COLUMN is_account",
    "ALTER TABLE audit DROP COLUMN organisation",
    "ALTER TABLE audit DROP COLUMN account",
    "DROP INDEX tenants_organisation",
    "ALTER TABLE tenants DROP COLUMN organisation",
    "DROP TABLE sign_in_failures",
    "DROP TABLE sign_ins",
    "DROP TABLE invites",
    "DROP TABLE members",
    "DROP TABLE accounts",
    "DROP TABLE organisations",
];
