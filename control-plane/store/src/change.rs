use crate::entity::outbox;
use domain::{
    AccountId, NodeId, OperationId, OrphanId, PlanBatchId, RunId, SessionId, TenantId, TokenId,
};
use sea_orm::{ActiveValue::NotSet, Set};
use uuid::Uuid;

/// Something changed: look at it. A wake-up, never data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Change {
    /// A tenant.
    Tenant(TenantId),
    /// An operation.
    Operation(OperationId),
    /// A session or its run.
    Session {
        /// Whose.
        tenant: TenantId,
        /// Which.
        session: SessionId,
    },
    /// A node of a tenant.
    Node {
        /// Whose.
        tenant: TenantId,
        /// Which.
        node: NodeId,
    },
    /// A run has new log lines.
    Log(RunId),
    /// Something that is left over.
    Orphan(OrphanId),
    /// A batch of changes of plan, or one of its lines.
    PlanBatch(PlanBatchId),
    /// A token is nobody's any more.
    Token(TokenId),
    /// A person may be signed in nowhere any more, or may do less.
    Account(AccountId),
}

impl Change {
    pub(crate) fn row(self, at: i64) -> outbox::ActiveModel {
        let (kind, target): (_, Uuid) = match self {
            Self::Tenant(tenant) => ("tenant", tenant.uuid()),
            Self::Operation(operation) => ("operation", operation.uuid()),
            Self::Session { session, .. } => ("session", session.uuid()),
            Self::Node { node, .. } => ("node", node.uuid()),
            Self::Log(run) => ("log", run.uuid()),
            Self::Orphan(orphan) => ("orphan", orphan.uuid()),
            Self::PlanBatch(batch) => ("plan-batch", batch.uuid()),
            Self::Token(token) => ("token", token.uuid()),
            Self::Account(account) => ("account", account.uuid()),
        };
        outbox::ActiveModel {
            sequence: NotSet,
            kind: Set(kind.to_owned()),
            target: Set(target),
            at: Set(at),
        }
    }
}
