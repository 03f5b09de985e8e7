//! `POST /api/v1/tenants/{tenant}/sessions/{session}/rerun`

use super::{SessionBody, create::answer};
use crate::{
    caller::Caller,
    extract::{Fields, OptionalBody, Preference, Record, RetryKey, SessionPath},
    problem::Problem,
};
use application::session::{self, NewRerun, NewResources};
use axum::response::IntoResponse;
use domain::NextStep;
use serde::Serialize;
use utoipa::ToSchema;

/// What is changed when a session is run again; what is missing stays as it was.
#[derive(Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Rerun {
    #[serde(skip_serializing_if = "Option::is_none")]
    resources: Option<RerunResources>,
    /// How long it may run.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    timeout_seconds: Option<u32>,
}

/// What the session may use: Kubernetes quantities.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct RerunResources {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(examples("500m"))]
    cpu: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(examples("512Mi"))]
    memory: Option<String>,
}

/// Runs a session again that is over: a new session with the same specification, secrets included, and
/// some changes. `cause.nextStep.rerun` of a session that failed is a body for this.
#[utoipa::path(
    post, path = "/api/v1/tenants/{tenant}/sessions/{session}/rerun", tag = "sessions", operation_id = "rerunSession",
    params(
        ("tenant" = String, Path, description = "Id or name"),
        ("session" = String, Path, description = "Its id"),
        ("Idempotency-Key" = Option<String>, Header, description = "A repetition with the same key gets the first answer"),
        ("Prefer" = Option<String>, Header, description = "`wait=N`: answer when the new session is over, at most after N seconds"),
    ),
    request_body = Option<Rerun>,
    responses((status = CREATED, description = "Accepted: the new session", body = SessionBody,
        headers(("location" = String, description = "The new session's address")))),
)]
#[tracing::instrument(name = "http.session.rerun", skip_all, fields(tenant.id, session.id))]
pub(crate) async fn rerun(
    caller: Caller,
    SessionPath { tenant, session }: SessionPath,
    key: RetryKey,
    wait: Preference,
    OptionalBody(body): OptionalBody<Rerun>,
) -> Result<impl IntoResponse, Problem> {
    let Caller { app, actor, .. } = &caller;
    let key = body.key(&caller, key);
    let changes = body.into_draft();
    let created = session::rerun(app, actor, &tenant, session, changes, key.as_ref()).await?;
    Ok(answer(&caller, &tenant, created, wait).await)
}

impl Rerun {
    /// The changes that may help, if another run can.
    pub(super) fn proposed(step: &NextStep) -> Option<Self> {
        let memory = step.memory.map(|memory| memory.to_string());
        let resources = memory.map(|memory| RerunResources { cpu: None, memory: Some(memory) });
        step.is_rerun_useful.then_some(Self { resources, timeout_seconds: None })
    }
}

impl Record for Rerun {
    fn take(fields: &mut Fields<'_>) -> Self {
        Self {
            resources: fields.optional("resources"),
            timeout_seconds: fields.optional("timeoutSeconds"),
        }
    }
}

impl Record for RerunResources {
    fn take(fields: &mut Fields<'_>) -> Self {
        Self { cpu: fields.optional("cpu"), memory: fields.optional("memory") }
    }
}

impl From<Rerun> for NewRerun {
    fn from(Rerun { resources, timeout_seconds }: Rerun) -> Self {
        let RerunResources { cpu, memory } = resources.unwrap_or_default();
        Self { resources: NewResources { cpu, memory }, timeout_seconds }
    }
}
