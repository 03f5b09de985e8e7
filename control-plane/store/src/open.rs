use crate::{
    DatabaseError, SecretKey, Store, StoreError,
    holder::{HoldError, Holder, begin_epoch},
    secret::Vault,
    store::Inner,
};
use domain::{Clock, IdGen};
use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbBackend, DbErr,
    IsolationLevel, SqliteTransactionMode, TransactionOptions, TransactionTrait,
};
use sqlx::{
    postgres::PgConnectOptions,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};
use std::{fmt, io, path::PathBuf, str::FromStr, sync::Arc, time::Duration};
use tokio::sync::broadcast;

/// Changes that a slow receiver may be behind before it is told to look at everything.
const CHANGES_KEPT: usize = 1024;
/// How long a predecessor may take to let go of the file.
const HANDOVER: Duration = Duration::from_secs(3);
const HANDOVER_PAUSE: Duration = Duration::from_millis(50);
const SQLITE_READERS: u32 = 4;
const POSTGRES_CONNECTIONS: u32 = 20;
/// How long a caller waits for a connection, and SQLite for a lock.
const PATIENCE: Duration = Duration::from_secs(30);
/// Any number that nobody else uses: one process migrates at a time.
const MIGRATION_LOCK: i64 = 0x0057_6172_7265_6e00;
/// A setting that can be read with the right key only.
const KEY_CHECK: &str = "key-check";

/// What a store is opened with.
pub struct StoreOptions {
    /// `sqlite://PATH` or `postgres://…`, which may hold a password.
    pub url: String,
    /// What secrets are encrypted with.
    pub secret_key: SecretKey,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// New identifiers and random bytes.
    pub ids: Arc<dyn IdGen>,
}

impl fmt::Debug for StoreOptions {
    /// Without the URL.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url: _, secret_key, clock, ids } = self;
        let mut shown = f.debug_struct("StoreOptions");
        shown.field("secret_key", secret_key).field("clock", clock).field("ids", ids);
        shown.finish_non_exhaustive()
    }
}

/// Why a store cannot be opened. Never tells the URL, which may hold a password.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL is of no known kind.
    #[error("the database URL is neither sqlite://PATH nor postgres://USER@HOST/DATABASE")]
    Url,
    /// Another process has the record.
    #[error("the database is held by {holder}; end that process first")]
    Held {
        /// `pid N on HOST since T`.
        holder: String,
    },
    /// The lock file cannot be made or locked.
    #[error("lock the database with {path}")]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// No connection.
    #[error("connect to the database")]
    Connect(#[source] DatabaseError),
    /// The schema could not be brought to this release's version.
    #[error("migrate the database; was it written by a newer release?")]
    Migrate(#[source] DatabaseError),
    /// The secrets in it were encrypted with another key.
    #[error(
        "the database's secrets need another key than {key}; give the key file it was made with"
    )]
    WrongKey {
        /// The identifier of the key that was given.
        key: String,
    },
    /// Reading or writing failed.
    #[error("prepare the database")]
    Store(#[from] StoreError),
}

/// Where to read, where to write, and what keeps others away.
pub(crate) struct Connections {
    pub(crate) read: DatabaseConnection,
    pub(crate) write: DatabaseConnection,
    pub(crate) holder: Holder,
}

impl Store {
    /// Connects, takes the exclusive lock, migrates, and clears out what is past keeping.
    ///
    /// SQLite runs in WAL mode with synchronous FULL: what was accepted survives the end of the
    /// process and of the machine. All writes go over one connection, reads over others.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(options: StoreOptions) -> Result<Self, OpenError> {
        let StoreOptions { url, secret_key, clock, ids } = options;
        let vault = Vault::new(&secret_key);
        let connections = if url.starts_with("sqlite:") {
            open_sqlite(&url, &*clock).await?
        } else if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            open_postgres(&url).await?
        } else {
            return Err(OpenError::Url);
        };
        migrate(&connections.write).await.map_err(|error| OpenError::Migrate(error.into()))?;
        let epoch = begin_epoch(&connections.write, clock.now()).await?;
        let (changes, _) = broadcast::channel(CHANGES_KEPT);
        let store = Self(Arc::new(Inner::new(connections, epoch, vault, clock, ids, changes)));
        match store.setting_secret_put_if_absent(KEY_CHECK, b"").await {
            Ok(_) => {}
            Err(StoreError::Secret { .. }) => {
                store.close().await?;
                return Err(OpenError::WrongKey { key: secret_key.id() });
            }
            Err(error) => return Err(error.into()),
        }
        store.housekeep().await?;
        Ok(store)
    }
}

