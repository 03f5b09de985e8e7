use crate::{Acting, Actor, OrganisationId, Scope, TenantId};
use serde::{Deserialize, Serialize};
use std::{fmt, marker::PhantomData};

/// What a person or program may be in a tenant, or over all of them; the mightiest first, also in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Runs the platform: all tenants.
    Operator,
    /// Everything in one tenant, its deletion included.
    Owner,
    /// Everything in one tenant but its deletion.
    Admin,
    /// Runs sessions and uses the cluster.
    Developer,
    /// Looks on.
    Viewer,
    /// Sees the tenant and its numbers.
    Billing,
}

impl Role {
    /// Every role, mightiest first.
    pub const ALL: [Self; 6] =
        [Self::Operator, Self::Owner, Self::Admin, Self::Developer, Self::Viewer, Self::Billing];

    /// The word as users write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Developer => "developer",
            Self::Viewer => "viewer",
            Self::Billing => "billing",
        }
    }

    /// Finds a role by its word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }
}

/// What can be allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Permission {
    /// Make a tenant.
    TenantCreate,
    /// List tenants: each sees what it may read.
    TenantList,
    /// See a tenant.
    TenantRead,
    /// Delete a tenant.
    TenantDelete,
    /// Change a tenant's plan, or take such a change back.
    PlanChange,
    /// See batches of changes of plan.
    PlanBatchRead,
    /// Make such a batch, halt it, give it up, try again.
    PlanBatchManage,
    /// See what a change of a tenant's plan would do.
    PlanPreview,
    /// Replace a tenant's own node.
    NodeReplace,
    /// See what is left over of nodes.
    OrphanRead,
    /// Have it removed.
    OrphanRemove,
    /// Stop, start or reboot a tenant's own node.
    NodePower,
    /// See what a reconcile would change on the host.
    TenantExplain,
    /// Get a credential for the tenant's API server.
    KubeconfigRead,
    /// Make an API token.
    TokenCreate,
    /// See which API tokens there are.
    TokenRead,
    /// Take an API token back.
    TokenRevoke,
    /// See an operation of a tenant.
    OperationRead,
    /// Start a session.
    SessionCreate,
    /// See a session, its log and its results.
    SessionRead,
    /// Stop a session.
    SessionStop,
    /// Upload an input.
    BlobUpload,
    /// See every organisation, and make one.
    OrganisationManage,
    /// See an organisation.
    OrganisationRead,
    /// See who is in an organisation, and who is invited.
    MemberRead,
    /// Invite people, change their roles, let them go.
    MemberManage,
    /// See who did what.
    AuditRead,
}

impl Permission {
    /// Every permission.
    pub const ALL: [Self; 27] = [
        Self::TenantCreate,
        Self::TenantList,
        Self::TenantRead,
        Self::TenantDelete,
        Self::PlanChange,
        Self::PlanBatchRead,
        Self::PlanBatchManage,
        Self::PlanPreview,
        Self::NodeReplace,
        Self::OrphanRead,
        Self::OrphanRemove,
        Self::NodePower,
        Self::TenantExplain,
        Self::KubeconfigRead,
        Self::TokenCreate,
        Self::TokenRead,
        Self::TokenRevoke,
        Self::OperationRead,
        Self::SessionCreate,
        Self::SessionRead,
        Self::SessionStop,
        Self::BlobUpload,
        Self::OrganisationManage,
        Self::OrganisationRead,
        Self::MemberRead,
        Self::MemberManage,
        Self::AuditRead,
    ];
}

/// The policy table: whether a role has a permission in its own tenant, or anywhere for an operator.
#[must_use]
pub const fn allows(role: Role, permission: Permission) -> bool {
    use Permission as P;
    match role {
        Role::Operator => true,
        Role::Owner => !is_platform(permission),
        Role::Admin => {
            !is_platform(permission) && !matches!(permission, P::TenantDelete | P::PlanChange)
        }
        Role::Developer => matches!(
            permission,
            P::TenantList
                | P::TenantRead
                | P::KubeconfigRead
                | P::OperationRead
                | P::SessionCreate
                | P::SessionRead
                | P::SessionStop
                | P::BlobUpload
                | P::OrganisationRead
        ),
        Role::Viewer => matches!(
            permission,
            P::TenantList | P::TenantRead | P::OperationRead | P::SessionRead | P::OrganisationRead
        ),
        Role::Billing => matches!(
            permission,
            P::TenantList | P::TenantRead | P::OperationRead | P::OrganisationRead
        ),
    }
}

/// What is about the platform, and so for operators only.
const fn is_platform(permission: Permission) -> bool {
    use Permission as P;
    matches!(
        permission,
        P::TenantExplain
            | P::OrganisationManage
            | P::OrphanRead
            | P::OrphanRemove
            | P::PlanBatchRead
            | P::PlanBatchManage
    )
}

