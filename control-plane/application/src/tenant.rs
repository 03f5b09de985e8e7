//! Tenants: made, looked at, reached, deleted.

use crate::{
    App, Draft, Page,
    access::{AccessError, Explanation},
    error::{FindError, Noun, permit},
    organisation::{self, OrganisationRef},
    trace::note,
    wait::Waiter,
};
use domain::{
    Acting, Action, Actor, Authorized, CreateTenant, DeleteTenant, ExplainTenant, Grant, Invalid,
    ListTenants, Operation, OrganisationName, PlanName, ReadKubeconfig, ReadTenant, Scope, Tenant,
    TenantId, TenantName, Within, allows,
};
use secrecy::SecretString;
use std::{fmt, str::FromStr, time::Duration};
use store::{Change, Created, IdempotencyKey, TenantCreateError};

mod attention;
mod foresee;
mod watch;

pub use attention::{Attention, attention, views};
pub use foresee::{Foreseen, foresee};
pub use watch::Watch;

/// The most nodes of its own that a tenant can have.
const MOST_NODES: u32 = 100;

/// How people point at a tenant: by its identifier or its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TenantRef {
    /// By what never changes.
    Id(TenantId),
    /// By what people call it.
    Name(TenantName),
}

/// A tenant with the operation that is changing it.
#[derive(Debug, Clone)]
pub struct TenantView {
    /// The tenant.
    pub tenant: Tenant,
    /// The operation that is not over yet.
    pub operation: Option<Operation>,
}

/// What a caller sends to make a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTenant {
    /// Its name.
    pub name: String,
    /// The name or identifier of the organisation that it will belong to. If absent, the only one that the caller may
    /// make tenants in; an operator's belongs to the platform.
    pub organisation: Option<String>,
    /// The name of its plan.
    pub plan: String,
    /// How many nodes of its own it gets; one if a plan with such nodes says nothing.
    pub nodes: Option<u32>,
}

/// What a tenant gets, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wanted {
    name: TenantName,
    plan: PlanName,
    nodes: u32,
}

/// Why a tenant was not made.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// Not found or not allowed.
    #[error(transparent)]
    Find(#[from] FindError),
    /// Fields break rules.
    #[error("{0}")]
    Invalid(Invalid),
    /// A tenant has that name.
    #[error("the name {0} is taken")]
    NameTaken(TenantName),
    /// Its organisation has as many as it may have.
    #[error("{name} may have {most} tenants, and has them")]
    TooMany {
        /// Which.
        name: OrganisationName,
        /// How many.
        most: u32,
    },
    /// The idempotency key was used for another request.
    #[error("the idempotency key was used for another request")]
    IdempotencyMismatch,
}

