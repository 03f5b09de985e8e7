//! Inputs that are uploaded before a session names them.

use crate::{
    App,
    blobs::{BlobPath, Limits, WriteError},
    error::{FindError, Noun},
    tenant::{self, TenantRef},
};
use bytes::Bytes;
use domain::{Actor, Digest, Invalid, Plan, Tenant, UploadBlob, Uploads};
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
    let (tenant, _) = tenant::find::<UploadBlob>(app, actor, tenant).await?;
    if tenant.deletion_requested_at.is_some() {
        return Err(UploadError::TenantDeleting);
    }
    let known = app.store.blob_get(tenant.id, digest).await.map_err(FindError::from)?;
    let mut room = None;
    if known.is_none() {
        let used = app.store.blob_usage(tenant.id).await.map_err(FindError::from)?;
        let limits = Plan::current(tenant.plan).uploads;
        if !used.has_room_for(announced.unwrap_or(0), limits) {
            return Err(full(&tenant, announced.unwrap_or(0), used, limits));
        }
        room = Some(limits.bytes.0.saturating_sub(used.bytes));
    }
    let limit = room.unwrap_or(MAX_BYTES).min(MAX_BYTES);
    let staged = match app.blobs.receive(bytes, Limits { bytes: limit, digest }).await {
        Ok(staged) => staged,
        Err(WriteError::TooLarge { limit }) if limit < MAX_BYTES => {
            let used = app.store.blob_usage(tenant.id).await.map_err(FindError::from)?;
            let least = format!("more than {limit}");
            return Err(full(&tenant, least, used, Plan::current(tenant.plan).uploads));
        }
        Err(error) => return Err(error.into()),
    };
    let size = staged.written.size;
    // The object first, then the row: what the record names is there.
    let path = BlobPath::input(tenant.id, digest);
    let _alone = app.blobs.inputs().await;
    app.blobs.keep(staged, &path).await.map_err(WriteError::from)?;
    match app.store.blob_put(tenant.id, digest, size).await {
        Ok(()) => {
            let blob = Blob { digest: digest.clone(), size };
            Ok(Uploaded { blob, is_new: known.is_none() })
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
                BlobPutError::Full { used, limits } => full(&tenant, size, used, limits),
                BlobPutError::Store(error) => FindError::of_write(error, Noun::Tenant).into(),
            })
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
