//! Kubernetes objects as values: what kind they are, how they are addressed, how they are compared.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::fmt;

/// The field manager of everything that Warren applies.
pub const FIELD_MANAGER: &str = "warren-provisioner";
/// The label that marks an object as Warren's; its value is [`MANAGED_BY_VALUE`].
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// The value of [`MANAGED_BY`].
pub const MANAGED_BY_VALUE: &str = "warren";
/// The label that names the virtual cluster which an object belongs to.
pub const CLUSTER_LABEL: &str = "warren.dev/cluster";
/// The annotation with the SHA-256 of the object as it was rendered, without this annotation.
pub const RENDERED: &str = "warren.dev/rendered";

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident: $group:literal, $version:literal, $plural:literal, $scope:ident;)*) => {
        /// The kinds of objects that Warren reads or writes, on the host and inside tenants.
        ///
        /// Source: Kubernetes 1.36, API reference.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind {
            $($(#[$doc])* $name,)*
        }

        impl Kind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The API group; empty for the core group.
            #[must_use]
            pub const fn group(self) -> &'static str {
                match self { $(Self::$name => $group,)* }
            }

            /// The version inside the group, e.g. `v1`.
            #[must_use]
            pub const fn version(self) -> &'static str {
                match self { $(Self::$name => $version,)* }
            }

            /// The name as `kind:` has it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            /// The name as paths have it.
            #[must_use]
            pub const fn plural(self) -> &'static str {
                match self { $(Self::$name => $plural,)* }
            }

            /// Whether objects of this kind live in namespaces.
            #[must_use]
            pub const fn is_namespaced(self) -> bool {
                match self { $(Self::$name => kinds!(@ $scope),)* }
            }
        }
    };
    (@ namespaced) => { true };
    (@ global) => { false };
}

kinds! {
    /// A namespace.
    Namespace: "", "v1", "namespaces", global;
    /// A node.
    Node: "", "v1", "nodes", global;
    /// A volume.
    PersistentVolume: "", "v1", "persistentvolumes", global;
    /// An account for pods.
    ServiceAccount: "", "v1", "serviceaccounts", namespaced;
    /// A secret.
    Secret: "", "v1", "secrets", namespaced;
    /// A configuration map.
    ConfigMap: "", "v1", "configmaps", namespaced;
    /// A service.
    Service: "", "v1", "services", namespaced;
    /// A pod.
    Pod: "", "v1", "pods", namespaced;
    /// A claim of a volume.
    PersistentVolumeClaim: "", "v1", "persistentvolumeclaims", namespaced;
    /// A quota of a namespace.
    ResourceQuota: "", "v1", "resourcequotas", namespaced;
    /// Defaults and bounds of a namespace's containers.
    LimitRange: "", "v1", "limitranges", namespaced;
    /// An event.
    Event: "", "v1", "events", namespaced;
    /// A stateful set.
    StatefulSet: "apps", "v1", "statefulsets", namespaced;
    /// A job.
    Job: "batch", "v1", "jobs", namespaced;
    /// How many pods have to be ready while some are asked to go.
    PodDisruptionBudget: "policy", "v1", "poddisruptionbudgets", namespaced;
    /// The addresses behind a service.
    EndpointSlice: "discovery.k8s.io", "v1", "endpointslices", namespaced;
    /// Who may talk to whom.
    NetworkPolicy: "networking.k8s.io", "v1", "networkpolicies", namespaced;
    /// Rights in a namespace.
    Role: "rbac.authorization.k8s.io", "v1", "roles", namespaced;
    /// Who has a role.
    RoleBinding: "rbac.authorization.k8s.io", "v1", "rolebindings", namespaced;
    /// Rights everywhere.
    ClusterRole: "rbac.authorization.k8s.io", "v1", "clusterroles", global;
    /// Who has a cluster role.
    ClusterRoleBinding: "rbac.authorization.k8s.io", "v1", "clusterrolebindings", global;
    /// Rules that refuse.
    ValidatingAdmissionPolicy: "admissionregistration.k8s.io", "v1", "validatingadmissionpolicies", global;
    /// Where rules that refuse hold.
    ValidatingAdmissionPolicyBinding: "admissionregistration.k8s.io", "v1", "validatingadmissionpolicybindings", global;
    /// Rules that change.
    MutatingAdmissionPolicy: "admissionregistration.k8s.io", "v1", "mutatingadmissionpolicies", global;
    /// Where rules that change hold.
    MutatingAdmissionPolicyBinding: "admissionregistration.k8s.io", "v1", "mutatingadmissionpolicybindings", global;
}

