use crate::{Machines, Settings};
use clusters::{
    Authority, AuthorityError, HostCluster, Relays, RunAuthority, TenantClusters, TenantEntry,
    TenantSource,
};
use domain::{Clock, IdGen, Tenant, TenantId};
use futures::{FutureExt as _, future::BoxFuture};
use secrecy::ExposeSecret as _;
use std::{error::Error, fmt, sync::Arc, time::Duration};
use store::{Store, StoreError};

/// Everything that the controllers work with. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    /// The host cluster.
    pub host: HostCluster,
    /// The tenants' API servers.
    pub tenants: TenantClusters,
    /// The record.
    pub store: Store,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Identifiers and randomness.
    pub ids: Arc<dyn IdGen>,
    /// What the host offers, and where it and Warren are.
    pub settings: Settings,
    /// The authority that runs verify the run endpoint with.
    pub run_authority: RunAuthority,
    /// The way of bytes between pods that copy volumes.
    pub relays: Relays,
    /// How many tenants may be on their way to being ready at the same time.
    pub tenants_at_once: usize,
    /// Between two looks for what is left over and nobody needs.
    pub sweep_every: Duration,
    /// Where machines for tenants are made; nothing if none are.
    pub machines: Option<Machines>,
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("host", &self.host)
            .field("tenants", &self.tenants)
            .field("tenants_at_once", &self.tenants_at_once)
            .finish_non_exhaustive()
    }
}

/// Why a tenant's key material is not at hand.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The record could not be read or written.
    #[error("look up the tenant's keys in the record")]
    Store(#[source] StoreError),
    /// They could not be made or read.
    #[error("make or read the tenant's keys")]
    Authority(#[source] AuthorityError),
}

impl Context {
    /// A tenant's key material; made at the first time that it is needed.
    pub(crate) async fn authority(&self, tenant: &Tenant) -> Result<Authority, KeysError> {
        let stored = self.store.tenant_keys(tenant.id).await.map_err(KeysError::Store)?;
        let stored = if let Some(stored) = stored {
            stored
        } else {
            let made = Authority::generate(self.clock.now()).map_err(KeysError::Authority)?;
            let bytes = made.to_bytes().map_err(KeysError::Authority)?;
            // Whoever was first has made the keys; everybody uses those.
            self.store
                .tenant_keys_put_if_absent(tenant.id, bytes.expose_secret())
                .await
                .map_err(KeysError::Store)?
        };
        Authority::from_bytes(stored.expose_secret()).map_err(KeysError::Authority)
    }
}

/// Tenants' names and keys, from the record.
#[derive(Clone)]
pub struct RecordedTenants(pub Store);

impl fmt::Debug for RecordedTenants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecordedTenants")
    }
}

impl TenantSource for RecordedTenants {
    fn entry(
        &self,
        tenant: TenantId,
    ) -> BoxFuture<'_, Result<Option<TenantEntry>, Box<dyn Error + Send + Sync>>> {
        async move {
            let Some(record) = self.0.tenant_get(tenant).await? else { return Ok(None) };
            let Some(keys) = self.0.tenant_keys(tenant).await? else { return Ok(None) };
            let authority = Authority::from_bytes(keys.expose_secret())?;
            Ok(Some(TenantEntry { cluster: record.cluster, authority }))
        }
        .boxed()
    }
}
