//! Where the host's API servers and nodes are. Network policies keep tenants away from them, so whoever
//! joins or leaves is followed.

use crate::{
    Context, Obstacle,
    hint::Hint,
    watch::{Target, Wake},
};
use clusters::HostCluster;
use futures::{StreamExt as _, future::join};
use k8s_openapi::api::{core::v1::Node, discovery::v1::EndpointSlice};
use kube::{
    Api, Resource, ResourceExt as _,
    api::{ListParams, ObjectList},
    runtime::{
        WatchStreamExt as _,
        watcher::{self, Event, watcher},
    },
};
use planning::{HostSettings, is_public};
use serde::de::DeserializeOwned;
use std::{
    collections::BTreeMap,
    error::Error,
    fmt::Debug,
    mem,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::sync::{mpsc::UnboundedSender, watch as state};
use tokio_util::sync::CancellationToken;

/// How long the host may take to name its API servers or its nodes.
const PATIENCE: Duration = Duration::from_secs(15);
/// The label of slices with the endpoints of the Service `default/kubernetes`.
const OF_KUBERNETES: &str = "kubernetes.io/service-name=kubernetes";
/// Where that Service is.
const DEFAULT: &str = "default";

/// What tenants' objects are rendered with. Cheap to clone; every clone knows what was found out last.
#[derive(Debug, Clone)]
pub struct Settings(state::Sender<Arc<HostSettings>>);

impl Settings {
    /// Settings to begin with.
    #[must_use]
    pub fn new(settings: HostSettings) -> Self {
        Self(state::Sender::new(Arc::new(settings)))
    }

    /// The settings as they are now.
    #[must_use]
    pub fn now(&self) -> Arc<HostSettings> {
        Arc::clone(&self.0.borrow())
    }

    /// Asks the host where its API servers and nodes are.
    ///
    /// # Errors
    /// What the host said instead, or that it said nothing.
    pub async fn find_addresses(&self, host: &HostCluster) -> Result<(), Obstacle> {
        let of_kubernetes = ListParams::default().labels(OF_KUBERNETES);
        let slices: ObjectList<EndpointSlice> = list(
            "EndpointSlice default/*",
            Api::namespaced(host.client(), DEFAULT),
            &of_kubernetes,
        )
        .await?;
        let api_servers = union(slices.iter().map(endpoints));
        if api_servers.is_empty() {
            let what = "the Service default/kubernetes has no endpoints; is its API server ready?";
            return Err(obstacle("EndpointSlice default/*", "NoApiServers", what, false));
        }
        let everywhere = ListParams::default();
        let nodes: ObjectList<Node> = list("Node", Api::all(host.client()), &everywhere).await?;
        let nodes = union(nodes.iter().map(public_addresses));
        self.update(|settings| (settings.api_servers, settings.nodes) = (api_servers, nodes));
        Ok(())
    }

    /// Whether that changed anything.
    fn update(&self, change: impl FnOnce(&mut HostSettings)) -> bool {
        self.0.send_if_modified(|known| {
            let mut settings = HostSettings::clone(known);
            change(&mut settings);
            let is_news = **known != settings;
            if is_news {
                *known = Arc::new(settings);
            }
            is_news
        })
    }
}

/// Keeps the settings' addresses true until cancelled; every tenant is looked at when they change.
pub(crate) async fn run(cx: Context, wakes: UnboundedSender<Wake>, cancel: CancellationToken) {
    let tell = |is_news: bool| {
        if is_news {
            tracing::info!("the host's API servers or nodes are elsewhere now");
            // Nobody listens any more only while the process ends.
            let _ = wakes.send(Wake { target: Target::All, hint: Hint::Everything });
        }
    };
    let client = cx.host.client();
    let nodes = follow(Api::<Node>::all(client.clone()), "", public_addresses, |nodes| {
        tell(cx.settings.update(|settings| settings.nodes = nodes));
    });
    let slices: Api<EndpointSlice> = Api::namespaced(client, DEFAULT);
    let api_servers = follow(slices, OF_KUBERNETES, endpoints, |api_servers| {
        // Without any nothing could be said about them: the last ones known are right again, or others come.
        if !api_servers.is_empty() {
            tell(cx.settings.update(|settings| settings.api_servers = api_servers));
        }
    });
    cancel.run_until_cancelled(join(nodes, api_servers)).await;
}

/// Follows objects, and tells what is in all of them after every change.
async fn follow<K, A: Ord + Clone>(
    api: Api<K>,
    labels: &str,
    inside: impl Fn(&K) -> Vec<A>,
    tell: impl Fn(Vec<A>),
) where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let config = watcher::Config::default().labels(labels);
    let mut events = watcher(api, config).default_backoff().boxed();
    let (mut known, mut listed) = (BTreeMap::new(), BTreeMap::new());
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Init) => listed.clear(),
            Ok(Event::InitApply(object)) => {
                listed.insert(object.name_any(), inside(&object));
                continue;
            }
            Ok(Event::InitDone) => known = mem::take(&mut listed),
            Ok(Event::Apply(object)) => {
                known.insert(object.name_any(), inside(&object));
            }
            Ok(Event::Delete(object)) => {
                known.remove(&object.name_any());
            }
            Err(error) => {
                tracing::warn!(
                    kind = %K::kind(&()),
                    error = &error as &dyn Error,
                    "a watch on the host broke off; it is opened again"
                );
                continue;
            }
        }
        tell(union(known.values().cloned()));
    }
}

