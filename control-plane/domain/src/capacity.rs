use crate::Problem;
use serde::{Deserialize, Serialize};

/// How much room there is for what a change of plan needs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Capacity {
    /// Everything that was looked at.
    pub bounds: Vec<Bound>,
}

/// One thing that there is only so much of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bound {
    /// Of what.
    pub resource: Resource,
    /// What `needed` and `free` are counted in.
    pub unit: Unit,
    /// How much the change needs of it; nothing is needed of what is only told.
    pub needed: u64,
    /// How much of it is free.
    pub free: u64,
    /// The same in words, with where it was seen.
    pub detail: String,
    /// How more of it comes to be there.
    pub hint: String,
}

/// What there is only so much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Resource {
    /// Memory.
    Memory,
    /// Disks' space.
    Storage,
    /// Nodes of Proxmox VE that have memory and space at the same time.
    Places,
    /// Numbers of machines.
    Numbers,
    /// Addresses of machines.
    Addresses,
    /// Processors.
    Cpu,
    /// Pods.
    Pods,
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// Machines of the shape that is asked for.
    Machines,
    /// Thousandths of a core.
    Millicores,
    /// Bytes.
    Bytes,
    /// Pods.
    Pods,
}

impl Resource {
    /// The word as users see it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Storage => "storage",
            Self::Places => "places",
            Self::Numbers => "numbers",
            Self::Addresses => "addresses",
            Self::Cpu => "cpu",
            Self::Pods => "pods",
        }
    }
}

impl Unit {
    /// The word as users see it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Machines => "machines",
            Self::Millicores => "millicores",
            Self::Bytes => "bytes",
            Self::Pods => "pods",
        }
    }
}

impl Capacity {
    /// What leaves the least room, measured by what is needed of it; nothing if nothing is needed.
    #[must_use]
    pub fn tightest(&self) -> Option<&Bound> {
        let needed = self.bounds.iter().filter(|bound| bound.needed > 0);
        let cross = |one: &Bound, other: &Bound| u128::from(one.free) * u128::from(other.needed);
        needed.min_by(|one, other| cross(one, other).cmp(&cross(other, one)))
    }

    /// What is in the way if there is not enough room.
    #[must_use]
    pub fn blocker(&self) -> Option<Problem> {
        let tightest = self.tightest().filter(|bound| bound.free < bound.needed)?;
        Some(Problem {
            code: NO_CAPACITY.to_owned(),
            detail: format!("there is not enough room: {}", tightest.detail),
            hint: tightest.hint.clone(),
        })
    }
}

/// The code of a problem whose figures change from one look to the next.
pub(crate) const NO_CAPACITY: &str = "no-capacity";

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(resource: Resource, needed: u64, free: u64) -> Bound {
        let (detail, hint) = (format!("{free} of {needed}"), "make room".to_owned());
        Bound { resource, unit: Unit::Machines, needed, free, detail, hint }
    }

    #[test]
    fn the_tightest_is_what_leaves_the_least_room_by_what_is_needed() {
        use Resource as R;
        let capacity = |bounds: &[Bound]| Capacity { bounds: bounds.to_vec() };
        for (bounds, tightest, is_blocked) in [
            (vec![], None, false),
            (vec![bound(R::Memory, 0, 0)], None, false),
            (vec![bound(R::Memory, 2, 9), bound(R::Numbers, 2, 2)], Some(R::Numbers), false),
            (vec![bound(R::Memory, 2, 1), bound(R::Storage, 4, 3)], Some(R::Memory), true),
            (vec![bound(R::Memory, 3, 3), bound(R::Storage, 3, 0)], Some(R::Storage), true),
            (vec![bound(R::Cpu, u64::MAX, 1), bound(R::Pods, 1, 1)], Some(R::Cpu), true),
        ] {
            let capacity = capacity(&bounds);
            assert_eq!(capacity.tightest().map(|bound| bound.resource), tightest, "{bounds:?}");
            let blocker = capacity.blocker();
            assert_eq!(blocker.is_some(), is_blocked, "{bounds:?}");
            assert!(blocker.is_none_or(|problem| !problem.hint.is_empty()));
        }
    }
}