/// Why something is not allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The caller may not even know that it exists.
    #[error("not found")]
    Hidden,
    /// The caller may see it, but not do this.
    #[error("the role {role} may not do this")]
    Forbidden {
        /// The caller's role.
        role: &'static str,
    },
}

/// Something that can be done; a type, so that a proof of one cannot stand for another.
pub trait Action: fmt::Debug {
    /// Its row in the table.
    const PERMISSION: Permission;
}

macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident => $permission:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy)]
        pub enum $name {}

        impl Action for $name {
            const PERMISSION: Permission = Permission::$permission;
        }
    )*};
}

actions! {
    /// Make a tenant.
    CreateTenant => TenantCreate;
    /// List tenants.
    ListTenants => TenantList;
    /// See a tenant.
    ReadTenant => TenantRead;
    /// Delete a tenant.
    DeleteTenant => TenantDelete;
    /// Change a tenant's plan.
    ChangePlan => PlanChange;
    /// See batches of changes of plan.
    ReadPlanBatches => PlanBatchRead;
    /// Make a batch of changes of plan, halt it, give it up, try again.
    ManagePlanBatch => PlanBatchManage;
    /// See what a change of a tenant's plan would do.
    PreviewPlan => PlanPreview;
    /// Replace a tenant's own node.
    ReplaceNode => NodeReplace;
    /// See what is left over of nodes.
    ReadOrphans => OrphanRead;
    /// Have something removed that is left over.
    RemoveOrphan => OrphanRemove;
    /// Stop, start or reboot a tenant's own node.
    PowerNode => NodePower;
    /// See what a reconcile would change.
    ExplainTenant => TenantExplain;
    /// Get a credential for the tenant's API server.
    ReadKubeconfig => KubeconfigRead;
    /// Make an API token.
    CreateToken => TokenCreate;
    /// See API tokens.
    ReadToken => TokenRead;
    /// Take an API token back.
    RevokeToken => TokenRevoke;
    /// See an operation.
    ReadOperation => OperationRead;
    /// Start a session.
    CreateSession => SessionCreate;
    /// See a session.
    ReadSession => SessionRead;
    /// Stop a session.
    StopSession => SessionStop;
    /// See who did what.
    ReadAudit => AuditRead;
    /// Upload an input.
    UploadBlob => BlobUpload;
    /// See every organisation, and make one.
    ManageOrganisations => OrganisationManage;
    /// See an organisation.
    ReadOrganisation => OrganisationRead;
    /// See who is in an organisation.
    ReadMembers => MemberRead;
    /// Invite people, change their roles, let them go.
    ManageMembers => MemberManage;
}

/// The proof that `A` was allowed; only [`authorize`] makes it.
#[derive(Debug, Clone)]
pub struct Authorized<A: Action> {
    acting: Acting,
    scope: Scope,
    action: PhantomData<fn() -> A>,
}

impl<A: Action> Authorized<A> {
    /// Who was allowed, and as what.
    #[must_use]
    pub const fn actor(&self) -> &Acting {
        &self.acting
    }

    /// The tenant that it was allowed in; nothing for the platform or an organisation.
    #[must_use]
    pub const fn tenant(&self) -> Option<TenantId> {
        match self.scope {
            Scope::Tenant { id, .. } => Some(id),
            Scope::Platform | Scope::Organisation(_) => None,
        }
    }

    /// The organisation that it was allowed in; nothing for the platform or a tenant.
    #[must_use]
    pub const fn organisation(&self) -> Option<OrganisationId> {
        match self.scope {
            Scope::Organisation(id) => Some(id),
            Scope::Platform | Scope::Tenant { .. } => None,
        }
    }
}

