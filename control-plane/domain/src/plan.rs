use crate::{Bytes, Invalid, Millicores};
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The names of the plans that can be bought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PlanName {
    /// 2 CPU, 4 GiB, 20 GiB, 20 pods.
    Starter,
    /// 8 CPU, 16 GiB, 100 GiB, 100 pods.
    Pro,
    /// 32 CPU, 64 GiB, 500 GiB, 500 pods.
    Enterprise,
}

/// Where a tenant's workloads run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Isolation {
    /// On nodes that other tenants use too.
    Shared,
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
    pub const ALL: [Self; 3] = [Self::Starter, Self::Pro, Self::Enterprise];

    /// The name as users write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starter => "starter",
            Self::Pro => "pro",
            Self::Enterprise => "enterprise",
        }
    }

    /// Finds a plan by its name.
    ///
    /// # Errors
    /// If there is none; the error lists the plans.
    pub fn parse(field: &str, text: &str) -> Result<Self, Invalid> {
        Self::ALL
            .into_iter()
            .find(|plan| plan.as_str() == text)
            .ok_or_else(|| Invalid::field(field, text, "one of: starter, pro, enterprise"))
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

impl Plan {
    /// The present version of a plan.
    #[must_use]
    pub fn current(name: PlanName) -> Self {
        let (cpu, memory, storage, pods) = match name {
            PlanName::Starter => (2, 4, 20, 20),
            PlanName::Pro => (8, 16, 100, 100),
            PlanName::Enterprise => (32, 64, 500, 500),
        };
        let (sessions_at_once, sessions_waiting) = match name {
            PlanName::Starter => (4, 100),
            PlanName::Pro => (20, 500),
            PlanName::Enterprise => (100, 2_000),
        };
        let (upload_bytes, upload_count, kept_days) = match name {
            PlanName::Starter => (2, 1_000, 7),
            PlanName::Pro => (20, 10_000, 30),
            PlanName::Enterprise => (200, 50_000, 90),
        };
        let session_log = Bytes::gibi(match name {
            PlanName::Starter => 1,
            PlanName::Pro => 4,
            PlanName::Enterprise => 16,
        });
        let (log_days, file_days) = match name {
            PlanName::Starter => (7, 7),
            PlanName::Pro => (30, 30),
            PlanName::Enterprise => (90, 180),
        };
        let quota = Quota {
            cpu: Millicores(cpu * 1000),
            memory: Bytes::gibi(memory),
            storage: Bytes::gibi(storage),
            pods,
        };
        Self {
            name,
            version: 2,
            isolation: Isolation::Shared,
            quota,
            overhead: Quota {
                cpu: Millicores(3000),
                memory: Bytes::mebi(2560),
                storage: Bytes::gibi(5),
                pods: 4,
            },
            sessions_at_once,
            sessions_waiting,
            session_timeout_seconds: 24 * 3600,
            session_cpu: quota.cpu,
            session_memory: quota.memory,
            session_log,
            uploads: Uploads {
                bytes: Bytes::gibi(upload_bytes),
                count: upload_count,
                kept_hours: kept_days * 24,
            },
            retention: Retention { log_days, file_days },
            may_lack_user_namespaces: false,
        }
    }
}
