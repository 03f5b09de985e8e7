//! What an operation of ordered, reversible steps does next, read from nothing but its log.

use domain::{Operation, OperationState, StepState};

/// What to do next; the number is that of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Move {
    /// Bring the world to the step's postcondition, whatever was done of it before.
    Run(usize),
    /// Take back what the step did, or may have done.
    Undo(usize),
    /// All steps are done.
    Finish,
    /// Nothing is left of any step.
    GiveUp,
}

/// What to do next about an operation that is not over.
#[must_use]
pub fn next(operation: &Operation) -> Move {
    let mut steps = operation.steps.iter().map(|step| step.state);
    if operation.state == OperationState::Undoing {
        let is_open = |state: StepState| !matches!(state, StepState::Waiting | StepState::Undone);
        return steps.rposition(is_open).map_or(Move::GiveUp, Move::Undo);
    }
    steps.position(|state| state != StepState::Done).map_or(Move::Finish, Move::Run)
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{OperationId, OperationKind, Step, TenantId};
    use jiff::Timestamp;
    use uuid::Uuid;

    fn operation(state: OperationState, steps: &[StepState]) -> Operation {
        let step = |state: &StepState| Step { state: *state, ..Step::waiting("step") };
        Operation {
            id: OperationId::new(Uuid::nil()),
            kind: OperationKind::NodeAttach,
            tenant: TenantId::new(Uuid::nil()),
            node: None,
            state,
            steps: steps.iter().map(step).collect(),
            problem: None,
            created_at: Timestamp::UNIX_EPOCH,
            deadline: Timestamp::UNIX_EPOCH,
            cancel_requested_at: None,
            finished_at: None,
        }
    }

    #[test]
    fn steps_are_taken_in_their_order_and_taken_back_in_the_reverse_one() {
        use StepState::{Blocked, Done, Running, Undoing, Undone, Waiting};
        let running = |steps: &[StepState]| next(&operation(OperationState::Running, steps));
        assert_eq!(running(&[Waiting, Waiting]), Move::Run(0));
        assert_eq!(running(&[Done, Running]), Move::Run(1), "a step that was begun is repeated");
        assert_eq!(running(&[Done, Blocked]), Move::Run(1));
        assert_eq!(running(&[Done, Done]), Move::Finish);
        let undoing = |steps: &[StepState]| next(&operation(OperationState::Undoing, steps));
        assert_eq!(undoing(&[Done, Running, Waiting]), Move::Undo(1), "it may have done something");
        assert_eq!(undoing(&[Done, Undone, Waiting]), Move::Undo(0));
        assert_eq!(undoing(&[Undoing, Undone, Waiting]), Move::Undo(0));
        assert_eq!(undoing(&[Undone, Undone, Waiting]), Move::GiveUp);
    }
}
