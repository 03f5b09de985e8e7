//! Inputs that are uploaded before a session names them.

use crate::{
    App,
    blobs::{BlobPath, Limits, Owner, Piece, PieceError, Received, Staged, WriteError},
    error::{FindError, Noun},
    run::Progress,
    tenant::{self, TenantRef},
};
use bytes::Bytes;
use domain::{Actor, Digest, Invalid, Tenant, UploadBlob, Uploads};
use futures::Stream;
use std::{error::Error, fmt};
use store::{Blob, BlobPutError, BlobUsage, StoreError};

/// The largest input that can be uploaded, in bytes.
pub const MAX_BYTES: u64 = 100 << 20;

/// An upload that was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uploaded {
    /// What was uploaded.
    pub blob: Blob,
    /// Whether it was not there before.
    pub is_new: bool,
}

/// Why an upload was not kept.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// Not found or not allowed.
    #[error(transparent)]
    Find(#[from] FindError),
    /// The tenant is on its way out.
    #[error("the tenant is being deleted")]
    TenantDeleting,
    /// The tenant's plan has no room for it.
    #[error("{0}")]
    Full(Invalid),
    /// The bytes are not the promised ones, are too many, or stopped coming.
    #[error("receive the bytes")]
    Write(#[from] WriteError),
    /// A piece was not taken to its end.
    #[error("{0}")]
    Piece(#[from] PieceError),
}

/// What became of a piece.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Appended {
    /// More is to come, from here on.
    UpTo(u64),
    /// The upload is whole and kept.
    Whole(Uploaded),
}

/// Takes the bytes of an input. They are kept only if they have the promised digest and the
/// tenant's plan has room for them; `announced` is how many the caller says there are.
///
/// # Errors
/// If the caller may not, the bytes are not the promised ones, or there is no room; nothing is kept
/// then.
pub async fn upload<E>(
    app: &App,
    actor: &Actor,
    tenant: &TenantRef,
    digest: &Digest,
    announced: Option<u64>,
    bytes: impl Stream<Item = Result<Bytes, E>>,
) -> Result<Uploaded, UploadError>
where
    E: Into<Box<dyn Error + Send + Sync>>,
{
    let asked = Asked::admit(app, actor, tenant, digest, announced.unwrap_or(0)).await?;
    let limits = Limits { bytes: asked.most, digest };
    match app.blobs.receive(bytes, limits).await {
        Ok(staged) => asked.keep(app, staged).await,
        Err(error) => Err(asked.refused(app, error).await?),
    }
}

/// How far an upload is that comes in pieces; all of it, if it is kept already. Whoever is sending it is
/// stopped.
///
/// # Errors
/// If the caller may not upload, or the object store fails.
pub async fn progress(
    app: &App,
    actor: &Actor,
    tenant: &TenantRef,
    digest: &Digest,
) -> Result<Progress, UploadError> {
    let (tenant, _) = tenant::find::<UploadBlob>(app, actor, tenant).await?;
    let known = app.store.blob_get(tenant.id, digest).await.map_err(FindError::from)?;
    if let Some(known) = known {
        return Ok(Progress { offset: known.size, is_complete: true });
    }
    let offset = app.blobs.partial_offset(&Owner::tenant(tenant.id), digest).await;
    Ok(Progress { offset: offset.map_err(WriteError::from)?, is_complete: false })
}

/// Takes a piece of an upload, of which `length` bytes are announced in all; with the last one it is kept
/// like any other.
///
/// # Errors
/// If the caller may not, there is no room, the piece is not the next one, or the whole is not the
/// promised one.
pub async fn append<E>(
    app: &App,
    actor: &Actor,
    tenant: &TenantRef,
    length: u64,
    piece: Piece<'_>,
    bytes: impl Stream<Item = Result<Bytes, E>>,
) -> Result<Appended, UploadError>
where
    E: Into<Box<dyn Error + Send + Sync>>,
{
    let asked = Asked::admit(app, actor, tenant, piece.digest, length).await?;
    let owner = Owner::tenant(asked.tenant.id);
    let piece = Piece { most: piece.most.min(asked.most), ..piece };
    match app.blobs.receive_piece(&owner, piece, bytes).await {
        Ok(Received::UpTo(offset)) => Ok(Appended::UpTo(offset)),
        Ok(Received::Whole(staged)) => asked.keep(app, staged).await.map(Appended::Whole),
        Err(PieceError::Write(error)) => Err(asked.refused(app, error).await?),
        Err(error) => Err(error.into()),
    }
}

/// Whether somebody may upload for a tenant.
///
/// # Errors
/// If not.
pub async fn permit(app: &App, actor: &Actor, tenant: &TenantRef) -> Result<(), FindError> {
    tenant::find::<UploadBlob>(app, actor, tenant).await.map(drop)
}

/// An upload for which there is room.
struct Asked<'a> {
    tenant: Tenant,
    digest: &'a Digest,
    is_new: bool,
    /// The most bytes that it may have.
    most: u64,
}

