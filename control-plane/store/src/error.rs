use sea_orm::{DbErr, RuntimeErr};
use std::{error::Error, fmt};

/// Why the record could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database did not do what it was asked for.
    #[error("talk to the database")]
    Database(#[source] DatabaseError),
    /// It changed since it was read; nothing was written.
    #[error("it changed meanwhile")]
    Stale,
    /// There is no such thing, or the proof is for something else.
    #[error("not found")]
    NotFound,
    /// The run is over; nothing about it can change.
    #[error("the run is over")]
    Ended,
    /// Another process has the record now; this one must end.
    #[error("another process has taken the record over")]
    TakenOver,
    /// The rules of the record do not allow it.
    #[error("not allowed: {0}")]
    Refused(&'static str),
    /// A stored value cannot be understood.
    #[error("{column} holds something that cannot be read")]
    Corrupt {
        /// Table and column.
        column: &'static str,
        /// What is wrong with it.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// A secret could not be encrypted or decrypted.
    #[error("{column} cannot be decrypted with key {key}")]
    Secret {
        /// Table and column.
        column: &'static str,
        /// The identifier of the key that it was encrypted with.
        key: String,
    },
}

/// What the database answered.
#[derive(Debug)]
pub struct DatabaseError {
    source: Box<dyn Error + Send + Sync>,
    is_race: bool,
}

impl fmt::Display for DatabaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.source, f)
    }
}

impl Error for DatabaseError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.source()
    }
}

impl DatabaseError {
    pub(crate) fn other(source: impl Error + Send + Sync + 'static) -> Self {
        Self { source: Box::new(source), is_race: false }
    }
}

impl From<DbErr> for DatabaseError {
    fn from(error: DbErr) -> Self {
        let is_race = is_race(&error);
        Self { source: Box::new(error), is_race }
    }
}

impl From<DbErr> for StoreError {
    fn from(error: DbErr) -> Self {
        Self::Database(error.into())
    }
}

impl StoreError {
    pub(crate) fn corrupt(
        column: &'static str,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self::Corrupt { column, source: source.into() }
    }
}

/// An error that a write can end with.
pub(crate) trait WriteError: From<StoreError> {
    /// The part that every such error has.
    fn store(&self) -> Option<&StoreError>;

    /// Whether another transaction was faster, so that a repetition will see what it did.
    fn is_race(&self) -> bool {
        matches!(self.store(), Some(StoreError::Database(error)) if error.is_race)
    }
}

impl WriteError for StoreError {
    fn store(&self) -> Option<&StoreError> {
        Some(self)
    }
}

/// Derives what an error enum with a variant `Store(StoreError)` needs to end a write.
macro_rules! write_error {
    ($($error:ty),+) => {$(
        impl From<sea_orm::DbErr> for $error {
            fn from(error: sea_orm::DbErr) -> Self {
                Self::Store(error.into())
            }
        }

        impl crate::error::WriteError for $error {
            fn store(&self) -> Option<&StoreError> {
                if let Self::Store(error) = self { Some(error) } else { None }
            }
        }
    )+};
}
pub(crate) use write_error;

/// Unique violation, serialization failure, deadlock.
///
/// Source: PostgreSQL 15 documentation, appendix A; SQLite result codes 1555 and 2067.
fn is_race(error: &DbErr) -> bool {
    let (DbErr::Exec(RuntimeErr::SqlxError(source))
    | DbErr::Query(RuntimeErr::SqlxError(source))
    | DbErr::Conn(RuntimeErr::SqlxError(source))) = error
    else {
        return false;
    };
    let sqlx::Error::Database(source) = &**source else { return false };
    let code = source.code();
    matches!(code.as_deref(), Some("23505" | "40001" | "40P01" | "1555" | "2067"))
}
