//! `GET` and `POST /api/v1/tokens`, `DELETE /api/v1/tokens/{token}`: the tokens of operators.

use super::{IssuedTokenBody, TokenBody};
use crate::{
    caller::Caller,
    extract::{Body, Fields, Parameters, Record, RetryKey, TokenPath},
    page::{List, PageParams, PageQuery},
    problem::Problem,
};
use application::token::{self, TokenRequest};
use axum::{Json, http::StatusCode, response::Response};
use domain::Role;
use utoipa::ToSchema;

/// What an operator's token is made from.
#[derive(Debug, Default, ToSchema)]
pub(crate) struct CreateOperatorToken {
    /// What it is for.
    #[schema(min_length = 1, max_length = 64, examples("night shift"))]
    name: String,
}

/// Makes an operator's API token. For operators.
#[utoipa::path(
    post, path = "/api/v1/tokens", tag = "platform", operation_id = "createOperatorToken",
    request_body = CreateOperatorToken,
    responses((status = CREATED, description = "The token, shown this once", body = IssuedTokenBody)),
)]
#[tracing::instrument(name = "http.token.create", skip_all)]
pub(crate) async fn create(
    Caller { app, actor, .. }: Caller,
    key: RetryKey,
    body: Body<CreateOperatorToken>,
) -> Result<(StatusCode, Json<IssuedTokenBody>), Problem> {
    key.refuse()?;
    let token = token::create(&app, &actor, None, body.into_draft()).await?;
    Ok((StatusCode::CREATED, Json(token.into())))
}

/// The API tokens of operators, without their texts. For operators.
#[utoipa::path(
    get, path = "/api/v1/tokens", tag = "platform", operation_id = "listOperatorTokens",
    params(PageParams),
    responses((status = OK, description = "A page, oldest first", body = List<TokenBody>)),
)]
#[tracing::instrument(name = "http.token.list", skip_all)]
pub(crate) async fn list(
    Caller { app, actor, .. }: Caller,
    mut parameters: Parameters,
) -> Result<Response, Problem> {
    let query = PageQuery::take(&mut parameters);
    parameters.finish()?;
    let page = token::list(&app, &actor, None, query.after, query.limit).await?;
    Ok(query.answer(page, "", TokenBody::from))
}

/// Takes an operator's API token back, also the one that the first start made; not the last one.
/// For operators.
#[utoipa::path(
    delete, path = "/api/v1/tokens/{token}", tag = "platform", operation_id = "revokeOperatorToken",
    params(("token" = String, Path, description = "Its id")),
    responses((status = NO_CONTENT, description = "It is nobody's from now on")),
)]
#[tracing::instrument(name = "http.token.revoke", skip_all)]
pub(crate) async fn revoke(
    Caller { app, actor, .. }: Caller,
    TokenPath((), token): TokenPath<()>,
) -> Result<StatusCode, Problem> {
    token::revoke(&app, &actor, None, token).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl Record for CreateOperatorToken {
    fn take(fields: &mut Fields<'_>) -> Self {
        Self { name: fields.required("name") }
    }
}

impl From<CreateOperatorToken> for TokenRequest {
    fn from(CreateOperatorToken { name }: CreateOperatorToken) -> Self {
        Self { name, role: Role::Operator.as_str().to_owned() }
    }
}
