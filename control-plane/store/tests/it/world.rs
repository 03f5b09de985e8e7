//! What a test needs: a database of its own, a clock, identifiers, people.

use crate::postgres::Server;
use domain::{
    Action, Actor, Authorized, Clock, Generation, IdGen, Operation, PlanName, Role, Scope, Session,
    SessionSpec, Tenant, TenantId, TenantName, TokenId, authorize, sample,
};
use jiff::{SignedDuration, Timestamp};
use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbBackend, Statement,
};
use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};
use store::{Created, OpenError, SecretKey, Store, StoreOptions, TenantReport};
use tempfile::TempDir;
use uuid::Uuid;

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub(crate) struct TestClock(AtomicI64);

impl TestClock {
    pub(crate) fn advance(&self, by: SignedDuration) {
        let by = i64::try_from(by.as_millis()).expect("tests move the clock a little");
        self.0.fetch_add(by, Ordering::Relaxed);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.0.load(Ordering::Relaxed)).expect("a time of our age")
    }
}

/// Identifiers that count up, and real random bytes.
#[derive(Debug)]
pub(crate) struct TestIds(AtomicU64);

impl IdGen for TestIds {
    fn uuid(&self) -> Uuid {
        Uuid::from_u128(self.0.fetch_add(1, Ordering::Relaxed).into())
    }

    fn secret(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        aws_lc_rs::rand::fill(&mut bytes).expect("the system has random bytes");
        bytes
    }
}

/// A database of a test's own.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) url: String,
    pub(crate) clock: Arc<TestClock>,
    ids: Arc<TestIds>,
    folder: Option<TempDir>,
}

impl World {
    pub(crate) fn sqlite() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let url = format!("sqlite://{}", folder.path().join("warren.db").display());
        Self { folder: Some(folder), ..Self::at(url, 1) }
    }

    pub(crate) async fn postgres() -> Option<Self> {
        Some(Self::at(Server::get()?.database().await, 1))
    }

    /// A database that is there already; identifiers start at `first_id`.
    pub(crate) fn at(url: String, first_id: u64) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let clock = Arc::new(TestClock(AtomicI64::new(1_790_000_000_000)));
        let ids = Arc::new(TestIds(AtomicU64::new(first_id)));
        Self { url, clock, ids, folder: None }
    }

    pub(crate) fn is_sqlite(&self) -> bool {
        self.url.starts_with("sqlite:")
    }

    /// The folder of an SQLite file.
    pub(crate) fn folder(&self) -> Option<PathBuf> {
        self.folder.as_ref().map(|folder| folder.path().to_owned())
    }

    pub(crate) async fn open(&self) -> Store {
        self.try_open([7; 32]).await.expect("the database can be opened")
    }

    pub(crate) async fn try_open(&self, key: [u8; 32]) -> Result<Store, OpenError> {
        let options = StoreOptions {
            url: self.url.clone(),
            secret_key: SecretKey::from_bytes(key),
            clock: self.clock.clone(),
            ids: self.ids.clone(),
        };
        Store::open(options).await
    }

    /// A look at the tables past the store.
    pub(crate) async fn tables(&self) -> Tables {
        let mut options = ConnectOptions::new(self.url.as_str());
        options.max_connections(1).sqlx_logging(false);
        Tables(Database::connect(options).await.expect("the database answers"))
    }
}

/// A connection of a test's own.
#[derive(Debug)]
pub(crate) struct Tables(pub(crate) DatabaseConnection);

impl Tables {
    /// The single number that a query gives.
    pub(crate) async fn number(&self, sql: &str) -> i64 {
        let statement = Statement::from_string(self.0.get_database_backend(), sql);
        let row = self.0.query_one_raw(statement).await.expect("the query is good");
        row.expect("there is a row").try_get_by_index(0).expect("it is a number")
    }

