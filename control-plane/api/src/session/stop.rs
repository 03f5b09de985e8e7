//! `POST /api/v1/tenants/{tenant}/sessions/{session}/stop`

use super::SessionBody;
use crate::{
    caller::Caller,
    extract::{Parameters, SessionPath},
    problem::Problem,
};
use application::session::{self, StopMode};
use axum::{Json, http::StatusCode};

/// Asks a session to stop. One that is over stays as it is, so asking again is harmless.
///
/// It is `stopping` until it is proven that nothing of it runs: at most ten seconds longer than its grace
/// period, unless its node or the host cluster cannot be reached. Then its run's token is dead after that
/// time (`run.endedAt`), and the session stays `stopping` until the node is back or its Node object is
/// deleted; `force` gives up waiting for that.
#[utoipa::path(
    post, path = "/api/v1/tenants/{tenant}/sessions/{session}/stop", tag = "sessions", operation_id = "stopSession",
    params(
        ("tenant" = String, Path, description = "Id or name"),
        ("session" = String, Path, description = "Its id"),
        ("force" = Option<bool>, Query, description = "Do not wait for proof: its token is dead and it is stopped at once"),
    ),
    responses((status = ACCEPTED, description = "The session as it is now", body = SessionBody)),
)]
#[tracing::instrument(name = "http.session.stop", skip_all, fields(tenant.id, session.id))]
pub(crate) async fn stop(
    Caller { app, actor, .. }: Caller,
    SessionPath { tenant, session }: SessionPath,
    mut parameters: Parameters,
) -> Result<(StatusCode, Json<SessionBody>), Problem> {
    let mode = if parameters.flag("force") { StopMode::Unproven } else { StopMode::Proven };
    parameters.finish()?;
    let view = session::stop(&app, &actor, &tenant, session, mode).await?;
    Ok((StatusCode::ACCEPTED, Json(view.into())))
}
