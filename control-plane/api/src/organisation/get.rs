//! `GET /api/v1/organisations/{organisation}`

use super::OrganisationBody;
use crate::{caller::Caller, extract::OrganisationPath, problem::Problem};
use application::organisation;
use axum::Json;

/// One organisation.
#[utoipa::path(
    get, path = "/api/v1/organisations/{organisation}", tag = "organisations", operation_id = "getOrganisation",
    params(("organisation" = String, Path, description = "Id or name")),
    responses((status = OK, description = "The organisation", body = OrganisationBody)),
)]
#[tracing::instrument(name = "http.organisation.get", skip_all)]
pub(crate) async fn get(
    Caller { app, actor, .. }: Caller,
    OrganisationPath(organisation): OrganisationPath,
) -> Result<Json<OrganisationBody>, Problem> {
    Ok(Json(organisation::get(&app, &actor, &organisation).await?.into()))
}
