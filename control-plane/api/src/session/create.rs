//! `POST /api/v1/tenants/{tenant}/sessions`

use super::SessionBody;
use crate::{
    caller::Caller,
    extract::{Body, Fields, Preference, Record, RetryKey, TenantPath},
    problem::Problem,
};
use application::{
    Created,
    session::{self, NewInput, NewResources, NewRetryRule, NewSession, SessionView},
    tenant::TenantRef,
};
use axum::{
    Json,
    http::StatusCode,
    response::{AppendHeaders, IntoResponse},
};
use futures::{FutureExt as _, future};
use serde_json::Value;
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
    /// More of its environment: what is secret. Nobody is shown the values again, and they are masked in its
    /// output before that leaves the pod. At least 6 bytes each.
    secrets: Option<BTreeMap<String, String>>,
    /// Files in `/warren/inputs`.
    #[schema(max_items = 64)]
    inputs: Option<Vec<CreateInput>>,
    resources: Option<CreateResources>,
    /// The user that it runs as, in a user namespace of its own; 0 is root there, without capabilities. 65532 if it
    /// is missing.
    #[schema(maximum = 65534)]
    run_as_user: Option<u32>,
    /// How long it may run; 3600 if it is missing.
    #[schema(minimum = 1)]
    timeout_seconds: Option<u32>,
    /// How long it has to end after SIGTERM; 30 if it is missing.
    #[schema(maximum = 300)]
    grace_period_seconds: Option<u32>,
    /// Free labels for finding it again.
    labels: Option<BTreeMap<String, String>>,
    /// After which failures it is tried again, by the class of the failure: `transient`, `resource`,
    /// `user-config`, `policy-denied`, `agent` or `infrastructure`. What fails before the agent starts and
    /// may work next time is `transient`, with three attempts unless this says otherwise; all others have one.
    retry: Option<BTreeMap<String, CreateRetryRule>>,
    /// What may be done with it when its node has to be emptied: `wait` (the default) lets it run to its end, at most
    /// to the end of the time that the node has; `stop` stops it with its grace period; `restart` ends its run with its
    /// grace period and begins another one elsewhere, which does not count as an attempt.
    #[schema(examples("wait"))]
    on_drain: Option<String>,
    /// The JSON Schema (2020-12 unless it says otherwise) that `result.json` has to obey: an agent that ends
    /// with code 0 without such a result has failed. At most 64 KiB, without references to elsewhere.
    #[schema(value_type = Option<Object>)]
    result_schema: Option<Value>,
}

/// What follows a failure of one class.
#[derive(Debug, Default, ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct CreateRetryRule {
    /// How many runs the session may have in all before such a failure is final.
    #[schema(minimum = 1, maximum = 10)]
    attempts: u32,
    /// The pause before the second run; it doubles with every further one, up to an hour. 5 if it is missing.
    #[schema(maximum = 3600)]
    backoff_seconds: Option<u32>,
    /// For class `resource`: how much memory the next run gets after one that had too little, in percent of
    /// what that one had, at most what the plan allows. 100 if it is missing.
    #[schema(minimum = 100, maximum = 1000)]
    memory_percent: Option<u32>,
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
    Ok(answer(&caller, &tenant, created, wait).await)
}

/// The answer with a new session: at once, or when it is over, if the caller prefers to wait.
pub(super) async fn answer(
    caller: &Caller,
    tenant: &TenantRef,
    created: Created<SessionView>,
    wait: Preference,
) -> impl IntoResponse + use<> {
    let Caller { app, actor, .. } = caller;
    let view = created.value;
    let id = view.session.id;
    let waiting = wait.0.map(|time| session::wait(app, actor, tenant, id, time).map(Result::ok));
    // It is there, whatever happens while waiting.
    let view = Box::pin(caller.wait_or(waiting, future::ready(None))).await.unwrap_or(view);
    let owner = view.session.tenant;
    let location = format!("/api/v1/tenants/{owner}/sessions/{id}");
    let replayed = created.is_replay.then_some(("idempotent-replayed", "true".to_owned()));
    let headers = [Some(("location", location)), replayed].into_iter().flatten();
    let headers = AppendHeaders(headers);
    (StatusCode::CREATED, headers, wait, Json(SessionBody::from(view)))
}

impl Record for CreateSession {
    fn take(fields: &mut Fields<'_>) -> Self {
        Self {
            project: fields.optional("project"),
            image: fields.required("image"),
            command: fields.required("command"),
            args: fields.optional("args"),
            env: fields.optional("env"),
            secrets: fields.optional("secrets"),
            inputs: fields.optional("inputs"),
            resources: fields.optional("resources"),
            run_as_user: fields.optional("runAsUser"),
            timeout_seconds: fields.optional("timeoutSeconds"),
            grace_period_seconds: fields.optional("gracePeriodSeconds"),
            labels: fields.optional("labels"),
            retry: fields.optional("retry"),
            on_drain: fields.optional("onDrain"),
            result_schema: fields.optional("resultSchema"),
        }
    }
}

impl Record for CreateRetryRule {
    fn take(fields: &mut Fields<'_>) -> Self {
        Self {
            attempts: fields.required("attempts"),
            backoff_seconds: fields.optional("backoffSeconds"),
            memory_percent: fields.optional("memoryPercent"),
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
            secrets: body.secrets.unwrap_or_default(),
            inputs: body.inputs.into_iter().flatten().map(NewInput::from).collect(),
            resources: NewResources { cpu, memory },
            run_as_user: body.run_as_user,
            timeout_seconds: body.timeout_seconds,
            grace_period_seconds: body.grace_period_seconds,
            labels: body.labels.unwrap_or_default(),
            retry: body
                .retry
                .into_iter()
                .flatten()
                .map(|(class, rule)| (class, NewRetryRule::from(rule)))
                .collect(),
            on_drain: body.on_drain,
            result_schema: body.result_schema,
        }
    }
}

impl From<CreateRetryRule> for NewRetryRule {
    fn from(rule: CreateRetryRule) -> Self {
        let CreateRetryRule { attempts, backoff_seconds, memory_percent } = rule;
        Self { attempts, backoff_seconds, memory_percent }
    }
}

impl From<CreateInput> for NewInput {
    fn from(CreateInput { name, content, digest }: CreateInput) -> Self {
        Self { name, content, digest }
    }
}
