//! `GET /api/v1/audit/export`

use super::file;
use crate::{caller::Caller, extract::Parameters, problem::Problem};
use application::audit::{self, Of};
use axum::response::Response;

/// All of the audit log that is sealed, oldest first, in a form that can be checked without Warren: `warren audit
/// verify`. For operators.
///
/// A line is `{"entry": …, "previous": …, "seal": …}`: `seal` is the SHA-256 of the 32 bytes of `previous` and the text of
/// `entry` as it stands there, and `previous` is the seal of the line before, 32 zeros for the first. The last line is
/// `{"head": {"sequence": …, "seal": …}}`: what the last entry has to be.
#[utoipa::path(
    get, path = "/api/v1/audit/export", tag = "platform", operation_id = "exportAudit",
    responses((status = OK, description = "The lines", content_type = "application/x-ndjson", body = String)),
)]
#[tracing::instrument(name = "http.audit.export", skip_all)]
pub(crate) async fn export(
    Caller { app, actor, .. }: Caller,
    parameters: Parameters,
) -> Result<Response, Problem> {
    parameters.finish()?;
    Ok(file(audit::export(&app, &actor, &Of::Platform).await?))
}
