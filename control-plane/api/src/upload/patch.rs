//! `PATCH /api/v1/tenants/{tenant}/uploads/{digest}`

use super::{COMPLETE, LENGTH, OFFSET, headers};
use crate::{
    blob::BlobBody,
    caller::Caller,
    extract::{DigestPath, is_packed, packed},
    problem::{Code, Problem, too_large},
};
use application::{
    blob::{self, Appended, UploadError},
    blobs::{Piece, PieceError},
    run::Progress,
};
use axum::{
    Json,
    body::Body,
    http::{HeaderMap, HeaderName, StatusCode},
    response::{IntoResponse, Response},
};
use domain::{Digest, Invalid};

/// Sends a piece of an upload of at most 100 MiB in all. What came of a piece that broke off is kept:
/// `HEAD` says how much that is. With the last piece the whole is kept as with `PUT` of the blob, if it has
/// the digest in the path; if not, nothing of it is.
///
/// What is unfinished counts against the limits of the plan, and is removed 24 hours after its last piece.
#[utoipa::path(
    patch, path = "/api/v1/tenants/{tenant}/uploads/{digest}", tag = "sessions", operation_id = "appendUpload",
    params(
        ("tenant" = String, Path, description = "Id or name"),
        ("digest" = String, Path, description = "`sha256:` and 64 hexadecimal digits of the whole"),
        ("Upload-Offset" = u64, Header, description = "Where the piece begins: what `HEAD` says, 0 at first"),
        ("Upload-Length" = u64, Header, description = "How many bytes the whole has"),
        ("Upload-Complete" = String, Header, description = "`?1` if nothing comes after it, otherwise `?0`"),
    ),
    request_body(content_type = "application/partial-upload", description = "Its bytes"),
    responses(
        (status = NO_CONTENT, description = "More is to come", headers(("upload-offset" = u64, description = "How many bytes are there"))),
        (status = CREATED, description = "The whole is kept", body = BlobBody),
        (status = OK, description = "It was there before", body = BlobBody),
    ),
)]
#[tracing::instrument(name = "http.upload.patch", skip_all, fields(tenant.id))]
pub(crate) async fn patch(
    Caller { app, actor, .. }: Caller,
    DigestPath { tenant, digest }: DigestPath,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    // Who may not know of the tenant does not hear of headers either.
    blob::permit(&app, &actor, &tenant).await?;
    let (length, piece) = piece(&headers, &digest)?;
    let bytes = body.into_data_stream();
    let appended = blob::append(&app, &actor, &tenant, length, piece, bytes).await;
    Ok(appended.map_or_else(refused, answer))
}

fn answer(appended: Appended) -> Response {
    match appended {
        Appended::UpTo(offset) => {
            let progress = Progress { offset, is_complete: false };
            (StatusCode::NO_CONTENT, headers(progress)).into_response()
        }
        Appended::Whole(uploaded) => {
            let status = if uploaded.is_new { StatusCode::CREATED } else { StatusCode::OK };
            let progress = Progress { offset: uploaded.blob.size, is_complete: true };
            (status, headers(progress), Json(BlobBody::from(uploaded.blob))).into_response()
        }
    }
}

/// A wrong offset is answered with the right one.
fn refused(error: UploadError) -> Response {
    let UploadError::Piece(PieceError::Offset { expected, .. }) = error else {
        return Problem::from(error).into_response();
    };
    ([(OFFSET, expected.to_string())], Problem::from(error)).into_response()
}

/// The length of the whole, and the piece.
fn piece<'a>(headers: &HeaderMap, digest: &'a Digest) -> Result<(u64, Piece<'a>), Problem> {
    if is_packed(headers) {
        return Err(packed());
    }
    let mut invalid = Invalid::default();
    let mut number = |name: HeaderName| {
        let text = headers.get(&name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let number: Option<u64> = text.parse().ok();
        if number.is_none() {
            invalid.add(name.as_str(), text, "a number of bytes");
        }
        number.unwrap_or(0)
    };
    let (offset, length) = (number(OFFSET), number(LENGTH));
    let complete = headers.get(COMPLETE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_last = complete == "?1";
    if !is_last && complete != "?0" {
        invalid.add(COMPLETE.as_str(), complete, "?0 or ?1");
    }
    if !invalid.fields.is_empty() {
        return Err(Problem::with_fields(Code::InvalidHeader, invalid));
    }
    if length > blob::MAX_BYTES {
        return Err(too_large(Some(length), blob::MAX_BYTES));
    }
    Ok((length, Piece { digest, offset, most: length, is_last }))
}
