//! `POST /api/v1/tenants/{tenant}/tokens`

use super::IssuedTokenBody;
use crate::{
    caller::Caller,
    extract::{Body, Fields, Record, RetryKey, TenantPath},
    openapi::words,
    problem::Problem,
};
use application::token;
use axum::{Json, http::StatusCode};
use utoipa::ToSchema;

/// What a token is made from.
#[derive(Debug, Default, ToSchema)]
pub(crate) struct CreateToken {
    /// What it is for.
    #[schema(min_length = 1, max_length = 64, examples("ci"))]
    pub(super) name: String,
    /// At most as mighty as your own.
    #[schema(schema_with = words::tenant_role)]
    pub(super) role: String,
}

/// Makes an API token for a tenant.
#[utoipa::path(
    post, path = "/api/v1/tenants/{tenant}/tokens", tag = "tenants", operation_id = "createToken",
    params(("tenant" = String, Path, description = "Id or name")),
    request_body = CreateToken,
    responses((status = CREATED, description = "The token, shown this once", body = IssuedTokenBody)),
)]
#[tracing::instrument(name = "http.token.create", skip_all, fields(tenant.id))]
pub(crate) async fn create(
    Caller { app, actor, .. }: Caller,
    TenantPath(tenant): TenantPath,
    key: RetryKey,
    body: Body<CreateToken>,
) -> Result<(StatusCode, Json<IssuedTokenBody>), Problem> {
    key.refuse()?;
    let token = token::create(&app, &actor, Some(&tenant), body.into_draft()).await?;
    Ok((StatusCode::CREATED, Json(token.into())))
}

impl Record for CreateToken {
    fn take(fields: &mut Fields<'_>) -> Self {
        Self { name: fields.required("name"), role: fields.required("role") }
    }
}
