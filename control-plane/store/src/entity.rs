//! The rows as they are stored; private to this crate. Times are milliseconds since the epoch.

macro_rules! entity {
    ($module:ident, $table:literal { $($(#[$meta:meta])* $field:ident: $type:ty,)* }) => {
        pub(crate) mod $module {
            use sea_orm::entity::prelude::*;

            #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
            #[sea_orm(table_name = $table)]
            pub(crate) struct Model {
                $($(#[$meta])* pub(crate) $field: $type,)*
            }

            #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
            pub(crate) enum Relation {}

            impl ActiveModelBehavior for ActiveModel {}
        }
    };
}

entity!(tenants, "tenants" {
    #[sea_orm(primary_key, auto_increment = false)]
    id: Uuid,
    name: String,
    plan: String,
    cluster: String,
    generation: i64,
    observed_generation: i64,
    conditions: String,
    usage: Option<String>,
    was_ready: bool,
    is_force_clean: bool,
    keys: Option<Vec<u8>>,
    keys_key: Option<String>,
    created_at: i64,
    deletion_requested_at: Option<i64>,
    deleted_at: Option<i64>,
    is_ready: bool,
    erased_at: Option<i64>,
    nodes: i64,
    next_plan: Option<String>,
    next_nodes: i64,
    is_placed: bool,
    organisation: Option<Uuid>,
});

entity!(organisations, "organisations" {
    #[sea_orm(primary_key, auto_increment = false)]
    id: Uuid,
    name: String,
    max_tenants: i64,
    created_at: i64,
});

entity!(accounts, "accounts" {
    #[sea_orm(primary_key, auto_increment = false)]
    id: Uuid,
    email: String,
    name: String,
    password: String,
    created_at: i64,
});

entity!(members, "members" {
    #[sea_orm(primary_key, auto_increment = false)]
    id: Uuid,
    account: Uuid,
    organisation: Option<Uuid>,
    role: String,
    since: i64,
});

entity!(invites, "invites" {
    #[sea_orm(primary_key, auto_increment = false)]
    id: Uuid,
    hash: Vec<u8>,
    organisation: Option<Uuid>,
    role: String,
    note: String,
    created_at: i64,
    expires_at: i64,
});

entity!(sign_ins, "sign_ins" {
    #[sea_orm(primary_key, auto_increment = false)]
    id: Uuid,
    account: Uuid,
    hash: Vec<u8>,
    device: String,
    created_at: i64,
    last_used_at: i64,
    expires_at: i64,
});

entity!(sign_in_failures, "sign_in_failures" {
    #[sea_orm(primary_key, auto_increment = false)]
    key: Vec<u8>,
    failures: i64,
    last_at: i64,
});

entity!(nodes, "nodes" {
    #[sea_orm(primary_key, auto_increment = false)]
    id: Uuid,
    tenant: Uuid,
    shape: String,
    name: String,
    mark: String,
    machine: Uuid,
    hardware_address: String,
    place: Option<String>,
    vm: Option<i64>,
    address: Option<String>,
    secrets: Option<Vec<u8>>,
    secrets_key: Option<String>,
    created_at: i64,
    ready_at: Option<i64>,
    release_requested_at: Option<i64>,
    released_at: Option<i64>,
    power: String,
    volumes: Option<String>,
});

entity!(plan_changes, "plan_changes" {
    #[sea_orm(primary_key, auto_increment = false)]
    operation: Uuid,
    tenant: Uuid,
    from_plan: String,
    from_nodes: i64,
    to_plan: String,
    to_nodes: i64,
    sessions: String,
    preview: String,
    created_at: i64,
    paused_at: Option<i64>,
    committed_at: Option<i64>,
    api_away_ms: Option<i64>,
});

entity!(plan_batches, "plan_batches" {
    #[sea_orm(primary_key, auto_increment = false)]
    id: Uuid,
    tenant: Option<Uuid>,
    name: Option<String>,
    to_plan: String,
    to_nodes: i64,
    sessions: String,
    preview: Option<String>,
    max_parallel: i64,
    stop_on_failure: bool,
    start_at: Option<i64>,
    token: Uuid,
    request_id: String,
    revision: i64,
    created_at: i64,
    paused_at: Option<i64>,
    cancelled_at: Option<i64>,
    finished_at: Option<i64>,
    is_account: bool,
});

entity!(plan_batch_lines, "plan_batch_lines" {
    #[sea_orm(primary_key, auto_increment = false)]
    batch: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    position: i64,
    tenant: Uuid,
    state: String,
    operation: Uuid,
    problem: Option<String>,
    busy_until: Option<i64>,
    started_at: Option<i64>,
    finished_at: Option<i64>,
});

entity!(resting_vms, "resting_vms" {
    #[sea_orm(primary_key, auto_increment = false)]
    vm: i64,
    until: i64,
    reason: String,
});

entity!(orphans, "orphans" {
    #[sea_orm(primary_key, auto_increment = false)]
    id: Uuid,
    key: String,
    area: String,
    kind: String,
    name: String,
    vm: Option<i64>,
    place: Option<String>,
    storage: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    size: Option<i64>,
    proof: String,
    reason: String,
    node: Option<Uuid>,
    state: String,
    cause: Option<String>,
    first_seen_at: i64,
    last_seen_at: i64,
    reported_at: Option<i64>,
    asked_at: Option<i64>,
    ended_at: Option<i64>,
});

entity!(swept_areas, "swept_areas" {
    #[sea_orm(primary_key, auto_increment = false)]
    area: String,
    at: i64,
    obstacle: Option<String>,
});

entity!(operations, "operations" {
    #[sea_orm(primary_key, auto_increment = false)]
    id: Uuid,
    kind: String,
    tenant: Uuid,
    state: String,
    steps: String,
    problem: Option<String>,
    created_at: i64,
    deadline: i64,
    finished_at: Option<i64>,
    node: Option<Uuid>,
    cancel_requested_at: Option<i64>,
});

entity!(tokens, "tokens" {
    #[sea_orm(primary_key, auto_increment = false)]
    id: Uuid,
    hash: Vec<u8>,
    role: String,
    tenant: Option<Uuid>,
    name: String,
    is_bootstrap: bool,
    created_at: i64,
});

entity!(settings, "settings" {
    #[sea_orm(primary_key, auto_increment = false)]
    name: String,
    value: Vec<u8>,
    value_key: String,
    created_at: i64,
});

entity!(idempotency, "idempotency" {
    #[sea_orm(primary_key, auto_increment = false)]
    actor: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    key: String,
    request_digest: Vec<u8>,
    kind: String,
    target: Uuid,
    created_at: i64,
});

entity!(audit, "audit" {
    #[sea_orm(primary_key, auto_increment = false)]
    id: Uuid,
    at: i64,
    token: Option<Uuid>,
    role: Option<String>,
    tenant: Option<Uuid>,
    action: String,
    target: String,
    request_id: String,
    account: Option<Uuid>,
    organisation: Option<Uuid>,
    sequence: Option<i64>,
    previous: Option<Vec<u8>>,
    seal: Option<Vec<u8>>,
});

entity!(audit_chain, "audit_chain" {
    #[sea_orm(primary_key, auto_increment = false)]
    id: i64,
    sequence: i64,
    seal: Vec<u8>,
});

entity!(outbox, "outbox" {
    #[sea_orm(primary_key)]
    sequence: i64,
    kind: String,
    target: Uuid,
    at: i64,
});

entity!(sessions, "sessions" {
    #[sea_orm(primary_key, auto_increment = false)]
    id: Uuid,
    tenant: Uuid,
    project: String,
    state: String,
    cause: Option<String>,
    spec: Vec<u8>,
    spec_key: String,
    uploads: String,
    revision: i64,
    run: Option<Uuid>,
    created_at: i64,
    starting_at: Option<i64>,
    running_at: Option<i64>,
    stop_requested_at: Option<i64>,
    finished_at: Option<i64>,
    retry_at: Option<i64>,
    log_removed_at: Option<i64>,
    files_removed_at: Option<i64>,
    is_removing: bool,
});

entity!(runs, "runs" {
    #[sea_orm(primary_key, auto_increment = false)]
    id: Uuid,
    session: Uuid,
    tenant: Uuid,
    attempt: i64,
    token_hash: Vec<u8>,
    created_at: i64,
    job_created_at: Option<i64>,
    started_at: Option<i64>,
    heartbeat_at: Option<i64>,
    exited_at: Option<i64>,
    exit: Option<String>,
    usage: Option<String>,
    next_log_line: i64,
    resources: Option<String>,
    ended_at: Option<i64>,
    cause: Option<String>,
    settled_at: Option<i64>,
    drain: Option<String>,
    lines_before: i64,
    log_bytes: i64,
    log_bytes_before: i64,
    log_full_at: Option<i64>,
    log_missing_lines: i64,
});

entity!(log_segments, "log_segments" {
    #[sea_orm(primary_key, auto_increment = false)]
    run: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    first: i64,
    lines: i64,
    bytes: i64,
    path: String,
    digest: String,
});

entity!(artifacts, "artifacts" {
    #[sea_orm(primary_key, auto_increment = false)]
    run: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    path: String,
    size: i64,
    digest: String,
    blob: String,
});

entity!(blobs, "blobs" {
    #[sea_orm(primary_key, auto_increment = false)]
    tenant: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    digest: String,
    size: i64,
    created_at: i64,
    needed_at: i64,
    removing_at: Option<i64>,
});

entity!(holder, "holder" {
    #[sea_orm(primary_key, auto_increment = false)]
    role: String,
    epoch: i64,
    name: String,
    since: i64,
});
