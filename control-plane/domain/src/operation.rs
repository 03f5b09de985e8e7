use crate::{NodeId, OperationId, TenantId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What an operation is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OperationKind {
    /// Makes a tenant usable.
    TenantCreate,
    /// Removes a tenant, with proof of absence per kind.
    TenantDelete,
    /// Makes a machine for a tenant and lets it join the host cluster.
    NodeAttach,
    /// Empties a tenant's node and destroys its machine.
    NodeRelease,
    /// Empties a tenant's node and switches its machine off.
    NodeStop,
    /// Switches the machine of a tenant's node on and proves it again.
    NodeStart,
    /// Both, one after the other.
    NodeReboot,
    /// Moves a tenant from one plan to another.
    PlanChange,
}

/// How far an operation is. The last two are final.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OperationState {
    /// Waits for its turn.
    Waiting,
    /// Is being worked on.
    Running,
    /// Failed or was cancelled; what it did is being undone.
    Undoing,
    /// Reached its goal.
    Succeeded,
    /// Ended without reaching it; the problem says why and what to do.
    Failed,
}

/// How far a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StepState {
    /// Not begun.
    Waiting,
    /// Being worked on.
    Running,
    /// Done.
    Done,
    /// Cannot go on by itself; the message names the blocker.
    Blocked,
    /// What it did, or may have done, is being undone.
    Undoing,
    /// Nothing of it is left.
    Undone,
}

/// One named part of an operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// Stable name.
    pub name: String,
    /// How far it is.
    pub state: StepState,
    /// What is going on, or what was proven.
    pub message: String,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When it was done, or undone.
    pub finished_at: Option<Timestamp>,
}

/// Why an operation failed, and the way out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// Stable code in kebab-case.
    pub code: String,
    /// What happened.
    pub detail: String,
    /// What to do.
    pub hint: String,
}

/// What a person watches: a change on its way, with its steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Its identifier.
    pub id: OperationId,
    /// What it is for.
    pub kind: OperationKind,
    /// Whose.
    pub tenant: TenantId,
    /// The node that it is about; nothing if it is about the tenant.
    pub node: Option<NodeId>,
    /// How far it is.
    pub state: OperationState,
    /// Its parts in order.
    pub steps: Vec<Step>,
    /// Why it failed.
    pub problem: Option<Problem>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it should be done; later it is shown as late, and goes on.
    pub deadline: Timestamp,
    /// When somebody asked for what was done to be undone.
    pub cancel_requested_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

impl OperationKind {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::TenantCreate,
        Self::TenantDelete,
        Self::NodeAttach,
        Self::NodeRelease,
        Self::NodeStop,
        Self::NodeStart,
        Self::NodeReboot,
        Self::PlanChange,
    ];

    /// Whether it consists of ordered, reversible steps, and is none of the tenant controller's.
    #[must_use]
    pub const fn is_saga(self) -> bool {
        match self {
            Self::NodeAttach
            | Self::NodeRelease
            | Self::NodeStop
            | Self::NodeStart
            | Self::NodeReboot
            | Self::PlanChange => true,
            Self::TenantCreate | Self::TenantDelete => false,
        }
    }

    /// The word as users see it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TenantCreate => "tenant-create",
            Self::TenantDelete => "tenant-delete",
            Self::NodeAttach => "node-attach",
            Self::NodeRelease => "node-release",
            Self::NodeStop => "node-stop",
            Self::NodeStart => "node-start",
            Self::NodeReboot => "node-reboot",
            Self::PlanChange => "plan-change",
        }
    }
}

impl Operation {
    /// Whether somebody wants what was done to be undone, and it is not being undone yet.
    #[must_use]
    pub fn is_to_turn_back(&self) -> bool {
        self.cancel_requested_at.is_some() && self.state != OperationState::Undoing
    }
}

impl OperationState {
    /// Whether nothing will change any more.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }
}

impl Step {
    /// A step that has not begun.
    #[must_use]
    pub fn waiting(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            state: StepState::Waiting,
            message: String::new(),
            started_at: None,
            finished_at: None,
        }
    }

    /// Moves the step to `state` at `now`; a step that is done stays done.
    pub fn advance(&mut self, state: StepState, message: impl Into<String>, now: Timestamp) {
        if self.state == StepState::Done {
            return;
        }
        if self.started_at.is_none() && state != StepState::Waiting {
            self.started_at = Some(now);
        }
        if state == StepState::Done {
            self.finished_at = Some(now);
        }
        self.state = state;
        self.message = message.into();
    }

    /// Says of a step that it is being undone, or is.
    pub fn revert(&mut self, state: StepState, message: impl Into<String>, now: Timestamp) {
        self.finished_at = (state == StepState::Undone).then_some(now);
        self.state = state;
        self.message = message.into();
    }
}
