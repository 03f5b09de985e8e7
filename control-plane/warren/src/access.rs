//! The use cases' way to the world: the provisioner's parts behind the trait of `application`.

use application::access::{AccessError, ChangeAction, Check, Explanation, PlannedChange, TenantAccess};
use async_trait::async_trait;
use clusters::{Authority, Identity, Reach, ReachError, kubeconfig};
use domain::{Actor, TenantId};
use execution::{Context, ExplainError};
use jiff::SignedDuration;
use planning::{Action, Change};
use secrecy::{ExposeSecret as _, SecretString};

/// How long a credential in a kubeconfig is valid.
const CREDENTIAL_VALID: SignedDuration = SignedDuration::from_hours(12);

/// Warren's own view of the host and the tenants' clusters.
#[derive(Debug, Clone)]
pub(crate) struct Access {
    cx: Context,
}

impl Access {
    pub(crate) fn new(cx: Context) -> Self {
        Self { cx }
    }
}

#[async_trait]
impl TenantAccess for Access {
    async fn explain(&self, tenant: TenantId) -> Result<Explanation, AccessError> {
        let observed_at = self.cx.clock.now();
        let changes = execution::explain(&self.cx, tenant).await.map_err(|error| match error {
            ExplainError::NotFound => AccessError::NotReady { reason: "the tenant was deleted".to_owned() },
            ExplainError::Look(source) => AccessError::Unreachable(source),
            error => AccessError::Internal(Box::new(error)),
        })?;
        Ok(Explanation { observed_at, changes: changes.into_iter().map(planned).collect(), waiting_for: Vec::new() })
    }

    async fn kubeconfig(&self, tenant: TenantId, actor: &Actor) -> Result<SecretString, AccessError> {
        let internal = |error| AccessError::Internal(Box::new(error));
        let not_ready = |reason: &str| AccessError::NotReady { reason: reason.to_owned() };
        let record = self.cx.store.tenant_get(tenant).await.map_err(internal)?;
        let record = record.ok_or_else(|| not_ready("the tenant was deleted"))?;
        let keys = self.cx.store.tenant_keys(tenant).await.map_err(internal)?;
        let keys = keys.ok_or_else(|| not_ready("its keys are not made yet"))?;
        let unusable = |error: clusters::AuthorityError| AccessError::Internal(Box::new(error));
        let authority = Authority::from_bytes(keys.expose_secret()).map_err(unusable)?;
        let server = match self.cx.tenants.reach() {
            Reach::ClusterIp => {
                let address = self.cx.tenants.address(tenant).await.map_err(|error| match error {
                    ReachError::Unknown | ReachError::NoService => not_ready("its Service has no address yet"),
                    error => AccessError::Unreachable(Box::new(error)),
                })?;
                format!("https://{address}:443")
            }
            // The name in the certificate for ports that are forwarded from the pod.
            Reach::PortForward => "https://localhost:8443".to_owned(),
        };
        let user = actor.token.to_string();
        let now = self.cx.clock.now();
        let identity = Identity::of_role(actor.role, &user);
        let certificate = authority.client_certificate(&identity, now, now + CREDENTIAL_VALID).map_err(unusable)?;
        Ok(kubeconfig(record.name.as_str(), &server, None, &authority, &user, &certificate))
    }

    async fn host_check(&self) -> Vec<Check> {
        let checks = execution::doctor::examine(&self.cx).await;
        checks
            .into_iter()
            .map(|check| Check {
                name: check.name.to_owned(),
                is_ok: check.is_ok,
                detail: check.detail,
                way_out: check.way_out,
            })
            .collect()
    }
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
