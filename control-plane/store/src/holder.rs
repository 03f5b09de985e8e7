use crate::{Store, StoreError, column, entity::holder, open::write_options, store::Inner};
use jiff::Timestamp;
use sea_orm::{
    DatabaseConnection, DatabaseTransaction, EntityTrait, IntoActiveModel, QuerySelect,
    TransactionTrait, sea_query::OnConflict,
};
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, postgres::PgConnectOptions};
use std::{
    fmt,
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read, Seek, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

/// The only row of its table.
const RECORD: &str = "record";
/// Any number that nobody else uses: one process has the record at a time.
const HOLDER_LOCK: i64 = 0x0057_6172_7265_6e01;
/// How often the session that holds the lock is looked after.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How long the database may take to answer it.
const PATIENCE: Duration = Duration::from_secs(5);
/// What is said of a process that has the record and has not written its name.
const NAMELESS: &str = "a process that has not written its name yet";

/// The exclusive right to one record, for as long as this lives.
#[derive(Debug)]
pub(crate) enum Holder {
    /// The operating system gives the lock back when the process ends, however it ends; the text in
    /// the file only tells people who holds it.
    File { _file: File },
    /// PostgreSQL gives it back when the session ends. A session can end without its process, so
    /// every write also looks at the epoch.
    Session(Box<Session>),
}

/// A session of PostgreSQL for nothing but its lock.
pub(crate) struct Session {
    options: PgConnectOptions,
    /// None while it is lost.
    connection: Option<PgConnection>,
}

#[derive(Debug)]
pub(crate) enum HoldError {
    Held(String),
    Lock { path: PathBuf, source: io::Error },
    Database(sqlx::Error),
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("is_up", &self.connection.is_some()).finish_non_exhaustive()
    }
}

impl Holder {
    /// Takes the lock of an SQLite file.
    pub(crate) fn of_file(path: &Path, now: Timestamp) -> Result<Self, HoldError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let failed = |source| HoldError::Lock { path: path.to_owned(), source };
        let mut file = options.open(path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(HoldError::Held(read(&mut file))),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        write(&mut file, now).map_err(failed)?;
        Ok(Self::File { _file: file })
    }

    /// Takes the lock of a PostgreSQL database.
    pub(crate) async fn of_database(options: &PgConnectOptions) -> Result<Self, HoldError> {
        // A machine that is gone does not say so: the server finds out by these.
        let options = options.clone().options([
            ("tcp_keepalives_idle", "5"),
            ("tcp_keepalives_interval", "5"),
            ("tcp_keepalives_count", "3"),
        ]);
        let mut connection = options.connect().await.map_err(HoldError::Database)?;
        if lock(&mut connection).await.map_err(HoldError::Database)? {
            return Ok(Self::Session(Box::new(Session { options, connection: Some(connection) })));
        }
        // The table may not be there yet.
        let name = sqlx::query_scalar("SELECT name FROM holder").fetch_one(&mut connection).await;
        Err(HoldError::Held(name.unwrap_or_else(|_| NAMELESS.to_owned())))
    }

    pub(crate) async fn close(self) {
        if let Self::Session(session) = self
            && let Some(connection) = session.connection
            && let Err(error) = connection.close().await
        {
            tracing::debug!(%error, "end the session that holds the record");
        }
    }
}

impl Session {
    /// Whether the lock is held as before. If it was lost, it is taken again if it is free.
    async fn look_after(&mut self) -> bool {
        if let Some(connection) = &mut self.connection {
            let answer = tokio::time::timeout(PATIENCE, connection.ping()).await;
            if matches!(answer, Ok(Ok(()))) {
                return true;
            }
            self.connection = None;
            tracing::warn!("the session that holds the record is lost; it is begun again");
        }
        let again = async {
            let mut connection = self.options.connect().await?;
            Ok::<_, sqlx::Error>(lock(&mut connection).await?.then_some(connection))
        };
        let again = tokio::time::timeout(PATIENCE, again).await;
        self.connection = again.ok().and_then(Result::ok).flatten();
        false
    }
}

impl Store {
    /// Ends when another process has the record, and says which; this one cannot write any more
    /// then. Has to be polled for as long as the process writes. On SQLite it never ends.
    pub async fn taken_over(&self) -> String {
        loop {
            if let Some(name) = self.0.is_taken_over().await {
                return name;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

impl Inner {
    async fn is_taken_over(&self) -> Option<String> {
        let mut holder = self.holder.lock().await;
        let Some(Holder::Session(session)) = &mut *holder else {
            drop(holder);
            return std::future::pending().await;
        };
        let was_there = session.look_after().await;
        drop(holder);
        if was_there {
            return None;
        }
        match holder::Entity::find_by_id(RECORD).one(&self.read).await {
            Ok(Some(row)) if row.epoch != self.epoch => Some(row.name),
            // The database is away, and so is everybody else.
            Ok(_) | Err(_) => None,
        }
    }

    /// Refuses a transaction that writes if another process has the record.
    pub(crate) async fn fence(&self, txn: &DatabaseTransaction) -> Result<(), StoreError> {
        if !self.is_fenced {
            return Ok(());
        }
        // Held until the commit: whoever takes the record over waits for this write.
        let row = holder::Entity::find_by_id(RECORD).lock_shared().one(txn).await?;
        match row {
            Some(row) if row.epoch == self.epoch => Ok(()),
            Some(_) | None => Err(StoreError::TakenOver),
        }
    }
}

/// Begins the epoch of this process: what older ones were about to write is refused.
pub(crate) async fn begin_epoch(
    db: &DatabaseConnection,
    now: Timestamp,
) -> Result<i64, StoreError> {
    let txn = db.begin_with_options(write_options(db.get_database_backend())).await?;
    let before = holder::Entity::find_by_id(RECORD).one(&txn).await?;
    let row = holder::Model {
        role: RECORD.to_owned(),
        epoch: before.map_or(1, |before| before.epoch + 1),
        name: name(now),
        since: column::time(now),
    };
    let epoch = row.epoch;
    let over = OnConflict::column(holder::Column::Role)
        .update_columns([holder::Column::Epoch, holder::Column::Name, holder::Column::Since])
        .to_owned();
    holder::Entity::insert(row.into_active_model())
        .on_conflict(over)
        .exec_without_returning(&txn)
        .await?;
    txn.commit().await?;
    Ok(epoch)
}

async fn lock(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let lock = sqlx::query_scalar("SELECT pg_try_advisory_lock($1)").bind(HOLDER_LOCK);
    lock.fetch_one(connection).await
}

/// Who this is.
fn name(now: Timestamp) -> String {
    let host = rustix::system::uname();
    let host = host.nodename().to_string_lossy().into_owned();
    format!("pid {} on {host} since {now:.0}", std::process::id())
}

fn write(file: &mut File, now: Timestamp) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(format!("{}\n", name(now)).as_bytes())?;
    file.sync_data()
}

fn read(file: &mut File) -> String {
    let mut text = String::new();
    match file.take(512).read_to_string(&mut text) {
        Ok(_) if !text.trim().is_empty() => text.trim().to_owned(),
        _ => NAMELESS.to_owned(),
    }
}
