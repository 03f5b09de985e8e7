//! The step in which pods leave a node: sessions as they say themselves, all others as their tenant's budgets allow, and
//! nobody for ever.

use super::{
    host,
    volumes::{self, Circumstances, Volumes},
};
use crate::{
    api_server::{ApiError, ApiServer},
    machines::{NodeContext, OwnNode},
    plan_change,
    sagas::{Step, StepError},
    session::{self, Emptying, Tally},
    volumes::told,
};
use async_trait::async_trait;
use domain::{Isolation, Node, NodeState, SessionsDuringMove, Tenant};
use jiff::{SignedDuration, Timestamp};
use planning::{Key, Kind, budget, exclusive::SYSTEM, moving, pod};
use serde_json::{Value, json};
use std::time::Duration;

/// How long a node waits for the one that takes its place.
const REPLACED: SignedDuration = SignedDuration::from_mins(15);
/// How long sessions may run on then, and budgets count.
const ASKED: SignedDuration = SignedDuration::from_mins(5);
/// How long pods may take to end when they are told to.
const TOLD: SignedDuration = SignedDuration::from_secs(150);
/// How long volumes may take to be copied until it is tried anew.
const COPIED: SignedDuration = SignedDuration::from_hours(24);
/// Between two looks at the pods that are left.
const LOOK: Duration = Duration::from_secs(1);

/// How long it takes at most until no pod is left.
pub(in crate::machines) fn emptied() -> SignedDuration {
    REPLACED + ASKED + TOLD * 2
}

/// Asks every pod to go. Sessions are waited for, stopped or begun again elsewhere, as they say themselves; of all others
/// the tenant's API server is asked, whose budgets count. Then the host's, which knows no budgets but gives every process
/// its time to end.
#[derive(Debug)]
pub(in crate::machines) struct Drain;