async fn list<K: Clone + Debug + DeserializeOwned>(
    what: &str,
    api: Api<K>,
    query: &ListParams,
) -> Result<ObjectList<K>, Obstacle> {
    match tokio::time::timeout(PATIENCE, api.list(query)).await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(kube::Error::Api(status))) => {
            let reason = if status.reason.is_empty() { "Refused" } else { &status.reason };
            let answer = format!("{} {}", status.code, status.message);
            Err(obstacle(what, reason, &answer, true))
        }
        Ok(Err(error)) => {
            let answer = format!("no answer ({})", innermost(&error));
            Err(obstacle(what, "Unreachable", &answer, false))
        }
        Err(_) => Err(obstacle(what, "NoAnswer", "no answer in time", false)),
    }
}

fn obstacle(what: &str, reason: &str, answer: &str, is_refusal: bool) -> Obstacle {
    let message = format!("list {what} on the host cluster: {answer}");
    Obstacle { reason: reason.to_owned(), message, is_refusal }
}

/// The deepest cause says what happened; the layers above only say where.
fn innermost<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error
}

fn union<A: Ord>(parts: impl Iterator<Item = Vec<A>>) -> Vec<A> {
    let mut all: Vec<A> = parts.flatten().collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// API servers as packets see them: network policies are judged after the Service's address was replaced.
fn endpoints(slice: &EndpointSlice) -> Vec<SocketAddr> {
    let addresses = slice.endpoints.iter().flat_map(|endpoint| &endpoint.addresses);
    let addresses: Vec<IpAddr> = addresses.filter_map(|address| address.parse().ok()).collect();
    let ports = slice.ports.iter().flatten().filter_map(|port| port.port);
    let ports = ports.filter_map(|port| u16::try_from(port).ok());
    let each = |port| addresses.iter().map(move |address| SocketAddr::new(*address, port));
    ports.flat_map(each).collect()
}

/// The node's addresses that policies do not close anyway.
fn public_addresses(node: &Node) -> Vec<Ipv4Addr> {
    let addresses = node.status.iter().filter_map(|status| status.addresses.as_ref()).flatten();
    // Names are among them.
    let addresses = addresses.filter_map(|address| address.address.parse().ok());
    addresses.filter(|address| is_public(*address)).collect()
}
