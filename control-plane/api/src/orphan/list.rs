//! `GET /api/v1/orphans`

use super::OrphanBody;
use crate::{
    caller::Caller,
    extract::Parameters,
    page::{List, PageParams, PageQuery},
    problem::Problem,
};
use application::orphan;
use axum::response::Response;

/// Machines, disks, images, join tokens, node passwords and nodes that are there and that nobody needs, each with whose it
/// is as far as that is proven. What two looks some minutes apart have seen is reported; what was removed or is gone
/// stays for a week. For operators.
#[utoipa::path(
    get, path = "/api/v1/orphans", tag = "nodes", operation_id = "listOrphans",
    params(PageParams),
    responses((status = OK, description = "A page, oldest first", body = List<OrphanBody>)),
)]
#[tracing::instrument(name = "http.orphan.list", skip_all)]
pub(crate) async fn list(
    Caller { app, actor, .. }: Caller,
    mut parameters: Parameters,
) -> Result<Response, Problem> {
    let query = PageQuery::take(&mut parameters);
    parameters.finish()?;
    let page = orphan::list(&app, &actor, query.after, query.limit).await?;
    Ok(query.answer(page, "", OrphanBody::from))
}