    /// The bytes in one column of all rows.
    pub(crate) async fn bytes(&self, sql: &str) -> Vec<Vec<u8>> {
        let statement = Statement::from_string(self.0.get_database_backend(), sql);
        let rows = self.0.query_all_raw(statement).await.expect("the query is good");
        rows.iter().map(|row| row.try_get_by_index(0).expect("it holds bytes")).collect()
    }

    /// Every row of every table as text, where the database can write one; nothing on SQLite, whose
    /// file can be read instead.
    pub(crate) async fn everything(&self) -> Vec<Vec<u8>> {
        let mut rows = Vec::new();
        if self.0.get_database_backend() == DbBackend::Postgres {
            for table in TABLES {
                let sql = format!("SELECT convert_to(r::text, 'UTF8') FROM {table} r");
                rows.extend(self.bytes(&sql).await);
            }
        }
        rows
    }

    pub(crate) async fn execute(&self, sql: &str) {
        self.0.execute_unprepared(sql).await.expect("the statement is good");
    }

    /// Something that is another one after any write by others: SQLite counts commits that changed
    /// the file; in PostgreSQL every version of a row tells the transaction that wrote it.
    pub(crate) async fn version(&self) -> i64 {
        if self.0.get_database_backend() == DbBackend::Sqlite {
            return self.number("PRAGMA data_version").await;
        }
        let versions = TABLES.map(|table| {
            format!("(SELECT count(*) + coalesce(sum(xmin::text::bigint), 0) FROM {table})")
        });
        self.number(&format!("SELECT ({})::bigint", versions.join(" + "))).await
    }
}

const TABLES: [&str; 22] = [
    "tenants",
    "operations",
    "tokens",
    "settings",
    "idempotency",
    "audit",
    "audit_chain",
    "outbox",
    "sessions",
    "runs",
    "log_segments",
    "artifacts",
    "blobs",
    "holder",
    "plan_batches",
    "plan_batch_lines",
    "organisations",
    "accounts",
    "members",
    "invites",
    "sign_ins",
    "sign_in_failures",
];

pub(crate) fn actor(role: Role, tenant: Option<TenantId>) -> Actor {
    let token = TokenId::new(Uuid::from_u128(99));
    Actor::of_token(token, role, tenant, "request-1".to_owned())
}

/// An operator's proof for everything.
pub(crate) fn platform<A: Action>() -> Authorized<A> {
    authorize(&actor(Role::Operator, None), Scope::Platform).expect("operators may do everything")
}

/// An owner's proof for one tenant.
pub(crate) fn owner<A: Action>(tenant: TenantId) -> Authorized<A> {
    let owner = actor(Role::Owner, Some(tenant));
    authorize(&owner, Scope::tenant(tenant)).expect("owners may do this")
}

pub(crate) fn name(text: &str) -> TenantName {
    TenantName::parse("/name", text).expect("a good name")
}

pub(crate) async fn create(store: &Store, text: &str) -> (Tenant, Operation) {
    let created = store.tenant_create(&platform(), name(text), PlanName::Starter, 0, None).await;
    let Created { value, is_replay } = created.expect("the name is free");
    assert!(!is_replay);
    value
}

pub(crate) fn spec() -> SessionSpec {
    SessionSpec {
        args: vec!["--task".to_owned(), "count to \u{1f980}\u{0}".to_owned()],
        env: BTreeMap::from([("MODE".to_owned(), "fast".to_owned())]),
        ..sample::spec()
    }
}

pub(crate) async fn start_session(store: &Store, tenant: TenantId) -> Session {
    let created = store.session_create(&owner(tenant), tenant, spec(), None).await;
    created.expect("the tenant takes sessions").value
}

pub(crate) fn report(tenant: &Tenant) -> TenantReport {
    TenantReport {
        observed_generation: Generation(tenant.generation.0),
        conditions: tenant.conditions.clone(),
        usage: tenant.usage,
        steps: None,
        is_operation_running: false,
    }
}
