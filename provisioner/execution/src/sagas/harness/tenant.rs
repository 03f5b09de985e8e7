//! What goes on around a change of plan: the controller of the tenant, which is the real one, the other sagas, and, of a
//! few lines, its control plane, its syncer, and a Deployment with a budget and the DNS server in it.

mod keeper;

pub(super) use keeper::keeps;

use super::{
    it::fake::Fake,
    node::put_password,
    volumes::Disks,
    world::{World, proof},
};
use crate::{
    Context,
    hint::{Hint, Hints},
    machines::{ATTACH, RELEASE},
    places::Places,
    sagas::executor,
    tenant::{Memory, Next, reconcile},
};
use clusters::Relays;
use domain::{
    ClusterName, ConditionKind, DeleteTenant, Isolation, NodeId, NodeState, OperationId,
    OperationKind, Scope, StepState, Tenant, TenantId,
};
use keeper::{DATA, KEEPER, KEPT, kept};
use planning::{
    Key,
    machine::{LABEL, UNPROVEN},
    pod::is_ready,
    syncer::{CONFIG_HASH, SYNCED},
};
use serde_json::{Value, json};
use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use store::Change;
use tokio::{
    sync::broadcast::{Receiver, error::TryRecvError},
    task::JoinSet,
    time::{Instant, sleep},
};

/// Between two things that happen.
const TURN: Duration = Duration::from_millis(500);
/// The longest time until the tenant's controller looks again.
const PAUSE: Duration = Duration::from_secs(5);
/// How long a control plane takes to be there again.
const RESTART: Duration = Duration::from_secs(3);
/// A node that the tenant does not pay for.
pub(super) const SHARED: &str = "shared-1";
/// The namespace of its pods inside, the Deployment that they are of, how many there are, and how many have to be ready.
const WEB: (&str, &str, usize, usize) = ("apps", "web", 3, 2);
/// Those of its DNS server.
const DNS: (&str, &str, usize, usize) = ("kube-system", "coredns", 1, 0);

/// What must not have happened.
#[derive(Debug, Clone, Default)]
pub(super) struct Incidents(Arc<Mutex<Vec<String>>>);

impl Incidents {
    pub(super) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn add(&self, incident: String) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !all.contains(&incident) {
            all.push(incident);
        }
    }
}

struct Life {
    cx: Context,
    host: Fake,
    inside: Fake,
    disks: Disks,
    relays: Relays,
    tenant: TenantId,
    cluster: ClusterName,
    memory: Memory,
    places: Places,
    /// When the control plane that is starting will be there.
    starts: Option<Instant>,
    /// Where its syncer puts new pods.
    isolation: Isolation,
    /// How many pods there were.
    made: u32,
    /// Whether all were ready once.
    was_complete: bool,
    /// When its controller looks again if nobody wakes it.
    again: Instant,
    changes: Receiver<Change>,
    sagas: JoinSet<()>,
    driven: HashSet<OperationId>,
    incidents: Incidents,
}

/// Lets a tenant live until nobody looks at its world any more, and waits until it is ready.
pub(super) async fn live(world: &World) {
    world.inside.objects(|objects| {
        for namespace in ["default", "kube-system", WEB.0] {
            objects.put("v1", "namespaces", json!({ "metadata": { "name": namespace } }));
        }
        let (namespace, name, _, least) = WEB;
        let budget = json!({
            "metadata": { "namespace": namespace, "name": name },
            "spec": { "minAvailable": least, "selector": { "matchLabels": { "app": name } } },
        });
        objects.put("policy/v1", "poddisruptionbudgets", budget);
    });
    begin(world, HashSet::new());
    assert!(complete(world).await, "nothing is in its way");
}

/// Asks for its deletion. If it does not live, somebody sees to that from now on, and to all operations but the one that
/// somebody drives.
pub(super) async fn delete(world: &World, driven: Option<OperationId>) {
    let proof = proof::<DeleteTenant>(Scope::tenant(world.tenant.id));
    world.store.tenant_delete(&proof, world.tenant.id, false).await.expect("it is there");
    if world.life.lock().unwrap_or_else(PoisonError::into_inner).is_empty() {
        begin(world, driven.into_iter().collect());
    }
}