/// Decides whether `actor` may do `A` in `scope`.
///
/// # Errors
/// [`Denied::Hidden`] for another tenant's things, [`Denied::Forbidden`] for what the role lacks.
pub fn authorize<A: Action>(actor: &Actor, scope: Scope) -> Result<Authorized<A>, Denied> {
    let role = actor.role_in(scope);
    // That there are tenants, and that they are made by somebody, is no secret.
    let open = match (scope, A::PERMISSION) {
        (Scope::Platform, Permission::TenantList | Permission::TenantCreate) => actor.mightiest(),
        _ => None,
    };
    let known = role.or(open).ok_or(Denied::Hidden)?;
    // A tenant that belongs to no organisation is the platform's.
    let is_foreign = role.is_none() && A::PERMISSION == Permission::TenantCreate;
    if is_foreign || !allows(known, A::PERMISSION) {
        return Err(Denied::Forbidden { role: known.as_str() });
    }
    let acting =
        Acting { subject: actor.subject, role: known, request_id: actor.request_id.clone() };
    Ok(Authorized { acting, scope, action: PhantomData })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AccountId, Grant, Subject, TokenId, Within};
    use std::fmt::Write as _;
    use uuid::Uuid;

    fn actor(role: Role, tenant: u128) -> Actor {
        let tenant = (role != Role::Operator).then(|| TenantId::new(Uuid::from_u128(tenant)));
        Actor::of_token(TokenId::new(Uuid::nil()), role, tenant, "request".to_owned())
    }

    /// Somebody with roles in organisations.
    fn member(grants: &[(Role, u128)]) -> Actor {
        let grant = |(role, id): &(Role, u128)| {
            let id = OrganisationId::new(Uuid::from_u128(*id));
            Grant { role: *role, within: Within::Organisation(id) }
        };
        Actor {
            subject: Subject::Account(AccountId::new(Uuid::nil())),
            grants: grants.iter().map(grant).collect(),
            request_id: "request".to_owned(),
        }
    }

    fn of_organisation(tenant: u128, organisation: u128) -> Scope {
        Scope::Tenant {
            id: TenantId::new(Uuid::from_u128(tenant)),
            organisation: Some(OrganisationId::new(Uuid::from_u128(organisation))),
        }
    }

    #[test]
    fn the_policy_is_this_table() {
        let mut table = String::new();
        for permission in Permission::ALL {
            let row: String = Role::ALL
                .into_iter()
                .map(|role| if allows(role, permission) { '+' } else { '-' })
                .collect();
            writeln!(table, "{row} {permission:?}").expect("writing to a string cannot fail");
        }
        let expected = "\
+++--- TenantCreate
++++++ TenantList
++++++ TenantRead
++---- TenantDelete
++---- PlanChange
+----- PlanBatchRead
+----- PlanBatchManage
+++--- PlanPreview
+++--- NodeReplace
+----- OrphanRead
+----- OrphanRemove
+++--- NodePower
+----- TenantExplain
++++-- KubeconfigRead
+++--- TokenCreate
+++--- TokenRead
+++--- TokenRevoke
++++++ OperationRead
++++-- SessionCreate
+++++- SessionRead
++++-- SessionStop
++++-- BlobUpload
+----- OrganisationManage
++++++ OrganisationRead
+++--- MemberRead
+++--- MemberManage
+++--- AuditRead
";
        assert_eq!(table, expected);
    }

    #[test]
    fn another_tenant_is_hidden_from_everybody_but_the_operator() {
        let theirs = Scope::tenant(TenantId::new(Uuid::from_u128(2)));
        for role in Role::ALL {
            let result = authorize::<ReadTenant>(&actor(role, 1), theirs);
            if role == Role::Operator {
                assert!(result.is_ok());
            } else {
                assert_eq!(result.err(), Some(Denied::Hidden), "{role:?}");
            }
        }
    }

    #[test]
    fn in_the_own_tenant_a_missing_right_is_named() {
        let own = Scope::tenant(TenantId::new(Uuid::from_u128(1)));
        let denied = authorize::<DeleteTenant>(&actor(Role::Viewer, 1), own).err();
        assert_eq!(denied, Some(Denied::Forbidden { role: "viewer" }));
        let proof =
            authorize::<DeleteTenant>(&actor(Role::Owner, 1), own).expect("an owner may delete");
        assert_eq!(proof.tenant(), Some(TenantId::new(Uuid::from_u128(1))));
    }
    #[test]
    fn a_role_reaches_the_tenants_of_its_own_organisation_only() {
        let anna = member(&[(Role::Viewer, 7), (Role::Owner, 8)]);
        assert!(authorize::<ReadTenant>(&anna, of_organisation(1, 7)).is_ok());
        let denied = authorize::<DeleteTenant>(&anna, of_organisation(1, 7)).err();
        assert_eq!(denied, Some(Denied::Forbidden { role: "viewer" }));
        let proof = authorize::<DeleteTenant>(&anna, of_organisation(2, 8)).expect("hers");
        assert_eq!(proof.actor().role, Role::Owner);
        for scope in [of_organisation(3, 9), Scope::tenant(TenantId::new(Uuid::from_u128(1)))] {
            assert_eq!(authorize::<ReadTenant>(&anna, scope).err(), Some(Denied::Hidden));
        }
    }

    #[test]
    fn only_members_make_tenants_in_an_organisation_and_only_operators_outside() {
        let anna = member(&[(Role::Owner, 8)]);
        let own = Scope::Organisation(OrganisationId::new(Uuid::from_u128(8)));
        let other = Scope::Organisation(OrganisationId::new(Uuid::from_u128(9)));
        assert!(authorize::<CreateTenant>(&anna, own).is_ok());
        assert_eq!(authorize::<CreateTenant>(&anna, other).err(), Some(Denied::Hidden));
        let outside = authorize::<CreateTenant>(&anna, Scope::Platform).err();
        assert_eq!(outside, Some(Denied::Forbidden { role: "owner" }));
        let token = actor(Role::Owner, 1);
        assert_eq!(authorize::<CreateTenant>(&token, own).err(), Some(Denied::Hidden));
    }
}
