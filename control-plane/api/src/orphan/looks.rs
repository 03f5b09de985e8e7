//! `GET /api/v1/orphans/looks`

use super::LookBody;
use crate::{caller::Caller, page::List, problem::Problem};
use application::orphan;
use axum::Json;

/// When each part of the world was looked at last for what nobody needs, and what of it could not be seen. Empty before the
/// first look. For operators.
#[utoipa::path(
    get, path = "/api/v1/orphans/looks", tag = "nodes", operation_id = "listOrphanLooks",
    responses((status = OK, description = "All of them", body = List<LookBody>)),
)]
#[tracing::instrument(name = "http.orphan.looks", skip_all)]
pub(crate) async fn looks(
    Caller { app, actor, .. }: Caller,
) -> Result<Json<List<LookBody>>, Problem> {
    let looks = orphan::looks(&app, &actor).await?;
    Ok(Json(List { items: looks.into_iter().map(LookBody::from).collect(), next_cursor: None }))
}
