//! `HEAD /api/v1/tenants/{tenant}/uploads/{digest}`

use super::headers;
use crate::{caller::Caller, extract::DigestPath, problem::Problem};
use application::blob;
use axum::{http::StatusCode, response::IntoResponse};

/// How far an upload is, so that it can go on there. A request that is sending it is ended: whoever asks
/// goes on.
#[utoipa::path(
    head, path = "/api/v1/tenants/{tenant}/uploads/{digest}", tag = "sessions", operation_id = "getUploadOffset",
    params(
        ("tenant" = String, Path, description = "Id or name"),
        ("digest" = String, Path, description = "`sha256:` and 64 hexadecimal digits of the whole"),
    ),
    responses((status = NO_CONTENT, description = "So far it is", headers(
        ("upload-offset" = u64, description = "How many bytes are there; 0 if it was not begun"),
        ("upload-complete" = String, description = "`?1` if it is whole and kept, otherwise `?0`"),
    ))),
)]
#[tracing::instrument(name = "http.upload.head", skip_all, fields(tenant.id))]
pub(crate) async fn head(
    Caller { app, actor, .. }: Caller,
    DigestPath { tenant, digest }: DigestPath,
) -> Result<impl IntoResponse, Problem> {
    let progress = blob::progress(&app, &actor, &tenant, &digest).await?;
    Ok((StatusCode::NO_CONTENT, headers(progress)))
}
