//! `GET /api/v1/doctor/proxmox`

use super::DiagnosisBody;
use crate::{caller::Caller, problem::Problem};
use application::doctor;
use axum::Json;

/// Whether the cluster of Proxmox VE can do what nodes of tenants need: its API hosts and their certificates, the token and each
/// of its privileges, storages, network, templates, numbers and addresses. For operators.
#[utoipa::path(
    get, path = "/api/v1/doctor/proxmox", tag = "platform", operation_id = "diagnoseProxmox",
    responses((status = OK, description = "What was found", body = DiagnosisBody)),
)]
#[tracing::instrument(name = "http.doctor.proxmox", skip_all)]
pub(crate) async fn proxmox(
    Caller { app, actor, .. }: Caller,
) -> Result<Json<DiagnosisBody>, Problem> {
    Ok(Json(doctor::check_proxmox(&app, &actor).await?.into()))
}
