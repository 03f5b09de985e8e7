use crate::{Bytes, Hardware, Invalid, Millicores, NodeShape};
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The names of the plans that can be bought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PlanName {
    /// 2 CPU, 4 GiB, 20 GiB, 20 pods.
    Starter,
    /// 8 CPU, 16 GiB, 100 GiB, 100 pods.
    Pro,
    /// 32 CPU, 64 GiB, 500 GiB, 500 pods.
    Enterprise,
    /// Small nodes of its own.
    DedicatedS,
    /// Middle-sized nodes of its own.
    DedicatedM,
    /// Large nodes of its own.
    DedicatedL,
}

/// Where a tenant's workloads run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Isolation {
    /// On nodes that other tenants use too.
    Shared,
    /// On nodes that nobody else uses.
    Dedicated,
}

/// Amounts that a tenant may ask for at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Quota {
    /// Sum of CPU limits.
    pub cpu: Millicores,
    /// Sum of memory limits.
    pub memory: Bytes,
    /// Sum of volume sizes.
    pub storage: Bytes,
    /// Number of pods.
    pub pods: u64,
}

/// What a tenant may keep of inputs that it uploaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Uploads {
    /// Sum of their sizes.
    pub bytes: Bytes,
    /// How many there may be.
    pub count: u64,
    /// How long each is kept after it was last sent or named by a session, in hours; as long as such
    /// a session is not over it is kept in any case.
    pub kept_hours: u32,
}

/// What a session leaves, as far as it is kept for a time of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// Its log.
    Log,
    /// Its result and its artifacts.
    Files,
}

/// How long what a session left is kept after its end; the record of the session stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Retention {
    /// Its log, in days.
    pub log_days: u32,
    /// Its result and its artifacts, in days.
    pub file_days: u32,
}

/// One number of a tenant as it is shown: what the tenant uses, what its own control plane uses,
/// and where it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share<T> {
    /// Used by the tenant's workloads.
    pub yours: T,
    /// Used by the tenant's control plane and DNS server; does not count against the limit.
    pub overhead: T,
    /// What `yours` may reach.
    pub limit: T,
}

/// What a tenant gets. Plans are data; a changed plan is a new version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// Its name.
    pub name: PlanName,
    /// Counts changes of the plan's content.
    pub version: u32,
    /// Where workloads run.
    pub isolation: Isolation,
    /// What a month costs, in hundredths of the installation's currency.
    pub price: u64,
    /// What the tenant's workloads may use.
    pub quota: Quota,
    /// What Warren adds on the host for the control plane and DNS, beyond `quota`.
    pub overhead: Quota,
    /// Sessions that may run at the same time.
    pub sessions_at_once: u32,
    /// Sessions that may wait for their turn beside those.
    pub sessions_waiting: u32,
    /// The longest time one session may run, in seconds.
    pub session_timeout_seconds: u32,
    /// The most one session may ask for.
    pub session_cpu: Millicores,
    /// The most memory that one session may ask for.
    pub session_memory: Bytes,
    /// The most text that is kept of one session's log, line ends and all its runs included.
    pub session_log: Bytes,
    /// What may be uploaded for sessions.
    pub uploads: Uploads,
    /// How long what sessions left is kept.
    pub retention: Retention,
    /// Whether pods may run where the host cannot give each a user namespace of its own.
    pub may_lack_user_namespaces: bool,
}

impl PlanName {
    /// Every plan, smallest first.
    pub const ALL: [Self; 6] = [
        Self::Starter,
        Self::Pro,
        Self::Enterprise,
        Self::DedicatedS,
        Self::DedicatedM,
        Self::DedicatedL,
    ];

    /// The name as users write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starter => "starter",
            Self::Pro => "pro",
            Self::Enterprise => "enterprise",
            Self::DedicatedS => "dedicated-s",
            Self::DedicatedM => "dedicated-m",
            Self::DedicatedL => "dedicated-l",
        }
    }

    /// How large the nodes are that a tenant of this plan has for itself; nothing if it has none.
    #[must_use]
    pub const fn node_shape(self) -> Option<NodeShape> {
        match self {
            Self::Starter | Self::Pro | Self::Enterprise => None,
            Self::DedicatedS => Some(NodeShape::S),
            Self::DedicatedM => Some(NodeShape::M),
            Self::DedicatedL => Some(NodeShape::L),
        }
    }

    /// Finds a plan by its name.
    ///
    /// # Errors
    /// If there is none; the error lists the plans.
    pub fn parse(field: &str, text: &str) -> Result<Self, Invalid> {
        const RULE: &str =
            "one of: starter, pro, enterprise, dedicated-s, dedicated-m, dedicated-l";
        Self::ALL
            .into_iter()
            .find(|plan| plan.as_str() == text)
            .ok_or_else(|| Invalid::field(field, text, RULE))
    }
}

impl Retention {
    /// How long one of both is kept.
    #[must_use]
    pub const fn of(self, kept: Kept) -> SignedDuration {
        let days = match kept {
            Kept::Log => self.log_days,
            Kept::Files => self.file_days,
        };
        SignedDuration::from_hours(days as i64 * 24)
    }
}

