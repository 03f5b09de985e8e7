use crate::{Bytes, Millicores, Problem};
use serde::{Deserialize, Serialize};
use std::{fmt, iter::Sum, ops::Add};

/// How much room there is for what a change of plan needs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Capacity {
    /// Everything that was looked at.
    pub bounds: Vec<Bound>,
}

/// One thing that there is only so much of.
///
/// What is free is what somebody measured a moment ago; it may be less than what all could use that share it, and do all
/// the same. So only `at_most` refuses: what is certain not to go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bound {
    /// Of what.
    pub resource: Resource,
    /// What the amounts are counted in.
    pub unit: Unit,
    /// How much is needed of it.
    pub needed: u64,
    /// How much of it is free if everybody uses all that is theirs; nothing if nobody may say.
    pub free: Option<u64>,
    /// How much is the most that there can be of it; nothing if that has no limit that is known for certain.
    pub at_most: Option<u64>,
    /// What is free in words, with where it was seen.
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

/// Whether what is needed is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Not: nothing is begun.
    Short,
    /// Only if not everybody uses all that is theirs.
    Doubtful,
    /// Nobody may say.
    Unknown,
    /// It is.
    Enough,
}

/// What pods request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requests {
    /// Processors.
    pub cpu: Millicores,
    /// Memory.
    pub memory: Bytes,
    /// How many pods.
    pub pods: u64,
}

/// What changes of plan need that there is only so much of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Needs {
    /// Machines that are made.
    pub machines: u64,
    /// Of pods that come to nodes that everybody uses.
    pub requests: Requests,
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

impl Verdict {
    /// Every verdict.
    pub const ALL: [Self; 4] = [Self::Short, Self::Doubtful, Self::Unknown, Self::Enough];

    /// The word as users see it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Short => "short",
            Self::Doubtful => "doubtful",
            Self::Unknown => "unknown",
            Self::Enough => "enough",
        }
    }
}

impl Bound {
    /// Whether what is needed is there.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match (self.free, self.at_most) {
            (_, Some(most)) if most < self.needed => Verdict::Short,
            (Some(free), _) if free < self.needed => Verdict::Doubtful,
            (None, _) if self.needed > 0 => Verdict::Unknown,
            (Some(_) | None, _) => Verdict::Enough,
        }
    }

    fn needing(self, needs: &Needs) -> Self {
        let needed = match self.unit {
            Unit::Machines => needs.machines,
            Unit::Millicores => needs.requests.cpu.0,
            Unit::Bytes => needs.requests.memory.0,
            Unit::Pods => needs.requests.pods,
        };
        Self { needed, ..self }
    }
}

/// What is free and what is needed, in words.
impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { unit, needed, detail, .. } = self;
        match unit {
            Unit::Machines => write!(f, "{detail}; {needed} to be made")?,
            Unit::Millicores => write!(f, "{detail}; {} to come", Millicores(*needed))?,
            Unit::Bytes => write!(f, "{detail}; {} to come", Bytes(*needed).rounded())?,
            Unit::Pods => write!(f, "{detail}; {needed} to come")?,
        }
        match self.verdict() {
            Verdict::Doubtful => f.write_str(", which goes as long as not all is used"),
            Verdict::Short | Verdict::Unknown | Verdict::Enough => Ok(()),
        }
    }
}

impl Capacity {
    /// The same with what is needed.
    #[must_use]
    pub fn needing(self, needs: &Needs) -> Self {
        Self { bounds: self.bounds.into_iter().map(|bound| bound.needing(needs)).collect() }
    }

    /// What leaves the least room, measured by what is needed of it, what there is too little of first; nothing if
    /// nothing is needed.
    #[must_use]
    pub fn tightest(&self) -> Option<&Bound> {
        let by_free = |one: &Bound, other: &Bound| {
            let cross = |one: &Bound, other: &Bound| {
                one.free.map(|free| u128::from(free) * u128::from(other.needed))
            };
            // What nobody knows is not called the tightest.
            let key = |free: Option<u128>| (free.is_none(), free);
            key(cross(one, other)).cmp(&key(cross(other, one)))
        };
        let is_short = |bound: &Bound| bound.verdict() == Verdict::Short;
        let needed = self.bounds.iter().filter(|bound| bound.needed > 0);
        let known = needed.filter(|bound| bound.free.is_some() || is_short(bound));
        known.min_by(|one, other| {
            is_short(other).cmp(&is_short(one)).then_with(|| by_free(one, other))
        })
    }

