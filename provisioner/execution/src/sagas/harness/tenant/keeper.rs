//! A set of one pod with something in a volume: nobody may lose it, and where it lies the pod can be.

use super::{Life, SHARED, text};
use crate::sagas::harness::{
    it::fake::Fake,
    volumes::{self, Disks, node_of},
    world::World,
};
use domain::ClusterName;
use planning::{
    syncer::{OBJECT_NAME, OBJECT_NAMESPACE, SYNCED},
    volume::{IN, OUT},
};
use serde_json::{Value, json};

/// What keeps something in a volume, and what.
pub(super) const KEEPER: (&str, &str, usize, usize) = ("apps", "keeper", 1, 0);
pub(super) const KEPT: &str = "what nobody may lose";
/// Its claim inside.
pub(super) const DATA: &str = "data";

impl Life {
    /// Where its volume lets the keeper be: nowhere, if that is elsewhere than it has to go. It gets one at first.
    pub(super) fn place_of_volume(&self, node: &str) -> String {
        let (namespace, name) = (self.cluster.host_namespace(), self.synced(KEEPER.0, DATA));
        self.host.objects(|objects| {
            if objects.get("persistentvolumeclaims", &namespace, &name).is_none() {
                let claim = json!({
                    "metadata": {
                        "namespace": namespace, "name": name,
                        "labels": { SYNCED: self.cluster.as_str() },
                        "annotations": { OBJECT_NAME: DATA, OBJECT_NAMESPACE: KEEPER.0 },
                    },
                    "spec": {},
                });
                objects.put("v1", "persistentvolumeclaims", claim);
                let made = objects.get("persistentvolumeclaims", &namespace, &name).cloned();
                let made = made.expect("it was just made");
                volumes::provision(objects, &self.disks, &made, node, KEPT);
            }
            let claim = objects.get("persistentvolumeclaims", &namespace, &name);
            let is_bound = claim.is_some_and(|claim| claim["status"]["phase"] != "Lost");
            let volume = claim.map(|claim| text(&claim["spec"]["volumeName"]).to_owned());
            let volume = volume.and_then(|name| objects.get("persistentvolumes", "", &name));
            let is_here = is_bound && volume.is_some_and(|volume| node_of(volume) == node);
            if is_here { node.to_owned() } else { String::new() }
        })
    }

    /// Pods that copy do so.
    pub(super) async fn copy(&self) {
        let Some(pods) = self.host.objects(volumes::pods) else { return };
        let (namespace, phase) = pods.run(&self.relays, &self.disks).await;
        self.host.objects(|objects| {
            for side in [OUT, IN] {
                objects.change("pods", &namespace, side, |pod| {
                    pod["status"] = json!({ "phase": phase });
                });
            }
        });
    }
}

/// The keeper's volume, and what is in its folder.
pub(super) fn kept(host: &Fake, disks: &Disks, cluster: &ClusterName) -> Option<(Value, String)> {
    let (namespace, name) =
        (cluster.host_namespace(), format!("{DATA}-x-{}-x-{cluster}", KEEPER.0));
    let volume = host.objects(|objects| {
        let claim = objects.get("persistentvolumeclaims", &namespace, &name)?.clone();
        objects.get("persistentvolumes", "", text(&claim["spec"]["volumeName"])).cloned()
    })?;
    let content = disks.read(&volume).unwrap_or_default();
    Some((volume, content))
}

/// What of the volume that is kept is not as it has to be at the end, on one of these nodes or on that of everybody.
pub(in crate::sagas::harness) fn keeps(world: &World, own: &[&str]) -> Vec<String> {
    let cluster = &world.tenant.cluster;
    let Some((volume, content)) = kept(&world.host, &world.disks, cluster) else {
        return vec!["its volume is gone".to_owned()];
    };
    let mut violations = Vec::new();
    let node = node_of(&volume);
    if !(own.contains(&node) || own.is_empty() && node == SHARED) {
        violations.push(format!("its volume is at {node}"));
    }
    if content != KEPT || volume["spec"]["persistentVolumeReclaimPolicy"] != "Delete" {
        violations.push(format!("its volume holds {content:?}: {volume}"));
    }
    let folders: Vec<String> = world.disks.all().keys().cloned().collect();
    // With a machine of its own a folder goes that is on its disk.
    let left: Vec<_> = folders
        .iter()
        .filter(|path| own.iter().any(|node| path.contains(node)) || path.contains(SHARED))
        .collect();
    if left.len() != 1 {
        violations.push(format!("folders are left: {left:?}"));
    }
    world.host.objects(|objects| {
        let names = |plural| {
            objects.list(plural).into_iter().map(|object| object["metadata"]["name"].clone())
        };
        let copies = names("namespaces").chain(names("persistentvolumes"));
        let copies: Vec<_> = copies.filter(|name| text(name).starts_with("warren-copy-")).collect();
        if !copies.is_empty() {
            violations.push(format!("of copying is left: {copies:?}"));
        }
        let count = objects.list("persistentvolumes").len();
        if count != 2 {
            violations.push(format!("there are {count} volumes instead of two"));
        }
    });
    violations
}