/// From now on time goes on in it, and in all operations that nobody else drives.
fn begin(world: &World, driven: HashSet<OperationId>) {
    world.host.objects(|objects| {
        objects.put("v1", "nodes", json!({ "metadata": { "name": SHARED } }));
    });
    let mut life = Life {
        cx: world.process(),
        host: world.host.clone(),
        inside: world.inside.clone(),
        disks: world.disks.clone(),
        relays: world.relays.clone(),
        tenant: world.tenant.id,
        cluster: world.tenant.cluster.clone(),
        memory: Memory::default(),
        places: Places::new(1),
        starts: None,
        isolation: Isolation::Shared,
        made: 0,
        was_complete: false,
        again: Instant::now(),
        changes: world.store.changes(),
        sagas: JoinSet::new(),
        driven,
        incidents: world.incidents.clone(),
    };
    let going_on = async move {
        loop {
            life.take_turn().await;
            sleep(TURN).await;
        }
    };
    world.life.lock().unwrap_or_else(PoisonError::into_inner).spawn(going_on);
}

/// Whether the tenant comes to be as it should be: ready, with all its pods.
pub(super) async fn complete(world: &World) -> bool {
    let wait = async {
        loop {
            let tenant = world.tenant().await;
            let pods = world.inside.objects(|objects| objects.list("pods"));
            let all = WEB.2 + DNS.2 + KEEPER.2;
            let is_quiet =
                pods.len() == all && pods.iter().filter(|pod| is_ready(pod)).count() == all;
            if is_quiet && tenant.conditions.is_true(ConditionKind::Ready) {
                return;
            }
            sleep(TURN).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(10), wait).await.is_ok()
}

impl Life {
    async fn take_turn(&mut self) {
        if self.is_woken() {
            let mut hints = Hints::default();
            hints.add(Hint::Status);
            hints.add(Hint::Record);
            let next = reconcile(&self.cx, &self.places, self.tenant, &mut self.memory, &hints);
            // Whatever keeps it from its end is in the tenant's conditions.
            let pause = match next.await {
                Ok(Next::After(pause)) => pause.clamp(TURN, PAUSE),
                Ok(Next::Settled | Next::Turn | Next::Gone) | Err(_) => PAUSE,
            };
            self.again = Instant::now() + pause;
            self.go_on().await;
        }
        let Ok(Some(tenant)) = self.cx.store.tenant_get(self.tenant).await else { return };
        self.end_pods();
        if tenant.deletion_requested_at.is_some() {
            return self.collect();
        }
        self.restart(&tenant);
        if self.starts.is_none() {
            for set in [DNS, WEB, KEEPER] {
                self.fill(set);
            }
        }
        self.copy().await;
        self.check();
    }

    /// Whether the tenant's controller has something to look at.
    fn is_woken(&mut self) -> bool {
        let mut is_woken = self.again <= Instant::now();
        loop {
            match self.changes.try_recv() {
                Ok(Change::Tenant(_) | Change::Node { .. }) | Err(TryRecvError::Lagged(_)) => {
                    is_woken = true;
                }
                Ok(_) => {}
                Err(TryRecvError::Empty | TryRecvError::Closed) => return is_woken,
            }
        }
    }

    /// Every saga about a node goes on.
    async fn go_on(&mut self) {
        let Ok(open) = self.cx.store.operation_sagas().await else { return };
        for operation in open {
            let saga = match operation.kind {
                OperationKind::NodeAttach => &ATTACH,
                OperationKind::NodeRelease => &RELEASE,
                OperationKind::NodeStop
                | OperationKind::NodeStart
                | OperationKind::NodeReboot
                | OperationKind::PlanChange
                | OperationKind::TenantCreate
                | OperationKind::TenantDelete => continue,
            };
            if let Some(node) = operation.node
                && !self.is_replaced(node).await
                && self.driven.insert(operation.id)
            {
                let password = self.hash(node).await;
                let (cx, host) = (self.cx.clone(), self.host.clone());
                self.sagas.spawn(async move {
                    executor::drive(&cx, saga, operation.id).await;
                    let Ok(Some(over)) = cx.store.operation_get(operation.id).await else { return };
                    let is_seeded = over
                        .steps
                        .iter()
                        .any(|step| step.name == "admit" && step.state != StepState::Waiting);
                    if let Some(key) = password.filter(|_| !is_seeded) {
                        host.objects(|objects| {
                            objects.remove("secrets", "kube-system", &key.name);
                        });
                    }
                });
            }
        }
    }

    /// Whether somebody asked for another one in its place: that is the operation that the history is about.
    async fn is_replaced(&self, node: NodeId) -> bool {
        let node = self.cx.store.node_get(node).await;
        node.is_ok_and(|node| node.is_some_and(|node| node.volumes.is_some()))
    }

    /// To hash a node's password takes long on purpose: here it has been done, and what is not needed goes again.
    async fn hash(&self, node: NodeId) -> Option<Key> {
        let node = self.cx.store.node_get(node).await.ok()??;
        (node.state() == NodeState::Attaching).then(|| put_password(&self.host, &node))
    }

    /// The stateful set has its pod replaced when its configuration differs.
    fn restart(&mut self, tenant: &Tenant) {
        let (namespace, name) = (self.cluster.host_namespace(), format!("{}-0", self.cluster));
        let digest_of = |value: Option<&Value>| {
            value.map(|value| value["metadata"]["annotations"][CONFIG_HASH].clone())
        };
        let (wanted, has) = self.host.objects(|objects| {
            let set = objects.get("statefulsets", &namespace, self.cluster.as_str());
            let wanted = digest_of(set.map(|set| &set["spec"]["template"]));
            (wanted, digest_of(objects.get("pods", &namespace, &name)))
        });
        if wanted.is_none() || wanted == has {
            return;
        }
        match self.starts {
            None => {
                self.starts = Some(Instant::now() + RESTART);
                self.host.objects(|objects| objects.remove("pods", &namespace, &name));
            }
            Some(at) if at <= Instant::now() => {
                self.starts = None;
                self.isolation = tenant.isolation();
                let labels = json!({ "app": "vcluster", "release": self.cluster.as_str() });
                let metadata = json!({
                    "namespace": namespace, "name": name, "labels": labels,
                    "annotations": { CONFIG_HASH: wanted },
                });
                let pod = json!({
                    "metadata": metadata, "spec": { "nodeName": SHARED }, "status": ready(),
                });
                let claim = json!({ "namespace": namespace, "name": format!("data-{name}") });
                let volume = json!({
                    "metadata": { "name": name }, "spec": { "claimRef": claim },
                });
                let claim = json!({ "metadata": claim, "spec": { "volumeName": name } });
                self.host.objects(|objects| {
                    objects.put("v1", "pods", pod);
                    objects.put("v1", "persistentvolumeclaims", claim);
                    objects.put("v1", "persistentvolumes", volume);
                });
            }
            Some(_) => {}
        }
    }

    /// Of what is deleted goes what was there for it: the pod of a stateful set, the volume of a claim.
    fn collect(&self) {
        let (namespace, name) = (self.cluster.host_namespace(), format!("{}-0", self.cluster));
        self.host.objects(|objects| {
            if objects.get("statefulsets", &namespace, self.cluster.as_str()).is_none() {
                objects.remove("pods", &namespace, &name);
            }
            for volume in objects.list("persistentvolumes") {
                let claim = &volume["spec"]["claimRef"];
                let claim = (text(&claim["namespace"]), text(&claim["name"]));
                if objects.get("persistentvolumeclaims", claim.0, claim.1).is_none() {
                    objects.remove("persistentvolumes", "", text(&volume["metadata"]["name"]));
                }
            }
        });
    }

    /// Pods that were told to go are gone, and so are those whose machine was emptied.
    fn end_pods(&self) {
        for pod in self.inside.objects(|objects| objects.list("pods")) {
            let (namespace, name) =
                (text(&pod["metadata"]["namespace"]), text(&pod["metadata"]["name"]));
            let (outside, synced) = (self.cluster.host_namespace(), self.synced(namespace, name));
            let is_going = !pod["metadata"]["deletionTimestamp"].is_null();
            let is_there = self.host.objects(|objects| {
                if is_going {
                    objects.remove("pods", &outside, &synced);
                }
                let pod = objects.get("pods", &outside, &synced);
                pod.is_some_and(|pod| pod["metadata"]["deletionTimestamp"].is_null())
            });
            if !is_there {
                self.inside.objects(|objects| objects.remove("pods", namespace, name));
            }
        }
    }

    /// A Deployment has what is missing made anew; it is placed at once and ready a turn later.
    fn fill(&mut self, (namespace, set, count, _): (&str, &str, usize, usize)) {
        let pods = self.pods(set);
        let is_starting =
            |pod: &&Value| pod["status"].is_null() && !text(&pod["spec"]["nodeName"]).is_empty();
        for pod in pods.iter().filter(is_starting) {
            let name = text(&pod["metadata"]["name"]);
            let synced = self.synced(namespace, name);
            self.inside.objects(|objects| {
                objects.change("pods", namespace, name, |pod| pod["status"] = ready());
            });
            self.host.objects(|objects| {
                let outside = self.cluster.host_namespace();
                objects.change("pods", &outside, &synced, |pod| pod["status"] = ready());
            });
        }
        let Some(node) = self.place() else { return };
        let node = if set == KEEPER.1 { self.place_of_volume(&node) } else { node };
        for pod in pods.iter().filter(|pod| text(&pod["spec"]["nodeName"]).is_empty()) {
            let name = text(&pod["metadata"]["name"]);
            let (outside, synced) = (self.cluster.host_namespace(), self.synced(namespace, name));
            let here = |pod: &mut Value| pod["spec"]["nodeName"] = node.clone().into();
            self.inside.objects(|objects| objects.change("pods", namespace, name, here));
            self.host.objects(|objects| objects.change("pods", &outside, &synced, here));
        }
        for _ in pods.len()..count {
            self.made += 1;
            self.put(namespace, set, &node);
        }
    }

    fn put(&self, namespace: &str, set: &str, node: &str) {
        let name = format!("{set}-{}", self.made);
        let owner = json!([{ "kind": "ReplicaSet", "name": set, "uid": set, "controller": true }]);
        let labels = json!({ "app": set });
        let metadata = json!({
            "namespace": namespace, "name": name, "labels": labels, "ownerReferences": owner,
        });
        let spec = |claim: &str| {
            let volumes = json!([{ "persistentVolumeClaim": { "claimName": claim } }]);
            let mut spec = json!({ "nodeName": node });
            if set == KEEPER.1 {
                spec["volumes"] = volumes;
            }
            spec
        };
        let pod = json!({ "metadata": metadata, "spec": spec(DATA) });
        self.inside.objects(|objects| objects.put("v1", "pods", pod));
        let mut labels = json!({ SYNCED: self.cluster.as_str() });
        if set == DNS.1 {
            labels["k8s-app"] = "vcluster-kube-dns".into();
        }
        let (outside, synced) = (self.cluster.host_namespace(), self.synced(namespace, &name));
        let metadata = json!({ "namespace": outside, "name": synced, "labels": labels });
        let pod = json!({ "metadata": metadata, "spec": spec(&self.synced(namespace, DATA)) });
        let service = format!("kube-dns-x-kube-system-x-{}", self.cluster);
        let metadata = json!({
            "namespace": outside, "name": service, "labels": { SYNCED: self.cluster.as_str() },
        });
        self.host.objects(|objects| {
            objects.put("v1", "pods", pod);
            objects.put("v1", "services", json!({ "metadata": metadata }));
        });
    }

    /// The pods of a Deployment.
    fn pods(&self, set: &str) -> Vec<Value> {
        let mut pods = self.inside.objects(|objects| objects.list("pods"));
        pods.retain(|pod| pod["metadata"]["labels"]["app"] == set);
        pods
    }

    /// Where the scheduler puts a new pod.
    fn place(&self) -> Option<String> {
        if self.isolation == Isolation::Shared {
            return Some(SHARED.to_owned());
        }
        let is_open = |node: &&Value| {
            let taints = node["spec"]["taints"].as_array();
            node["metadata"]["labels"][LABEL] == self.cluster.as_str()
                && node["spec"]["unschedulable"] != true
                && !taints.into_iter().flatten().any(|taint| taint["key"] == UNPROVEN)
                && node["status"]["conditions"][0]["status"] == "True"
        };
        let nodes = self.host.objects(|objects| objects.list("nodes"));
        nodes.iter().find(is_open).map(|node| text(&node["metadata"]["name"]).to_owned())
    }

    /// Looks whether the budget is kept, and whether the keeper has what it keeps.
    fn check(&mut self) {
        let (_, set, count, least) = WEB;
        let ready = self.pods(set).iter().filter(|pod| is_ready(pod)).count();
        self.was_complete |= ready == count;
        if self.was_complete && ready < least {
            self.incidents
                .add(format!("{ready} pods of {count} were ready, below the budget of {least}"));
        }
        let kept = kept(&self.host, &self.disks, &self.cluster);
        if self.pods(KEEPER.1).iter().any(is_ready) && kept.is_some_and(|(_, kept)| kept != KEPT) {
            self.incidents.add("the keeper has lost what it kept".to_owned());
        }
    }

    fn synced(&self, namespace: &str, name: &str) -> String {
        format!("{name}-x-{namespace}-x-{}", self.cluster)
    }
}

fn ready() -> Value {
    json!({ "phase": "Running", "conditions": [{ "type": "Ready", "status": "True" }] })
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
