use crate::{TenantId, TokenId};
use serde::{Deserialize, Serialize};
use std::{fmt, marker::PhantomData};

/// What a person or program may be in a tenant, or over all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
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

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// The token that was shown.
    pub token: TokenId,
    /// What its holder may be.
    pub role: Role,
    /// The tenant that the role is for; nothing for an operator.
    pub tenant: Option<TenantId>,
    /// The request, for the audit log.
    pub request_id: String,
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
}

impl Permission {
    /// Every permission.
    pub const ALL: [Self; 22] = [
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
        ),
        Role::Viewer => {
            matches!(permission, P::TenantList | P::TenantRead | P::OperationRead | P::SessionRead)
        }
        Role::Billing => matches!(permission, P::TenantList | P::TenantRead | P::OperationRead),
    }
}

/// What is about the platform, and so for operators only.
const fn is_platform(permission: Permission) -> bool {
    use Permission as P;
    matches!(
        permission,
        P::TenantCreate
            | P::TenantExplain
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

/// What is acted upon: everything, or one tenant and what is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The platform.
    Platform,
    /// One tenant.
    Tenant(TenantId),
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
    /// Upload an input.
    UploadBlob => BlobUpload;
}

/// The proof that `A` was allowed; only [`authorize`] makes it.
#[derive(Debug, Clone)]
pub struct Authorized<A: Action> {
    actor: Actor,
    scope: Scope,
    action: PhantomData<fn() -> A>,
}

impl<A: Action> Authorized<A> {
    /// Who was allowed.
    #[must_use]
    pub const fn actor(&self) -> &Actor {
        &self.actor
    }

    /// The tenant that it was allowed in; nothing for the platform.
    #[must_use]
    pub const fn tenant(&self) -> Option<TenantId> {
        match self.scope {
            Scope::Platform => None,
            Scope::Tenant(tenant) => Some(tenant),
        }
    }
}

/// Decides whether `actor` may do `A` in `scope`.
///
/// # Errors
/// [`Denied::Hidden`] for another tenant's things, [`Denied::Forbidden`] for what the role lacks.
pub fn authorize<A: Action>(actor: &Actor, scope: Scope) -> Result<Authorized<A>, Denied> {
    let is_own = match (actor.role, scope) {
        (Role::Operator, _) => true,
        (_, Scope::Platform) => {
            matches!(A::PERMISSION, Permission::TenantList | Permission::TenantCreate)
        }
        (_, Scope::Tenant(tenant)) => actor.tenant == Some(tenant),
    };
    if !is_own {
        return Err(Denied::Hidden);
    }
    if !allows(actor.role, A::PERMISSION) {
        return Err(Denied::Forbidden { role: actor.role.as_str() });
    }
    Ok(Authorized { actor: actor.clone(), scope, action: PhantomData })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write as _;
    use uuid::Uuid;

    fn actor(role: Role, tenant: u128) -> Actor {
        let tenant = (role != Role::Operator).then(|| TenantId::new(Uuid::from_u128(tenant)));
        Actor { token: TokenId::new(Uuid::nil()), role, tenant, request_id: "request".to_owned() }
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
+----- TenantCreate
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
";
        assert_eq!(table, expected);
    }

    #[test]
    fn another_tenant_is_hidden_from_everybody_but_the_operator() {
        let theirs = Scope::Tenant(TenantId::new(Uuid::from_u128(2)));
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
        let own = Scope::Tenant(TenantId::new(Uuid::from_u128(1)));
        let denied = authorize::<DeleteTenant>(&actor(Role::Viewer, 1), own).err();
        assert_eq!(denied, Some(Denied::Forbidden { role: "viewer" }));
        let proof =
            authorize::<DeleteTenant>(&actor(Role::Owner, 1), own).expect("an owner may delete");
        assert_eq!(proof.tenant(), Some(TenantId::new(Uuid::from_u128(1))));
    }
}
