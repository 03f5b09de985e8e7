//! A volume goes from the node that is left to where its tenant is going. Whoever uses one has been sent there and waits
//! for its volume: nobody has to stop anything.

use super::Leftovers;
use crate::{
    Context,
    api_server::{ApiError, ApiServer},
    plan_change,
    sagas::{Progress, StepError},
};
use clusters::{Passed, Relay};
use domain::{Isolation, Node, NodeId, Tenant};
use planning::{
    Key, Kind,
    pod::is_ready,
    volume::{self, Bound, IN, OUT, Swap, Tokens},
};
use serde_json::Value;
use std::time::Duration;
use store::StoreError;
use tokio::time::Instant;

/// Between two looks at something that is on its way.
const LOOK: Duration = Duration::from_millis(500);
/// How long nothing may move before it is tried anew.
const STILL: Duration = Duration::from_mins(5);
/// How long the copy may take to get into the volume's place.
const SWAP: Duration = Duration::from_mins(10);
/// How long what is left may take to go.
const TIDY: Duration = Duration::from_mins(10);
/// How long whoever uses a volume may take to be ready before others have their turn.
const READY: Duration = Duration::from_mins(2);
/// How often one volume is tried.
const ATTEMPTS: u32 = 3;

/// Why volumes are copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// Their tenant moves.
    Move,
    /// It moves back: there is nothing that could be taken back.
    MoveBack,
    /// This node is replaced, until they are given up.
    Release(NodeId),
}

/// Copies the volumes of a tenant, one at a time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Copier<'a> {
    pub(crate) cx: &'a Context,
    pub(crate) progress: &'a Progress<'a>,
    pub(crate) tenant: &'a Tenant,
    /// Which nodes they go to.
    pub(crate) isolation: Isolation,
    pub(crate) reason: Reason,
}

impl Copier<'_> {
    /// The first of these volumes that nobody uses now.
    pub(crate) async fn free(&self, bound: Vec<Bound>) -> Result<Option<Bound>, StepError> {
        if bound.is_empty() {
            return Ok(None);
        }
        let pods = pods(&self.host(), self.tenant).await?;
        Ok(bound.into_iter().find(|bound| volume::users(&pods, &bound.name).is_empty()))
    }

    /// Copies a volume that nobody uses, and lets the copy take its place.
    pub(crate) async fn copy(&self, bound: &Bound) -> Result<(), StepError> {
        let copying = Copying { by: *self, host: self.host(), bound };
        copying.all().await
    }

    /// Lets what an earlier attempt has begun come to its end, and removes the rest.
    pub(crate) async fn tidy(&self) -> Result<(), StepError> {
        let host = self.host();
        let until = Instant::now() + TIDY;
        loop {
            let Some(story) = self.leftovers(&host).tidy().await? else { return Ok(()) };
            self.wait(until, story).await?;
        }
    }

    fn leftovers<'b>(&'b self, host: &'b ApiServer) -> Leftovers<'b> {
        Leftovers { host, cluster: &self.tenant.cluster, now: self.cx.clock.now() }
    }

    fn host(&self) -> ApiServer {
        ApiServer::host(self.cx.host.client())
    }

    /// Waits a moment, and says for what; not for ever, and not if nobody wants the copy any more.
    async fn wait(&self, until: Instant, story: String) -> Result<(), StepError> {
        if Instant::now() > until {
            return Err(StepError::Retry(story));
        }
        self.progress.say(story).await;
        self.pause().await
    }

    /// Waits a moment; fails if nobody wants the copy any more.
    async fn pause(&self) -> Result<(), StepError> {
        tokio::time::sleep(LOOK).await;
        self.progress.check_wanted().await?;
        let Reason::Release(node) = self.reason else { return Ok(()) };
        if replaced(self.cx, node).await?.is_some_and(|(node, _)| node.is_copied()) {
            return Ok(());
        }
        Err(StepError::Retry("the volumes on its disk are given up".to_owned()))
    }
}

/// A node that somebody has replaced, and its tenant; nothing if it is not, or if its tenant goes, which looks after its
/// volumes itself.
pub(crate) async fn replaced(
    cx: &Context,
    id: NodeId,
) -> Result<Option<(Node, Tenant)>, StoreError> {
    let node = cx.store.node_get(id).await?.filter(|node| node.volumes.is_some());
    let Some(node) = node else { return Ok(None) };
    let tenant = cx.store.tenant_get(node.tenant).await?;
    let tenant = tenant.filter(|tenant| tenant.deletion_requested_at.is_none());
    Ok(tenant.map(|tenant| (node, tenant)))
}

/// How many came along, in words that go on with others.
pub(crate) fn told(copied: usize) -> String {
    match copied {
        0 => String::new(),
        count => format!(", {count} volumes copied"),
    }
}