impl fmt::Display for PlanName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What differs from plan to plan.
struct Size {
    price: u64,
    quota: Quota,
    session_cpu: Millicores,
    session_memory: Bytes,
    sessions_at_once: u32,
    sessions_waiting: u32,
    session_log: Bytes,
    upload_gibi: u64,
    upload_count: u64,
    upload_days: u32,
    retention: Retention,
}

impl Size {
    const STARTER: Self = Self {
        price: 2_000,
        quota: quota(2, 4, 20, 20),
        session_cpu: Millicores(2000),
        session_memory: Bytes::gibi(4),
        sessions_at_once: 4,
        sessions_waiting: 100,
        session_log: Bytes::gibi(1),
        upload_gibi: 2,
        upload_count: 1_000,
        upload_days: 7,
        retention: Retention { log_days: 7, file_days: 7 },
    };
    const PRO: Self = Self {
        price: 8_000,
        quota: quota(8, 16, 100, 100),
        session_cpu: Millicores(8000),
        session_memory: Bytes::gibi(16),
        sessions_at_once: 20,
        sessions_waiting: 500,
        session_log: Bytes::gibi(4),
        upload_gibi: 20,
        upload_count: 10_000,
        upload_days: 30,
        retention: Retention { log_days: 30, file_days: 30 },
    };
    const ENTERPRISE: Self = Self {
        price: 32_000,
        quota: quota(32, 64, 500, 500),
        session_cpu: Millicores(32_000),
        session_memory: Bytes::gibi(64),
        sessions_at_once: 100,
        sessions_waiting: 2_000,
        session_log: Bytes::gibi(16),
        upload_gibi: 200,
        upload_count: 50_000,
        upload_days: 90,
        retention: Retention { log_days: 90, file_days: 180 },
    };

    /// All of `nodes` machines, less what each needs for itself.
    const fn dedicated(shape: NodeShape, nodes: u32) -> Self {
        let usable = shape.usable();
        let count = nodes as u64;
        let (at_once, price) = match shape {
            NodeShape::S => (10, 12_000),
            NodeShape::M => (20, 24_000),
            NodeShape::L => (40, 48_000),
        };
        Self {
            price: price * count,
            quota: Quota {
                cpu: Millicores(usable.cpu.0 * count),
                memory: Bytes(usable.memory.0 * count),
                storage: Bytes(usable.storage.0 * count),
                pods: usable.pods * count,
            },
            session_cpu: usable.cpu,
            session_memory: usable.memory,
            sessions_at_once: at_once * nodes,
            ..Self::ENTERPRISE
        }
    }
}

const fn quota(cpus: u64, memory_gibi: u64, storage_gibi: u64, pods: u64) -> Quota {
    Quota {
        cpu: Millicores(cpus * 1000),
        memory: Bytes::gibi(memory_gibi),
        storage: Bytes::gibi(storage_gibi),
        pods,
    }
}

impl NodeShape {
    /// What pods can have of one such node: the rest is its kubelet's, its runtime's, its system's and that of
    /// its images.
    #[must_use]
    pub const fn usable(self) -> Quota {
        let Hardware { cpus, memory, disk } = self.hardware();
        Quota {
            cpu: Millicores(cpus as u64 * 1000 - 500),
            memory: Bytes(memory.0 - Bytes::gibi(2).0),
            storage: Bytes(disk.0 - Bytes::gibi(40).0),
            pods: 100,
        }
    }
}

impl Plan {
    /// The present version of a plan; of one that has nodes of its own, for a single one.
    #[must_use]
    pub const fn current(name: PlanName) -> Self {
        let nodes = match name.node_shape() {
            None => 0,
            Some(_) => 1,
        };
        Self::with_nodes(name, nodes)
    }

    /// The same for `nodes` nodes of its own, of which a shared plan has none.
    #[must_use]
    pub const fn with_nodes(name: PlanName, nodes: u32) -> Self {
        let size = match name {
            PlanName::Starter => Size::STARTER,
            PlanName::Pro => Size::PRO,
            PlanName::Enterprise => Size::ENTERPRISE,
            PlanName::DedicatedS => Size::dedicated(NodeShape::S, nodes),
            PlanName::DedicatedM => Size::dedicated(NodeShape::M, nodes),
            PlanName::DedicatedL => Size::dedicated(NodeShape::L, nodes),
        };
        Self {
            name,
            version: 3,
            isolation: match name.node_shape() {
                None => Isolation::Shared,
                Some(_) => Isolation::Dedicated,
            },
            price: size.price,
            quota: size.quota,
            overhead: Quota {
                cpu: Millicores(3000),
                memory: Bytes::mebi(2560),
                storage: Bytes::gibi(5),
                pods: 4,
            },
            sessions_at_once: size.sessions_at_once,
            sessions_waiting: size.sessions_waiting,
            session_timeout_seconds: 24 * 3600,
            session_cpu: size.session_cpu,
            session_memory: size.session_memory,
            session_log: size.session_log,
            uploads: Uploads {
                bytes: Bytes::gibi(size.upload_gibi),
                count: size.upload_count,
                kept_hours: size.upload_days * 24,
            },
            retention: size.retention,
            may_lack_user_namespaces: false,
        }
    }
}
