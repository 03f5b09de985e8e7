//! Connections to the host cluster and to the tenants' API servers: reach, pool, mint credentials; and the way of bytes
//! between pods.
//!
//! Warren owns every tenant's certificate authority, so it can mint a credential before the
//! tenant's control plane has started and never has to read one from the cluster.

mod authority;
mod certificate;
mod host;
mod identity;
mod kubeconfig;
mod passage;
mod reach;
mod relay;
mod run_authority;
mod stack;
mod tenants;

pub use authority::{Authority, AuthorityError};
pub use certificate::ClientCertificate;
pub use host::{ConnectError, HostCluster};
pub use identity::Identity;
pub use kubeconfig::kubeconfig;
pub use passage::{Passage, PassingBody};
pub use reach::Reach;
pub use relay::{End, Passed, Relay, RelayError, Relays, Side, Taken, Whole};
pub use run_authority::{RunAuthority, RunCertificate};
pub use tenants::{ReachError, TenantClusters, TenantConnection, TenantEntry, TenantSource};
