//! `POST /api/v1/organisations`

use super::OrganisationBody;
use crate::{
    caller::Caller,
    extract::{Body, Fields, Record, RetryKey},
    problem::Problem,
};
use application::organisation;
use axum::{
    Json,
    http::StatusCode,
    response::{AppendHeaders, IntoResponse},
};
use utoipa::ToSchema;

/// What an organisation is made from.
#[derive(Debug, Default, ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct CreateOrganisation {
    /// 3 to 40 characters: a-z, 0-9 and '-', starting with a letter, not ending with '-'.
    #[schema(min_length = 3, max_length = 40, examples("acme-corp"))]
    pub(super) name: String,
    /// How many tenants it may have at a time; 5 if absent.
    #[schema(minimum = 1, maximum = 1000)]
    pub(super) max_tenants: Option<u32>,
}

/// Makes an organisation, without people: invite an owner next. For operators.
#[utoipa::path(
    post, path = "/api/v1/organisations", tag = "organisations", operation_id = "createOrganisation",
    request_body = CreateOrganisation,
    responses((status = CREATED, description = "The organisation", body = OrganisationBody,
        headers(("location" = String, description = "The organisation's address")))),
)]
#[tracing::instrument(name = "http.organisation.create", skip_all)]
pub(crate) async fn create(
    Caller { app, actor, .. }: Caller,
    key: RetryKey,
    body: Body<CreateOrganisation>,
) -> Result<impl IntoResponse, Problem> {
    key.refuse()?;
    let made = organisation::create(&app, &actor, body.into_draft()).await?;
    let location = [("location", format!("/api/v1/organisations/{}", made.id))];
    Ok((StatusCode::CREATED, AppendHeaders(location), Json(OrganisationBody::from(made))))
}

impl Record for CreateOrganisation {
    fn take(fields: &mut Fields<'_>) -> Self {
        Self { name: fields.required("name"), max_tenants: fields.optional("maxTenants") }
    }
}
