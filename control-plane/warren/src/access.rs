//! The use cases' way to the world: the provisioner's parts behind the trait of `application`.

use application::access::{
    AccessError, ChangeAction, Check, Explanation, PlannedChange, TenantAccess,
};
use async_trait::async_trait;
use clusters::{Authority, Identity, Reach, ReachError, kubeconfig};
use domain::{
    Acting, Capacity, Clock, Exclusivity, LocalVolume, NodeName, PlanName, Subscription, Survey,
    Tenant, TenantId,
};
use execution::{CapacityError, Context, ExplainError, Machines, SurveyError, doctor};
use jiff::SignedDuration;
use planning::{Action, Change};
use secrecy::{ExposeSecret as _, SecretString};
use std::sync::{Arc, OnceLock};
use store::Store;

/// How long a credential in a kubeconfig is valid.
const CREDENTIAL_VALID: SignedDuration = SignedDuration::from_hours(12);

/// What somebody is told who has no cluster of Proxmox VE configured.
const PROXMOX_SECTION: &str = include_str!("../../../templates/host/proxmox.toml");

/// Warren's own view of the host and the tenants' clusters: there once the host has answered.
#[derive(Debug, Clone)]
pub(crate) struct Access {
    cx: Arc<OnceLock<Context>>,
    /// Where nodes of tenants are made, whether the host answers or not.
    machines: Option<Machines>,
    store: Store,
    clock: Arc<dyn Clock>,
}

/// The host cluster has not answered since the server started.
#[derive(Debug, thiserror::Error)]
#[error("the host cluster has not answered since the server started; it is asked again and again")]
struct NoHostYet;

impl Access {
    /// A way that is not open yet.
    pub(crate) fn new(machines: Option<Machines>, store: Store, clock: Arc<dyn Clock>) -> Self {
        Self { cx: Arc::default(), machines, store, clock }
    }

    /// Opens the way.
    pub(crate) fn open(&self, cx: Context) {
        // It is opened once; a second time could only bring the same.
        let _ = self.cx.set(cx);
    }

    fn cx(&self) -> Result<&Context, AccessError> {
        self.cx.get().ok_or_else(|| AccessError::Unreachable(Box::new(NoHostYet)))
    }

    /// A tenant as the record has it, and what it is looked at with.
    async fn tenant(&self, id: TenantId) -> Result<(&Context, Tenant), AccessError> {
        let cx = self.cx()?;
        let record = cx.store.tenant_get(id).await;
        let record = record.map_err(|error| AccessError::Internal(Box::new(error)))?;
        let gone = || AccessError::NotReady { reason: "the tenant was deleted".to_owned() };
        Ok((cx, record.ok_or_else(gone)?))
    }
}

fn unseen(error: SurveyError) -> AccessError {
    match error {
        error @ SurveyError::Store(_) => AccessError::Internal(Box::new(error)),
        error @ SurveyError::Look(_) => AccessError::Unreachable(Box::new(error)),
    }
}

#[async_trait]
impl TenantAccess for Access {
    async fn explain(&self, tenant: TenantId) -> Result<Explanation, AccessError> {
        let cx = self.cx()?;
        let observed_at = cx.clock.now();
        let changes = execution::explain(cx, tenant).await.map_err(|error| match error {
            ExplainError::NotFound => {
                AccessError::NotReady { reason: "the tenant was deleted".to_owned() }
            }
            ExplainError::Look(source) => AccessError::Unreachable(source),
            error @ (ExplainError::Store(_) | ExplainError::Keys(_)) => {
                AccessError::Internal(Box::new(error))
            }
        })?;
        Ok(Explanation {
            observed_at,
            changes: changes.into_iter().map(planned).collect(),
            waiting_for: Vec::new(),
        })
    }

