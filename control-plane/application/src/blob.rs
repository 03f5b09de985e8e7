//! Inputs that are uploaded before a session names them.

use crate::{
    App,
    blobs::{BlobPath, Limits, WriteError},
    error::{FindError, Noun},
    tenant::{self, TenantRef},
};
use bytes::Bytes;
use domain::{Actor, Digest, UploadBlob};
use futures::Stream;
use std::error::Error;
use store::Blob;

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
    /// The bytes are not the promised ones, are too many, or stopped coming.
    #[error("receive the bytes")]
    Write(#[from] WriteError),
}

/// Takes the bytes of an input. They are kept only if they have the promised digest.
///
/// # Errors
/// If the caller may not, or the bytes are not the promised ones; nothing is kept then.
pub async fn upload<E>(
    app: &App,
    actor: &Actor,
    tenant: &TenantRef,
    digest: &Digest,
    bytes: impl Stream<Item = Result<Bytes, E>>,
) -> Result<Uploaded, UploadError>
where
    E: Into<Box<dyn Error + Send + Sync>>,
{
    let (tenant, _) = tenant::find::<UploadBlob>(app, actor, tenant).await?;
    let known = app.store.blob_get(tenant.id, digest).await.map_err(FindError::from)?;
    let path = BlobPath::input(tenant.id, digest);
    let limits = Limits { bytes: MAX_BYTES, digest };
    let written = app.blobs.write(&path, bytes, limits).await?;
    if let Some(blob) = known {
        return Ok(Uploaded { blob, is_new: false });
    }
    let put = app.store.blob_put(tenant.id, digest, written.size).await;
    put.map_err(|error| FindError::of_write(error, Noun::Tenant))?;
    let blob = Blob { digest: digest.clone(), size: written.size };
    Ok(Uploaded { blob, is_new: true })
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