/// All pods of a tenant on the host.
async fn pods(host: &ApiServer, tenant: &Tenant) -> Result<Vec<Value>, ApiError> {
    host.list(Kind::Pod, Some(&tenant.cluster.host_namespace()), "").await
}

/// One volume on its way.
struct Copying<'a> {
    by: Copier<'a>,
    host: ApiServer,
    bound: &'a Bound,
}

impl Copying<'_> {
    async fn all(&self) -> Result<(), StepError> {
        let mut attempt = 1;
        let copied = loop {
            self.by.tidy().await?;
            match self.copy().await? {
                Ok(copied) => break copied,
                Err(why) if attempt < ATTEMPTS => {
                    attempt += 1;
                    let story = format!("{}: {why}; attempt {attempt}", self.what());
                    tracing::warn!(claim = self.bound.claim, why, "a volume is copied anew");
                    self.by.progress.say(story).await;
                }
                Err(why) => return Err(self.failed(&why)),
            }
        };
        self.swap(copied).await?;
        self.ready().await?;
        self.by.tidy().await
    }

    fn what(&self) -> String {
        format!("the volume of claim {} on node {}", self.bound.claim, self.bound.node)
    }

    /// Where nothing can be taken back it is tried for as long as it takes.
    fn failed(&self, why: &str) -> StepError {
        let detail = format!("{} was not copied in {ATTEMPTS} attempts: {why}", self.what());
        match self.by.reason {
            Reason::Move => {
                let hint = "mend what it says, then ask for the change again; or copy what is needed elsewhere and delete the claim";
                StepError::fail("volume-not-copied", detail, hint)
            }
            Reason::MoveBack | Reason::Release(_) => StepError::Retry(detail),
        }
    }

    /// Copies it to a new folder. The volume of that, or what went wrong.
    async fn copy(&self) -> Result<Result<Value, String>, StepError> {
        let secret = || hex::encode(self.by.cx.ids.secret());
        let tokens = (secret(), secret());
        let relay = self.by.cx.relays.open(tokens.0.clone(), tokens.1.clone());
        self.make(&tokens).await?;
        let mut moved = (0, Instant::now());
        loop {
            let passed = relay.passed();
            match &passed.outcome {
                Some(Ok(_)) => break,
                Some(Err(problem)) => return Ok(Err(problem.clone())),
                None => {}
            }
            let (story, failure) = self.look(&passed).await?;
            if let Some(failure) = failure {
                return Ok(Err(failure));
            }
            if passed.bytes > moved.0 {
                moved = (passed.bytes, Instant::now());
            } else if moved.1.elapsed() > STILL {
                let minutes = STILL.as_secs() / 60;
                return Ok(Err(format!("nothing moved for {minutes} minutes: {story}")));
            }
            self.by.progress.say(format!("{}: {story}", self.what())).await;
            self.by.pause().await?;
        }
        self.copied(relay).await
    }

    /// The volume in which the copy is, which both ends say is whole.
    async fn copied(&self, relay: Relay) -> Result<Result<Value, String>, StepError> {
        let key = volume::key(Kind::PersistentVolumeClaim, &self.by.tenant.cluster, IN);
        let claim = self.host.get(&key).await?;
        let named = claim.as_ref().and_then(|claim| claim["spec"]["volumeName"].as_str());
        let Some(name) = named else { return Ok(Err(format!("{key} has no volume"))) };
        let volume = self.host.get(&Key::global(Kind::PersistentVolume, name)).await?;
        drop(relay);
        Ok(volume.ok_or_else(|| format!("PersistentVolume {name} is gone")))
    }

    /// Makes all that copying needs, in this order: what is mounted before who mounts it.
    async fn make(&self, (out, into): &(String, String)) -> Result<(), StepError> {
        let (cluster, settings) = (&self.by.tenant.cluster, self.by.cx.settings.now());
        let authority = self.by.cx.run_authority.certificate();
        let tokens = Tokens { out, into, authority };
        let node = self.node().await?;
        let [source, claim] = volume::render_source(cluster, self.bound);
        for object in [
            volume::render_namespace(cluster),
            volume::render_policy(cluster, &settings),
            volume::render_secret(cluster, tokens),
            source,
            claim,
            volume::render_target(cluster, self.bound),
            volume::render_out(cluster, &settings),
            volume::render_in(cluster, &settings, self.by.isolation, node.as_deref()),
        ] {
            self.put(&object).await?;
        }
        Ok(())
    }

    /// A namespace gets its service account a moment after it is made; until then pods are refused.
    async fn put(&self, object: &Value) -> Result<(), StepError> {
        let kind = object["kind"].as_str().unwrap_or_default();
        let kind = Kind::find(object["apiVersion"].as_str().unwrap_or_default(), kind);
        let Some(key) = kind.and_then(|kind| Key::of(kind, object)) else { return Ok(()) };
        let until = Instant::now() + STILL;
        loop {
            match self.host.create(&key, object).await {
                Ok(_) => return Ok(()),
                Err(error) if is_early(&error) => {
                    self.by.wait(until, error.to_string()).await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The node on which what is used together with it is by now.
    async fn node(&self) -> Result<Option<String>, StepError> {
        let pods = pods(&self.host, self.by.tenant).await?;
        let together = volume::together(&pods, &self.bound.name);
        let namespace = self.by.tenant.cluster.host_namespace();
        let mut found = None;
        for claim in together.iter().filter(|claim| **claim != self.bound.name) {
            let key = Key::namespaced(Kind::PersistentVolumeClaim, &namespace, claim);
            let Some(claim) = self.host.get(&key).await? else { continue };
            let Some(name) = claim["spec"]["volumeName"].as_str() else { continue };
            let volume = self.host.get(&Key::global(Kind::PersistentVolume, name)).await?;
            let node = volume.as_ref().map(volume::at).unwrap_or_default();
            if !node.is_empty() && node != self.bound.node {
                found = Some(node.to_owned());
            }
        }
        Ok(found)
    }

    /// How far it is, and whether a pod has failed.
    async fn look(&self, passed: &Passed) -> Result<(String, Option<String>), StepError> {
        let mut waiting = None;
        for side in [OUT, IN] {
            let key = volume::key(Kind::Pod, &self.by.tenant.cluster, side);
            let Some(pod) = self.host.get(&key).await? else {
                return Ok((String::new(), Some(format!("{key} is gone"))));
            };
            if let Some(said) = volume::failure(&pod) {
                return Ok((String::new(), Some(format!("{key}: {said}"))));
            }
            waiting = waiting.or_else(|| Some(format!("{key}: {}", volume::waiting(&pod)?)));
        }
        let story = match (passed.bytes, passed.of, waiting) {
            (0, _, Some(waiting)) => waiting,
            (0, _, None) => "its pods are down; the copy begins".to_owned(),
            (bytes, of, _) => {
                let of = of.unwrap_or_default().max(bytes);
                format!("{} of about {} copied; its pods are down", mebi(bytes), mebi(of))
            }
        };
        Ok((story, None))
    }

    /// Lets the copy take the volume's place. From when that is written down it goes forward, whatever happens.
    async fn swap(&self, copy: Value) -> Result<(), StepError> {
        let (cluster, bound) = (&self.by.tenant.cluster, self.bound);
        let pods = pods(&self.host, self.by.tenant).await?;
        if let Some(user) = volume::users(&pods, &bound.name).first() {
            let user = user["metadata"]["name"].as_str().unwrap_or_default();
            return Err(StepError::Retry(format!("pod {user} uses {} again", self.what())));
        }
        let key = Key::global(
            Kind::PersistentVolume,
            bound.volume["metadata"]["name"].as_str().unwrap_or_default(),
        );
        let old = self.host.get(&key).await?;
        let is_same = |old: &Value| old["metadata"]["uid"] == bound.volume["metadata"]["uid"];
        let Some(old) = old.filter(is_same) else {
            return Err(StepError::Retry(format!("{key} is not what was copied any more")));
        };
        let gone = copy["spec"]["claimRef"]["uid"].as_str().unwrap_or_default().to_owned();
        let swap = Swap { old, copy, claim: bound.name.clone(), gone };
        self.put(&swap.render(cluster)).await?;
        let until = Instant::now() + SWAP;
        loop {
            let left = self.by.leftovers(&self.host);
            let Some(story) = left.swap().await? else { return Ok(()) };
            self.by.wait(until, format!("{}: {story}", self.what())).await?;
        }
    }

    /// Waits until whoever uses it is ready again, so that no more is down at a time than has to be.
    async fn ready(&self) -> Result<(), StepError> {
        let until = Instant::now() + READY;
        loop {
            let pods = plan_change::pods(self.by.cx, self.by.tenant).await?;
            let claims = std::slice::from_ref(&self.bound.claim);
            let is_down = |pod: &&Value| volume::uses_any(pod, claims) && !is_ready(pod);
            let down = pods.iter().filter(is_down).count();
            if down == 0 || Instant::now() > until {
                return Ok(());
            }
            let story = format!("{} is copied; {down} pods that use it are starting", self.what());
            self.by.progress.say(story).await;
            self.by.pause().await?;
        }
    }
}

/// Whether a pod is refused because its account is not there yet.
fn is_early(error: &ApiError) -> bool {
    let is_of_account = |message: &str| message.contains("serviceaccount");
    error.refusal().is_some_and(|refusal| is_of_account(&refusal.message))
}

/// An amount of bytes, in whole MiB.
fn mebi(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1 << 20))
}
