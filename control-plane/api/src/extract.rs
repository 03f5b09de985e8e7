//! What handlers take from requests. Every way in which a request can be malformed is a problem.

mod body;
mod fields;
mod header;
mod parameters;
mod path;

pub(crate) use body::{Body, OptionalBody, is_packed, packed};
pub(crate) use fields::{Field, Fields, Record};
pub(crate) use header::{Preference, RetryKey};
pub(crate) use parameters::Parameters;
pub(crate) use path::{
    ArtifactPath, DigestPath, InvitePath, MemberPath, NodePath, OperationPath, OrganisationPath,
    OrphanPath, PlanBatchPath, PlanChangePath, SessionPath, TenantPath, TokenPath,
};
