//! Organisations, and who is in them.

use crate::openapi::words;
use application::organisation::{InviteRequest, MemberRequest, NewInvite, NewOrganisation};
use domain::{Invite, Member, Organisation};
use jiff::Timestamp;
use secrecy::ExposeSecret as _;
use serde::Serialize;
use std::fmt;
use utoipa::ToSchema;

pub(crate) mod audit;
pub(crate) mod create;
pub(crate) mod get;
pub(crate) mod invite;
pub(crate) mod list;
pub(crate) mod member;

/// Several people and the tenants that are theirs together.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Organisation)]
pub(crate) struct OrganisationBody {
    id: String,
    name: String,
    /// How many tenants it may have at a time.
    #[schema(minimum = 1, maximum = 1000)]
    max_tenants: u32,
    created_at: Timestamp,
}

/// A person in an organisation.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Member)]
pub(crate) struct MemberBody {
    /// Their account.
    id: String,
    name: String,
    /// What they sign in with.
    email: String,
    #[schema(schema_with = words::tenant_role)]
    role: &'static str,
    since: Timestamp,
}

/// A way in that nobody has followed yet.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Invite)]
pub(crate) struct InviteBody {
    id: String,
    #[schema(schema_with = words::tenant_role)]
    role: &'static str,
    /// For whom, in the words of whoever invited them.
    note: String,
    created_at: Timestamp,
    /// From when on it opens nothing.
    expires_at: Timestamp,
}

/// An invite, with the only copy of what opens it.
#[derive(Serialize, ToSchema)]
#[schema(as = IssuedInvite)]
pub(crate) struct IssuedInviteBody {
    #[serde(flatten)]
    invite: InviteBody,
    /// What opens it, once: whoever follows `/join?code=` and this is let in.
    code: String,
}

impl From<Organisation> for OrganisationBody {
    fn from(Organisation { id, name, max_tenants, created_at }: Organisation) -> Self {
        Self { id: id.to_string(), name: name.to_string(), max_tenants, created_at }
    }
}

impl From<Member> for MemberBody {
    fn from(Member { account, role, since }: Member) -> Self {
        let (id, email) = (account.id.to_string(), account.email.to_string());
        Self { id, name: account.name, email, role: role.as_str(), since }
    }
}

impl From<Invite> for InviteBody {
    fn from(invite: Invite) -> Self {
        Self {
            id: invite.id.to_string(),
            role: invite.role.as_str(),
            note: invite.note,
            created_at: invite.created_at,
            expires_at: invite.expires_at,
        }
    }
}

impl From<NewInvite> for IssuedInviteBody {
    fn from(NewInvite { invite, secret }: NewInvite) -> Self {
        Self { invite: invite.into(), code: secret.expose_secret().to_owned() }
    }
}

impl fmt::Debug for IssuedInviteBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuedInviteBody").field("invite", &self.invite).finish_non_exhaustive()
    }
}

impl From<create::CreateOrganisation> for NewOrganisation {
    fn from(new: create::CreateOrganisation) -> Self {
        Self { name: new.name, max_tenants: new.max_tenants }
    }
}

impl From<invite::CreateInvite> for InviteRequest {
    fn from(invite::CreateInvite { role, note }: invite::CreateInvite) -> Self {
        Self { role, note: note.unwrap_or_default() }
    }
}

impl From<member::ChangeMember> for MemberRequest {
    fn from(member::ChangeMember { role }: member::ChangeMember) -> Self {
        Self { role }
    }
}
