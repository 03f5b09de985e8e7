//! How long things took.

use crate::{Operation, OperationKind};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How long something took in the past.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Measured {
    /// The median, in milliseconds.
    pub median_ms: u32,
    /// The longest, in milliseconds.
    pub longest_ms: u32,
    /// How often it was measured.
    pub count: u32,
}

/// How long operations of one kind took, and each of their steps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Typical {
    /// From the request to the end; nothing if there was none yet.
    pub whole: Option<Measured>,
    /// Of each step from its beginning to its end, by its name.
    pub steps: BTreeMap<String, Measured>,
}

/// The same of several kinds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Typicals(BTreeMap<OperationKind, Typical>);

impl Measured {
    /// Of single times, in milliseconds; nothing if there are none.
    #[must_use]
    pub fn of(times: impl IntoIterator<Item = u32>) -> Option<Self> {
        let mut times: Vec<u32> = times.into_iter().collect();
        times.sort_unstable();
        let (median_ms, longest_ms) = (*times.get(times.len() / 2)?, *times.last()?);
        let count = u32::try_from(times.len()).unwrap_or(u32::MAX);
        Some(Self { median_ms, longest_ms, count })
    }
}

impl Typical {
    /// Of operations that succeeded.
    #[must_use]
    pub fn of(operations: &[Operation]) -> Self {
        let whole =
            operations.iter().filter_map(|one| between(Some(one.created_at), one.finished_at));
        let mut steps: BTreeMap<String, Vec<u32>> = BTreeMap::new();
        for step in operations.iter().flat_map(|operation| &operation.steps) {
            if let Some(time) = between(step.started_at, step.finished_at) {
                steps.entry(step.name.clone()).or_default().push(time);
            }
        }
        let steps =
            steps.into_iter().filter_map(|(name, times)| Some((name, Measured::of(times)?)));
        Self { whole: Measured::of(whole), steps: steps.collect() }
    }
}

impl Typicals {
    /// Adds what is known of a kind.
    pub fn insert(&mut self, kind: OperationKind, typical: Typical) {
        self.0.insert(kind, typical);
    }

    /// How long an operation of this kind takes; nothing if nobody looked.
    #[must_use]
    pub fn whole(&self, kind: OperationKind) -> Option<Measured> {
        self.0.get(&kind)?.whole
    }

    /// How long one of its steps takes.
    #[must_use]
    pub fn step(&self, kind: OperationKind, name: &str) -> Option<Measured> {
        self.0.get(&kind)?.steps.get(name).copied()
    }
}

/// In milliseconds; a clock that was put back says nothing.
fn between(start: Option<Timestamp>, end: Option<Timestamp>) -> Option<u32> {
    u32::try_from(end?.as_millisecond() - start?.as_millisecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{OperationId, OperationState, Step, StepState, TenantId};
    use uuid::Uuid;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(ms).expect("a time")
    }

    fn took(whole: i64, clone: Option<(i64, i64)>) -> Operation {
        let mut step = Step::waiting("clone");
        if let Some((start, end)) = clone {
            step.state = StepState::Done;
            (step.started_at, step.finished_at) = (Some(at(start)), Some(at(end)));
        }
        Operation {
            id: OperationId::new(Uuid::nil()),
            kind: OperationKind::NodeAttach,
            tenant: TenantId::new(Uuid::nil()),
            node: None,
            state: OperationState::Succeeded,
            steps: vec![step, Step::waiting("never")],
            problem: None,
            created_at: at(0),
            deadline: at(0),
            cancel_requested_at: None,
            finished_at: Some(at(whole)),
        }
    }

    #[test]
    fn what_is_typical_is_the_median_and_one_that_took_long_changes_little() {
        let some = [
            took(900, Some((0, 100))),
            took(90_000, Some((0, 80_000))),
            took(1000, Some((50, 170))),
            took(800, None),
            // Its clock was put back meanwhile.
            took(-5, Some((100, 20))),
        ];
        let typical = Typical::of(&some);
        let whole = Measured { median_ms: 1000, longest_ms: 90_000, count: 4 };
        let clone = Measured { median_ms: 120, longest_ms: 80_000, count: 3 };
        assert_eq!(typical.whole, Some(whole));
        assert_eq!(typical.steps, BTreeMap::from([("clone".to_owned(), clone)]));
        assert_eq!(Typical::of(&[]), Typical::default());
    }
}
