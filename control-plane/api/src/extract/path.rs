//! Identifiers in paths.

use crate::problem::{Code, Problem};
use application::{organisation::OrganisationRef, tenant::TenantRef};
use axum::{
    extract::{FromRequestParts, RawPathParams},
    http::request::Parts,
};
use domain::{
    AccountId, Digest, Invalid, InviteId, NodeId, OperationId, OrphanId, PlanBatchId, SessionId,
    TokenId,
};
use std::{fmt, str::FromStr};

/// `{tenant}`: an identifier or a name.
#[derive(Debug)]
pub(crate) struct TenantPath(pub(crate) TenantRef);

/// `{organisation}`: an identifier or a name.
#[derive(Debug)]
pub(crate) struct OrganisationPath(pub(crate) OrganisationRef);

/// `{organisation}` and `{account}`.
#[derive(Debug)]
pub(crate) struct MemberPath {
    pub(crate) organisation: OrganisationRef,
    pub(crate) account: AccountId,
}

/// `{organisation}` and `{invite}`.
#[derive(Debug)]
pub(crate) struct InvitePath {
    pub(crate) organisation: OrganisationRef,
    pub(crate) invite: InviteId,
}

/// `{operation}`.
#[derive(Debug)]
pub(crate) struct OperationPath(pub(crate) OperationId);

/// `{orphan}`.
#[derive(Debug)]
pub(crate) struct OrphanPath(pub(crate) OrphanId);

/// `{batch}`.
#[derive(Debug)]
pub(crate) struct PlanBatchPath(pub(crate) PlanBatchId);

/// `{tenant}` and `{node}`.
#[derive(Debug)]
pub(crate) struct NodePath {
    pub(crate) tenant: TenantRef,
    pub(crate) node: NodeId,
}

/// `{tenant}` and `{operation}`.
#[derive(Debug)]
pub(crate) struct PlanChangePath {
    pub(crate) tenant: TenantRef,
    pub(crate) operation: OperationId,
}

/// `{tenant}` and `{session}`.
#[derive(Debug)]
pub(crate) struct SessionPath {
    pub(crate) tenant: TenantRef,
    pub(crate) session: SessionId,
}

/// `{token}`, and `{tenant}` if the route has it.
#[derive(Debug)]
pub(crate) struct TokenPath<T>(pub(crate) T, pub(crate) TokenId);

/// `{*path}`: the path of an artifact.
#[derive(Debug)]
pub(crate) struct ArtifactPath(pub(crate) String);

/// `{tenant}` and `{digest}`.
#[derive(Debug)]
pub(crate) struct DigestPath {
    pub(crate) tenant: TenantRef,
    pub(crate) digest: Digest,
}

/// One part of the path as it was sent, decoded.
async fn segment(parts: &mut Parts, name: &str) -> Result<String, Problem> {
    let params = RawPathParams::from_request_parts(parts, &()).await;
    let params = params.map_err(|_| refuse(Invalid::field("{path}", "", "UTF-8")))?;
    let value = params.iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_owned());
    Ok(value.expect("the route of this handler has this part"))
}

impl TenantPath {
    async fn of(parts: &mut Parts) -> Result<TenantRef, Problem> {
        segment(parts, "tenant").await?.parse().map_err(refuse)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for TenantPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        TenantPath::of(parts).await.map(Self)
    }
}

impl OrganisationPath {
    async fn of(parts: &mut Parts) -> Result<OrganisationRef, Problem> {
        segment(parts, "organisation").await?.parse().map_err(refuse)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for OrganisationPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        OrganisationPath::of(parts).await.map(Self)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for MemberPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let organisation = OrganisationPath::of(parts).await?;
        Ok(Self { organisation, account: parse(parts, "account").await? })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for InvitePath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let organisation = OrganisationPath::of(parts).await?;
        Ok(Self { organisation, invite: parse(parts, "invite").await? })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for OperationPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parse(parts, "operation").await.map(Self)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for OrphanPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parse(parts, "orphan").await.map(Self)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for PlanBatchPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parse(parts, "batch").await.map(Self)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for NodePath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let tenant = TenantPath::of(parts).await?;
        Ok(Self { tenant, node: parse(parts, "node").await? })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for PlanChangePath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let tenant = TenantPath::of(parts).await?;
        Ok(Self { tenant, operation: parse(parts, "operation").await? })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for SessionPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let tenant = TenantPath::of(parts).await?;
        let session = parse(parts, "session").await?;
        Ok(Self { tenant, session })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for TokenPath<()> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Ok(Self((), parse(parts, "token").await?))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for TokenPath<TenantRef> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Ok(Self(TenantPath::of(parts).await?, parse(parts, "token").await?))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for ArtifactPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        segment(parts, "path").await.map(Self)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for DigestPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let tenant = TenantPath::of(parts).await?;
        let digest = parse(parts, "digest").await?;
        Ok(Self { tenant, digest })
    }
}

/// One part of the path, whose type says in its error what it takes.
async fn parse<T>(parts: &mut Parts, name: &str) -> Result<T, Problem>
where
    T: FromStr,
    T::Err: fmt::Display,
{
    let text = segment(parts, name).await?;
    text.parse().map_err(|error: T::Err| {
        refuse(Invalid::field(&format!("{{{name}}}"), &text, error.to_string()))
    })
}

fn refuse(invalid: Invalid) -> Problem {
    Problem::with_fields(Code::InvalidId, invalid)
}