impl Kind {
    /// Group and version as `apiVersion:` has them.
    #[must_use]
    pub fn api_version(self) -> String {
        if self.group().is_empty() {
            self.version().to_owned()
        } else {
            format!("{}/{}", self.group(), self.version())
        }
    }

    /// The path of the collection on an API server; without a namespace that of all namespaces.
    #[must_use]
    pub fn path(self, namespace: Option<&str>) -> String {
        let root = if self.group().is_empty() { "/api" } else { "/apis" };
        let (version, plural) = (self.api_version(), self.plural());
        match namespace {
            Some(namespace) => format!("{root}/{version}/namespaces/{namespace}/{plural}"),
            None => format!("{root}/{version}/{plural}"),
        }
    }

    /// Finds a kind by `apiVersion` and `kind`.
    #[must_use]
    pub fn find(api_version: &str, kind: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|known| known.as_str() == kind && known.api_version() == api_version)
    }
}

/// The address of one object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace; none for kinds that have none.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
}

impl Key {
    /// The address of an object in a namespace.
    #[must_use]
    pub fn namespaced(kind: Kind, namespace: &str, name: &str) -> Self {
        debug_assert!(kind.is_namespaced(), "{kind:?} has no namespace");
        Self { kind, namespace: Some(namespace.to_owned()), name: name.to_owned() }
    }

    /// The address of an object outside namespaces.
    #[must_use]
    pub fn global(kind: Kind, name: &str) -> Self {
        debug_assert!(!kind.is_namespaced(), "{kind:?} needs a namespace");
        Self { kind, namespace: None, name: name.to_owned() }
    }

    /// The address that an object carries. `kind` helps with items of a list, which lack theirs.
    #[must_use]
    pub fn of(kind: Kind, object: &Value) -> Option<Self> {
        let metadata = object.get("metadata")?;
        let name = metadata.get("name")?.as_str()?.to_owned();
        let namespace = match metadata.get("namespace").and_then(Value::as_str) {
            Some(namespace) if kind.is_namespaced() => Some(namespace.to_owned()),
            None if kind.is_namespaced() => return None,
            _ => None,
        };
        Some(Self { kind, namespace, name })
    }

    /// The path of the object on an API server.
    #[must_use]
    pub fn path(&self) -> String {
        format!("{}/{}", self.kind.path(self.namespace.as_deref()), self.name)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.kind.as_str(), self.name),
            None => write!(f, "{} {}", self.kind.as_str(), self.name),
        }
    }
}

/// How strictly an observed object has to equal the rendered one.
///
/// Everything that is rendered must be there. Inside the parts that are named here, nothing else
/// may be there either; elsewhere the server's defaults and other writers' fields are welcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Comparison {
    /// JSON Pointers to the parts that must be equal.
    pub exact: &'static [&'static str],
    /// JSON Pointers to the parts that the API server never changes once the object exists, and that make it another
    /// object.
    pub immutable: &'static [&'static str],
    /// JSON Pointers to the parts that stay as they were when the object was made.
    pub kept: &'static [&'static str],
}

impl Comparison {
    /// Nothing is exact.
    pub const SUBSET: Self = Self { exact: &[], immutable: &[], kept: &[] };

    /// What is right for a kind: what grants or limits something must be exact.
    #[must_use]
    pub const fn of(kind: Kind) -> Self {
        match kind {
            Kind::NetworkPolicy
            | Kind::LimitRange
            | Kind::ValidatingAdmissionPolicy
            | Kind::ValidatingAdmissionPolicyBinding
            | Kind::MutatingAdmissionPolicy
            | Kind::MutatingAdmissionPolicyBinding => Self { exact: &["/spec"], ..Self::SUBSET },
            Kind::ResourceQuota => {
                let exact = &["/spec/hard", "/spec/scopes", "/spec/scopeSelector"];
                Self { exact, ..Self::SUBSET }
            }
            Kind::Role | Kind::ClusterRole => {
                Self { exact: &["/rules", "/aggregationRule"], ..Self::SUBSET }
            }
            Kind::RoleBinding | Kind::ClusterRoleBinding => {
                let exact = &["/roleRef", "/subjects"];
                Self { exact, immutable: &["/roleRef"], ..Self::SUBSET }
            }
            Kind::Secret => {
                Self { exact: &["/data", "/type"], immutable: &["/type"], ..Self::SUBSET }
            }
            Kind::ConfigMap => Self { exact: &["/data", "/binaryData"], ..Self::SUBSET },
            Kind::StatefulSet => Self {
                immutable: &["/spec/selector", "/spec/serviceName", "/spec/podManagementPolicy"],
                // Another class or size is for volumes that are made from now on.
                kept: &["/spec/volumeClaimTemplates"],
                ..Self::SUBSET
            },
            Kind::Namespace
            | Kind::Node
            | Kind::PersistentVolume
            | Kind::ServiceAccount
            | Kind::Service
            | Kind::Pod
            | Kind::PersistentVolumeClaim
            | Kind::Event
            | Kind::Job
            | Kind::PodDisruptionBudget
            | Kind::EndpointSlice => Self::SUBSET,
        }
    }
}

