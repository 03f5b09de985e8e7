//! The shared watches on the host: one for each kind of object, whatever the number of tenants.

use crate::hint::Hint;
use domain::TenantId;
use futures::StreamExt as _;
use kube::{
    Api, ResourceExt as _,
    api::{ApiResource, DynamicObject},
    core::PartialObjectMeta,
    runtime::{
        WatchStreamExt as _,
        watcher::{self, Event, watcher},
    },
};
use planning::{
    Key, Kind,
    object::{CLUSTER_LABEL, MANAGED_BY, MANAGED_BY_VALUE},
};
use tokio::{sync::mpsc::UnboundedSender, task::JoinSet};
use tokio_util::sync::CancellationToken;

/// What host namespaces of tenants start with (see `ClusterName::host_namespace`).
const NAMESPACE_PREFIX: &str = "warren-";

/// Whom a wake-up is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// A tenant.
    Tenant(TenantId),
    /// The tenant with a virtual cluster of this name, if there is one.
    Cluster(String),
    /// Every tenant.
    All,
}

/// A wake-up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wake {
    pub(crate) target: Target,
    pub(crate) hint: Hint,
}

/// One watch: which objects, and what a change of one of them means.
struct Watch {
    kind: Kind,
    labels: String,
    meaning: Meaning,
}

#[derive(Clone, Copy)]
enum Meaning {
    /// The object is one that Warren renders.
    Rendered,
    /// The object says how the tenant's control plane or DNS server is.
    Status,
}

/// The kinds of objects that a tenant is made of on the host.
pub(crate) const TENANT_KINDS: [Kind; 9] = [
    Kind::Namespace,
    Kind::ServiceAccount,
    Kind::RoleBinding,
    Kind::ResourceQuota,
    Kind::LimitRange,
    Kind::NetworkPolicy,
    Kind::Secret,
    Kind::Service,
    Kind::StatefulSet,
];

/// Starts the watches that wake tenants.
pub(crate) fn tenants(
    client: &kube::Client,
    wakes: &UnboundedSender<Wake>,
    cancel: &CancellationToken,
) -> JoinSet<()> {
    let ours = format!("{MANAGED_BY}={MANAGED_BY_VALUE},{CLUSTER_LABEL}");
    let rendered = TENANT_KINDS.into_iter().map(|kind| Watch {
        kind,
        labels: ours.clone(),
        meaning: Meaning::Rendered,
    });
    // Labels that vCluster gives to its own pods, and to its DNS server's pod and Service.
    let status = [
        (Kind::Pod, "app=vcluster"),
        (Kind::Pod, "k8s-app=vcluster-kube-dns"),
        (Kind::Service, "k8s-app=vcluster-kube-dns"),
    ];
    let status = status.into_iter().map(|(kind, labels)| Watch {
        kind,
        labels: labels.to_owned(),
        meaning: Meaning::Status,
    });
    let mut tasks = JoinSet::new();
    for watch in rendered.chain(status) {
        let (client, wakes, cancel) = (client.clone(), wakes.clone(), cancel.clone());
        tasks.spawn(async move {
            cancel.run_until_cancelled(run(client, watch, wakes)).await;
        });
    }
    tasks
}

/// Follows objects of a kind and calls `on_change` after every change, and once when it has begun.
pub(crate) async fn follow(
    client: kube::Client,
    kind: Kind,
    labels: &str,
    mut on_change: impl FnMut(&Change),
) {
    let api: Api<PartialObjectMeta<DynamicObject>> = Api::all_with(client, &resource(kind));
    let config = watcher::Config::default().labels(labels);
    let mut events = watcher(api, config).default_backoff().boxed();
    let mut is_first_list = true;
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Apply(object)) => on_change(&Change::Object(object)),
            Ok(Event::Delete(object)) => on_change(&Change::Gone(object)),
            Ok(Event::Init | Event::InitApply(_)) => {}
            Ok(Event::InitDone) => {
                on_change(if is_first_list { &Change::Begun } else { &Change::Gap });
                is_first_list = false;
            }
            Err(error) => tracing::warn!(
                kind = kind.as_str(),
                error = &error as &dyn std::error::Error,
                "a watch on the host broke off; it is opened again"
            ),
        }
    }
}

/// What a watch tells.
pub(crate) enum Change {
    /// The watch has begun.
    Begun,
    /// Something may have been missed.
    Gap,
    /// An object was made or changed.
    Object(PartialObjectMeta<DynamicObject>),
    /// An object is gone.
    Gone(PartialObjectMeta<DynamicObject>),
}

async fn run(client: kube::Client, watch: Watch, wakes: UnboundedSender<Wake>) {
    let Watch { kind, labels, meaning } = watch;
    follow(client, kind, &labels, |change| {
        let wake = match change {
            // Every tenant is looked at when the process starts anyway.
            Change::Begun => None,
            Change::Gap => Some(Wake { target: Target::All, hint: Hint::Everything }),
            Change::Object(object) => wake(kind, meaning, object, object.resource_version()),
            Change::Gone(object) => wake(kind, meaning, object, None),
        };
        if let Some(wake) = wake {
            // Nobody listens any more only while the process ends.
            let _ = wakes.send(wake);
        }
    })
    .await;
}

fn wake(
    kind: Kind,
    meaning: Meaning,
    object: &PartialObjectMeta<DynamicObject>,
    version: Option<String>,
) -> Option<Wake> {
    let by_label = object.labels().get(CLUSTER_LABEL).cloned();
    let by_namespace = || Some(object.namespace()?.strip_prefix(NAMESPACE_PREFIX)?.to_owned());
    let cluster = by_label.or_else(by_namespace)?;
    let hint = match meaning {
        Meaning::Status => Hint::Status,
        Meaning::Rendered => {
            let key = Key { kind, namespace: object.namespace(), name: object.name_any() };
            Hint::Object { key, version }
        }
    };
    Some(Wake { target: Target::Cluster(cluster), hint })
}

fn resource(kind: Kind) -> ApiResource {
    ApiResource {
        group: kind.group().to_owned(),
        version: kind.version().to_owned(),
        api_version: kind.api_version(),
        kind: kind.as_str().to_owned(),
        plural: kind.plural().to_owned(),
    }
}