/// Takes the lock. A predecessor that was just killed holds it until the last of its threads is gone,
/// so whoever starts right after it waits a little before it refuses.
async fn hold(take: impl AsyncFn() -> Result<Holder, HoldError>) -> Result<Holder, OpenError> {
    let deadline = tokio::time::Instant::now() + HANDOVER;
    let outcome = loop {
        match take().await {
            Err(HoldError::Held(_)) if tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(HANDOVER_PAUSE).await;
            }
            outcome => break outcome,
        }
    };
    outcome.map_err(|error| match error {
        HoldError::Held(holder) => OpenError::Held { holder },
        HoldError::Lock { path, source } => OpenError::Lock { path, source },
        HoldError::Database(error) => OpenError::Connect(DatabaseError::other(error)),
    })
}

async fn open_sqlite(url: &str, clock: &dyn Clock) -> Result<Connections, OpenError> {
    let options = SqliteConnectOptions::from_str(url).map_err(|_| OpenError::Url)?;
    let file = options.get_filename();
    if file.as_os_str().is_empty() || url.contains(":memory:") {
        return Err(OpenError::Url);
    }
    let mut path = file.as_os_str().to_owned();
    path.push(".lock");
    let path = PathBuf::from(path);
    let holder = hold(async || Holder::of_file(&path, clock.now())).await?;
    let options = options
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(PATIENCE);
    let readers = options.clone().pragma("query_only", "ON");
    let write = connect("sqlite:", 1, move |connect| {
        connect.map_sqlx_sqlite_opts(move |_| options.clone());
    });
    let write = write.await.map_err(|error| OpenError::Connect(error.into()))?;
    let read = connect("sqlite:", SQLITE_READERS, move |connect| {
        connect.map_sqlx_sqlite_opts(move |_| readers.clone());
    });
    let read = read.await.map_err(|error| OpenError::Connect(error.into()))?;
    Ok(Connections { read, write, holder })
}

async fn open_postgres(url: &str) -> Result<Connections, OpenError> {
    let options = PgConnectOptions::from_str(url).map_err(|_| OpenError::Url)?;
    let options = options.application_name("warren");
    let holder = hold(async || Holder::of_database(&options).await).await?;
    let pool = connect("postgres:", POSTGRES_CONNECTIONS, move |connect| {
        connect.map_sqlx_postgres_opts(move |_| options.clone());
    });
    let pool = pool.await.map_err(|error| OpenError::Connect(error.into()))?;
    Ok(Connections { read: pool.clone(), write: pool, holder })
}

/// Connects with what `configure` sets. `url` only names the kind: what it would hold is kept out
/// of trace spans, and so are statements.
async fn connect(
    url: &str,
    connections: u32,
    configure: impl FnOnce(&mut ConnectOptions),
) -> Result<DatabaseConnection, DbErr> {
    let mut options = ConnectOptions::new(url);
    options
        .max_connections(connections)
        .acquire_timeout(PATIENCE)
        .idle_timeout(None)
        .max_lifetime(None)
        .sqlx_logging(false)
        .record_stmt_in_spans(false);
    configure(&mut options);
    Database::connect(options).await
}

async fn migrate(write: &DatabaseConnection) -> Result<(), DbErr> {
    // Not REPEATABLE READ: whoever waited for the lock must see what the other one migrated.
    let options =
        TransactionOptions { isolation_level: None, ..write_options(write.get_database_backend()) };
    let txn = write.begin_with_options(options).await?;
    if txn.get_database_backend() == DbBackend::Postgres {
        let lock = format!("SELECT pg_advisory_xact_lock({MIGRATION_LOCK})");
        txn.execute_unprepared(&lock).await?;
    }
    migrations::migrate(&txn).await?;
    txn.commit().await
}

/// How a transaction that writes begins.
///
/// SQLite: `BEGIN IMMEDIATE`, so that it takes the right to write at once. PostgreSQL: REPEATABLE
/// READ, so that all of it sees one state of the record, and whoever would write over what it has
/// not seen starts over; READ COMMITTED would let a repeated request miss its idempotency key and
/// then find its own name taken.
pub(crate) fn write_options(backend: DbBackend) -> TransactionOptions {
    let is_sqlite = backend == DbBackend::Sqlite;
    TransactionOptions {
        sqlite_transaction_mode: is_sqlite.then_some(SqliteTransactionMode::Immediate),
        isolation_level: (!is_sqlite).then_some(IsolationLevel::RepeatableRead),
        access_mode: None,
    }
}
