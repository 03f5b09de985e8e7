//! `GET /api/v1/plans`

use crate::{caller::Caller, openapi::words, page::List, problem::Problem};
use application::plan;
use axum::Json;
use domain::{Isolation, NodeShape, Plan, Quota};
use serde::Serialize;
use utoipa::ToSchema;

/// What a tenant gets.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Plan)]
pub(crate) struct PlanBody {
    #[schema(schema_with = words::plan)]
    name: &'static str,
    /// Counts changes of the plan's content.
    version: u32,
    /// Where workloads run.
    #[schema(schema_with = words::isolation)]
    isolation: Isolation,
    /// How large the tenant's own nodes are; the amounts are for one of them.
    #[schema(schema_with = words::node_shape)]
    node_shape: Option<&'static str>,
    /// What workloads may use.
    /// What a month costs, in hundredths of the installation's currency; of a plan with nodes of its own, for one node.
    price: u64,
    quota: QuotaBody,
    /// What the tenant's control plane may use beyond that.
    overhead: QuotaBody,
    /// Sessions that may run at the same time; more are queued.
    sessions_at_once: u32,
    /// Sessions that may be queued; more are refused.
    sessions_waiting: u32,
    /// The most one session may ask for.
    session: SessionLimits,
    /// What may be uploaded for sessions.
    uploads: UploadLimits,
    /// How long what a session left is kept after its end.
    retention: RetentionBody,
}

/// Kubernetes quantities.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Quota)]
struct QuotaBody {
    #[schema(examples("2"))]
    cpu: String,
    #[schema(examples("4Gi"))]
    memory: String,
    storage: String,
    pods: u64,
}

/// The most one session may ask for.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct SessionLimits {
    cpu: String,
    memory: String,
    timeout_seconds: u32,
    /// The most text that is kept of its log.
    #[schema(examples("1Gi"))]
    log: String,
}

/// What may be kept of uploaded inputs.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct UploadLimits {
    /// Sum of their sizes.
    #[schema(examples("2Gi"))]
    bytes: String,
    /// How many.
    count: u64,
    /// How long each is kept after it was last sent or named by a session.
    kept_hours: u32,
}

/// How long what a session left is kept after its end, in days. The session itself stays.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Retention)]
struct RetentionBody {
    /// Its log.
    log_days: u32,
    /// Its result and its artifacts.
    file_days: u32,
}

/// The plans that a tenant can have, smallest first.
#[utoipa::path(
    get, path = "/api/v1/plans", tag = "platform", operation_id = "listPlans",
    responses((status = OK, description = "All plans", body = List<PlanBody>)),
)]
#[tracing::instrument(name = "http.plan.list", skip_all)]
pub(crate) async fn list(Caller { actor, .. }: Caller) -> Result<Json<List<PlanBody>>, Problem> {
    let items = plan::list(&actor)?.into_iter().map(PlanBody::from).collect();
    Ok(Json(List { items, next_cursor: None }))
}

impl From<Plan> for PlanBody {
    fn from(plan: Plan) -> Self {
        Self {
            name: plan.name.as_str(),
            version: plan.version,
            isolation: plan.isolation,
            node_shape: plan.name.node_shape().map(NodeShape::as_str),
            price: plan.price,
            quota: plan.quota.into(),
            overhead: plan.overhead.into(),
            sessions_at_once: plan.sessions_at_once,
            sessions_waiting: plan.sessions_waiting,
            session: SessionLimits {
                cpu: plan.session_cpu.to_string(),
                memory: plan.session_memory.to_string(),
                timeout_seconds: plan.session_timeout_seconds,
                log: plan.session_log.to_string(),
            },
            uploads: UploadLimits {
                bytes: plan.uploads.bytes.to_string(),
                count: plan.uploads.count,
                kept_hours: plan.uploads.kept_hours,
            },
            retention: RetentionBody {
                log_days: plan.retention.log_days,
                file_days: plan.retention.file_days,
            },
        }
    }
}

impl From<Quota> for QuotaBody {
    fn from(Quota { cpu, memory, storage, pods }: Quota) -> Self {
        let (cpu, memory, storage) = (cpu.to_string(), memory.to_string(), storage.to_string());
        Self { cpu, memory, storage, pods }
    }
}
