//! Everything that one tenant consists of on the host.

use crate::{
    accounts, certs, config, control_plane, namespace, network,
    object::{Key, Kind, Rendered},
    quota,
    settings::HostSettings,
};
use domain::{ClusterName, Plan};
use serde_json::Value;
use std::collections::BTreeMap;

/// What is wanted of one tenant.
#[derive(Debug, Clone)]
pub struct ClusterSpec {
    /// The name of its virtual cluster.
    pub cluster: ClusterName,
    /// What it may use.
    pub plan: Plan,
    /// Whether it was ever ready: then what holds its data is never made a second time.
    pub was_ready: bool,
}

/// The objects of one tenant in its host namespace.
#[derive(Debug, Clone)]
pub struct Bundle {
    /// The namespace.
    pub namespace: Rendered,
    /// Who may talk to whom.
    pub network_policies: Vec<Rendered>,
    /// Defaults and bounds of containers.
    pub limit_range: Rendered,
    /// The accounts of the control plane and of the tenant's pods.
    pub accounts: Vec<Rendered>,
    /// Gives the control plane the role of all control planes, in its namespace.
    pub role_binding: Rendered,
    /// The service that owns everything that is synced.
    pub service: Rendered,
    /// The service that the stateful set demands.
    pub headless_service: Rendered,
    /// The certificate authorities.
    pub certs: Rendered,
    /// The syncer's configuration.
    pub config: Rendered,
    /// What the tenant may use, with what its control plane uses.
    pub quota: Rendered,
    /// The volume with all that the tenant's API server stores; must exist once it was ready.
    pub data: Option<Rendered>,
    /// The control plane.
    pub stateful_set: Rendered,
}

impl Bundle {
    /// All objects in the order in which they have to be applied:
    ///
    /// 1. the namespace, with its Pod Security level;
    /// 2. network policies and limits, so that no pod is ever without them;
    /// 3. accounts and rights;
    /// 4. the services before the control plane: the syncer needs its owner when it starts;
    /// 5. authorities and configuration, which the pod mounts;
    /// 6. the quota late: until the host has counted once, it refuses everything that it counts;
    /// 7. the control plane.
    #[must_use]
    pub fn in_order(&self) -> Vec<Rendered> {
        let Self {
            namespace,
            network_policies,
            limit_range,
            accounts,
            role_binding,
            service,
            headless_service,
            certs,
            config,
            quota,
            data,
            stateful_set,
        } = self;
        let mut objects = vec![namespace.clone()];
        objects.extend(network_policies.iter().cloned());
        objects.push(limit_range.clone());
        objects.extend(accounts.iter().cloned());
        objects.push(role_binding.clone());
        objects.extend([service.clone(), headless_service.clone()]);
        objects.extend([certs.clone(), config.clone(), quota.clone()]);
        objects.extend(data.clone());
        objects.push(stateful_set.clone());
        objects
    }
}

impl ClusterSpec {
    /// The host namespace.
    #[must_use]
    pub fn namespace(&self) -> String {
        self.cluster.host_namespace()
    }

    /// The address of the pod that the control plane runs in.
    #[must_use]
    pub fn control_plane_pod(&self) -> Key {
        Key::namespaced(Kind::Pod, &self.namespace(), &format!("{}-0", self.cluster))
    }

    /// The address of the account that the control plane runs as.
    #[must_use]
    pub fn control_plane_account(&self) -> Key {
        let name = accounts::control_plane(self.cluster.as_str());
        Key::namespaced(Kind::ServiceAccount, &self.namespace(), &name)
    }

    /// The address of the claim that holds the control plane's data.
    #[must_use]
    pub fn data_claim(&self) -> Key {
        let name = format!("data-{}-0", self.cluster);
        Key::namespaced(Kind::PersistentVolumeClaim, &self.namespace(), &name)
    }

    /// The address of the service on the host that stands for the tenant's `kube-system/kube-dns`.
    #[must_use]
    pub fn dns_service(&self) -> Key {
        let name = format!("kube-dns-x-kube-system-x-{}", self.cluster);
        Key::namespaced(Kind::Service, &self.namespace(), &name)
    }

    pub(crate) fn object(&self, kind: Kind, name: &str, body: Value) -> Rendered {
        let key = if kind.is_namespaced() {
            Key::namespaced(kind, &self.namespace(), name)
        } else {
            Key::global(kind, name)
        };
        Rendered::new(key, Some(self.cluster.as_str()), body)
    }
}

/// Renders everything of one tenant on the host.
///
/// `authority` is what the Secret with the certificates is to hold: the authorities' pairs and the key for service
/// account tokens, without the certificates that the syncer signs itself.
#[must_use]
pub fn render_cluster(
    spec: &ClusterSpec,
    host: &HostSettings,
    authority: &BTreeMap<String, Vec<u8>>,
) -> Bundle {
    let config = config::render(spec, host);
    let data = spec.was_ready.then(|| {
        let why = "it holds everything that the tenant's API server stores; restore it from a backup. An empty one \
                   would make the control plane delete all of the tenant's pods and volumes";
        Rendered::must_exist(spec.data_claim(), why)
    });
    Bundle {
        namespace: namespace::render(spec),
        network_policies: network::render(spec, host),
        limit_range: quota::render_limits(spec),
        accounts: accounts::render_accounts(spec),
        role_binding: accounts::render_role_binding(spec),
        service: control_plane::render_service(spec, host),
        headless_service: control_plane::render_headless_service(spec),
        certs: certs::render(spec, authority),
        quota: quota::render_quota(spec),
        data,
        stateful_set: control_plane::render_stateful_set(spec, host, &config),
        config,
    }
}