impl<'a> Asked<'a> {
    /// Admits an upload of which so many bytes are announced.
    async fn admit(
        app: &App,
        actor: &Actor,
        tenant: &TenantRef,
        digest: &'a Digest,
        announced: u64,
    ) -> Result<Self, UploadError> {
        let (tenant, _) = tenant::find::<UploadBlob>(app, actor, tenant).await?;
        if tenant.deletion_requested_at.is_some() {
            return Err(UploadError::TenantDeleting);
        }
        let known = app.store.blob_get(tenant.id, digest).await.map_err(FindError::from)?;
        let mut asked = Self { tenant, digest, is_new: known.is_none(), most: MAX_BYTES };
        if asked.is_new {
            let used = asked.used(app).await?;
            let limits = asked.tenant.plan().uploads;
            if !used.has_room_for(announced, limits) {
                return Err(full(&asked.tenant, announced, used, limits));
            }
            asked.most = limits.bytes.0.saturating_sub(used.bytes).min(MAX_BYTES);
        }
        Ok(asked)
    }

    /// What the others take, unfinished ones included.
    async fn used(&self, app: &App) -> Result<BlobUsage, UploadError> {
        let used = app.store.blob_usage(self.tenant.id).await.map_err(FindError::from)?;
        let owner = Owner::tenant(self.tenant.id);
        let unfinished = app.blobs.partial_usage(&owner, self.digest).await;
        let unfinished = unfinished.map_err(WriteError::from)?;
        let (bytes, count) = (used.bytes + unfinished.bytes, used.count + unfinished.count);
        Ok(BlobUsage { bytes, count })
    }

    /// Why the bytes were not taken, in the words of the plan if that is the reason.
    async fn refused(&self, app: &App, error: WriteError) -> Result<UploadError, UploadError> {
        if let WriteError::TooLarge { limit } = error
            && limit < MAX_BYTES
            && limit == self.most
        {
            let least = format!("more than {limit}");
            let limits = self.tenant.plan().uploads;
            return Ok(full(&self.tenant, least, self.used(app).await?, limits));
        }
        Ok(error.into())
    }

    /// The object first, then the row: what the record names is there.
    async fn keep(&self, app: &App, staged: Staged) -> Result<Uploaded, UploadError> {
        let Self { tenant, digest, is_new, .. } = self;
        let size = staged.written.size;
        let path = BlobPath::input(tenant.id, digest);
        let _alone = app.blobs.inputs().await;
        app.blobs.keep(staged, &path).await.map_err(WriteError::from)?;
        match app.store.blob_put(tenant.id, digest, size).await {
            Ok(()) => {
                let blob = Blob { digest: (*digest).clone(), size };
                Ok(Uploaded { blob, is_new: *is_new })
            }
            Err(error) => {
                let is_unnamed = matches!(
                    error,
                    BlobPutError::Full { .. } | BlobPutError::Store(StoreError::NotFound)
                );
                if is_unnamed {
                    app.blobs.delete(&path).await.map_err(WriteError::from)?;
                }
                Err(match error {
                    BlobPutError::TenantDeleting => UploadError::TenantDeleting,
                    BlobPutError::Full { used, limits } => full(tenant, size, used, limits),
                    BlobPutError::Store(error) => FindError::of_write(error, Noun::Tenant).into(),
                })
            }
        }
    }
}

/// Whether an input was uploaded.
///
/// # Errors
/// If the caller may not upload, or it is not there.
pub async fn get(
    app: &App,
    actor: &Actor,
    tenant: &TenantRef,
    digest: &Digest,
) -> Result<Blob, FindError> {
    let (tenant, _) = tenant::find::<UploadBlob>(app, actor, tenant).await?;
    app.store.blob_get(tenant.id, digest).await?.ok_or(FindError::Missing(Noun::Blob))
}

fn full(tenant: &Tenant, size: impl fmt::Display, used: BlobUsage, limits: Uploads) -> UploadError {
    let Uploads { bytes, count, kept_hours } = limits;
    let rule = format!(
        "at most {bytes} in {count} uploads in plan {}, of which {} bytes in {} are used; each is \
         removed {} days after it was last sent or named by a session",
        tenant.plan,
        used.bytes,
        used.count,
        kept_hours / 24,
    );
    UploadError::Full(Invalid::field("Content-Length", size, rule))
}
