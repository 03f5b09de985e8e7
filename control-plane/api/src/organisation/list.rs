//! `GET /api/v1/organisations`

use super::OrganisationBody;
use crate::{
    caller::Caller,
    extract::Parameters,
    page::{List, PageParams, PageQuery},
    problem::Problem,
};
use application::organisation;
use axum::response::Response;

/// The organisations that you may see.
#[utoipa::path(
    get, path = "/api/v1/organisations", tag = "organisations", operation_id = "listOrganisations",
    params(PageParams),
    responses((status = OK, description = "A page, oldest first", body = List<OrganisationBody>)),
)]
#[tracing::instrument(name = "http.organisation.list", skip_all)]
pub(crate) async fn list(
    Caller { app, actor, .. }: Caller,
    mut parameters: Parameters,
) -> Result<Response, Problem> {
    let query = PageQuery::take(&mut parameters);
    parameters.finish()?;
    let page = organisation::list(&app, &actor, query.after, query.limit).await?;
    Ok(query.answer(page, "", OrganisationBody::from))
}
