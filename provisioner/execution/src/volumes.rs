//! Puts a volume's copy in its place, and takes away what copying needed. Every look begins with what is there, so any
//! process goes on with it from any point.

mod copying;

pub(crate) use copying::{Copier, Reason, replaced, told};

use crate::{
    api_server::{ApiError, ApiServer, Propagation, delete_options},
    node,
};
use domain::{ClusterName, NodeName};
use jiff::{SignedDuration, Timestamp};
use planning::{
    Key, Kind,
    volume::{self, COPY, IN, OUT, Swap},
};
use serde_json::{Value, json};

/// How long the old folder may take to be removed before nobody waits for it any more.
const REST: SignedDuration = SignedDuration::from_mins(2);
/// The entry that says that the old folder is being removed.
const HAS_REST: &str = "rest";
/// The entry that says that the volume was at its new place.
const HAS_NEW: &str = "new";

/// What copying the volumes of one tenant left on the host, or has there.
pub(crate) struct Leftovers<'a> {
    pub(crate) host: &'a ApiServer,
    pub(crate) cluster: &'a ClusterName,
    pub(crate) now: Timestamp,
}

impl Leftovers<'_> {
    /// Goes on as far as it goes now: what has begun to take a volume's place does, and then nothing else is left. What
    /// it waits for; nothing if nothing is left.
    pub(crate) async fn tidy(&self) -> Result<Option<String>, ApiError> {
        match self.swap().await? {
            Some(story) => Ok(Some(story)),
            None => self.clear().await,
        }
    }

    /// Lets the copy take the volume's place, if that has begun. What it waits for; nothing if it is done, or never
    /// began.
    pub(crate) async fn swap(&self) -> Result<Option<String>, ApiError> {
        let journal = volume::swap_key(self.cluster);
        let Some(map) = self.host.get(&journal).await? else { return Ok(None) };
        let Some(swap) = Swap::read(&map) else {
            return Ok(Some(format!("{journal} cannot be read; mend or delete it by hand")));
        };
        if self.remove_all(Kind::Pod, &[OUT, IN]).await? {
            return Ok(Some("the pods that copied are ending".to_owned()));
        }
        if let Some(story) = self.replace(&map, &swap).await? {
            return Ok(Some(story));
        }
        if let Some(story) = self.is_bound(&swap).await? {
            return Ok(Some(story));
        }
        if self.remove_all(Kind::PersistentVolumeClaim, &[OUT, IN]).await? {
            return Ok(Some("the claims of the copy are going".to_owned()));
        }
        for key in [swap.copied(), volume::volume_key(self.cluster, OUT)] {
            if self.remove(&key).await? {
                return Ok(Some(format!("{key} is going")));
            }
        }
        if let Some(story) = self.remove_rest(&map, &swap).await? {
            return Ok(Some(story));
        }
        self.remove(&journal).await?;
        Ok(None)
    }

    /// The volume is away for the moment between its deletion and its return under the same name. From before that both
    /// folders are kept, whatever becomes of the objects. If the claim is gone, the new one goes again with the copy's folder.
    async fn replace(&self, map: &Value, swap: &Swap) -> Result<Option<String>, ApiError> {
        let (key, was_new) = (swap.volume(), !map["data"][HAS_NEW].is_null());
        match self.host.get(&key).await? {
            Some(volume) if swap.is_new(&volume) => {
                if !was_new {
                    self.note(HAS_NEW).await?;
                }
                Ok(None)
            }
            Some(volume) => {
                self.keep(&swap.copied()).await?;
                self.keep(&key).await?;
                if is_terminating(&volume) {
                    let free = json!({ "metadata": { "finalizers": null } });
                    self.host.merge(&key, &free).await?;
                } else {
                    let uid = volume["metadata"]["uid"].as_str();
                    let options = delete_options(Propagation::Background, None, uid);
                    self.host.delete(&key, &options).await?;
                }
                Ok(Some(format!("{key} makes way for its copy")))
            }
            None if was_new && self.claim(swap).await?.is_none() => Ok(None),
            None => {
                self.keep(&swap.copied()).await?;
                self.host.create(&key, &swap.render_new()).await?;
                self.note(HAS_NEW).await?;
                Ok(Some(format!("{key} lies at its new place")))
            }
        }
    }

    /// Writes down that something has been made.
    async fn note(&self, what: &str) -> Result<(), ApiError> {
        let noted = json!({ "data": { what: "made" } });
        self.host.merge(&volume::swap_key(self.cluster), &noted).await.map(drop)
    }

    /// The claim whose volume is replaced, and no other one of its name.
    async fn claim(&self, swap: &Swap) -> Result<Option<Value>, ApiError> {
        let namespace = self.cluster.host_namespace();
        let key = Key::namespaced(Kind::PersistentVolumeClaim, &namespace, &swap.claim);
        let found = self.host.get(&key).await?;
        Ok(found.filter(|claim| claim["metadata"]["uid"] == swap.old["spec"]["claimRef"]["uid"]))
    }

    /// Nobody removes the folder when the volume goes.
    async fn keep(&self, key: &Key) -> Result<(), ApiError> {
        let Some(volume) = self.host.get(key).await? else { return Ok(()) };
        if volume["spec"]["persistentVolumeReclaimPolicy"] != "Retain" {
            let keep = json!({ "spec": { "persistentVolumeReclaimPolicy": "Retain" } });
            self.host.merge(key, &keep).await?;
        }
        Ok(())
    }

    /// Waits for the host's controller to see that the claim has its volume again.
    async fn is_bound(&self, swap: &Swap) -> Result<Option<String>, ApiError> {
        let Some(claim) = self.claim(swap).await? else { return Ok(None) };
        let volume = self.host.get(&swap.volume()).await?;
        let is_bound = |object: &Value| object["status"]["phase"] == "Bound";
        if is_bound(&claim) && volume.as_ref().is_some_and(is_bound) {
            return Ok(None);
        }
        let claim = &swap.claim;
        Ok(Some(format!("claim {claim} on the host is not bound to its new volume yet")))
    }

    /// Has the old folder removed by whoever made it. Who does not do it in time is not waited for: on a node that is
    /// the tenant's own the folder goes with the machine, elsewhere the volume stays for whoever looks after them.
    async fn remove_rest(&self, map: &Value, swap: &Swap) -> Result<Option<String>, ApiError> {
        let key = volume::volume_key(self.cluster, HAS_REST);
        let found = self.host.get(&key).await?;
        if map["data"][HAS_REST].is_null() {
            if found.is_none() {
                self.host.create(&key, &swap.render_rest(self.cluster)).await?;
            }
            self.note(HAS_REST).await?;
            return Ok(Some(format!("the old folder on node {} is removed", swap.node())));
        }
        let Some(rest) = found else { return Ok(None) };
        let since = rest["metadata"]["creationTimestamp"].as_str();
        let since = since.and_then(|text| text.parse::<Timestamp>().ok());
        let is_early = since.is_some_and(|since| self.now.duration_since(since) < REST);
        let is_own = swap.node().starts_with(NodeName::PREFIX);
        if (is_own && !is_early) || self.is_gone(swap.node()).await? {
            return Ok(self.remove(&key).await?.then(|| format!("{key} is going")));
        }
        if is_early {
            return Ok(Some(format!("the old folder on node {} is removed", swap.node())));
        }
        // Its name is needed for the next one.
        tracing::warn!(volume = key.name, node = swap.node(), "nobody removes an old folder");
        let why = rest["status"]["message"].as_str().unwrap_or("its provisioner says nothing");
        Ok(Some(format!("{key} on node {} is not removed: {why}", swap.node())))
    }

    /// Removes what copying needed, and a copy that did not come to its end.
    async fn clear(&self) -> Result<Option<String>, ApiError> {
        let key = volume::namespace_key(self.cluster);
        let namespace = volume::namespace(self.cluster);
        if let Some(found) = self.host.get(&key).await? {
            if found["metadata"]["labels"][COPY] != self.cluster.as_str() {
                return Ok(Some(format!("{key} does not carry Warren's label; remove it by hand")));
            }
            self.remove(&key).await?;
            return Ok(Some("what copying needed is going".to_owned()));
        }
        if self.remove(&volume::volume_key(self.cluster, OUT)).await? {
            return Ok(Some("what copying needed is going".to_owned()));
        }
        let volumes = self.host.list(Kind::PersistentVolume, None, "").await?;
        let is_left =
            |volume: &&Value| volume["spec"]["claimRef"]["namespace"] == namespace.as_str();
        let Some(left) = volumes.iter().find(is_left) else { return Ok(None) };
        let name = left["metadata"]["name"].as_str().unwrap_or_default();
        let key = Key::global(Kind::PersistentVolume, name);
        if self.is_gone(volume::at(left)).await? {
            return Ok(self.remove(&key).await?.then(|| format!("{key} is going")));
        }
        Ok(Some(format!("{key} is removed by its provisioner")))
    }

    /// Whether a volume's node is not there any more: then its folder is not either, and its provisioner would wait for
    /// ever. A volume that can be anywhere has no node.
    async fn is_gone(&self, node: &str) -> Result<bool, ApiError> {
        Ok(!node.is_empty() && node::ready(self.host, node).await?.is_none())
    }

    /// Removes objects of the copy's namespace; whether one is still there.
    async fn remove_all(&self, kind: Kind, names: &[&str]) -> Result<bool, ApiError> {
        let mut is_left = false;
        for name in names {
            is_left |= self.remove(&volume::key(kind, self.cluster, name)).await?;
        }
        Ok(is_left)
    }

    /// Removes an object; whether it was still there.
    async fn remove(&self, key: &Key) -> Result<bool, ApiError> {
        let Some(object) = self.host.get(key).await? else { return Ok(false) };
        if !is_terminating(&object) {
            let uid = object["metadata"]["uid"].as_str();
            let grace = (key.kind == Kind::Pod).then_some(1);
            self.host.delete(key, &delete_options(Propagation::Background, grace, uid)).await?;
        }
        Ok(true)
    }
}

fn is_terminating(object: &Value) -> bool {
    !object["metadata"]["deletionTimestamp"].is_null()
}
