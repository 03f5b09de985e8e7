//! `GET /api/v1/tenants/{tenant}/exclusivity`

use crate::{caller::Caller, extract::TenantPath, problem::Problem};
use application::node;
use axum::Json;
use domain::Exclusivity;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

/// Whether a tenant's own nodes are its own: a statement about one moment, made anew every 30 seconds.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Exclusivity)]
pub(crate) struct ExclusivityBody {
    /// When it was looked at; null before the first look, and for a tenant without nodes of its own.
    observed_at: Option<Timestamp>,
    /// Whether nobody else's pod runs on the nodes, and no pod of the tenant elsewhere; null as long as nobody looked.
    is_exclusive: Option<bool>,
    /// The nodes that were looked at.
    nodes: Vec<String>,
    /// Pods on them that belong to the nodes themselves, as `namespace/name`.
    system_pods: Vec<String>,
    /// How many pods on them are somebody else's.
    foreign_count: usize,
    /// Which; for operators only.
    #[serde(skip_serializing_if = "Option::is_none")]
    foreign_pods: Option<Vec<String>>,
    /// Pods of the tenant on other nodes, as `namespace/name` of the host.
    pods_elsewhere: Vec<String>,
}

/// Who was last seen on the tenant's own nodes, with the time.
#[utoipa::path(
    get, path = "/api/v1/tenants/{tenant}/exclusivity", tag = "nodes", operation_id = "getExclusivity",
    params(("tenant" = String, Path, description = "Id or name")),
    responses((status = OK, description = "The newest statement", body = ExclusivityBody)),
)]
#[tracing::instrument(name = "http.node.exclusivity", skip_all, fields(tenant.id))]
pub(crate) async fn exclusivity(
    Caller { app, actor, .. }: Caller,
    TenantPath(tenant): TenantPath,
) -> Result<Json<ExclusivityBody>, Problem> {
    let found = node::exclusivity(&app, &actor, &tenant).await?;
    Ok(Json(ExclusivityBody::new(found, actor.is_operator())))
}

impl ExclusivityBody {
    fn new(found: Option<Exclusivity>, is_operator: bool) -> Self {
        let is_exclusive = found.as_ref().map(Exclusivity::holds);
        let observed_at = found.as_ref().map(|found| found.at);
        let empty = || Exclusivity {
            at: Timestamp::UNIX_EPOCH,
            nodes: Vec::new(),
            system: Vec::new(),
            foreign: Vec::new(),
            elsewhere: Vec::new(),
        };
        let found = found.unwrap_or_else(empty);
        Self {
            observed_at,
            is_exclusive,
            nodes: found.nodes.iter().map(ToString::to_string).collect(),
            system_pods: found.system,
            foreign_count: found.foreign.len(),
            foreign_pods: is_operator.then_some(found.foreign),
            pods_elsewhere: found.elsewhere,
        }
    }
}
