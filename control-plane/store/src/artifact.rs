use crate::{
    Store, StoreError, column,
    entity::artifacts,
    run,
    txn::{Txn, in_txn},
};
use domain::{Digest, RunId};
use sea_orm::{
    ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, OnConflict},
};

/// A file that a run left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// Its path below the output folder.
    pub path: String,
    /// Its size in bytes.
    pub size: u64,
    /// The SHA-256 of its bytes.
    pub digest: Digest,
    /// Where it is in the object store.
    pub blob: String,
}

/// How much a run left.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ArtifactUsage {
    /// Sum of the sizes.
    pub bytes: u64,
    /// Number of files.
    pub count: u64,
}

impl Store {
    /// Notes a file that a run left; one with the same path is replaced.
    ///
    /// # Errors
    /// `NotFound` if there is no such run; or if the database fails.
    #[tracing::instrument(name = "db.artifact.put", skip_all)]
    pub async fn artifact_put(&self, run: RunId, artifact: Artifact) -> Result<(), StoreError> {
        in_txn!(self, |txn| put_in_txn(&mut txn, run, &artifact))
    }

    /// How much a run left beside the file of one path.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.artifact.usage", skip_all)]
    pub async fn artifact_usage(
        &self,
        run: RunId,
        beside: &str,
    ) -> Result<ArtifactUsage, StoreError> {
        let sum = Expr::cust("CAST(coalesce(sum(size), 0) AS BIGINT)");
        let select = artifacts::Entity::find()
            .select_only()
            .expr_as(artifacts::Column::Path.count(), "count")
            .expr_as(sum, "bytes")
            .filter(artifacts::Column::Run.eq(run.uuid()))
            .filter(artifacts::Column::Path.ne(beside));
        let found: Option<(i64, i64)> = select.into_tuple().one(&self.0.read).await?;
        let (count, bytes) = found.unwrap_or_default();
        Ok(ArtifactUsage {
            bytes: column::to_count("artifacts.size", bytes)?,
            count: column::to_count("artifacts.count", count)?,
        })
    }

    /// The files that a run left, by path.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.artifact.list", skip_all)]
    pub async fn artifact_list(&self, run: RunId) -> Result<Vec<Artifact>, StoreError> {
        let select = artifacts::Entity::find()
            .filter(artifacts::Column::Run.eq(run.uuid()))
            .order_by_asc(artifacts::Column::Path);
        select.all(&self.0.read).await?.into_iter().map(Artifact::try_from).collect()
    }
}

async fn put_in_txn(txn: &mut Txn, id: RunId, artifact: &Artifact) -> Result<(), StoreError> {
    use artifacts::Column::{Blob, Digest, Path, Run, Size};
    let run = run::row(&txn.db, id).await?;
    let row = artifacts::Model {
        run: id.uuid(),
        path: artifact.path.clone(),
        size: column::count(artifact.size),
        digest: artifact.digest.to_string(),
        blob: artifact.blob.clone(),
    };
    let same_path =
        OnConflict::columns([Run, Path]).update_columns([Size, Digest, Blob]).to_owned();
    artifacts::Entity::insert(row.into_active_model())
        .on_conflict(same_path)
        .exec_without_returning(&txn.db)
        .await?;
    txn.changed(run::session_change(&run));
    Ok(())
}

impl TryFrom<artifacts::Model> for Artifact {
    type Error = StoreError;

    fn try_from(row: artifacts::Model) -> Result<Self, StoreError> {
        Ok(Self {
            path: row.path,
            size: column::to_count("artifacts.size", row.size)?,
            digest: column::to_parsed("artifacts.digest", &row.digest)?,
            blob: row.blob,
        })
    }
}
