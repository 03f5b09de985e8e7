//! `PUT /api/v1/tenants/{tenant}/blobs/{digest}`

use super::BlobBody;
use crate::{
    caller::Caller,
    extract::{DigestPath, is_packed, packed},
    problem::{Problem, too_large},
};
use application::blob;
use axum::{
    Json,
    body::Body,
    http::{HeaderMap, StatusCode, header},
};

/// Uploads an input of at most 100 MiB. It is kept only if the bytes have the digest in the path.
///
/// The plan says how much may be kept in all, and how long each upload is kept after it was last
/// sent or named by a session.
#[utoipa::path(
    put, path = "/api/v1/tenants/{tenant}/blobs/{digest}", tag = "sessions", operation_id = "uploadBlob",
    params(
        ("tenant" = String, Path, description = "Id or name"),
        ("digest" = String, Path, description = "`sha256:` and 64 hexadecimal digits"),
    ),
    request_body(content_type = "application/octet-stream", description = "Its bytes"),
    responses(
        (status = CREATED, description = "Kept", body = BlobBody),
        (status = OK, description = "It was there before", body = BlobBody),
    ),
)]
#[tracing::instrument(name = "http.blob.put", skip_all, fields(tenant.id))]
pub(crate) async fn put(
    Caller { app, actor, .. }: Caller,
    DigestPath { tenant, digest }: DigestPath,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<BlobBody>), Problem> {
    if is_packed(&headers) {
        return Err(packed());
    }
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    let length: Option<u64> = length.and_then(|text| text.parse().ok());
    if length.is_some_and(|size| size > blob::MAX_BYTES) {
        return Err(too_large(length, blob::MAX_BYTES));
    }
    let bytes = body.into_data_stream();
    let uploaded = blob::upload(&app, &actor, &tenant, &digest, length, bytes).await?;
    let status = if uploaded.is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(uploaded.blob.into())))
}
