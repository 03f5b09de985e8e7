//! Whether a run that failed is followed by another.

use crate::{Bytes, Cause, FailureClass, Invalid, Plan, Resources, Run, SessionSpec};
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, ops::RangeInclusive};

/// The longest pause between two runs.
const LONGEST_BACKOFF: SignedDuration = SignedDuration::from_hours(1);

/// After which failures there is another run. A class without a rule ends the session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RetryPolicy(pub BTreeMap<FailureClass, RetryRule>);

/// What follows a failure of one class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RetryRule {
    /// How many runs the session may have in all before such a failure is final.
    pub attempts: u32,
    /// The pause before the second run, in seconds; it doubles with every further one, up to an hour.
    pub backoff_seconds: u32,
    /// How much memory the next run gets if this one had too little, in percent of what this one had; at
    /// most what the plan allows.
    pub memory_percent: u32,
}

/// The next run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// The pause before it.
    pub wait: SignedDuration,
    /// What it may use.
    pub resources: Resources,
    /// How many runs there may be in all; nothing if the one that ended does not count.
    pub attempts: Option<u32>,
}

impl Default for RetryPolicy {
    /// What failed before the agent started, and may work next time, is tried again: nothing was done twice.
    fn default() -> Self {
        let rule = RetryRule { attempts: 3, ..RetryRule::NONE };
        Self(BTreeMap::from([(FailureClass::Transient, rule)]))
    }
}

impl RetryPolicy {
    /// No failure is followed by another run.
    #[must_use]
    pub const fn none() -> Self {
        Self(BTreeMap::new())
    }

    pub(super) fn validate(&self, invalid: &mut Invalid) {
        for (class, rule) in &self.0 {
            let mut check = |name: &str, value: u32, limits: RangeInclusive<u32>, told: &str| {
                if !limits.contains(&value) {
                    invalid.add(&format!("/retry/{class}/{name}"), value, told);
                }
            };
            let attempts = 1..=RetryRule::MOST_ATTEMPTS;
            let told = format!("between 1 and {} runs in all", RetryRule::MOST_ATTEMPTS);
            check("attempts", rule.attempts, attempts, &told);
            check("backoffSeconds", rule.backoff_seconds, 0..=3600, "between 0 and 3600 seconds");
            let (limits, told) = if *class == FailureClass::Resource {
                (100..=1000, "between 100 and 1000 percent")
            } else {
                (100..=100, "100 percent: more memory helps class resource only")
            };
            check("memoryPercent", rule.memory_percent, limits, told);
        }
    }
}

impl RetryRule {
    /// The most runs that a session may have.
    pub const MOST_ATTEMPTS: u32 = 10;
    /// One run, and what the rest is unless somebody says otherwise.
    pub const NONE: Self = Self { attempts: 1, backoff_seconds: 5, memory_percent: 100 };

    fn pause(self, attempt: u32) -> SignedDuration {
        let doublings = attempt.saturating_sub(1).min(16);
        let seconds = i64::from(self.backoff_seconds) << doublings;
        SignedDuration::from_secs(seconds).min(LONGEST_BACKOFF)
    }
}

