//! What is left of a tenant on the host, and how it goes.

use super::{Outcome, blocker::Blocker};
use crate::{
    api_server::{ApiError, ApiServer, Propagation, delete_options},
    tenant::{observe::is_terminating, readiness::trouble},
};
use planning::{Key, Kind, object::CLUSTER_LABEL, syncer::SYNCED};
use serde_json::Value;

/// The kinds that vCluster syncs to the host by default.
const SYNCED_KINDS: [Kind; 6] = [
    Kind::Pod,
    Kind::Service,
    Kind::Secret,
    Kind::ConfigMap,
    Kind::PersistentVolumeClaim,
    Kind::EndpointSlice,
];
/// The condition of a namespace some of whose contents nobody can list (Kubernetes, namespace controller).
const UNDISCOVERED: &str = "NamespaceDeletionDiscoveryFailure";
/// What the API server adds to an object that goes after what it owns.
const FOREGROUND: &str = "foregroundDeletion";

/// One tenant's part of the host.
pub(super) struct World {
    pub(super) host: ApiServer,
    pub(super) namespace: String,
    pub(super) cluster: String,
    /// Pods that do not go are taken out of the API without waiting for their node.
    pub(super) is_forced: bool,
    /// It takes longer than it should: whoever holds it is looked for.
    pub(super) is_late: bool,
}

/// Whose the namespace is that a tenant's part of the host is in.
pub(super) enum Namespace {
    /// Warren made it, or nobody did: it is not there.
    Free,
    /// It does not carry Warren's label; the sentence says so.
    Foreign(String),
}

impl World {
    /// Looks at whose the namespace is: nothing in one that is not Warren's may be touched.
    pub(super) async fn owner(&self) -> Result<Namespace, ApiError> {
        let Some(namespace) = self.host.get(&self.namespace_key()).await? else {
            return Ok(Namespace::Free);
        };
        if label_of(&namespace, CLUSTER_LABEL) == Some(self.cluster.as_str()) {
            return Ok(Namespace::Free);
        }
        Ok(Namespace::Foreign(format!(
            "namespace {} does not carry the label {CLUSTER_LABEL}={}: it is not Warren's to remove",
            self.namespace, self.cluster
        )))
    }

    /// The control plane ends first, so that it makes nothing anew; then the tenant's pods, with a
    /// short grace period, because a namespace waits for the declared one.
    pub(super) async fn workload(&self) -> Result<Outcome, ApiError> {
        let set = self.key(Kind::StatefulSet, &self.cluster);
        let set = self.remove(&set, Propagation::Background, None).await?;
        let pods = self.host.list(Kind::Pod, Some(&self.namespace), "").await?;
        let synced = format!("{SYNCED}={}", self.cluster);
        let is_synced = |pod: &Value| label_of(pod, SYNCED) == Some(self.cluster.as_str());
        let is_control_plane = |pod: &Value| label_of(pod, "app") == Some("vcluster");
        let (mut control_plane, mut others) = (Vec::new(), Vec::new());
        for pod in &pods {
            if is_control_plane(pod) {
                control_plane.push(pod);
            } else if is_synced(pod) {
                others.push(pod);
            }
        }
        self.end_pods(&control_plane, "app=vcluster").await?;
        self.end_pods(&others, &synced).await?;
        if let Some(set) = set {
            return self.late(Kind::StatefulSet, &set, "the StatefulSet").await;
        }
        match (control_plane.first(), others.first()) {
            (Some(pod), _) => self.late(Kind::Pod, pod, "the control plane's pod").await,
            (None, Some(pod)) => {
                let what = format!("{} pods, among them {}", others.len(), name_of(pod));
                self.late(Kind::Pod, pod, &what).await
            }
            (None, None) => Ok(Outcome::Done("0 StatefulSets, 0 pods".to_owned())),
        }
    }

