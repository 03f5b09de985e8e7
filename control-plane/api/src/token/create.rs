//! `POST /api/v1/tenants/{tenant}/tokens`

use crate::{
    caller::Caller,
    extract::{Body, Fields, Record, RetryKey, TenantPath},
    openapi::words,
    problem::Problem,
};
use application::token::{self, IssuedToken, TokenRequest};
use axum::{Json, http::StatusCode};
use secrecy::ExposeSecret as _;
use serde::Serialize;
use utoipa::ToSchema;

/// What a token is made from.
#[derive(Debug, Default, ToSchema)]
pub(crate) struct CreateToken {
    /// What it is for.
    #[schema(min_length = 1, max_length = 64, examples("ci"))]
    name: String,
    /// At most as mighty as your own.
    #[schema(schema_with = words::tenant_role)]
    role: String,
}

/// A token. Its text is not kept and cannot be shown again.
#[derive(Serialize, ToSchema)]
#[schema(as = Token)]
pub(crate) struct TokenBody {
    id: String,
    name: String,
    #[schema(schema_with = words::tenant_role)]
    role: &'static str,
    /// The tenant's id.
    tenant: String,
    /// Sent as `Authorization: Bearer wrn_…`.
    token: String,
}

/// Makes an API token for a tenant.
#[utoipa::path(
    post, path = "/api/v1/tenants/{tenant}/tokens", tag = "tenants", operation_id = "createToken",
    params(("tenant" = String, Path, description = "Id or name")),
    request_body = CreateToken,
    responses((status = CREATED, description = "The token, shown this once", body = TokenBody)),
)]
#[tracing::instrument(name = "http.token.create", skip_all)]
pub(crate) async fn create(
    Caller { app, actor, .. }: Caller,
    TenantPath(tenant): TenantPath,
    key: RetryKey,
    body: Body<CreateToken>,
) -> Result<(StatusCode, Json<TokenBody>), Problem> {
    key.refuse()?;
    let token = token::create(&app, &actor, &tenant, body.into_draft()).await?;
    Ok((StatusCode::CREATED, Json(token.into())))
}

impl Record for CreateToken {
    fn take(fields: &mut Fields<'_>) -> Self {
        Self { name: fields.required("name"), role: fields.required("role") }
    }
}

impl From<CreateToken> for TokenRequest {
    fn from(CreateToken { name, role }: CreateToken) -> Self {
        Self { name, role }
    }
}

impl From<IssuedToken> for TokenBody {
    fn from(token: IssuedToken) -> Self {
        Self {
            id: token.id.to_string(),
            name: token.name,
            role: token.role.as_str(),
            tenant: token.tenant.to_string(),
            token: token.secret.expose_secret().to_owned(),
        }
    }
}

impl std::fmt::Debug for TokenBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenBody").field("id", &self.id).finish_non_exhaustive()
    }
}