#[async_trait]
impl Step<OwnNode> for Drain {
    fn name(&self) -> &'static str {
        "drain"
    }

    fn deadline(&self) -> SignedDuration {
        // It says itself when it was too long.
        emptied() + COPIED
    }

    async fn run(&self, cx: &NodeContext<'_>) -> Result<String, StepError> {
        let host = host::server(cx);
        let mut first = cx.subject.emptied.map_or_else(|| cx.now(), |(_, since)| since);
        if volumes::resume(cx).await? {
            first = cx.now();
        }
        let mut copied = 0;
        loop {
            let is_ready = is_ready(cx, &host).await?;
            let others = Others::of(cx, first).await?;
            let has_place = others.is_there && !others.is_awaited;
            let volumes = volumes::take_along(cx, Circumstances { has_place, is_ready }).await?;
            let waiting = match volumes {
                Volumes::Done => None,
                Volumes::Copied => {
                    copied += 1;
                    // Meanwhile nobody could become ready whom a budget waits for.
                    first = cx.now();
                    continue;
                }
                Volumes::Waiting(story) => Some(story),
            };
            let mut pods = host::alive_on(&host, &cx.subject.node).await?;
            // What belongs to the node itself goes with it.
            pods.retain(|pod| pod["metadata"]["namespace"] != SYSTEM);
            let is_over = cx.now() > others.until + TOLD;
            match &waiting {
                None if pods.is_empty() => {
                    return Ok(format!("no pod is left on it{}", told(copied)));
                }
                // A node that is gone, or whose kubelet is, ends no pod: its machine is switched off next.
                None if is_over || !is_ready => {
                    let count = pods.len();
                    return Ok(format!("{count} pods end with the machine{}", told(copied)));
                }
                None | Some(_) => {}
            }
            let story = if others.is_awaited {
                Some("it waits for the node that takes its place".to_owned())
            } else if pods.is_empty() {
                None
            } else {
                Some(ask(cx, &host, &pods, &others).await?)
            };
            let story: Vec<_> = story.into_iter().chain(waiting).collect();
            cx.progress.say(story.join("; ")).await;
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// What the tenant's other nodes mean for this one.
struct Others {
    /// Whether the one that takes its place is on its way, or will be in a moment.
    is_awaited: bool,
    /// Whether there is another one that pods can be on.
    is_there: bool,
    /// Until when pods may take their time.
    until: Timestamp,
}

impl Others {
    async fn of(cx: &NodeContext<'_>, first: Timestamp) -> Result<Self, StepError> {
        let node = &cx.subject.node;
        let nodes = cx.cx.store.node_of_tenant(node.tenant).await?;
        let others = || nodes.iter().filter(|other| other.id != node.id);
        let is_coming =
            |other: &Node| other.shape == node.shape && other.state() == NodeState::Attaching;
        let is_coming = others().any(is_coming) || is_one_missing(cx, &nodes).await?;
        let is_awaited = is_coming && cx.now() < first + REPLACED;
        let ready = others().filter(|other| other.state() == NodeState::Ready);
        let ready: Vec<Timestamp> = ready.filter_map(|other| other.ready_at).collect();
        // The time begins when there is a place to go to.
        let from =
            ready.iter().copied().filter(|at| *at < first + REPLACED).fold(first, Timestamp::max);
        Ok(Self { is_awaited, is_there: !ready.is_empty(), until: from + ASKED })
    }
}

/// Whether nobody has begun yet to make the one that takes the place of a node that is replaced.
async fn is_one_missing(cx: &NodeContext<'_>, nodes: &[Node]) -> Result<bool, StepError> {
    let node = &cx.subject.node;
    if node.volumes.is_none() {
        return Ok(false);
    }
    let tenant = cx.cx.store.tenant_get(node.tenant).await?;
    let tenant = tenant.filter(|tenant| tenant.deletion_requested_at.is_none());
    let wanted = tenant.map_or(0, |tenant| tenant.nodes_of(node.shape));
    let stays = |other: &&Node| other.release_requested_at.is_none() && other.shape == node.shape;
    Ok(nodes.iter().filter(stays).count() < usize::try_from(wanted).unwrap_or(usize::MAX))
}

/// Asks pods to go, or tells them to when their time is over. What is waited for and what is in the way, in words.
async fn ask(
    cx: &NodeContext<'_>,
    host: &ApiServer,
    pods: &[Value],
    others: &Others,
) -> Result<String, StepError> {
    let tenant = cx.cx.store.tenant_get(cx.subject.node.tenant).await?;
    let tenant = tenant.filter(|tenant| tenant.deletion_requested_at.is_none());
    let Some((tenant, (operation, _))) = tenant.zip(cx.subject.emptied) else {
        // Nobody's budgets count any more.
        return Ok(tell(host, pods).await);
    };
    let emptying = Emptying {
        operation,
        rule: SessionsDuringMove::Own,
        has_place: others.is_there || tenant.isolation() == Isolation::Shared,
        until: Some(others.until),
    };
    let sessions = session::drain(cx.cx, &moving::runs(pods), &emptying).await?;
    let left = others.until.duration_since(cx.now());
    if !left.is_positive() {
        return Ok(joined(&sessions, tell(host, pods).await));
    }
    let story = ask_tenant(cx, &tenant, pods.len(), &sessions).await;
    Ok(format!("{story}; {} s are left, then every pod is told to end", left.as_secs()))
}

/// Tells pods to end, whatever their tenant's budgets say.
async fn tell(host: &ApiServer, pods: &[Value]) -> String {
    let refused = evict_all(host, &host::keys(pods)).await;
    let first = refused.into_iter().next().map(|(_, error)| error.to_string());
    first.unwrap_or_else(|| format!("{} pods are ending", pods.len()))
}

/// Asks the tenant's API server to let go of what runs on the node, sessions excepted. What is in the way, in words.
async fn ask_tenant(
    cx: &NodeContext<'_>,
    tenant: &Tenant,
    count: usize,
    sessions: &Tally,
) -> String {
    let name = cx.subject.node.name.as_str();
    let (server, found) = match plan_change::on_node(cx.cx, tenant, name).await {
        Ok(found) => found,
        // It may be starting; for a while it is waited for.
        Err(error) => return joined(sessions, error.to_string()),
    };
    let movable = found.waves.iter().flatten().chain(&found.unmanaged);
    let keys: Vec<Key> = movable.filter_map(|name| pod::key(name)).collect();
    let refused = evict_all(&server, &keys).await;
    match in_the_way(&server, &refused).await {
        Some(words) => joined(sessions, words),
        None if sessions.is_empty() => format!("{count} pods are ending"),
        None => sessions.to_string(),
    }
}

fn joined(sessions: &Tally, words: String) -> String {
    if sessions.is_empty() { words } else { format!("{sessions}; {words}") }
}

/// Which pods were not let go, who makes them, which budget holds them and whose that is, as far as it can be found out.
async fn in_the_way(server: &ApiServer, refused: &[(Key, ApiError)]) -> Option<String> {
    let (_, first) = refused.first()?;
    // Kubernetes, subresource `eviction`, words it like this.
    let is_of_budget = |error: &ApiError| {
        error.refusal().is_some_and(|refusal| refusal.message.contains("disruption budget"))
    };
    let refused: Vec<_> = refused.iter().filter(|(_, error)| is_of_budget(error)).collect();
    if refused.is_empty() {
        return Some(first.to_string());
    }
    let found = async {
        let budgets = server.list(Kind::PodDisruptionBudget, None, "").await?;
        let mut held = Vec::new();
        for (key, _) in refused {
            held.extend(server.get(key).await?.and_then(|pod| budget::holding(&pod, &budgets)));
        }
        Ok::<_, ApiError>(held)
    };
    // Whoever does not answer any more has said why.
    let held = found.await.unwrap_or_default();
    Some(budget::words(&held).unwrap_or_else(|| first.to_string()))
}

/// Asks all of these pods to go; those that are not let go, and what was said.
async fn evict_all(server: &ApiServer, pods: &[Key]) -> Vec<(Key, ApiError)> {
    let mut refused = Vec::new();
    for pod in pods {
        if let Err(error) = evict(server, pod).await {
            refused.push((pod.clone(), error));
        }
    }
    refused
}

async fn is_ready(cx: &NodeContext<'_>, host: &ApiServer) -> Result<bool, ApiError> {
    let ready = crate::node::ready(host, cx.subject.node.name.as_str()).await?;
    Ok(ready.is_some_and(|ready| ready.holds()))
}

/// Asks a pod to go, unless a budget forbids it now.
pub(crate) async fn evict(host: &ApiServer, pod: &Key) -> Result<(), ApiError> {
    let body = json!({
        "apiVersion": "policy/v1", "kind": "Eviction",
        "metadata": { "name": pod.name, "namespace": pod.namespace },
    });
    match host.create_below(pod, "eviction", &body).await {
        Ok(_) => Ok(()),
        Err(error) if error.is_not_found() => Ok(()),
        Err(error) => Err(error),
    }
}
