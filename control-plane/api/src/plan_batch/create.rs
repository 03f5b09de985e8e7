//! `POST /api/v1/plan-change-batches`

use super::{BatchPreviewBody, CreatePlanChangeBatch, PlanBatchBody};
use crate::{
    caller::Caller,
    extract::{Body, Parameters, RetryKey},
    problem::Problem,
};
use application::plan_batch;
use axum::{
    Json,
    http::StatusCode,
    response::{AppendHeaders, IntoResponse, Response},
};

/// Moves many tenants to another plan, some at a time, at once or from a time on. For operators.
///
/// With `dryRun` it says what that would do to each and in sum, and does nothing. Each change begins like one that is
/// asked for then, in the name of whoever asked for the batch: who is busy with something else is waited for, for two
/// hours at most; who is blocked or refused has failed. A tenant waits for one change at a time.
#[utoipa::path(
    post, path = "/api/v1/plan-change-batches", tag = "plans", operation_id = "createPlanChangeBatch",
    params(
        ("dryRun" = Option<bool>, Query, description = "Only say what it would do"),
        ("Idempotency-Key" = Option<String>, Header, description = "A repetition with the same key gets the first answer"),
    ),
    request_body = CreatePlanChangeBatch,
    responses(
        (status = OK, description = "With dryRun: what it would do", body = BatchPreviewBody),
        (status = CREATED, description = "Accepted", body = PlanBatchBody,
            headers(("location" = String, description = "The batch's address"))),
    ),
)]
#[tracing::instrument(name = "http.plan_batch.create", skip_all)]
pub(crate) async fn create(
    caller: Caller,
    mut parameters: Parameters,
    key: RetryKey,
    body: Body<CreatePlanChangeBatch>,
) -> Result<Response, Problem> {
    let is_dry = parameters.flag("dryRun");
    parameters.finish()?;
    let Caller { app, actor, .. } = &caller;
    let key = body.key(&caller, key);
    let new = body.into_draft();
    if is_dry {
        let preview = plan_batch::preview(app, actor, new).await?;
        return Ok(Json(BatchPreviewBody::from(preview)).into_response());
    }
    let created = plan_batch::create(app, actor, new, key.as_ref()).await?;
    let location = format!("/api/v1/plan-change-batches/{}", created.value.batch.id);
    let replayed = created.is_replay.then_some(("idempotent-replayed", "true".to_owned()));
    let headers = [Some(("location", location)), replayed].into_iter().flatten();
    let body = Json(PlanBatchBody::of_view(created.value));
    Ok((StatusCode::CREATED, AppendHeaders(headers), body).into_response())
}