impl SessionSpec {
    /// What follows a run that failed; nothing if the failure is final. More memory than the plan allows
    /// is never asked for, and a run that had as much already would fail again. `spared` is how many of the
    /// runs before it do not count; one that was ended for its node's sake does not either.
    #[must_use]
    pub fn retry(&self, run: &Run, cause: &Cause, plan: &Plan, spared: u32) -> Option<Retry> {
        if run.is_spared_by(cause) {
            let resources = run.resources;
            return Some(Retry { wait: SignedDuration::ZERO, resources, attempts: None });
        }
        let rule = *self.retry.0.get(&cause.class?)?;
        let counted = run.attempt.saturating_sub(spared);
        if counted >= rule.attempts {
            return None;
        }
        let mut resources = run.resources;
        if cause.reason == Cause::OUT_OF_MEMORY && rule.memory_percent > 100 {
            let wanted = u128::from(run.resources.memory.0) * u128::from(rule.memory_percent) / 100;
            let wanted = Bytes(u64::try_from(wanted).unwrap_or(u64::MAX)).min(plan.session_memory);
            if wanted <= run.resources.memory {
                return None;
            }
            resources.memory = wanted;
        }
        let attempts = Some(rule.attempts.saturating_add(spared));
        Some(Retry { wait: rule.pause(counted), resources, attempts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DrainEnd, PlanName, sample};

    fn after(attempt: u32, memory: Bytes, cause: &Cause, rule: RetryRule) -> Option<Retry> {
        let class = cause.class?;
        let spec =
            SessionSpec { retry: RetryPolicy(BTreeMap::from([(class, rule)])), ..sample::spec() };
        let resources = Resources { memory, ..spec.resources };
        let run = Run { attempt, resources, ..sample::run() };
        spec.retry(&run, cause, &Plan::current(PlanName::Starter), 0)
    }

    #[test]
    fn pauses_double_and_the_last_attempt_is_final() {
        let cause = Cause::failure(FailureClass::Infrastructure, "NodeLost", "");
        let rule = RetryRule { attempts: 4, backoff_seconds: 1500, ..RetryRule::NONE };
        let wait = |attempt| {
            after(attempt, Bytes::mebi(256), &cause, rule).map(|retry| retry.wait.as_secs())
        };
        assert_eq!([1, 2, 3, 4, 5].map(wait), [Some(1500), Some(3000), Some(3600), None, None]);
    }

    #[test]
    fn what_had_too_little_memory_gets_more_as_far_as_the_plan_allows() {
        let cause = Cause::failure(FailureClass::Resource, Cause::OUT_OF_MEMORY, "");
        let rule = RetryRule { attempts: 9, memory_percent: 150, ..RetryRule::NONE };
        let memory = |had| after(1, had, &cause, rule).map(|retry| retry.resources.memory);
        assert_eq!(memory(Bytes::mebi(256)), Some(Bytes::mebi(384)));
        assert_eq!(memory(Bytes::gibi(3)), Some(Bytes::gibi(4)));
        assert_eq!(memory(Bytes::gibi(4)), None, "the same again would fail again");
        let evicted = Cause::failure(FailureClass::Resource, "Evicted", "");
        let retry = after(1, Bytes::gibi(4), &evicted, rule).expect("another run may find room");
        assert_eq!(retry.resources.memory, Bytes::gibi(4));
    }

    #[test]
    fn without_a_rule_only_what_failed_before_the_agent_started_is_tried_again() {
        let spec = SessionSpec { retry: RetryPolicy::default(), ..sample::spec() };
        let plan = Plan::current(PlanName::Starter);
        for class in FailureClass::ALL {
            let cause = Cause::failure(class, "X", "");
            let is_retried = spec.retry(&sample::run(), &cause, &plan, 0).is_some();
            assert_eq!(is_retried, class == FailureClass::Transient, "{class}");
            let early = cause.before_start().class;
            let is_transient =
                matches!(class, FailureClass::Transient | FailureClass::Infrastructure);
            assert_eq!(early == Some(FailureClass::Transient), is_transient, "{class}");
        }
    }

    #[test]
    fn a_run_that_was_ended_for_its_nodes_sake_uses_up_no_attempt() {
        let plan = Plan::current(PlanName::Starter);
        let spec = sample::spec();
        let cause = sample::drain(DrainEnd::Restart).failure();
        let drained = |end| Run { drain: Some(sample::drain(end)), ..sample::run() };
        let follows = |run: &Run, cause: &Cause| spec.retry(run, cause, &plan, 0).is_some();
        assert!(follows(&drained(DrainEnd::Restart), &cause), "without any rule");
        assert!(!follows(&drained(DrainEnd::CutOff), &cause), "its rule says what follows");
        let agent = Cause::failure(FailureClass::Agent, "ExitCode", "");
        assert!(!follows(&drained(DrainEnd::Restart), &agent), "it ended by itself");

        let rule = RetryRule { attempts: 2, backoff_seconds: 4, ..RetryRule::NONE };
        let retry = RetryPolicy(BTreeMap::from([(FailureClass::Agent, rule)]));
        let spec = SessionSpec { retry, ..spec };
        let second = Run { attempt: 2, ..sample::run() };
        assert_eq!(spec.retry(&second, &agent, &plan, 0), None);
        let spared = spec.retry(&second, &agent, &plan, 1).expect("the first one does not count");
        assert_eq!((spared.wait.as_secs(), spared.attempts), (4, Some(3)));
    }
}
