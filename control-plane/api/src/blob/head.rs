//! `HEAD /api/v1/tenants/{tenant}/blobs/{digest}`

use crate::{caller::Caller, extract::DigestPath, problem::Problem};
use application::blob;
use axum::http::StatusCode;

/// Whether an input was uploaded, so that it need not be uploaded again.
#[utoipa::path(
    head, path = "/api/v1/tenants/{tenant}/blobs/{digest}", tag = "sessions", operation_id = "hasBlob",
    params(
        ("tenant" = String, Path, description = "Id or name"),
        ("digest" = String, Path, description = "`sha256:` and 64 hexadecimal digits"),
    ),
    responses((status = OK, description = "It is there")),
)]
#[tracing::instrument(name = "http.blob.head", skip_all, fields(tenant.id))]
pub(crate) async fn head(
    Caller { app, actor, .. }: Caller,
    DigestPath { tenant, digest }: DigestPath,
) -> Result<StatusCode, Problem> {
    blob::get(&app, &actor, &tenant, &digest).await?;
    Ok(StatusCode::OK)
}