    /// What is in the way if there is certainly not enough room.
    #[must_use]
    pub fn blocker(&self) -> Option<Problem> {
        let tightest = self.tightest().filter(|bound| bound.verdict() == Verdict::Short)?;
        Some(Problem {
            code: NO_CAPACITY.to_owned(),
            detail: format!("there is not enough room: {tightest}"),
            hint: tightest.hint.clone(),
        })
    }
}

impl Needs {
    /// Whether nothing is needed.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

impl Add for Requests {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            cpu: Millicores(self.cpu.0.saturating_add(other.cpu.0)),
            memory: Bytes(self.memory.0.saturating_add(other.memory.0)),
            pods: self.pods.saturating_add(other.pods),
        }
    }
}

impl Sum for Requests {
    fn sum<I: Iterator<Item = Self>>(requests: I) -> Self {
        requests.fold(Self::default(), Add::add)
    }
}

impl Add for Needs {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            machines: self.machines.saturating_add(other.machines),
            requests: self.requests + other.requests,
        }
    }
}

/// The code of a problem whose figures change from one look to the next.
pub(crate) const NO_CAPACITY: &str = "no-capacity";

#[cfg(test)]
mod tests {
    use super::*;

    type Case = (Resource, u64, Option<u64>, Option<u64>);

    fn capacity(bounds: &[Case]) -> Capacity {
        let bound = |&(resource, needed, free, at_most): &Case| {
            let (detail, hint) = (format!("{free:?} free"), "make room".to_owned());
            Bound { resource, unit: Unit::Machines, needed, free, at_most, detail, hint }
        };
        Capacity { bounds: bounds.iter().map(bound).collect() }
    }

    #[test]
    fn the_tightest_is_what_leaves_the_least_room_by_what_is_needed() {
        use Resource as R;
        let hard = |resource, needed, free| (resource, needed, Some(free), Some(free));
        let cases: [(&[Case], _, _); 7] = [
            (&[], None, false),
            (&[hard(R::Memory, 0, 0)], None, false),
            (&[hard(R::Memory, 2, 9), hard(R::Numbers, 2, 2)], Some(R::Numbers), false),
            (&[hard(R::Memory, 2, 1), hard(R::Storage, 4, 3)], Some(R::Memory), true),
            (&[hard(R::Memory, 3, 3), hard(R::Storage, 3, 0)], Some(R::Storage), true),
            (&[hard(R::Cpu, u64::MAX, 1), hard(R::Pods, 1, 1)], Some(R::Cpu), true),
            (&[(R::Memory, 2, Some(0), None), hard(R::Numbers, 2, 1)], Some(R::Numbers), true),
        ];
        for (bounds, tightest, is_blocked) in cases {
            let capacity = capacity(bounds);
            assert_eq!(capacity.tightest().map(|bound| bound.resource), tightest, "{bounds:?}");
            let blocker = capacity.blocker();
            assert_eq!(blocker.is_some(), is_blocked, "{bounds:?}");
            assert!(blocker.is_none_or(|problem| !problem.hint.is_empty()));
        }
    }

    #[test]
    fn only_what_is_certain_not_to_go_refuses() {
        let cases = [
            ((2, Some(2), None), Verdict::Enough),
            ((2, Some(1), None), Verdict::Doubtful),
            ((2, Some(0), Some(2)), Verdict::Doubtful),
            ((2, Some(0), Some(1)), Verdict::Short),
            ((2, None, None), Verdict::Unknown),
            ((2, None, Some(0)), Verdict::Short),
            ((0, None, Some(0)), Verdict::Enough),
        ];
        for ((needed, free, at_most), verdict) in cases {
            let capacity = capacity(&[(Resource::Storage, needed, free, at_most)]);
            assert_eq!(capacity.bounds[0].verdict(), verdict, "{capacity:?}");
            assert_eq!(capacity.blocker().is_some(), verdict == Verdict::Short, "{capacity:?}");
        }
    }

    #[test]
    fn what_several_need_is_asked_of_the_same_room() {
        let one = Needs { machines: 2, requests: Requests::default() };
        let room = capacity(&[(Resource::Addresses, 0, Some(3), Some(3))]);
        assert_eq!(room.clone().needing(&one).blocker(), None);
        let problem = room.needing(&(one + one)).blocker().expect("there are three");
        assert!(problem.detail.ends_with("Some(3) free; 4 to be made"), "{problem:?}");
    }
}
