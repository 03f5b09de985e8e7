//! Tenants.

use crate::openapi::words;
use application::tenant::TenantView;
use domain::{Actor, Condition, ConditionStatus, Share, Tenant, Usage};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod explanation;
pub(crate) mod get;
pub(crate) mod kubeconfig;
pub(crate) mod list;
pub(crate) mod operations;

/// A boundary with a virtual cluster of its own.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Tenant)]
pub(crate) struct TenantBody {
    #[schema(examples("tn_01893f2ec3a77d6ab54bd0a2d0c1c1f5"))]
    id: String,
    #[schema(examples("acme"))]
    name: String,
    /// The organisation that it belongs to; nothing if it is the platform's.
    #[schema(examples("org_01893f2ec3a77d6ab54bd0a2d0c1c1f5"))]
    organisation: Option<String>,
    #[schema(schema_with = words::plan)]
    plan: &'static str,
    /// How many nodes of its own it pays for; none on a shared plan.
    nodes: u32,
    /// The state in one word, derived from the conditions.
    #[schema(schema_with = words::phase)]
    phase: &'static str,
    /// The name of its cluster on the host; for operators only.
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster: Option<String>,
    /// Counts changes of what is wanted.
    generation: i64,
    /// The newest generation that was fully looked at.
    observed_generation: i64,
    conditions: Vec<ConditionBody>,
    /// What it uses, as last seen.
    usage: Option<UsageBody>,
    created_at: Timestamp,
    deletion_requested_at: Option<Timestamp>,
    /// The operation that is not over; not in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    operation: Option<String>,
}

/// One statement about a tenant.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Condition)]
struct ConditionBody {
    #[serde(rename = "type")]
    #[schema(schema_with = words::condition)]
    kind: &'static str,
    #[schema(schema_with = words::condition_status)]
    status: ConditionStatus,
    /// One word for programs.
    reason: String,
    /// A sentence for people.
    message: String,
    /// When the status last changed.
    since: Timestamp,
}

/// A tenant's numbers.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Usage)]
struct UsageBody {
    cpu: AmountBody,
    memory: AmountBody,
    storage: AmountBody,
    pods: CountBody,
}

/// Kubernetes quantities.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Amount)]
struct AmountBody {
    /// Used by the tenant's workloads.
    #[schema(examples("250m"))]
    yours: String,
    /// Used by the tenant's control plane; does not count against the limit.
    overhead: String,
    /// What `yours` may reach.
    limit: String,
}

/// Numbers of things.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Count)]
struct CountBody {
    /// Used by the tenant's workloads.
    yours: u64,
    /// Used by the tenant's control plane; does not count against the limit.
    overhead: u64,
    /// What `yours` may reach.
    limit: u64,
}

impl TenantBody {
    /// A tenant as the actor may see it.
    pub(crate) fn new(tenant: &Tenant, operation: Option<String>, actor: &Actor) -> Self {
        let phase = tenant.phase().as_str();
        let is_operator = actor.is_operator();
        Self {
            id: tenant.id.to_string(),
            name: tenant.name.to_string(),
            organisation: tenant.organisation.map(|id| id.to_string()),
            plan: tenant.plan.as_str(),
            nodes: tenant.nodes,
            phase,
            cluster: is_operator.then(|| tenant.cluster.to_string()),
            generation: tenant.generation.0,
            observed_generation: tenant.observed_generation.0,
            conditions: tenant.conditions.iter().map(ConditionBody::from).collect(),
            usage: tenant.usage.map(UsageBody::from),
            created_at: tenant.created_at,
            deletion_requested_at: tenant.deletion_requested_at,
            operation,
        }
    }

    pub(crate) fn of_view(view: TenantView, actor: &Actor) -> Self {
        let operation = view.operation.map(|operation| operation.id.to_string());
        Self::new(&view.tenant, operation, actor)
    }
}

impl From<&Condition> for ConditionBody {
    fn from(condition: &Condition) -> Self {
        Self {
            kind: condition.kind.as_str(),
            status: condition.status,
            reason: condition.reason.clone(),
            message: condition.message.clone(),
            since: condition.since,
        }
    }
}

impl From<Usage> for UsageBody {
    fn from(usage: Usage) -> Self {
        let Share { yours, overhead, limit } = usage.pods;
        Self {
            cpu: usage.cpu.into(),
            memory: usage.memory.into(),
            storage: usage.storage.into(),
            pods: CountBody { yours, overhead, limit },
        }
    }
}

impl<T: ToString> From<Share<T>> for AmountBody {
    fn from(Share { yours, overhead, limit }: Share<T>) -> Self {
        Self { yours: yours.to_string(), overhead: overhead.to_string(), limit: limit.to_string() }
    }
}
