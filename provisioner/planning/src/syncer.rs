//! The names that vCluster's syncer uses on the host.
//!
//! Source: vCluster 0.36.1, `pkg/util/translate`; the digest: its chart, `templates/statefulset.yaml`.

/// The label that the syncer puts on every object that it makes; its value is the cluster's name.
pub const SYNCED: &str = "vcluster.loft.sh/managed-by";
/// The label with the namespace inside the tenant.
pub const SYNCED_NAMESPACE: &str = "vcluster.loft.sh/namespace";
/// The annotation with the object's name inside the tenant.
pub const OBJECT_NAME: &str = "vcluster.loft.sh/object-name";
/// The annotation with the object's namespace inside the tenant.
pub const OBJECT_NAMESPACE: &str = "vcluster.loft.sh/object-namespace";
/// The annotation of the control plane's pod with the digest of the configuration that it was started with.
pub const CONFIG_HASH: &str = "vClusterConfigHash";
