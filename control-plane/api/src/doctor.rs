//! `GET /api/v1/doctor`

pub(crate) mod proxmox;

use crate::{caller::Caller, problem::Problem};
use application::{access::Check, doctor};
use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;

/// What a doctor found.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Diagnosis)]
pub(crate) struct DiagnosisBody {
    /// Whether everything is as it should be.
    is_ok: bool,
    checks: Vec<CheckBody>,
}

/// One thing that was looked at.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Check)]
struct CheckBody {
    name: String,
    is_ok: bool,
    /// What was found.
    detail: String,
    /// What to do; empty when all is well.
    way_out: String,
}

/// Whether the record, the object store and the host cluster are as they should be. For operators.
#[utoipa::path(
    get, path = "/api/v1/doctor", tag = "platform", operation_id = "diagnose",
    responses((status = OK, description = "What was found", body = DiagnosisBody)),
)]
#[tracing::instrument(name = "http.doctor", skip_all)]
pub(crate) async fn doctor(
    Caller { app, actor, .. }: Caller,
) -> Result<Json<DiagnosisBody>, Problem> {
    Ok(Json(doctor::check(&app, &actor).await?.into()))
}

impl From<Vec<Check>> for DiagnosisBody {
    fn from(checks: Vec<Check>) -> Self {
        let is_ok = checks.iter().all(|check| check.is_ok);
        Self { is_ok, checks: checks.into_iter().map(CheckBody::from).collect() }
    }
}

impl From<Check> for CheckBody {
    fn from(Check { name, is_ok, detail, way_out }: Check) -> Self {
        Self { name, is_ok, detail, way_out }
    }
}
