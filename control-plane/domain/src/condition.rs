use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What can be true or false about a tenant. Positive polarity: `True` is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ConditionKind {
    /// Namespace, accounts, roles, quota, limits and policies are on the host.
    NamespaceReady,
    /// The tenant's API server answers to a credential that Warren minted.
    ControlPlaneReady,
    /// Every node of its own that the tenant pays for is proven and takes pods; only on plans with such
    /// nodes.
    NodesReady,
    /// Nobody else's pod runs on the tenant's own nodes, and none of its own elsewhere; only on plans with such
    /// nodes.
    NodesExclusive,
    /// The cluster's DNS server has an address and a ready pod.
    DnsReady,
    /// Project namespace, service account, roles, limits and policies are inside the tenant.
    BaselineReady,
    /// All of the above.
    Ready,
}

impl ConditionKind {
    /// Every kind, in the order in which a tenant reaches them.
    pub const ALL: [Self; 7] = [
        Self::NamespaceReady,
        Self::ControlPlaneReady,
        Self::NodesReady,
        Self::NodesExclusive,
        Self::DnsReady,
        Self::BaselineReady,
        Self::Ready,
    ];

    /// The name as users see it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NamespaceReady => "NamespaceReady",
            Self::ControlPlaneReady => "ControlPlaneReady",
            Self::NodesReady => "NodesReady",
            Self::NodesExclusive => "NodesExclusive",
            Self::DnsReady => "DnsReady",
            Self::BaselineReady => "BaselineReady",
            Self::Ready => "Ready",
        }
    }
}

impl fmt::Display for ConditionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether a condition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// It could not be found out.
    Unknown,
}

/// One statement about a tenant, with its reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// What it is about.
    pub kind: ConditionKind,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// One word in CamelCase for programs.
    pub reason: String,
    /// A sentence for people.
    pub message: String,
    /// When the status last changed.
    pub since: Timestamp,
}

/// At most one condition of each kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Conditions(Vec<Condition>);

impl Conditions {
    /// The condition of a kind, if it was ever reported.
    #[must_use]
    pub fn get(&self, kind: ConditionKind) -> Option<&Condition> {
        self.0.iter().find(|condition| condition.kind == kind)
    }

    /// Whether the condition is known to hold.
    #[must_use]
    pub fn is_true(&self, kind: ConditionKind) -> bool {
        self.get(kind).is_some_and(|condition| condition.status == ConditionStatus::True)
    }

    /// Sets a condition; its time moves only when the status changes.
    pub fn set(
        &mut self,
        kind: ConditionKind,
        status: ConditionStatus,
        reason: impl Into<String>,
        message: impl Into<String>,
        now: Timestamp,
    ) {
        let (reason, message) = (reason.into(), message.into());
        if let Some(condition) = self.0.iter_mut().find(|condition| condition.kind == kind) {
            if condition.status != status {
                condition.since = now;
            }
            condition.status = status;
            condition.reason = reason;
            condition.message = message;
        } else {
            self.0.push(Condition { kind, status, reason, message, since: now });
            self.0.sort_by_key(|condition| condition.kind);
        }
    }

    /// Says nothing more about a kind.
    pub fn forget(&mut self, kind: ConditionKind) {
        self.0.retain(|condition| condition.kind != kind);
    }

    /// All conditions, in the order of [`ConditionKind::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = &Condition> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_condition_is_that_of_its_last_change() {
        let at = |second| Timestamp::from_second(second).expect("a small number of seconds");
        let mut conditions = Conditions::default();
        conditions.set(ConditionKind::Ready, ConditionStatus::False, "Waiting", "", at(1));
        conditions.set(ConditionKind::Ready, ConditionStatus::False, "StillWaiting", "", at(2));
        assert_eq!(conditions.get(ConditionKind::Ready).map(|c| c.since), Some(at(1)));
        conditions.set(ConditionKind::Ready, ConditionStatus::True, "AllGood", "", at(3));
        assert_eq!(conditions.get(ConditionKind::Ready).map(|c| c.since), Some(at(3)));
    }
}