    /// Deletes the Service that owns what was synced, in the foreground, and proves that nothing with
    /// vCluster's label is left.
    pub(super) async fn service(&self) -> Result<Outcome, ApiError> {
        let key = self.key(Kind::Service, &self.cluster);
        if let Some(service) = self.remove(&key, Propagation::Foreground, None).await? {
            return Ok(going(&service, &format!("the Service {}", self.cluster)));
        }
        let labels = format!("{SYNCED}={}", self.cluster);
        let mut left: Option<(String, Value)> = None;
        let mut count = 0;
        for kind in SYNCED_KINDS {
            let objects = self.host.list(kind, Some(&self.namespace), &labels).await?;
            // What the garbage collector would do; it needs owner references, we do not.
            if objects.iter().any(|object| !is_terminating(object)) {
                let options = delete_options(Propagation::Background, None, None);
                self.host.delete_all(kind, &self.namespace, &labels, &options).await?;
            }
            count += objects.len();
            if left.is_none() {
                left = objects
                    .into_iter()
                    .next()
                    .map(|object| (format!("{} {}", kind.as_str(), name_of(&object)), object));
            }
        }
        Ok(match left {
            Some((name, object)) => {
                going(&object, &format!("{count} synced objects, among them {name}"))
            }
            None => Outcome::Done("the Service and all that it owned are gone".to_owned()),
        })
    }

    /// Deletes the claims and waits for their volumes.
    pub(super) async fn volumes(&self) -> Result<Outcome, ApiError> {
        let kind = Kind::PersistentVolumeClaim;
        let claims = self.host.list(kind, Some(&self.namespace), "").await?;
        if claims.iter().any(|claim| !is_terminating(claim)) {
            let options = delete_options(Propagation::Background, None, None);
            self.host.delete_all(kind, &self.namespace, "", &options).await?;
        }
        if let Some(claim) = claims.first() {
            let what = format!("PersistentVolumeClaim {}", name_of(claim));
            return self.late(kind, claim, &what).await;
        }
        let volumes = self.host.list(Kind::PersistentVolume, None, "").await?;
        let is_ours = |volume: &&Value| {
            volume.pointer("/spec/claimRef/namespace").and_then(Value::as_str)
                == Some(self.namespace.as_str())
        };
        let Some(volume) = volumes.iter().find(is_ours) else {
            return Ok(Outcome::Done("0 claims, 0 volumes".to_owned()));
        };
        let name = name_of(volume);
        let policy = volume.pointer("/spec/persistentVolumeReclaimPolicy").and_then(Value::as_str);
        if policy == Some("Retain") {
            return Ok(Outcome::Blocked(format!(
                "PersistentVolume {name} is kept by its reclaim policy Retain: save or delete it by hand"
            )));
        }
        if volume.pointer("/status/phase").and_then(Value::as_str) == Some("Failed") {
            let why = volume.pointer("/status/message").and_then(Value::as_str).unwrap_or_default();
            return Ok(Outcome::Blocked(format!(
                "PersistentVolume {name} could not be removed by its provisioner: {why}"
            )));
        }
        self.late(Kind::PersistentVolume, volume, &format!("PersistentVolume {name}")).await
    }

    /// Deletes the namespace and waits until it is gone.
    pub(super) async fn namespace(&self) -> Result<Outcome, ApiError> {
        let key = self.namespace_key();
        let Some(namespace) = self.remove(&key, Propagation::Background, None).await? else {
            return Ok(Outcome::Done(format!("namespace {} is gone", self.namespace)));
        };
        let told = told(&namespace);
        if told.is_empty() || !self.is_late {
            return Ok(Outcome::Waiting("the namespace is being deleted".to_owned()));
        }
        let messages = told.iter().map(|(_, message)| *message).collect::<Vec<_>>().join("; ");
        if told.iter().any(|(kind, _)| *kind == UNDISCOVERED) {
            return Ok(Outcome::Blocked(format!(
                "the host cannot tell what is in the namespace; mend or delete the APIService that fails: {messages}"
            )));
        }
        match self.held().await? {
            Some(held) => Ok(Outcome::Blocked(format!("{held}; {messages}"))),
            None => Ok(Outcome::Waiting(messages)),
        }
    }

    /// Something in the namespace that goes only when somebody else lets go of it.
    async fn held(&self) -> Result<Option<String>, ApiError> {
        let kinds = Kind::ALL.iter().copied().filter(|kind| kind.is_namespaced());
        // Nobody makes budgets on the host, and Warren may not read them there.
        let is_read = |kind: &Kind| !matches!(kind, Kind::Event | Kind::PodDisruptionBudget);
        for kind in kinds.filter(is_read) {
            for object in self.host.list(kind, Some(&self.namespace), "").await? {
                let finalizers = foreign_finalizers(&object);
                if is_terminating(&object) && !finalizers.is_empty() {
                    let (kind, name) = (kind.as_str(), name_of(&object));
                    return Ok(Some(format!(
                        "finalizer {} holds {kind} {name}",
                        finalizers.join(", ")
                    )));
                }
            }
        }
        Ok(None)
    }

