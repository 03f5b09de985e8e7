//! `POST /api/v1/tenants/{tenant}/nodes/{node}/replace`

use super::begun;
use crate::{
    caller::Caller,
    extract::{Fields, NodePath, OptionalBody, Record},
    openapi::words,
    operation::OperationBody,
    problem::Problem,
};
use application::node::{self, NewReplacement};
use axum::response::IntoResponse;
use utoipa::ToSchema;

/// How a node is replaced.
#[derive(Debug, Default, ToSchema)]
#[schema(as = ReplaceNode)]
pub(crate) struct Replace {
    /// What becomes of volumes on its disk: `stop`, which replaces nothing while there are any, `copy`, with which what
    /// uses them is down for as long as that takes, or `lose`. `stop` if it is missing. While a node is being replaced
    /// `lose` gives up what is not copied yet.
    #[schema(schema_with = words::volumes_on_disk)]
    volumes: Option<String>,
}

impl From<Replace> for NewReplacement {
    fn from(Replace { volumes }: Replace) -> Self {
        Self { volumes }
    }
}

impl Record for Replace {
    fn take(fields: &mut Fields<'_>) -> Self {
        Self { volumes: fields.optional("volumes") }
    }
}

/// Replaces a node of a tenant: another one is made, what runs on this one moves there as the tenant's own budgets
/// allow, and then its machine is destroyed. One at a time for each tenant.
#[utoipa::path(
    post, path = "/api/v1/tenants/{tenant}/nodes/{node}/replace", tag = "nodes", operation_id = "replaceNode",
    params(
        ("tenant" = String, Path, description = "Id or name"),
        ("node" = String, Path, description = "Its id"),
    ),
    request_body = Option<Replace>,
    responses((status = ACCEPTED, description = "The release of the old one has begun", body = OperationBody,
        headers(("location" = String, description = "The operation's address")))),
)]
#[tracing::instrument(name = "http.node.replace", skip_all, fields(tenant.id, operation.id))]
pub(crate) async fn replace(
    Caller { app, actor, .. }: Caller,
    NodePath { tenant, node }: NodePath,
    OptionalBody(body): OptionalBody<Replace>,
) -> Result<impl IntoResponse, Problem> {
    let operation = node::replace(&app, &actor, &tenant, node, body.into_draft()).await?;
    begun(&app, operation).await
}
