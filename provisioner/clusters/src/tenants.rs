use crate::{
    Authority, AuthorityError, HostCluster, Identity, Passage, Reach, reach::PortForwardConnector,
    stack,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use dashmap::DashMap;
use domain::{Clock, ClusterName, TenantId};
use futures::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Service;
use kube::Api;
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use secrecy::SecretString;
use std::{error::Error, fmt, net::IpAddr, sync::Arc};
use tokio::sync::Mutex;

/// How long one of Warren's own credentials is valid.
const VALID: SignedDuration = SignedDuration::from_hours(1);
/// How long before its end it is replaced.
const RENEWED_BEFORE: SignedDuration = SignedDuration::from_mins(20);

/// What has to be known about a tenant to reach it.
#[derive(Debug, Clone)]
pub struct TenantEntry {
    /// The name of its virtual cluster.
    pub cluster: ClusterName,
    /// Its key material.
    pub authority: Authority,
}

/// Where tenants' names and key material come from.
pub trait TenantSource: Send + Sync + fmt::Debug {
    /// Looks a tenant up; nothing if it does not exist or has no keys yet.
    fn entry(
        &self,
        tenant: TenantId,
    ) -> BoxFuture<'_, Result<Option<TenantEntry>, Box<dyn Error + Send + Sync>>>;
}

/// Why a tenant's API server cannot be reached. Nothing was sent to it.
#[derive(Debug, thiserror::Error)]
pub enum ReachError {
    /// There is no such tenant, or nothing was made for it yet.
    #[error("the tenant does not exist or has no keys yet")]
    Unknown,
    /// Its name or keys could not be looked up.
    #[error("look up the tenant's keys")]
    Source(#[source] Box<dyn Error + Send + Sync>),
    /// Its Service is not on the host, or has no address yet.
    #[error("the tenant's Service is not there or has no address yet")]
    NoService,
    /// The host did not say where the tenant is.
    #[error("read the tenant's Service on the host")]
    Host(#[source] Box<kube::Error>),
    /// A credential could not be minted.
    #[error("mint a credential for the tenant's API server")]
    Credential(#[source] AuthorityError),
    /// The client could not be built.
    #[error("build a client for the tenant's API server")]
    Client(#[source] Box<kube::Error>),
}

/// An open way to one tenant's API server.
#[derive(Clone)]
pub struct TenantConnection {
    /// The client, with Warren's own credential. It is good until `valid_until`: a watch has to be
    /// opened anew with a fresh client before then.
    pub client: kube::Client,
    /// When a new client should be asked for.
    pub valid_until: Timestamp,
    /// The address of the tenant's Service, if it is reached that way.
    pub address: Option<IpAddr>,
}

/// Clients for tenants' API servers: opened on demand, kept warm, renewed in time.
#[derive(Clone)]
pub struct TenantClusters {
    inner: Arc<Inner>,
}

/// Gives clients without opening anything.
type Given = Arc<dyn Fn(TenantId) -> Option<kube::Client> + Send + Sync>;

struct Inner {
    host: HostCluster,
    reach: Reach,
    source: Arc<dyn TenantSource>,
    clock: Arc<dyn Clock>,
    given: Option<Given>,
    pool: DashMap<TenantId, Arc<Mutex<Option<TenantConnection>>>>,
}

impl fmt::Debug for TenantConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TenantConnection")
            .field("address", &self.address)
            .field("valid_until", &self.valid_until)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for TenantClusters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TenantClusters")
            .field("host", &self.inner.host)
            .field("reach", &self.inner.reach)
            .field("open", &self.inner.pool.len())
            .finish_non_exhaustive()
    }
}

impl TenantClusters {
    /// An empty pool.
    #[must_use]
    pub fn new(
        host: HostCluster,
        reach: Reach,
        source: Arc<dyn TenantSource>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let pool = DashMap::new();
        Self { inner: Arc::new(Inner { host, reach, source, clock, given: None, pool }) }
    }

    /// A pool whose clients come from elsewhere, e.g. fake ones; nothing means that the tenant's Service
    /// is not there.
    #[must_use]
    pub fn from_clients(
        host: HostCluster,
        source: Arc<dyn TenantSource>,
        clock: Arc<dyn Clock>,
        clients: impl Fn(TenantId) -> Option<kube::Client> + Send + Sync + 'static,
    ) -> Self {
        let given: Option<Given> = Some(Arc::new(clients));
        let (reach, pool) = (Reach::ClusterIp, DashMap::new());
        Self { inner: Arc::new(Inner { host, reach, source, clock, given, pool }) }
    }

    /// How tenants are reached.
    #[must_use]
    pub fn reach(&self) -> Reach {
        self.inner.reach
    }

    /// A client for a tenant's API server; makes one if none is there or the credential is old.
    ///
    /// # Errors
    /// If the tenant is not known, has no address yet, or a credential cannot be minted.
    pub async fn connection(&self, tenant: TenantId) -> Result<TenantConnection, ReachError> {
        let slot = Arc::clone(&*self.inner.pool.entry(tenant).or_default());
        let mut slot = slot.lock().await;
        if let Some(connection) = &*slot
            && self.inner.clock.now() < connection.valid_until
        {
            return Ok(connection.clone());
        }
        match self.inner.open(tenant).await {
            Ok(connection) => {
                *slot = Some(connection.clone());
                Ok(connection)
            }
            Err(error) => {
                drop(slot);
                self.forget(tenant);
                Err(error)
            }
        }
    }

    /// The client of [`TenantClusters::connection`].
    ///
    /// # Errors
    /// As there.
    pub async fn client(&self, tenant: TenantId) -> Result<kube::Client, ReachError> {
        Ok(self.connection(tenant).await?.client)
    }

    /// The address of a tenant's Service on the host.
    ///
    /// # Errors
    /// If the tenant is not known, or its Service is not there or has no address yet.
    pub async fn address(&self, tenant: TenantId) -> Result<IpAddr, ReachError> {
        let entry = self.inner.entry(tenant).await?;
        self.inner.address(&entry.cluster).await
    }

    /// Opens a way to a tenant's API server for somebody. Whoever asks keeps it.
    ///
    /// # Errors
    /// As [`TenantClusters::connection`].
    pub async fn passage(
        &self,
        tenant: TenantId,
        identity: &Identity,
    ) -> Result<Passage, ReachError> {
        let inner = &self.inner;
        if inner.given.is_some() {
            return Err(ReachError::NoService);
        }
        let entry = inner.entry(tenant).await?;
        let (config, _, valid_until) = inner.config(&entry, identity).await?;
        let passage = match inner.reach {
            Reach::ClusterIp => Passage::new(&config, stack::direct(), valid_until),
            Reach::PortForward => {
                Passage::new(&config, inner.forwarder(&entry.cluster), valid_until)
            }
        };
        passage.map_err(|source| ReachError::Client(Box::new(source)))
    }

    /// Closes what is open to a tenant: it is gone, or its address may have changed.
    pub fn forget(&self, tenant: TenantId) {
        self.inner.pool.remove(&tenant);
    }
}

impl Inner {
    async fn entry(&self, tenant: TenantId) -> Result<TenantEntry, ReachError> {
        self.source.entry(tenant).await.map_err(ReachError::Source)?.ok_or(ReachError::Unknown)
    }

    async fn open(&self, tenant: TenantId) -> Result<TenantConnection, ReachError> {
        if let Some(given) = &self.given {
            let client = given(tenant).ok_or(ReachError::NoService)?;
            let valid_until = self.clock.now() + VALID - RENEWED_BEFORE;
            return Ok(TenantConnection { client, valid_until, address: None });
        }
        let entry = self.entry(tenant).await?;
        let (config, address, valid_until) = self.config(&entry, &Identity::warren()).await?;
        let client = match self.reach {
            Reach::ClusterIp => stack::client(&config, stack::direct(), Some(valid_until)),
            Reach::PortForward => {
                stack::client(&config, self.forwarder(&entry.cluster), Some(valid_until))
            }
        };
        let client = client.map_err(|source| ReachError::Client(Box::new(source)))?;
        Ok(TenantConnection { client, valid_until, address })
    }

    /// How an API server is reached as somebody, the address of its Service if it is reached that way, and for how long.
    async fn config(
        &self,
        entry: &TenantEntry,
        identity: &Identity,
    ) -> Result<(kube::Config, Option<IpAddr>, Timestamp), ReachError> {
        let now = self.clock.now();
        let not_after = now + VALID;
        let credential = entry
            .authority
            .client_certificate(identity, now, not_after)
            .map_err(ReachError::Credential)?;
        let address = match self.reach {
            Reach::ClusterIp => Some(self.address(&entry.cluster).await?),
            Reach::PortForward => None,
        };
        let url = match address {
            Some(IpAddr::V4(address)) => format!("https://{address}:443"),
            Some(IpAddr::V6(address)) => format!("https://[{address}]:443"),
            // The name that the pod's own certificate carries for forwarded ports.
            None => "https://localhost:8443".to_owned(),
        };
        let url = url.parse().expect("an address makes a URL");
        let mut config = kube::Config::new(url);
        let authority = CertificateDer::from_pem_slice(entry.authority.certificate().as_bytes())
            .map_err(|_| {
                ReachError::Credential(AuthorityError::Tls(rustls::Error::General(
                    "the tenant's authority is not PEM".to_owned(),
                )))
            })?;
        config.root_cert = Some(vec![authority.as_ref().to_vec()]);
        config.auth_info.client_certificate_data = Some(STANDARD.encode(&credential.certificate));
        config.auth_info.client_key_data =
            Some(SecretString::from(STANDARD.encode(credential.expose_key())));
        Ok((config, address, not_after - RENEWED_BEFORE))
    }

    fn forwarder(&self, cluster: &ClusterName) -> PortForwardConnector {
        PortForwardConnector {
            host: self.host.client(),
            namespace: cluster.host_namespace(),
            pod: format!("{cluster}-0"),
        }
    }

    async fn address(&self, cluster: &ClusterName) -> Result<IpAddr, ReachError> {
        let services: Api<Service> = Api::namespaced(self.host.client(), &cluster.host_namespace());
        let service = services
            .get_opt(cluster.as_str())
            .await
            .map_err(|source| ReachError::Host(Box::new(source)))?
            .ok_or(ReachError::NoService)?;
        service
            .spec
            .and_then(|spec| spec.cluster_ip)
            .and_then(|address| address.parse().ok())
            .ok_or(ReachError::NoService)
    }
}
