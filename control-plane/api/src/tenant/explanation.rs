//! `GET /api/v1/tenants/{tenant}/explanation`

use crate::{caller::Caller, extract::TenantPath, openapi::words, problem::Problem};
use application::{
    access::{ChangeAction, Explanation, PlannedChange},
    tenant,
};
use axum::Json;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

/// What a reconcile would do now.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Explanation)]
pub(crate) struct ExplanationBody {
    /// When the host was looked at.
    observed_at: Timestamp,
    /// The changes in their order; empty when all is as it should be.
    changes: Vec<ChangeBody>,
    /// What it waits for.
    waiting_for: Vec<String>,
}

/// One object that would be changed.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PlannedChange)]
struct ChangeBody {
    #[schema(schema_with = words::change_action)]
    action: &'static str,
    #[schema(examples("StatefulSet"))]
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    name: String,
    /// What is missing or differs.
    reason: String,
}

/// What a reconcile would change on the host, without changing it. For operators.
#[utoipa::path(
    get, path = "/api/v1/tenants/{tenant}/explanation", tag = "tenants", operation_id = "explainTenant",
    params(("tenant" = String, Path, description = "Id or name")),
    responses((status = OK, description = "The changes", body = ExplanationBody)),
)]
#[tracing::instrument(name = "http.tenant.explanation", skip_all, fields(tenant.id))]
pub(crate) async fn explanation(
    Caller { app, actor, .. }: Caller,
    TenantPath(tenant): TenantPath,
) -> Result<Json<ExplanationBody>, Problem> {
    let explanation = tenant::explain(&app, &actor, &tenant).await?;
    Ok(Json(explanation.into()))
}

impl From<Explanation> for ExplanationBody {
    fn from(Explanation { observed_at, changes, waiting_for }: Explanation) -> Self {
        let changes = changes.into_iter().map(ChangeBody::from).collect();
        Self { observed_at, changes, waiting_for }
    }
}

impl From<PlannedChange> for ChangeBody {
    fn from(change: PlannedChange) -> Self {
        let action = match change.action {
            ChangeAction::Create => "create",
            ChangeAction::Update => "update",
            ChangeAction::Delete => "delete",
            ChangeAction::Damage => "damage",
        };
        let PlannedChange { kind, namespace, name, reason, .. } = change;
        Self { action, kind, namespace, name, reason }
    }
}
