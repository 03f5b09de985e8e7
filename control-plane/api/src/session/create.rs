//! `POST /api/v1/tenants/{tenant}/sessions`

use super::SessionBody;
use crate::{
    caller::Caller,
    extract::{Body, Fields, Preference, Record, RetryKey, TenantPath},
    problem::Problem,
};
use application::session::{self, NewInput, NewResources, NewSession};
use axum::{
    Json,
    http::StatusCode,
    response::{AppendHeaders, IntoResponse},
};
use futures::{FutureExt as _, future};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// What a session is made from.
#[derive(Debug, Default, ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct CreateSession {
    /// The project; `agents` if it is missing.
    #[schema(max_length = 40)]
    project: Option<String>,
    /// The agent's image.
    #[schema(min_length = 1, max_length = 255, examples("registry.example/agent:1"))]
    image: String,
    /// The program to start, with or without its arguments.
    #[schema(min_items = 1)]
    command: Vec<String>,
    /// More arguments.
    args: Option<Vec<String>>,
    /// Its environment; names that start with `WARREN_` are taken. Stored encrypted; who may only look
    /// on sees the names.
    env: Option<BTreeMap<String, String>>,
    /// Files in `/warren/inputs`.
    #[schema(max_items = 64)]
    inputs: Option<Vec<CreateInput>>,
    resources: Option<CreateResources>,
    /// How long it may run; 3600 if it is missing.
    #[schema(minimum = 1)]
    timeout_seconds: Option<u32>,
    /// How long it has to end after SIGTERM; 30 if it is missing.
    #[schema(maximum = 300)]
    grace_period_seconds: Option<u32>,
    /// Free labels for finding it again.
    labels: Option<BTreeMap<String, String>>,
}

/// A file with exactly one of its text and the digest of uploaded bytes.
#[derive(Debug, Default, ToSchema)]
pub(crate) struct CreateInput {
    /// Its file name.
    #[schema(min_length = 1, max_length = 128)]
    name: String,
    /// Its text; at most 256 KiB in all inputs together.
    content: Option<String>,
    /// The digest of an uploaded input.
    digest: Option<String>,
}

/// What a session may use: Kubernetes quantities.
#[derive(Debug, Default, ToSchema)]
pub(crate) struct CreateResources {
    /// `250m` if it is missing.
    cpu: Option<String>,
    /// `256Mi` if it is missing.
    memory: Option<String>,
}

/// Starts a session. It is queued, and reaches a final state whatever happens.
#[utoipa::path(
    post, path = "/api/v1/tenants/{tenant}/sessions", tag = "sessions", operation_id = "createSession",
    params(
        ("tenant" = String, Path, description = "Id or name"),
        ("Idempotency-Key" = Option<String>, Header, description = "A repetition with the same key gets the first answer"),
        ("Prefer" = Option<String>, Header, description = "`wait=N`: answer when the session is over, at most after N seconds"),
    ),
    request_body = CreateSession,
    responses((status = CREATED, description = "Accepted", body = SessionBody,
        headers(("location" = String, description = "The session's address")))),
)]
#[tracing::instrument(name = "http.session.create", skip_all, fields(tenant.id, session.id))]
pub(crate) async fn create(
    caller: Caller,
    TenantPath(tenant): TenantPath,
    key: RetryKey,
    wait: Preference,
    body: Body<CreateSession>,
) -> Result<impl IntoResponse, Problem> {
    let Caller { app, actor, .. } = &caller;
    let key = body.key(&caller, key);
    let created = session::create(app, actor, &tenant, body.into_draft(), key.as_ref()).await?;
    let view = created.value;
    let id = view.session.id;
    let waiting = wait.0.map(|time| session::wait(app, actor, &tenant, id, time).map(Result::ok));
    // It is there, whatever happens while waiting.
    let view = caller.wait_or(waiting, future::ready(None)).await.unwrap_or(view);
    let owner = view.session.tenant;
    let location = format!("/api/v1/tenants/{owner}/sessions/{id}");
    let replayed = created.is_replay.then_some(("idempotent-replayed", "true".to_owned()));
    let headers = [Some(("location", location)), replayed].into_iter().flatten();
    let headers = AppendHeaders(headers);
    Ok((StatusCode::CREATED, headers, wait, Json(SessionBody::from(view))))
}

impl Record for CreateSession {
    fn take(fields: &mut Fields<'_>) -> Self {
        Self {
            project: fields.optional("project"),
            image: fields.required("image"),
            command: fields.required("command"),
            args: fields.optional("args"),
            env: fields.optional("env"),
            inputs: fields.optional("inputs"),
            resources: fields.optional("resources"),
            timeout_seconds: fields.optional("timeoutSeconds"),
            grace_period_seconds: fields.optional("gracePeriodSeconds"),
            labels: fields.optional("labels"),
        }
    }
}

impl Record for CreateInput {
    fn take(fields: &mut Fields<'_>) -> Self {
        Self {
            name: fields.required("name"),
            content: fields.optional("content"),
            digest: fields.optional("digest"),
        }
    }
}

impl Record for CreateResources {
    fn take(fields: &mut Fields<'_>) -> Self {
        Self { cpu: fields.optional("cpu"), memory: fields.optional("memory") }
    }
}

impl From<CreateSession> for NewSession {
    fn from(body: CreateSession) -> Self {
        let CreateResources { cpu, memory } = body.resources.unwrap_or_default();
        Self {
            project: body.project,
            image: body.image,
            command: body.command,
            args: body.args.unwrap_or_default(),
            env: body.env.unwrap_or_default(),
            inputs: body.inputs.into_iter().flatten().map(NewInput::from).collect(),
            resources: NewResources { cpu, memory },
            timeout_seconds: body.timeout_seconds,
            grace_period_seconds: body.grace_period_seconds,
            labels: body.labels.unwrap_or_default(),
        }
    }
}

impl From<CreateInput> for NewInput {
    fn from(CreateInput { name, content, digest }: CreateInput) -> Self {
        Self { name, content, digest }
    }
}
