//! `GET /api/v1/organisations/{organisation}/members`, `PATCH` and `DELETE` of one.

use super::MemberBody;
use crate::{
    caller::Caller,
    extract::{Body, Fields, MemberPath, OrganisationPath, Record},
    openapi::words,
    page::List,
    problem::Problem,
};
use application::organisation;
use axum::{Json, http::StatusCode};
use utoipa::ToSchema;

/// What a member is to be.
#[derive(Debug, Default, ToSchema)]
pub(crate) struct ChangeMember {
    /// At most as mighty as your own.
    #[schema(schema_with = words::tenant_role)]
    pub(super) role: String,
}

/// Everybody in an organisation, the oldest first. For owners and admins.
#[utoipa::path(
    get, path = "/api/v1/organisations/{organisation}/members", tag = "organisations", operation_id = "listMembers",
    params(("organisation" = String, Path, description = "Id or name")),
    responses((status = OK, description = "All of them", body = List<MemberBody>)),
)]
#[tracing::instrument(name = "http.member.list", skip_all)]
pub(crate) async fn list(
    Caller { app, actor, .. }: Caller,
    OrganisationPath(organisation): OrganisationPath,
) -> Result<Json<List<MemberBody>>, Problem> {
    let found = organisation::members(&app, &actor, Some(&organisation)).await?;
    let items = found.members.into_iter().map(MemberBody::from).collect();
    Ok(Json(List { items, next_cursor: None }))
}

/// Makes a member something else; the last owner stays one, and nobody changes who is mightier.
#[utoipa::path(
    patch, path = "/api/v1/organisations/{organisation}/members/{account}", tag = "organisations",
    operation_id = "changeMember",
    params(
        ("organisation" = String, Path, description = "Id or name"),
        ("account" = String, Path, description = "The member's id"),
    ),
    request_body = ChangeMember,
    responses((status = NO_CONTENT, description = "They are that now")),
)]
#[tracing::instrument(name = "http.member.change", skip_all)]
pub(crate) async fn change(
    Caller { app, actor, .. }: Caller,
    MemberPath { organisation, account }: MemberPath,
    body: Body<ChangeMember>,
) -> Result<StatusCode, Problem> {
    let wanted = body.into_draft();
    organisation::change_member(&app, &actor, Some(&organisation), account, wanted).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lets a member go; not the last owner. Their account stays.
#[utoipa::path(
    delete, path = "/api/v1/organisations/{organisation}/members/{account}", tag = "organisations",
    operation_id = "removeMember",
    params(
        ("organisation" = String, Path, description = "Id or name"),
        ("account" = String, Path, description = "The member's id"),
    ),
    responses((status = NO_CONTENT, description = "They are not in it any more")),
)]
#[tracing::instrument(name = "http.member.remove", skip_all)]
pub(crate) async fn remove(
    Caller { app, actor, .. }: Caller,
    MemberPath { organisation, account }: MemberPath,
) -> Result<StatusCode, Problem> {
    organisation::remove_member(&app, &actor, Some(&organisation), account).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl Record for ChangeMember {
    fn take(fields: &mut Fields<'_>) -> Self {
        Self { role: fields.required("role") }
    }
}
