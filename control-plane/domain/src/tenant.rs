use crate::{
    Bytes, ClusterName, ConditionKind, Conditions, Isolation, Millicores, NodeShape,
    OrganisationId, Plan, PlanName, Scope, Share, Shift, Subscription, TenantId, TenantName,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Counts the changes of what is wanted of a tenant; starts at 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generation(pub i64);

/// A paying customer's boundary: one virtual cluster and everything in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// Its identifier.
    pub id: TenantId,
    /// What people call it; unique among tenants that are not deleted.
    pub name: TenantName,
    /// Whose it is; nothing if it is the platform's.
    pub organisation: Option<OrganisationId>,
    /// What it pays for.
    pub plan: PlanName,
    /// How many nodes of its own it pays for; none on a shared plan.
    pub nodes: u32,
    /// The change of its plan that is under way.
    pub shift: Option<Shift>,
    /// The name of its virtual cluster on the host.
    pub cluster: ClusterName,
    /// Changes of desire so far.
    pub generation: Generation,
    /// The newest generation that was fully looked at by the provisioner.
    pub observed_generation: Generation,
    /// What is known about it.
    pub conditions: Conditions,
    /// What it uses, as last seen; nothing before its first quota status.
    pub usage: Option<Usage>,
    /// Whether it was ever ready.
    pub was_ready: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its deletion was asked for.
    pub deletion_requested_at: Option<Timestamp>,
    /// Whether the deletion may leave things behind, which it then names.
    pub is_force_clean: bool,
}

/// A tenant's numbers as they are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// CPU limits.
    pub cpu: Share<Millicores>,
    /// Memory limits.
    pub memory: Share<Bytes>,
    /// Volume sizes.
    pub storage: Share<Bytes>,
    /// Pods.
    pub pods: Share<u64>,
}

/// A tenant's state in one word, derived from its conditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TenantPhase {
    /// Accepted; the provisioner has not begun.
    Pending,
    /// On its way.
    Provisioning,
    /// Usable.
    Ready,
    /// Was usable, and something is not as it should be.
    Degraded,
    /// On its way out.
    Deleting,
}

impl TenantPhase {
    /// The word as users see it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Provisioning => "provisioning",
            Self::Ready => "ready",
            Self::Degraded => "degraded",
            Self::Deleting => "deleting",
        }
    }
}

impl Tenant {
    /// Where rights in it are looked for.
    #[must_use]
    pub const fn scope(&self) -> Scope {
        Scope::Tenant { id: self.id, organisation: self.organisation }
    }

    /// What it gets, in the present version of its plan.
    #[must_use]
    pub fn plan(&self) -> Plan {
        Plan::with_nodes(self.plan, self.nodes)
    }

    /// What it pays for.
    #[must_use]
    pub const fn subscription(&self) -> Subscription {
        Subscription { plan: self.plan, nodes: self.nodes }
    }

    /// What holds on the host: as [`Self::plan`], but during a change of plan there is room for both, and new pods go
    /// where they belong by then.
    #[must_use]
    pub fn plan_on_host(&self) -> Plan {
        let plan = self.plan();
        let Some(shift) = self.shift else { return plan };
        let next = shift.to.plan();
        let isolation = if shift.is_placed { next.isolation } else { plan.isolation };
        Plan { quota: plan.quota.or_more(next.quota), isolation, ..plan }
    }

    /// Where its new pods go.
    #[must_use]
    pub fn isolation(&self) -> Isolation {
        self.plan_on_host().isolation
    }

    /// How many nodes of a shape it is to have now: during a change of plan those of before and those of after.
    #[must_use]
    pub fn nodes_of(&self, shape: NodeShape) -> u32 {
        let next = self.shift.map_or(0, |shift| shift.to.nodes_of(shape));
        self.subscription().nodes_of(shape).max(next)
    }

    /// The state in one word.
    #[must_use]
    pub fn phase(&self) -> TenantPhase {
        if self.deletion_requested_at.is_some() {
            TenantPhase::Deleting
        } else if self.conditions.is_true(ConditionKind::Ready) {
            TenantPhase::Ready
        } else if self.was_ready {
            TenantPhase::Degraded
        } else if self.conditions.iter().next().is_some() {
            TenantPhase::Provisioning
        } else {
            TenantPhase::Pending
        }
    }
}