    /// Says what is going, and who holds it if that takes long.
    async fn late(&self, kind: Kind, object: &Value, what: &str) -> Result<Outcome, ApiError> {
        let going = going(object, what);
        // By force nobody is waited for.
        if !self.is_late || self.is_forced || matches!(going, Outcome::Blocked(_)) {
            return Ok(going);
        }
        Ok(match self.blocker(kind, object).await? {
            Blocker::Slow(message) => Outcome::Waiting(message),
            Blocker::Dead(message) => Outcome::Blocked(message),
        })
    }

    /// Ends pods within a second, or at once if the removal is forced.
    async fn end_pods(&self, pods: &[&Value], labels: &str) -> Result<(), ApiError> {
        let grace = u64::from(!self.is_forced);
        let has_time = |pod: &&&Value| {
            let declared = pod.pointer("/metadata/deletionGracePeriodSeconds");
            !is_terminating(pod)
                || declared.and_then(Value::as_u64).is_some_and(|seconds| seconds > grace)
        };
        if pods.iter().any(|pod| has_time(&pod)) {
            let options = delete_options(Propagation::Background, Some(grace), None);
            self.host.delete_all(Kind::Pod, &self.namespace, labels, &options).await?;
        }
        Ok(())
    }

    /// Reads an object and deletes exactly this one, unless that is under way. Gives it while it is
    /// there.
    async fn remove(
        &self,
        key: &Key,
        propagation: Propagation,
        grace_seconds: Option<u64>,
    ) -> Result<Option<Value>, ApiError> {
        let Some(object) = self.host.get(key).await? else { return Ok(None) };
        if !is_terminating(&object) {
            let uid = object.pointer("/metadata/uid").and_then(Value::as_str);
            let options = delete_options(propagation, grace_seconds, uid);
            self.host.delete(key, &options).await?;
        }
        Ok(Some(object))
    }

    fn key(&self, kind: Kind, name: &str) -> Key {
        Key::namespaced(kind, &self.namespace, name)
    }

    fn namespace_key(&self) -> Key {
        Key::global(Kind::Namespace, &self.namespace)
    }
}

/// What the host says about a namespace that does not go: type and message of its conditions.
fn told<'a>(namespace: &'a Value) -> Vec<(&'a str, &'a str)> {
    let conditions = namespace.pointer("/status/conditions").and_then(Value::as_array);
    let text = |condition: &'a Value, name: &str| condition.get(name).and_then(Value::as_str);
    conditions
        .into_iter()
        .flatten()
        .filter(|condition| text(condition, "status") == Some("True"))
        .filter_map(|condition| Some((text(condition, "type")?, text(condition, "message")?)))
        .collect()
}

/// Whether an object goes by itself or is held by somebody.
fn going(object: &Value, what: &str) -> Outcome {
    let finalizers = foreign_finalizers(object);
    if is_terminating(object) && !finalizers.is_empty() {
        return Outcome::Blocked(format!(
            "finalizer {} holds {what} ({})",
            finalizers.join(", "),
            name_of(object)
        ));
    }
    match trouble(object) {
        Some(trouble) => Outcome::Waiting(format!("{what}: {trouble}")),
        None => Outcome::Waiting(format!("{what} is going")),
    }
}

/// Finalizers that are not taken off by Kubernetes itself within moments.
fn foreign_finalizers(object: &Value) -> Vec<&str> {
    let own = [
        FOREGROUND,
        "orphan",
        "kubernetes",
        "kubernetes.io/pvc-protection",
        "kubernetes.io/pv-protection",
        "external-provisioner.volume.kubernetes.io/finalizer",
        "batch.kubernetes.io/job-tracking",
    ];
    object
        .pointer("/metadata/finalizers")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .filter(|finalizer| !own.contains(finalizer))
        .collect()
}

pub(super) fn name_of(object: &Value) -> &str {
    object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or("?")
}

fn label_of<'a>(object: &'a Value, label: &str) -> Option<&'a str> {
    object.pointer("/metadata/labels")?.get(label)?.as_str()
}