    async fn kubeconfig(
        &self,
        tenant: TenantId,
        actor: &Acting,
    ) -> Result<SecretString, AccessError> {
        let (cx, record) = self.tenant(tenant).await?;
        let internal = |error| AccessError::Internal(Box::new(error));
        let not_ready = |reason: &str| AccessError::NotReady { reason: reason.to_owned() };
        let keys = cx.store.tenant_keys(tenant).await.map_err(internal)?;
        let keys = keys.ok_or_else(|| not_ready("its keys are not made yet"))?;
        let unusable = |error: clusters::AuthorityError| AccessError::Internal(Box::new(error));
        let authority = Authority::from_bytes(keys.expose_secret()).map_err(unusable)?;
        let server = match cx.tenants.reach() {
            Reach::ClusterIp => {
                let address = cx.tenants.address(tenant).await.map_err(|error| match error {
                    ReachError::Unknown | ReachError::NoService => {
                        not_ready("its Service has no address yet")
                    }
                    error @ (ReachError::Source(_)
                    | ReachError::Host(_)
                    | ReachError::Credential(_)
                    | ReachError::Client(_)) => AccessError::Unreachable(Box::new(error)),
                })?;
                format!("https://{address}:443")
            }
            // The name in the certificate for ports that are forwarded from the pod.
            Reach::PortForward => "https://localhost:8443".to_owned(),
        };
        let user = actor.subject.to_string();
        let now = cx.clock.now();
        let identity = Identity::of_role(actor.role, &user);
        let certificate = authority
            .client_certificate(&identity, now, now + CREDENTIAL_VALID)
            .map_err(unusable)?;
        Ok(kubeconfig(record.name.as_str(), &server, None, &authority, &user, &certificate))
    }

    async fn exclusivity(&self, tenant: TenantId) -> Result<Option<Exclusivity>, AccessError> {
        Ok(self.cx()?.machines.as_ref().and_then(|machines| machines.exclusivity(tenant)))
    }

    async fn survey(&self, tenant: TenantId, to: Subscription) -> Result<Survey, AccessError> {
        let (cx, record) = self.tenant(tenant).await?;
        execution::survey(cx, &record, to).await.map_err(unseen)
    }

    async fn volumes_on(
        &self,
        tenant: TenantId,
        node: &NodeName,
    ) -> Result<Vec<LocalVolume>, AccessError> {
        let (cx, record) = self.tenant(tenant).await?;
        execution::volumes_on(cx, &record, node).await.map_err(unseen)
    }

    async fn capacity(&self, plan: PlanName) -> Result<Capacity, AccessError> {
        execution::capacity(self.cx()?, plan).await.map_err(|error| match error {
            CapacityError::Store(error) => AccessError::Internal(Box::new(error)),
            error @ (CapacityError::Host(_) | CapacityError::Proxmox(_)) => {
                AccessError::Unreachable(Box::new(error))
            }
        })
    }

    async fn host_check(&self) -> Vec<Check> {
        let Ok(cx) = self.cx() else {
            return vec![Check {
                name: "host-version".to_owned(),
                is_ok: false,
                detail: NoHostYet.to_string(),
                way_out:
                    "see host_cluster in the configuration and whether the host's API server runs"
                        .to_owned(),
            }];
        };
        told(Box::pin(doctor::examine(cx)).await)
    }

    async fn proxmox_check(&self) -> Vec<Check> {
        let Self { machines, store, clock, cx: _ } = self;
        match machines {
            Some(machines) => {
                told(Box::pin(doctor::examine_proxmox(machines, store, clock.as_ref())).await)
            }
            None => vec![Check {
                name: "configuration".to_owned(),
                is_ok: false,
                detail: "it has no section [proxmox], so no nodes are made for tenants".to_owned(),
                way_out: PROXMOX_SECTION.to_owned(),
            }],
        }
    }
}

fn told(checks: Vec<doctor::Check>) -> Vec<Check> {
    let told = |check: doctor::Check| Check {
        name: check.name.to_owned(),
        is_ok: check.is_ok,
        detail: check.detail,
        way_out: check.way_out,
    };
    checks.into_iter().map(told).collect()
}

fn planned(change: Change) -> PlannedChange {
    let action = match change.action {
        Action::Create => ChangeAction::Create,
        Action::Apply | Action::Replace => ChangeAction::Update,
        Action::Delete => ChangeAction::Delete,
        Action::Damage => ChangeAction::Damage,
    };
    PlannedChange {
        action,
        kind: change.key.kind.as_str().to_owned(),
        namespace: change.key.namespace,
        name: change.key.name,
        reason: change.why.join("; "),
    }
}
