//! `GET` and `POST /api/v1/organisations/{organisation}/invites`, `DELETE` of one.

use super::{InviteBody, IssuedInviteBody};
use crate::{
    caller::Caller,
    extract::{Body, Fields, InvitePath, OrganisationPath, Record, RetryKey},
    openapi::words,
    page::List,
    problem::Problem,
};
use application::organisation;
use axum::{Json, http::StatusCode};
use utoipa::ToSchema;

/// What an invite is made from.
#[derive(Debug, Default, ToSchema)]
pub(crate) struct CreateInvite {
    /// At most as mighty as your own.
    #[schema(schema_with = words::tenant_role)]
    pub(super) role: String,
    /// For whom, in your words.
    #[schema(max_length = 80, examples("Anna, from finance"))]
    pub(super) note: Option<String>,
}

/// The invites that nobody has followed. For owners and admins.
#[utoipa::path(
    get, path = "/api/v1/organisations/{organisation}/invites", tag = "organisations", operation_id = "listInvites",
    params(("organisation" = String, Path, description = "Id or name")),
    responses((status = OK, description = "All of them", body = List<InviteBody>)),
)]
#[tracing::instrument(name = "http.invite.list", skip_all)]
pub(crate) async fn list(
    Caller { app, actor, .. }: Caller,
    OrganisationPath(organisation): OrganisationPath,
) -> Result<Json<List<InviteBody>>, Problem> {
    let found = organisation::members(&app, &actor, Some(&organisation)).await?;
    let items = found.invites.into_iter().map(InviteBody::from).collect();
    Ok(Json(List { items, next_cursor: None }))
}

/// Invites one person, for a week. For owners and admins.
#[utoipa::path(
    post, path = "/api/v1/organisations/{organisation}/invites", tag = "organisations", operation_id = "createInvite",
    params(("organisation" = String, Path, description = "Id or name")),
    request_body = CreateInvite,
    responses((status = CREATED, description = "The invite; what opens it is shown this once", body = IssuedInviteBody)),
)]
#[tracing::instrument(name = "http.invite.create", skip_all)]
pub(crate) async fn create(
    Caller { app, actor, .. }: Caller,
    OrganisationPath(organisation): OrganisationPath,
    key: RetryKey,
    body: Body<CreateInvite>,
) -> Result<(StatusCode, Json<IssuedInviteBody>), Problem> {
    key.refuse()?;
    let wanted = body.into_draft();
    let made = organisation::invite(&app, &actor, Some(&organisation), wanted).await?;
    Ok((StatusCode::CREATED, Json(made.into())))
}

/// Takes an invite back: it opens nothing from then on.
#[utoipa::path(
    delete, path = "/api/v1/organisations/{organisation}/invites/{invite}", tag = "organisations",
    operation_id = "revokeInvite",
    params(
        ("organisation" = String, Path, description = "Id or name"),
        ("invite" = String, Path, description = "Its id"),
    ),
    responses((status = NO_CONTENT, description = "It opens nothing any more")),
)]
#[tracing::instrument(name = "http.invite.revoke", skip_all)]
pub(crate) async fn revoke(
    Caller { app, actor, .. }: Caller,
    InvitePath { organisation, invite }: InvitePath,
) -> Result<StatusCode, Problem> {
    organisation::revoke_invite(&app, &actor, Some(&organisation), invite).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl Record for CreateInvite {
    fn take(fields: &mut Fields<'_>) -> Self {
        Self { role: fields.required("role"), note: fields.optional("note") }
    }
}
