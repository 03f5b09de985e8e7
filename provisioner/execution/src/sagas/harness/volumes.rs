//! What a host cluster does about volumes, in a few lines: claims are bound and lost, folders are made where somebody
//! waits for them and removed when nobody has them any more, and pods copy what is in them.

use super::it::fake::Objects;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use clusters::{End, Relays, Taken, Whole};
use planning::{
    machine::LABEL,
    volume::{IN, OUT},
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Who makes volumes.
pub(super) const PROVISIONER: &str = "example.test/folders";
/// The annotation that says so.
const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";
/// The class of such volumes.
const CLASS: &str = "folders";

/// The folders of all nodes, and what is in each.
#[derive(Debug, Clone, Default)]
pub(super) struct Disks(Arc<Mutex<BTreeMap<String, String>>>);

impl Disks {
    pub(super) fn all(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is in a volume; nothing if its folder is gone.
    pub(super) fn read(&self, volume: &Value) -> Option<String> {
        self.all().get(text(&volume["spec"]["hostPath"]["path"])).cloned()
    }
}

/// Makes the volume of a claim on a node, with something in it.
pub(super) fn provision(
    objects: &mut Objects,
    disks: &Disks,
    claim: &Value,
    node: &str,
    content: &str,
) {
    let uid = text(&claim["metadata"]["uid"]);
    let (name, path) = (format!("pvc-{uid}"), format!("/{node}/pvc-{uid}"));
    disks.all().insert(path.clone(), content.to_owned());
    let terms = json!([{ "matchExpressions": [
        { "key": "kubernetes.io/hostname", "operator": "In", "values": [node] },
    ] }]);
    let metadata = &claim["metadata"];
    let (namespace, of) = (text(&metadata["namespace"]), text(&metadata["name"]));
    let volume = json!({
        "metadata": { "name": name, "annotations": { PROVISIONED_BY: PROVISIONER } },
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "capacity": { "storage": "1Gi" },
            "claimRef": { "namespace": namespace, "name": of, "uid": uid },
            "hostPath": { "path": path },
            "nodeAffinity": { "required": { "nodeSelectorTerms": terms } },
            "persistentVolumeReclaimPolicy": "Delete",
            "storageClassName": CLASS,
        },
    });
    objects.put("v1", "persistentvolumes", volume);
    objects.change("persistentvolumeclaims", namespace, of, |claim| {
        claim["spec"]["volumeName"] = name.into();
    });
}

/// The node that a volume lies on.
pub(super) fn node_of(volume: &Value) -> &str {
    planning::volume::at(volume)
}

/// What the host's controllers do after every change.
pub(super) fn settle(objects: &mut Objects, disks: &Disks) {
    place_pods(objects);
    for claim in objects.list("persistentvolumeclaims") {
        bind(objects, disks, &claim);
    }
    for volume in objects.list("persistentvolumes") {
        release(objects, disks, &volume);
    }
}

/// Pods that copy go where their volume is, or where they may.
fn place_pods(objects: &mut Objects) {
    for pod in objects.list("pods") {
        let namespace = text(&pod["metadata"]["namespace"]).to_owned();
        if !namespace.starts_with("warren-copy-") || pod["spec"]["nodeName"].is_string() {
            continue;
        }
        let side = text(&pod["metadata"]["name"]).to_owned();
        let node = if side == OUT {
            let claim = objects.get("persistentvolumeclaims", &namespace, OUT);
            let name = claim.map(|claim| text(&claim["spec"]["volumeName"]).to_owned());
            let volume = name.and_then(|name| objects.get("persistentvolumes", "", &name));
            volume.map(|volume| node_of(volume).to_owned())
        } else if pod["spec"]["nodeSelector"][LABEL].is_null() {
            Some(super::tenant::SHARED.to_owned())
        } else {
            let is_open = |node: &&Value| {
                node["metadata"]["labels"][LABEL] == pod["spec"]["nodeSelector"][LABEL]
                    && node["spec"]["unschedulable"] != true
            };
            let nodes = objects.list("nodes");
            nodes.iter().find(is_open).map(|node| text(&node["metadata"]["name"]).to_owned())
        };
        if let Some(node) = node {
            objects.change("pods", &namespace, &side, |pod| pod["spec"]["nodeName"] = node.into());
        }
    }
}

/// A claim has its volume, or waits for it, or has lost it.
fn bind(objects: &mut Objects, disks: &Disks, claim: &Value) {
    let (namespace, name) =
        (text(&claim["metadata"]["namespace"]), text(&claim["metadata"]["name"]));
    let Some(volume) = claim["spec"]["volumeName"].as_str() else {
        let pod = objects.get("pods", namespace, name);
        let node = pod.map(|pod| text(&pod["spec"]["nodeName"]).to_owned());
        if let Some(node) = node.filter(|node| !node.is_empty() && name == IN) {
            provision(objects, disks, claim, &node, "");
        }
        return;
    };
    let uid = claim["metadata"]["uid"].clone();
    let found = objects.get("persistentvolumes", "", volume).cloned();
    let is_meant = |volume: &Value| {
        let of = &volume["spec"]["claimRef"];
        of.is_null() || (of["name"] == name && (of["uid"].is_null() || of["uid"] == uid))
    };
    let is_bound = found.is_some_and(|volume| is_meant(&volume));
    let phase = if is_bound { "Bound" } else { "Lost" };
    if claim["status"]["phase"] != phase {
        objects.change("persistentvolumeclaims", namespace, name, |claim| {
            claim["status"]["phase"] = phase.into();
        });
    }
    if is_bound {
        objects.change("persistentvolumes", "", volume, |volume| {
            volume["status"]["phase"] = "Bound".into();
            if !volume["spec"]["claimRef"].is_null() {
                volume["spec"]["claimRef"]["uid"] = uid;
            }
        });
    }
}

/// A volume whose claim is gone goes with its folder, unless it is to be kept.
fn release(objects: &mut Objects, disks: &Disks, volume: &Value) {
    let of = &volume["spec"]["claimRef"];
    if of["uid"].is_null() {
        return;
    }
    let claim = objects.get("persistentvolumeclaims", text(&of["namespace"]), text(&of["name"]));
    if claim.is_some_and(|claim| claim["metadata"]["uid"] == of["uid"]) {
        return;
    }
    if objects.get("nodes", "", node_of(volume)).is_none() {
        // Nobody can remove a folder there.
        return;
    }
    let is_made = volume["metadata"]["annotations"][PROVISIONED_BY] == PROVISIONER;
    if is_made && volume["spec"]["persistentVolumeReclaimPolicy"] == "Delete" {
        disks.all().remove(text(&volume["spec"]["hostPath"]["path"]));
        objects.remove("persistentvolumes", "", text(&volume["metadata"]["name"]));
    }
}

/// Two pods that are placed, ready to copy.
pub(super) struct Pods {
    namespace: String,
    /// Of the one that bytes come from, and of the other.
    tokens: [String; 2],
    from: String,
    to: String,
}

/// Those that are there and have not ended.
pub(super) fn pods(objects: &mut Objects) -> Option<Pods> {
    let all = objects.list("pods");
    let pod = |side: &str| {
        let is_it = |pod: &&Value| {
            text(&pod["metadata"]["namespace"]).starts_with("warren-copy-")
                && pod["metadata"]["name"] == side
                && pod["spec"]["nodeName"].is_string()
                && pod["status"].is_null()
        };
        all.iter().find(is_it)
    };
    let namespace = text(&pod(OUT)?["metadata"]["namespace"]).to_owned();
    pod(IN)?;
    let secret = objects.get("secrets", &namespace, "tokens")?.clone();
    let token = |side: &str| {
        let bytes = STANDARD.decode(text(&secret["data"][side])).expect("it is encoded");
        String::from_utf8(bytes).expect("a token is text")
    };
    let folder = |side: &str| {
        let claim = objects.get("persistentvolumeclaims", &namespace, side)?;
        let volume = objects.get("persistentvolumes", "", text(&claim["spec"]["volumeName"]))?;
        Some(text(&volume["spec"]["hostPath"]["path"]).to_owned())
    };
    let (from, to) = (folder(OUT)?, folder(IN)?);
    Some(Pods { tokens: [token(OUT), token(IN)], namespace, from, to })
}

impl Pods {
    /// Copies as the program in them does. The phase that each ends with.
    pub(super) async fn run(self, relays: &Relays, disks: &Disks) -> (String, &'static str) {
        let ends = self.tokens.each_ref().map(|token| relays.end(token));
        let phase = match ends {
            [Some(out), Some(into)] if self.copy(&out, &into, disks).await => "Succeeded",
            // The process that waited for them is gone.
            _ => "Failed",
        };
        (self.namespace, phase)
    }

    async fn copy(&self, out: &End, into: &End, disks: &Disks) -> bool {
        let Some(content) = disks.all().get(&self.from).cloned() else { return false };
        let length = content.len() as u64;
        if out.put(0, length, Bytes::from(content)).await != Ok(length) {
            return false;
        }
        let Ok(Taken::Piece(piece)) = into.take(0).await else { return false };
        let got = String::from_utf8(piece.to_vec()).expect("it was text");
        let digest = domain::Digest::of_sha256(Sha256::digest(got.as_bytes()).into());
        disks.all().insert(self.to.clone(), got);
        out.finish(Ok(Whole { bytes: length, digest: digest.clone() }));
        into.finish(Ok(Whole { bytes: length, digest }));
        true
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
