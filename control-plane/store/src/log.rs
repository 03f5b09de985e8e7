use crate::{
    Change, Store, StoreError, column,
    entity::{log_segments, runs},
    error::write_error,
    run,
    txn::{Txn, in_txn},
};
use domain::{Digest, RunId};
use sea_orm::{
    ColumnTrait, EntityTrait, ExprTrait, IntoActiveModel, QueryFilter, QueryOrder, Set,
    sea_query::Expr,
};

/// Consecutive log lines of a run, stored as one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSegment {
    /// The number of its first line; lines are numbered from 1.
    pub first: u64,
    /// How many lines it holds.
    pub lines: u64,
    /// Its size in bytes.
    pub bytes: u64,
    /// Where it is in the object store.
    pub path: String,
    /// The SHA-256 of its bytes.
    pub digest: Digest,
}

/// How a log grows by a segment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogGrowth {
    /// The text of its lines in bytes, line ends included.
    pub text_bytes: u64,
    /// Whether a line after it had no room: the log of the run is full from now on.
    pub is_full: bool,
}

/// Why lines were not appended.
#[derive(Debug, thiserror::Error)]
pub enum LogAppendError {
    /// Lines before these are missing.
    #[error("lines are missing: the next one is {next}")]
    Gap {
        /// The number of the line that is expected.
        next: u64,
    },
    /// Some of the lines are there already and some are not: cut them, and try again.
    #[error("some of the lines are there already: the next one is {next}")]
    Overlap {
        /// The number of the line that is expected.
        next: u64,
    },
    /// The record failed; `NotFound` if there is no such run.
    #[error("write the log's index")]
    Store(#[from] StoreError),
}

write_error!(LogAppendError);

impl Store {
    /// Adds a segment, which is in the object store already, to the end of a run's log. Returns the
    /// number of the line that is expected next. Lines that are all there already are ignored.
    ///
    /// # Errors
    /// If lines are missing or overlap, the run is over or there is none, or the database fails.
    #[tracing::instrument(name = "db.log.append", skip_all)]
    pub async fn log_append(
        &self,
        run: RunId,
        segment: LogSegment,
        growth: LogGrowth,
    ) -> Result<u64, LogAppendError> {
        in_txn!(self, |txn| append_in_txn(&mut txn, run, &segment, growth))
    }

    /// Notes how many lines a runner has given up so far; the number only grows.
    ///
    /// # Errors
    /// `NotFound` if there is no such run; or if the database fails.
    #[tracing::instrument(name = "db.log.missing", skip_all)]
    pub async fn log_missing(&self, run: RunId, lines: u64) -> Result<(), StoreError> {
        in_txn!(self, |txn| run::log_missing_in_txn(&mut txn, run, lines))
    }

    /// The segments of a run's log that hold line `from_line` and later ones, in order.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.log.segments", skip_all)]
    pub async fn log_segments(
        &self,
        run: RunId,
        from_line: u64,
    ) -> Result<Vec<LogSegment>, StoreError> {
        let end =
            Expr::col(log_segments::Column::First).add(Expr::col(log_segments::Column::Lines));
        let select = log_segments::Entity::find()
            .filter(log_segments::Column::Run.eq(run.uuid()))
            .filter(end.gt(column::count(from_line)))
            .order_by_asc(log_segments::Column::First);
        select.all(&self.0.read).await?.into_iter().map(LogSegment::try_from).collect()
    }
}

async fn append_in_txn(
    txn: &mut Txn,
    id: RunId,
    segment: &LogSegment,
    growth: LogGrowth,
) -> Result<u64, LogAppendError> {
    let run = run::row(&txn.db, id).await?;
    let next = column::to_count("runs.next_log_line", run.next_log_line)?;
    let end = segment.first.saturating_add(segment.lines);
    if segment.first == 0 {
        return Err(StoreError::Refused("log lines are numbered from 1").into());
    }
    // What follows it is numbered after its last line.
    if run.ended_at.is_some() {
        return Err(StoreError::Ended.into());
    }
    if segment.first > next {
        return Err(LogAppendError::Gap { next });
    }
    if end <= next {
        return Ok(next);
    }
    if segment.first < next {
        return Err(LogAppendError::Overlap { next });
    }
    let bytes = run.log_bytes.saturating_add(column::count(growth.text_bytes));
    let full_at = run.log_full_at.or_else(|| growth.is_full.then(|| txn.at()));
    let change = runs::ActiveModel {
        next_log_line: Set(column::count(end)),
        log_bytes: Set(bytes),
        log_full_at: Set(full_at),
        ..Default::default()
    };
    let updated = runs::Entity::update_many()
        .set(change)
        .filter(runs::Column::Id.eq(id.uuid()))
        .filter(runs::Column::NextLogLine.eq(run.next_log_line))
        .exec(&txn.db)
        .await?;
    if updated.rows_affected != 1 {
        return Err(StoreError::Stale.into());
    }
    let row = log_segments::Model {
        run: id.uuid(),
        first: column::count(segment.first),
        lines: column::count(segment.lines),
        bytes: column::count(segment.bytes),
        path: segment.path.clone(),
        digest: segment.digest.to_string(),
    };
    log_segments::Entity::insert(row.into_active_model()).exec_without_returning(&txn.db).await?;
    txn.changed(Change::Log(id));
    Ok(end)
}

impl TryFrom<log_segments::Model> for LogSegment {
    type Error = StoreError;

    fn try_from(row: log_segments::Model) -> Result<Self, StoreError> {
        Ok(Self {
            first: column::to_count("log_segments.first", row.first)?,
            lines: column::to_count("log_segments.lines", row.lines)?,
            bytes: column::to_count("log_segments.bytes", row.bytes)?,
            path: row.path,
            digest: column::to_parsed("log_segments.digest", &row.digest)?,
        })
    }
}
