//! `POST /api/v1/orphans/{orphan}/remove`

use super::OrphanBody;
use crate::{caller::Caller, extract::OrphanPath, problem::Problem};
use application::orphan;
use axum::{Json, http::StatusCode};

/// Asks for the removal of something that is proven to be Warren's. It is proven once more before anything is touched; the
/// list shows how far that is. For operators.
#[utoipa::path(
    post, path = "/api/v1/orphans/{orphan}/remove", tag = "nodes", operation_id = "removeOrphan",
    params(("orphan" = String, Path, description = "Its id")),
    responses((status = ACCEPTED, description = "It will be removed", body = OrphanBody)),
)]
#[tracing::instrument(name = "http.orphan.remove", skip_all)]
pub(crate) async fn remove(
    Caller { app, actor, .. }: Caller,
    OrphanPath(orphan): OrphanPath,
) -> Result<(StatusCode, Json<OrphanBody>), Problem> {
    let orphan = orphan::remove(&app, &actor, orphan).await?;
    Ok((StatusCode::ACCEPTED, Json(orphan.into())))
}
