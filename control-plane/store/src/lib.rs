//! The durable record: tenants, operations, sessions, runs, the index of logs and files, audit.
//!
//! SQLite (one file, one process) or PostgreSQL, by URL, with the same code. One file of methods per
//! noun; all of them are methods of [`Store`]. Every write is one transaction.
#![warn(missing_docs)]

mod account;
mod artifact;
mod audit;
mod blob;
mod change;
mod column;
mod entity;
mod error;
mod holder;
mod idempotency;
mod invite;
mod log;
mod node;
mod numbers;
mod open;
mod operation;
mod organisation;
mod orphan;
mod plan_batch;
mod plan_change;
mod run;
mod secret;
mod session;
mod setting;
mod sign_in;
mod store;
mod tenant;
mod token;
mod txn;
mod unproven;

pub use account::MemberError;
pub use artifact::{Artifact, ArtifactUsage};
pub use audit::{AuditEntry, AuditFilter, SealedEntry};
pub use blob::{Blob, BlobPutError, BlobUsage};
pub use change::Change;
pub use error::{DatabaseError, StoreError};
pub use idempotency::{Created, IdempotencyKey};
pub use invite::{JoinError, Joining, NewInvite};
pub use log::{LogAppendError, LogGrowth, LogSegment};
pub use node::{NodeEnd, NodePowerError, NodeReplaceError, NodeSecrets};
pub use open::{OpenError, StoreOptions};
pub use organisation::OrganisationCreateError;
pub use orphan::{NodeClues, OrphanRemoveError};
pub use plan_batch::{NewPlanBatch, PlanBatchBeginError, PlanBatchError};
pub use plan_change::PlanChangeError;
pub use run::NewRun;
pub use secret::{SecretKey, SecretKeyError};
pub use session::{MoveError, Removing, SessionCreateError, StopMode};
pub use sign_in::{Failures, NewSignIn, SignedIn};
pub use store::Store;
pub use tenant::{RemovedTenant, TenantCreateError, TenantReport};
pub use token::{NewToken, Token, TokenRevokeError};