/// Why a tenant's cluster was not reached.
#[derive(Debug, thiserror::Error)]
pub enum ReachError {
    /// Not found or not allowed.
    #[error(transparent)]
    Find(#[from] FindError),
    /// The tenant is on its way out.
    #[error("the tenant is being deleted")]
    Deleting,
    /// The world did not answer.
    #[error("reach the tenant's cluster")]
    Access(#[from] AccessError),
}

impl FromStr for TenantRef {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if let Ok(id) = text.parse() {
            return Ok(Self::Id(id));
        }
        TenantName::parse("{tenant}", text).map(Self::Name).map_err(|_| {
            let rule = "a tenant's name, or its id: tn_ and 32 hexadecimal digits";
            Invalid::field("{tenant}", text, rule)
        })
    }
}

impl fmt::Display for TenantRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

/// Makes a tenant and the operation that will make it usable.
///
/// # Errors
/// If the caller may not, a field breaks a rule, or the name is taken.
pub async fn create(
    app: &App,
    actor: &Actor,
    new: Draft<NewTenant>,
    key: Option<&IdempotencyKey>,
) -> Result<Created<TenantView>, CreateError> {
    let proof = maker(app, actor, new.value.organisation.as_deref()).await?;
    let wanted = new.check(|new| new.check(app.makes_nodes)).map_err(CreateError::Invalid)?;
    let Wanted { name, plan, nodes } = wanted;
    match app.store.tenant_create(&proof, name.clone(), plan, nodes, key).await {
        Ok(Created { value: (tenant, operation), is_replay }) => {
            note("tenant.id", tenant.id);
            note("operation.id", operation.id);
            let operation = (!operation.state.is_final()).then_some(operation);
            Ok(Created { value: TenantView { tenant, operation }, is_replay })
        }
        Err(TenantCreateError::NameTaken) => Err(CreateError::NameTaken(name)),
        Err(TenantCreateError::TooMany(organisation)) => {
            Err(CreateError::TooMany { name: organisation.name, most: organisation.max_tenants })
        }
        Err(TenantCreateError::IdempotencyMismatch) => Err(CreateError::IdempotencyMismatch),
        Err(TenantCreateError::Store(error)) => Err(FindError::from(error).into()),
    }
}

/// Whether there is a place where somebody may make a tenant.
#[must_use]
pub fn may_create(actor: &Actor) -> bool {
    actor.grants.iter().any(|grant| {
        allows(grant.role, CreateTenant::PERMISSION) && !matches!(grant.within, Within::Tenant(_))
    })
}

/// The proof that the caller may make a tenant in an organisation, or for the platform.
async fn maker(
    app: &App,
    actor: &Actor,
    organisation: Option<&str>,
) -> Result<Authorized<CreateTenant>, CreateError> {
    const FIELD: &str = "/organisation";
    if let Some(text) = organisation {
        let rule = "an organisation's name or id";
        let organisation: OrganisationRef =
            text.parse().map_err(|_| CreateError::Invalid(Invalid::field(FIELD, text, rule)))?;
        return Ok(organisation::find(app, actor, &organisation).await?.1);
    }
    let may_make = |grant: &&Grant| allows(grant.role, CreateTenant::PERMISSION);
    let places: Vec<_> = actor.grants.iter().filter(may_make).map(|grant| grant.within).collect();
    let scope = match places.as_slice() {
        [Within::Organisation(id)] => Scope::Organisation(*id),
        [Within::Organisation(_), Within::Organisation(_), ..] => {
            let rule = "named: you may make tenants in more than one organisation";
            return Err(CreateError::Invalid(Invalid::field(FIELD, "", rule)));
        }
        _ => Scope::Platform,
    };
    Ok(permit(actor, scope, Noun::Page)?)
}

/// The tenants that the caller may see, by identifier.
///
/// # Errors
/// If the record does not answer.
pub async fn list(
    app: &App,
    actor: &Actor,
    after: Option<TenantId>,
    limit: u64,
) -> Result<Page<Tenant, TenantId>, FindError> {
    if actor.grants.is_empty() {
        return Ok(Page::cut(Vec::new(), limit, |tenant: &Tenant| tenant.id));
    }
    permit::<ListTenants>(actor, Scope::Platform, Noun::Page)?;
    let may_read = |grant: &&Grant| allows(grant.role, ReadTenant::PERMISSION);
    let reach: Vec<Within> = actor.grants.iter().filter(may_read).map(|it| it.within).collect();
    let tenants = app.store.tenant_list_within(&reach, after, limit + 1).await?;
    Ok(Page::cut(tenants, limit, |tenant| tenant.id))
}

/// One tenant.
///
/// # Errors
/// If the caller may not see it.
pub async fn get(app: &App, actor: &Actor, tenant: &TenantRef) -> Result<TenantView, FindError> {
    let (tenant, _) = find::<ReadTenant>(app, actor, tenant).await?;
    let operation = app.store.operation_open(tenant.id).await?;
    Ok(TenantView { tenant, operation })
}

/// Waits until a tenant's open operation is over, at most for `time`.
///
/// # Errors
/// If the caller may not see the tenant, or it is gone.
pub async fn wait(
    app: &App,
    actor: &Actor,
    tenant: TenantId,
    time: Duration,
) -> Result<TenantView, FindError> {
    let mut waiter = Waiter::new(app, time);
    let is_ours = |change| change == Change::Tenant(tenant);
    loop {
        let view = get(app, actor, &TenantRef::Id(tenant)).await?;
        if view.operation.is_none() || !waiter.is_worth_a_look(is_ours).await {
            return Ok(view);
        }
    }
}

/// Asks for a tenant's deletion. Asked again, it is the same operation.
///
/// # Errors
/// If the caller may not.
pub async fn delete(
    app: &App,
    actor: &Actor,
    tenant: &TenantRef,
    is_force_clean: bool,
) -> Result<Operation, FindError> {
    let (tenant, proof) = find::<DeleteTenant>(app, actor, tenant).await?;
    let deleted = app.store.tenant_delete(&proof, tenant.id, is_force_clean).await;
    deleted
        .inspect(|operation| note("operation.id", operation.id))
        .map_err(|error| FindError::of_write(error, Noun::Tenant))
}

/// What a reconcile would change on the host.
///
/// # Errors
/// If the caller may not, or the host does not answer.
pub async fn explain(
    app: &App,
    actor: &Actor,
    tenant: &TenantRef,
) -> Result<Explanation, ReachError> {
    let (tenant, _) = find::<ExplainTenant>(app, actor, tenant).await?;
    Ok(app.access.explain(tenant.id).await?)
}

/// A kubeconfig for the tenant's API server.
///
/// # Errors
/// If the caller may not, or the tenant has none (any more).
pub async fn kubeconfig(
    app: &App,
    actor: &Actor,
    tenant: &TenantRef,
) -> Result<SecretString, ReachError> {
    let (tenant, acting) = reach(app, actor, tenant).await?;
    Ok(app.access.kubeconfig(tenant, &acting).await?)
}

/// The tenant whose API server the caller may use, and as what.
///
/// # Errors
/// If the caller may not, or the tenant has none any more.
pub async fn reach(
    app: &App,
    actor: &Actor,
    tenant: &TenantRef,
) -> Result<(TenantId, Acting), ReachError> {
    let (tenant, proof) = find::<ReadKubeconfig>(app, actor, tenant).await?;
    if tenant.deletion_requested_at.is_some() {
        return Err(ReachError::Deleting);
    }
    Ok((tenant.id, proof.actor().clone()))
}

/// Finds a tenant and asks the policy table. What is not there and what may not be known are the
/// same answer.
pub(crate) async fn find<A: Action>(
    app: &App,
    actor: &Actor,
    tenant: &TenantRef,
) -> Result<(Tenant, Authorized<A>), FindError> {
    let found = match tenant {
        TenantRef::Id(id) => app.store.tenant_get(*id).await?,
        TenantRef::Name(name) => app.store.tenant_by_name(name).await?,
    };
    let tenant = found.ok_or(FindError::Missing(Noun::Tenant))?;
    note("tenant.id", tenant.id);
    let proof = permit(actor, tenant.scope(), Noun::Tenant)?;
    Ok((tenant, proof))
}

impl NewTenant {
    fn check(self, makes_nodes: bool) -> Result<Wanted, Invalid> {
        let name = TenantName::parse("/name", &self.name);
        let plan = PlanName::parse("/plan", &self.plan);
        let nodes = match &plan {
            Ok(plan) => check_nodes(*plan, self.nodes, makes_nodes),
            Err(_) => Ok(0),
        };
        match (name, plan, nodes) {
            (Ok(name), Ok(plan), Ok(nodes)) => Ok(Wanted { name, plan, nodes }),
            (name, plan, nodes) => {
                let fields = [name.err(), plan.err(), nodes.err()].into_iter().flatten();
                Err(Invalid { fields: fields.flat_map(|invalid| invalid.fields).collect() })
            }
        }
    }
}

/// How many nodes of its own a tenant of a plan gets, if that many were asked for.
pub(crate) fn check_nodes(
    plan: PlanName,
    nodes: Option<u32>,
    makes_nodes: bool,
) -> Result<u32, Invalid> {
    let refuse = |value: String, rule: String| Err(Invalid::field("/nodes", value, rule));
    match (plan.node_shape(), nodes) {
        (None, None | Some(0)) => Ok(0),
        (None, Some(nodes)) => {
            refuse(nodes.to_string(), format!("left out: plan {plan} has no nodes of its own"))
        }
        (Some(_), _) if !makes_nodes => {
            let rule = "a plan on shared nodes: this installation makes no others, its configuration \
                            names no Proxmox VE";
            Err(Invalid::field("/plan", plan, rule))
        }
        (Some(_), nodes) => match nodes.unwrap_or(1) {
            nodes @ 1..=MOST_NODES => Ok(nodes),
            nodes => refuse(nodes.to_string(), format!("from 1 to {MOST_NODES}")),
        },
    }
}
