//! What takes the place of what when a volume was copied.

use super::{IN, at, key, labels, namespace, object, path, set_place, volume_key};
use crate::{
    object::{Key, Kind},
    pod::text,
};
use domain::ClusterName;
use serde_json::{Value, json};

/// The entry in which the configuration map has what is replaced by what.
pub(super) const SWAP: &str = "swap";
/// Who made a volume and removes it (Kubernetes, well-known annotations).
pub(super) const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";

/// What is to be replaced by what, written down before anything is.
#[derive(Debug, Clone, PartialEq)]
pub struct Swap {
    /// The volume as it was.
    pub old: Value,
    /// The one in which the copy is.
    pub copy: Value,
    /// The claim's name on the host.
    pub claim: String,
    /// The identifier of the claim by which the copy was made: it is gone when the old folder is removed.
    pub gone: String,
}

/// Where the swap that is under way is written down.
#[must_use]
pub fn swap_key(cluster: &ClusterName) -> Key {
    key(Kind::ConfigMap, cluster, SWAP)
}

impl Swap {
    /// What is written down of it.
    #[must_use]
    pub fn render(&self, cluster: &ClusterName) -> Value {
        let Self { old, copy, claim, gone } = self;
        let swap = json!({ "old": kept(old), "copy": kept(copy), "claim": claim, "gone": gone });
        object(
            &swap_key(cluster),
            json!({
                "metadata": { "labels": labels(cluster) },
                "data": { SWAP: swap.to_string() },
            }),
        )
    }

    /// Reads it again; nothing if it is not what was written.
    #[must_use]
    pub fn read(map: &Value) -> Option<Self> {
        let mut swap: Value = serde_json::from_str(map["data"][SWAP].as_str()?).ok()?;
        Some(Self {
            old: swap["old"].take(),
            copy: swap["copy"].take(),
            claim: swap["claim"].as_str()?.to_owned(),
            gone: swap["gone"].as_str()?.to_owned(),
        })
    }

    /// The address of the tenant's volume, before and after.
    #[must_use]
    pub fn volume(&self) -> Key {
        Key::global(Kind::PersistentVolume, text(&self.old, "/metadata/name"))
    }

    /// The address of the volume in which the copy is.
    #[must_use]
    pub fn copied(&self) -> Key {
        Key::global(Kind::PersistentVolume, text(&self.copy, "/metadata/name"))
    }

    /// Whether a volume lies where the copy is.
    #[must_use]
    pub fn is_new(&self, volume: &Value) -> bool {
        path(volume).is_some() && path(volume) == path(&self.copy) && at(volume) == at(&self.copy)
    }

    /// What takes the old volume's place: it has its name and its claim, and lies where the copy is.
    #[must_use]
    pub fn render_new(&self) -> Value {
        let mut new = self.old.clone();
        new["spec"]["persistentVolumeReclaimPolicy"] = "Delete".into();
        new["spec"]["nodeAffinity"] = self.copy["spec"]["nodeAffinity"].clone();
        set_place(&mut new["spec"], &self.copy["spec"]);
        object(&self.volume(), new)
    }

    /// A volume whose claim is gone: whoever makes volumes removes the old folder with it.
    #[must_use]
    pub fn render_rest(&self, cluster: &ClusterName) -> Value {
        let mut rest = self.old.clone();
        rest["metadata"]["labels"] = labels(cluster);
        rest["spec"]["persistentVolumeReclaimPolicy"] = "Delete".into();
        rest["spec"]["claimRef"] = json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "namespace": namespace(cluster), "name": IN, "uid": self.gone,
        });
        object(&volume_key(cluster, "rest"), rest)
    }

    /// The node that the old folder is on.
    #[must_use]
    pub fn node(&self) -> &str {
        at(&self.old)
    }
}

/// What of a volume is its own: not what the API server says of this object.
fn kept(volume: &Value) -> Value {
    let annotations = volume.pointer("/metadata/annotations").and_then(Value::as_object);
    let kept = annotations.into_iter().flatten().filter(|(name, _)| *name == PROVISIONED_BY);
    let annotations: Value = kept.map(|(name, value)| (name.clone(), value.clone())).collect();
    let mut spec = volume["spec"].clone();
    if let Some(claim) = spec.get_mut("claimRef").and_then(Value::as_object_mut) {
        claim.remove("resourceVersion");
    }
    let name = text(volume, "/metadata/name");
    json!({ "metadata": { "name": name, "annotations": annotations }, "spec": spec })
}
