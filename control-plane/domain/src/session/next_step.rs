//! What may help after a failure, and whether another run of the session can.

use super::{Cause, FailureClass, Session};
use crate::{Bytes, Plan};

/// What may help after a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextStep {
    /// A sentence for people.
    pub advice: String,
    /// Whether the session may succeed when it is run again, without another change than `memory`.
    pub is_rerun_useful: bool,
    /// The memory that it should have then.
    pub memory: Option<Bytes>,
}

impl NextStep {
    fn new(is_rerun_useful: bool, advice: &str) -> Self {
        Self { advice: advice.to_owned(), is_rerun_useful, memory: None }
    }
}

impl Cause {
    /// What may help, whatever the plan allows; nothing where nothing failed.
    #[must_use]
    pub fn next_step(&self) -> Option<NextStep> {
        let again = |advice: &str| NextStep::new(true, advice);
        let change = |advice: &str| NextStep::new(false, advice);
        Some(match (self.class?, self.reason.as_str()) {
            (FailureClass::Resource, Self::OUT_OF_MEMORY) => {
                let had = self.evidence.memory_limit_bytes;
                let memory = had.map(|had| Bytes(had.saturating_mul(2)));
                let advice = "run it with more in resources.memory, or let its next run have more \
                              with retry.resource.memoryPercent";
                NextStep { memory, ..again(advice) }
            }
            (FailureClass::Resource, _) => again(
                "let the agent write less to its disk, or run it again when the node has room; \
                 retry.resource does that by itself",
            ),
            (FailureClass::PolicyDenied, _) if !self.evidence.shortages.is_empty() => change(
                "ask for less in resources, wait until other work of the tenant has ended, or take a larger plan",
            ),
            (FailureClass::PolicyDenied, _) => {
                change("change what the refusal names, or the policy in the tenant that refuses")
            }
            (FailureClass::UserConfig, _) if self.evidence.image.is_some() => change(
                "look at the image's name and tag, and whether its registry lets the host's nodes pull it",
            ),
            (FailureClass::UserConfig, _) => change(
                "correct what the message names and start it again: another run would fail the same way",
            ),
            (FailureClass::Agent, _) => again(
                "the end of its log says what the agent thought; retry.agent runs it again by itself",
            ),
            (FailureClass::Transient, _) => {
                again("start it again: its agent never began; retry.transient does that by itself")
            }
            (FailureClass::Infrastructure, Self::NODE_DRAINED) => again(
                "start it again if its agent can bear to begin twice; onDrain restart does that by itself",
            ),
            (FailureClass::Infrastructure, _) => again(
                "start it again if its agent can bear to begin twice; retry.infrastructure does that by itself",
            ),
        })
    }
}

impl Session {
    /// What may help under a plan; nothing where nothing failed. One that is not over cannot be run again
    /// yet, and one that had all the memory that the plan allows would fail again.
    #[must_use]
    pub fn next_step(&self, plan: &Plan) -> Option<NextStep> {
        let cause = self.cause.as_ref()?;
        let step = cause.next_step()?;
        if !self.state.is_final() {
            return Some(NextStep { is_rerun_useful: false, memory: None, ..step });
        }
        let (Some(wanted), Some(had)) = (step.memory, cause.evidence.memory_limit_bytes) else {
            return Some(step);
        };
        let Plan { name, session_memory: most, .. } = plan;
        if had >= most.0 {
            let advice = format!(
                "let the agent need less: it had {}, and plan {name} allows a session {most}; or take a larger plan",
                Bytes(had)
            );
            return Some(NextStep::new(false, &advice));
        }
        Some(NextStep { memory: Some(wanted.min(*most)), ..step })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{PlanName, SessionState, sample};

    fn after(state: SessionState, cause: Cause) -> NextStep {
        let session = Session { cause: Some(cause), ..sample::session(state) };
        session.next_step(&Plan::current(PlanName::Starter)).expect("a failure")
    }

    #[test]
    fn every_failure_has_a_next_step_and_nothing_else_has() {
        for class in FailureClass::ALL {
            assert!(Cause::failure(class, "Any", "").next_step().is_some(), "{class}");
        }
        assert_eq!(Cause::plain("Stopped", "").next_step(), None);
    }

    #[test]
    fn another_run_is_proposed_where_it_may_end_in_another_way() {
        use FailureClass::{Agent, Infrastructure, Resource, Transient};
        for class in FailureClass::ALL {
            let cause = Cause::failure(class, "Any", "");
            let is_useful = matches!(class, Transient | Resource | Agent | Infrastructure);
            let step = after(SessionState::Failed, cause.clone());
            assert_eq!((step.is_rerun_useful, step.memory), (is_useful, None), "{class}");
            let step = after(SessionState::Queued, cause);
            assert!(!step.is_rerun_useful, "{class}: its next run follows by itself");
        }
    }

    #[test]
    fn twice_the_memory_is_proposed_up_to_what_the_plan_allows() {
        let memory = |had| {
            let step = after(SessionState::Failed, Cause::out_of_memory(had, None));
            assert_eq!(step.is_rerun_useful, step.memory.is_some());
            step.memory
        };
        assert_eq!(memory(Bytes::mebi(64)), Some(Bytes::mebi(128)));
        assert_eq!(memory(Bytes::gibi(3)), Some(Bytes::gibi(4)));
        assert_eq!(memory(Bytes::gibi(4)), None);
    }
}
