//! What Warren knows about tenants, plans, sessions and who may do what.
//!
//! Pure: no I/O, no clock, no randomness. Time comes from [`Clock`], identifiers from [`IdGen`].
#![warn(missing_docs)]

mod account;
mod actor;
mod audit;
mod blob;
mod capacity;
mod clock;
mod condition;
mod id;
mod input;
mod measured;
mod name;
mod node;
mod operation;
mod orphan;
mod plan;
mod plan_batch;
mod plan_change;
mod policy;
mod quantity;
#[cfg(any(test, feature = "samples"))]
pub mod sample;
mod session;
mod tenant;

pub use account::{Account, Email, Invite, Member, Organisation, SignIn, person_name};
pub use actor::{Acting, Actor, Grant, Scope, Subject, Within};
pub use audit::{ParseSealError, Seal};
pub use blob::{Digest, ParseDigestError};
pub use capacity::{Bound, Capacity, Needs, Requests, Resource, Unit, Verdict};
pub use clock::{Clock, IdGen};
pub use condition::{Condition, ConditionKind, ConditionStatus, Conditions};
pub use id::{
    AccountId, AuditId, InviteId, NodeId, OperationId, OrganisationId, OrphanId, ParseIdError,
    PlanBatchId, RunId, SessionId, SignInId, TenantId, TokenId,
};
pub use input::{Invalid, InvalidField};
pub use measured::{Measured, Typical, Typicals};
pub use name::{ClusterName, NodeName, OrganisationName, ProjectName, TenantName, letters};
pub use node::{
    Exclusivity, Hardware, LocalVolume, Node, NodePower, NodeShape, NodeState, PowerChange,
    VmNumber, VolumesOnDisk,
};
pub use operation::{Operation, OperationKind, OperationState, Problem, Step, StepState};
pub use orphan::{Orphan, OrphanKind, OrphanProof, OrphanState, Sighting, SweepLook, SweptArea};
pub use plan::{Isolation, Kept, Plan, PlanName, Quota, Retention, Share, Uploads};
pub use plan_batch::{
    PlanBatch, PlanBatchCounts, PlanBatchLine, PlanBatchLineState, PlanBatchState,
};
pub use plan_change::{
    MovedSession, PlanChange, PlanPreview, SessionsDuringMove, Shift, Subscription, Survey,
    VolumesDuringMove, blockers,
};
pub use policy::{
    Action, Authorized, ChangePlan, CreateSession, CreateTenant, CreateToken, DeleteTenant, Denied,
    ExplainTenant, ListTenants, ManageMembers, ManageOrganisations, ManagePlanBatch, Permission,
    PowerNode, PreviewPlan, ReadAudit, ReadKubeconfig, ReadMembers, ReadOperation,
    ReadOrganisation, ReadOrphans, ReadPlanBatches, ReadSession, ReadTenant, ReadToken,
    RemoveOrphan, ReplaceNode, RevokeToken, Role, StopSession, UploadBlob, allows, authorize,
};
pub use quantity::{Bytes, Millicores, Quantity};
pub use session::{
    Cause, Drain, DrainEnd, Evidence, Exit, FailureClass, Input, InputSource, NextStep, OnDrain,
    Resources, Retry, RetryPolicy, RetryRule, Run, RunUsage, Session, SessionSpec, SessionState,
    Shortage,
};
pub use tenant::{Generation, Tenant, TenantPhase, Usage};