/// What it means that an object is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absence {
    /// It has to be made.
    Create,
    /// It was there once and must not be made again; the sentence says why.
    Damage(&'static str),
}

/// An object as it should be.
#[derive(Clone, PartialEq)]
pub struct Rendered {
    /// Its address.
    pub key: Key,
    /// The whole object, with the annotation [`RENDERED`]; `null` if it must only exist.
    pub body: Value,
    /// How strictly to compare.
    pub comparison: Comparison,
    /// What to do when it is missing.
    pub absence: Absence,
}

impl Rendered {
    /// Completes `body` with `apiVersion`, `kind`, name, namespace, the labels that every object of
    /// Warren has, and the annotation [`RENDERED`].
    #[must_use]
    pub fn new(key: Key, cluster: Option<&str>, mut body: Value) -> Self {
        let comparison = Comparison::of(key.kind);
        body["apiVersion"] = key.kind.api_version().into();
        body["kind"] = key.kind.as_str().into();
        body["metadata"]["name"] = key.name.clone().into();
        if let Some(namespace) = &key.namespace {
            body["metadata"]["namespace"] = namespace.clone().into();
        }
        body["metadata"]["labels"][MANAGED_BY] = MANAGED_BY_VALUE.into();
        if let Some(cluster) = cluster {
            body["metadata"]["labels"][CLUSTER_LABEL] = cluster.into();
        }
        let hash = hash(&body);
        body["metadata"]["annotations"][RENDERED] = hash.into();
        Self { key, body, comparison, absence: Absence::Create }
    }

    /// Something that Warren does not make, but whose absence is damage.
    #[must_use]
    pub fn must_exist(key: Key, why: &'static str) -> Self {
        Self {
            key,
            body: Value::Null,
            comparison: Comparison::SUBSET,
            absence: Absence::Damage(why),
        }
    }

    /// Compares as a subset although the kind is usually exact.
    #[must_use]
    pub fn as_subset(self) -> Self {
        Self { comparison: Comparison::SUBSET, ..self }
    }

    /// Makes absence damage.
    #[must_use]
    pub fn never_again(self, why: &'static str) -> Self {
        Self { absence: Absence::Damage(why), ..self }
    }

    /// The SHA-256 that the object carries in [`RENDERED`].
    #[must_use]
    pub fn hash(&self) -> Option<&str> {
        rendered_hash(&self.body)
    }
}

impl fmt::Debug for Rendered {
    /// Without the body: it may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rendered({}, {})", self.key, self.hash().unwrap_or("must exist"))
    }
}

/// The value of the annotation [`RENDERED`] of an object.
#[must_use]
pub fn rendered_hash(object: &Value) -> Option<&str> {
    object.get("metadata")?.get("annotations")?.get(RENDERED)?.as_str()
}

/// SHA-256 of the canonical text: compact JSON with the keys of maps in order, however
/// `serde_json` happens to keep them.
pub(crate) fn hash(value: &Value) -> String {
    hex::encode(Sha256::digest(canonical_text(value)))
}

pub(crate) fn canonical_text(value: &Value) -> String {
    let mut text = String::new();
    canonical(value, &mut text);
    text
}

fn canonical(value: &Value, text: &mut String) {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(name, _)| *name);
            for (index, (name, value)) in entries.into_iter().enumerate() {
                text.push_str(if index == 0 { "{" } else { "," });
                text.push_str(&Value::from(name.as_str()).to_string());
                text.push(':');
                canonical(value, text);
            }
            text.push_str(if map.is_empty() { "{}" } else { "}" });
        }
        Value::Array(list) => {
            text.push('[');
            for (index, value) in list.iter().enumerate() {
                text.push_str(if index == 0 { "" } else { "," });
                canonical(value, text);
            }
            text.push(']');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            text.push_str(&value.to_string());
        }
    }
}

/// A Kubernetes `List` of the bodies, e.g. for `kubectl apply -f -`.
#[must_use]
pub fn list<'a>(objects: impl IntoIterator<Item = &'a Rendered>) -> Value {
    let items: Vec<&Value> =
        objects.into_iter().map(|object| &object.body).filter(|body| !body.is_null()).collect();
    json!({ "apiVersion": "v1", "kind": "List", "items": items })
}
