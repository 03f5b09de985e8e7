//! `POST /api/v1/tenants`

use super::TenantBody;
use crate::{
    caller::Caller,
    extract::{Body, Fields, Preference, Record, RetryKey},
    openapi::words,
    problem::Problem,
};
use application::tenant::{self, NewTenant};
use axum::{
    Json,
    http::StatusCode,
    response::{AppendHeaders, IntoResponse},
};
use futures::{FutureExt as _, future};
use utoipa::ToSchema;

/// What a tenant is made from.
#[derive(Debug, Default, ToSchema)]
pub(crate) struct CreateTenant {
    /// 3 to 40 characters: a-z, 0-9 and '-', starting with a letter, not ending with '-'.
    #[schema(
        min_length = 3,
        max_length = 40,
        pattern = "^[a-z][a-z0-9-]*[a-z0-9]$",
        examples("acme")
    )]
    name: String,
    /// The name or id of the organisation that it will belong to. If absent, the only one that you may make tenants in;
    /// an operator's belongs to the platform.
    #[schema(examples("acme-corp"))]
    organisation: Option<String>,
    #[schema(schema_with = words::plan)]
    plan: String,
    /// How many nodes of its own it gets, on a plan that has such; 1 if absent.
    #[schema(minimum = 1, maximum = 100)]
    nodes: Option<u32>,
}

/// Makes a tenant. The answer comes at once; `operation` names what makes it usable.
#[utoipa::path(
    post, path = "/api/v1/tenants", tag = "tenants", operation_id = "createTenant",
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "A repetition with the same key gets the first answer"),
        ("Prefer" = Option<String>, Header, description = "`wait=N`: answer when the tenant is usable, at most after N seconds"),
    ),
    request_body = CreateTenant,
    responses((status = CREATED, description = "Accepted", body = TenantBody,
        headers(("location" = String, description = "The tenant's address")))),
)]
#[tracing::instrument(name = "http.tenant.create", skip_all, fields(tenant.id, operation.id))]
pub(crate) async fn create(
    caller: Caller,
    key: RetryKey,
    wait: Preference,
    body: Body<CreateTenant>,
) -> Result<impl IntoResponse, Problem> {
    let Caller { app, actor, .. } = &caller;
    let key = body.key(&caller, key);
    let created = tenant::create(app, actor, body.into_draft(), key.as_ref()).await?;
    let view = created.value;
    let id = view.tenant.id;
    let waiting = wait.0.map(|time| tenant::wait(app, actor, id, time).map(Result::ok));
    // It is there, whatever happens while waiting.
    let view = caller.wait_or(waiting, future::ready(None)).await.unwrap_or(view);
    let location = format!("/api/v1/tenants/{id}");
    let replayed = created.is_replay.then_some(("idempotent-replayed", "true".to_owned()));
    let headers = [Some(("location", location)), replayed].into_iter().flatten();
    let headers = AppendHeaders(headers);
    Ok((StatusCode::CREATED, headers, wait, Json(TenantBody::of_view(view, actor))))
}

impl Record for CreateTenant {
    fn take(fields: &mut Fields<'_>) -> Self {
        let (name, plan) = (fields.required("name"), fields.required("plan"));
        let organisation = fields.optional("organisation");
        Self { name, organisation, plan, nodes: fields.optional("nodes") }
    }
}

impl From<CreateTenant> for NewTenant {
    fn from(CreateTenant { name, organisation, plan, nodes }: CreateTenant) -> Self {
        Self { name, organisation, plan, nodes }
    }
}
