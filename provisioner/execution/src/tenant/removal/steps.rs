use super::STEPS;
use domain::{Operation, Step, StepState};
use jiff::Timestamp;

/// The steps of the operation, as they become during one look.
pub(super) struct Steps {
    list: Vec<Step>,
    now: Timestamp,
}

impl Steps {
    pub(super) fn new(open: Option<&Operation>, now: Timestamp) -> Self {
        let known = open.map(|operation| operation.steps.as_slice()).unwrap_or_default();
        let step = |name: &str| {
            known
                .iter()
                .find(|step| step.name == name)
                .cloned()
                .unwrap_or_else(|| Step::waiting(name))
        };
        Self { list: STEPS.into_iter().map(step).collect(), now }
    }

    pub(super) fn advance(&mut self, name: &str, state: StepState, message: String) {
        if let Some(step) = self.list.iter_mut().find(|step| step.name == name) {
            step.advance(state, message, self.now);
        }
    }

    pub(super) fn into_list(self) -> Vec<Step> {
        self.list
    }
}
