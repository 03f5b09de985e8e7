use crate::{
    Digest, OperationId, PlanBatchId, Problem, SessionsDuringMove, Subject, Subscription, TenantId,
    TenantName,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Tenants that are to pay for something else, one after the other or some at a time, at once or later. What a tenant's own
/// people plan for later is a batch of one that is the tenant's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanBatch {
    /// Its identifier.
    pub id: PlanBatchId,
    /// Whose it is; nothing for one of operators.
    pub tenant: Option<TenantId>,
    /// What it is for, in its maker's words.
    pub name: Option<String>,
    /// What its tenants are to pay for.
    pub to: Subscription,
    /// What becomes of their sessions.
    pub sessions: SessionsDuringMove,
    /// The preview that its maker has seen: begun only if another look promises the same.
    pub preview: Option<Digest>,
    /// How many changes may be under way at the same time.
    pub max_parallel: u32,
    /// Whether the first failure keeps those from beginning that wait.
    pub stop_on_failure: bool,
    /// When the first change begins; nothing if at once.
    pub start_at: Option<Timestamp>,
    /// In whose name changes are begun: whoever asked for it, or for its retry.
    pub subject: Subject,
    /// The request in which that was asked for.
    pub request_id: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was halted; nothing if it goes on.
    pub paused_at: Option<Timestamp>,
    /// When it was given up.
    pub cancelled_at: Option<Timestamp>,
    /// When its last line ended.
    pub finished_at: Option<Timestamp>,
    /// How many lines are in which state.
    pub counts: PlanBatchCounts,
}

/// One tenant of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanBatchLine {
    /// The batch.
    pub batch: PlanBatchId,
    /// Counts the lines of a batch from 0; they begin in this order.
    pub position: u32,
    /// The tenant.
    pub tenant: TenantId,
    /// What it is called, or was when it was deleted.
    pub name: TenantName,
    /// How far it is.
    pub state: PlanBatchLineState,
    /// The operation that it has, or will have when it begins.
    pub operation: OperationId,
    /// Why it was not begun yet or did not succeed, and the way out.
    pub problem: Option<Problem>,
    /// When it is given up if the tenant is still busy then; nothing if it was not met busy.
    pub busy_until: Option<Timestamp>,
    /// When its change began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

/// How far a line is. The last four are final, as long as nobody asks for another try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PlanBatchLineState {
    /// Not begun.
    Waiting,
    /// Its change is under way.
    Running,
    /// The tenant has what it was to get.
    Succeeded,
    /// The change was not begun for a reason, or ended without reaching its goal.
    Failed,
    /// Nobody tried: another one failed before, or there was nothing to do.
    Skipped,
    /// It was given up before it began.
    Cancelled,
}

/// A batch's state in one word, derived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PlanBatchState {
    /// Nothing was begun.
    Waiting,
    /// Some of it was begun.
    Running,
    /// Nothing more begins until somebody lets it go on.
    Paused,
    /// Nothing more begins; what is under way goes on to its end.
    Cancelling,
    /// No line failed.
    Succeeded,
    /// A line failed.
    Failed,
    /// It was given up.
    Cancelled,
}

/// How many lines of a batch are in which state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PlanBatchCounts {
    /// Not begun.
    pub waiting: u32,
    /// Under way.
    pub running: u32,
    /// Done.
    pub succeeded: u32,
    /// Failed.
    pub failed: u32,
    /// Not tried.
    pub skipped: u32,
    /// Given up.
    pub cancelled: u32,
}

impl PlanBatch {
    /// How far it is.
    #[must_use]
    pub const fn state(&self) -> PlanBatchState {
        use PlanBatchState as S;
        let PlanBatchCounts { waiting, running, .. } = self.counts;
        match (self.finished_at, self.cancelled_at, self.paused_at) {
            (Some(_), Some(_), _) => S::Cancelled,
            (Some(_), None, _) if self.counts.failed > 0 => S::Failed,
            (Some(_), None, _) if self.counts.cancelled == self.counts.all() => S::Cancelled,
            (Some(_), None, _) => S::Succeeded,
            (None, Some(_), _) => S::Cancelling,
            (None, None, Some(_)) => S::Paused,
            (None, None, None) if running == 0 && waiting == self.counts.all() => S::Waiting,
            (None, None, None) => S::Running,
        }
    }

    /// How many more changes may begin now.
    #[must_use]
    pub fn free(&self, now: Timestamp) -> u32 {
        let is_due = self.start_at.is_none_or(|at| at <= now);
        let is_halted = self.paused_at.is_some() || self.cancelled_at.is_some();
        if is_due && !is_halted && self.finished_at.is_none() {
            self.max_parallel.saturating_sub(self.counts.running)
        } else {
            0
        }
    }
}

impl PlanBatchCounts {
    /// How many lines there are.
    #[must_use]
    pub const fn all(&self) -> u32 {
        let Self { waiting, running, succeeded, failed, skipped, cancelled } = *self;
        waiting + running + succeeded + failed + skipped + cancelled
    }

    /// The number of lines in a state.
    pub const fn of(&mut self, state: PlanBatchLineState) -> &mut u32 {
        use PlanBatchLineState as S;
        match state {
            S::Waiting => &mut self.waiting,
            S::Running => &mut self.running,
            S::Succeeded => &mut self.succeeded,
            S::Failed => &mut self.failed,
            S::Skipped => &mut self.skipped,
            S::Cancelled => &mut self.cancelled,
        }
    }
}

impl PlanBatchLineState {
    /// Every state.
    pub const ALL: [Self; 6] = [
        Self::Waiting,
        Self::Running,
        Self::Succeeded,
        Self::Failed,
        Self::Skipped,
        Self::Cancelled,
    ];

    /// The word as users see it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing is to be done about it any more.
    #[must_use]
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::Waiting | Self::Running)
    }
}

impl PlanBatchState {
    /// Every state.
    pub const ALL: [Self; 7] = [
        Self::Waiting,
        Self::Running,
        Self::Paused,
        Self::Cancelling,
        Self::Succeeded,
        Self::Failed,
        Self::Cancelled,
    ];

    /// The word as users see it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Cancelling => "cancelling",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}
