//! The steps in which a node is switched off and on again on purpose. It stays its tenant's: its machine, its disk, its
//! name and what the host cluster knows of it are kept.

use super::{
    drain, host, join,
    owned::{Machine, look},
    power,
};
use crate::{
    machines::{NodeContext, OwnNode},
    node::Ready,
    sagas::{Step, StepError},
};
use async_trait::async_trait;
use domain::{NodePower, Problem};
use jiff::SignedDuration;
use planning::{
    exclusive::SYSTEM,
    machine::{HEARD_LAST, node_key},
};
use serde_json::{Value, json};
use std::time::Duration;

/// How long a machine may take from its power button to a kubelet that is ready.
const BACK: SignedDuration = SignedDuration::from_mins(8);
/// Between two looks at a node that is expected back.
const LOOK: Duration = Duration::from_millis(500);
/// What to do about a node that does not come back.
const WAY_OUT: &str = "it stays switched off: start it again with `warren node start`, or let another one take its place \
    with `warren node replace`";

/// Keeps new pods off a node whose machine is ours. Taken back, the node takes pods again unless it is off.
#[derive(Debug)]
pub(super) struct Close;

#[async_trait]
impl Step<OwnNode> for Close {
    fn name(&self) -> &'static str {
        drain::Cordon.name()
    }

    async fn run(&self, cx: &NodeContext<'_>) -> Result<String, StepError> {
        let Machine::Ours { .. } = look(cx).await? else { return Err(gone()) };
        drain::Cordon.run(cx).await
    }

    async fn undo(&self, cx: &NodeContext<'_>) -> Result<String, StepError> {
        if cx.subject.node.power == NodePower::Off {
            return Ok("its machine is off: no new pod is placed on it".to_owned());
        }
        host::cordon(&host::server(cx), &cx.subject.node, false).await?;
        Ok("pods are placed on it again".to_owned())
    }
}

/// Asks every pod to go, as a release does. Taken back, what went comes back to wherever there is room.
#[derive(Debug)]
pub(super) struct Empty;

#[async_trait]
impl Step<OwnNode> for Empty {
    fn name(&self) -> &'static str {
        drain::Drain.name()
    }

    fn deadline(&self) -> SignedDuration {
        drain::emptied()
    }

    async fn run(&self, cx: &NodeContext<'_>) -> Result<String, StepError> {
        drain::Drain.run(cx).await
    }

    async fn undo(&self, _: &NodeContext<'_>) -> Result<String, StepError> {
        Ok("no more pods are asked to go; those that went are made anew by what made them"
            .to_owned())
    }
}

/// Switches the machine off: its guest shuts down, and at a deadline its plug is pulled. A stop for good only goes
/// forward from here; a stop for a moment that is taken back leaves the machine off, which is a state that is proven.
#[derive(Debug)]
pub(super) struct SwitchOff;

#[async_trait]
impl Step<OwnNode> for SwitchOff {
    fn name(&self) -> &'static str {
        drain::Stop.name()
    }

    async fn run(&self, cx: &NodeContext<'_>) -> Result<String, StepError> {
        let proof = power::shut_down(cx).await?;
        let ended = leave_it(cx).await?;
        Ok(format!("{proof}{ended}"))
    }

    async fn undo(&self, cx: &NodeContext<'_>) -> Result<String, StepError> {
        let proof = power::off(cx).await?;
        leave_it(cx).await?;
        cx.cx.store.node_stays_off(cx.subject.node.id).await?;
        Ok(format!("it stays off: {proof}"))
    }
}

/// Tells the host about a node whose machine is off: what it was heard of last, so that it is known when it is heard of
/// again, and that its pods have ended. How many those were, in words.
async fn leave_it(cx: &NodeContext<'_>) -> Result<String, StepError> {
    let (host, node) = (host::server(cx), &cx.subject.node);
    let Some(object) = host::registered(&host, node).await? else { return Ok(String::new()) };
    let heard = Ready::of(&object).heard;
    if heard != heard_last(&object) {
        let patch = json!({ "metadata": { "annotations": { HEARD_LAST: heard } } });
        host.merge(&node_key(&node.name), &patch).await?;
    }
    let mut pods = host::pods_on(&host, node).await?;
    // What belongs to the node itself comes back with it.
    pods.retain(|pod| pod.namespace.as_deref() != Some(SYSTEM));
    for pod in &pods {
        host::end(&host, pod).await?;
    }
    Ok(match pods.len() {
        0 => String::new(),
        count => format!("; {count} pods ended with it"),
    })
}

/// What a node was heard of last when its machine was switched off.
fn heard_last(object: &Value) -> Option<String> {
    object["metadata"]["annotations"][HEARD_LAST].as_str().map(str::to_owned)
}

/// Switches the machine on again. Taken back, it is off.
#[derive(Debug)]
pub(super) struct SwitchOn;

#[async_trait]
impl Step<OwnNode> for SwitchOn {
    fn name(&self) -> &'static str {
        "start"
    }

    async fn run(&self, cx: &NodeContext<'_>) -> Result<String, StepError> {
        match power::resume(cx).await {
            Err(StepError::Fail(Problem { code, .. })) if code == power::GONE => Err(gone()),
            outcome => outcome,
        }
    }

    async fn undo(&self, cx: &NodeContext<'_>) -> Result<String, StepError> {
        let proof = power::off(cx).await?;
        leave_it(cx).await?;
        Ok(proof)
    }
}

/// Waits until the node is heard of again, and compares it with the machine that was made, as at its first time.
#[derive(Debug)]
pub(super) struct ProveAgain;

#[async_trait]
impl Step<OwnNode> for ProveAgain {
    fn name(&self) -> &'static str {
        join::Verify.name()
    }

    fn deadline(&self) -> SignedDuration {
        // It says itself when it was too long.
        BACK * 2
    }

    async fn run(&self, cx: &NodeContext<'_>) -> Result<String, StepError> {
        let (host, begun) = (host::server(cx), cx.now());
        cx.progress.say("the machine is booting").await;
        while !is_back(cx, &host).await? {
            if cx.now().duration_since(begun) > BACK {
                let minutes = BACK.as_mins();
                let detail = format!("its kubelet was not ready within {minutes} min");
                return Err(StepError::fail("node-not-back", detail, WAY_OUT));
            }
            tokio::time::sleep(LOOK).await;
        }
        join::Verify.run(cx).await.map_err(|error| match error {
            StepError::Fail(problem) => {
                StepError::Fail(Problem { hint: WAY_OUT.to_owned(), ..problem })
            }
            StepError::Retry(_) => error,
        })
    }

    async fn undo(&self, _: &NodeContext<'_>) -> Result<String, StepError> {
        Ok("there is nothing to take back".to_owned())
    }
}

/// Whether the node is ready, and that was said after its machine was switched off: for a while the host still shows
/// what it was told before.
async fn is_back(
    cx: &NodeContext<'_>,
    host: &crate::api_server::ApiServer,
) -> Result<bool, StepError> {
    let object = host::registered(host, &cx.subject.node).await?;
    Ok(object.is_some_and(|object| {
        let ready = Ready::of(&object);
        let last = heard_last(&object);
        ready.holds() && (last.is_none() || ready.heard != last)
    }))
}

/// Lets pods onto the node again.
#[derive(Debug)]
pub(super) struct Open;

#[async_trait]
impl Step<OwnNode> for Open {
    fn name(&self) -> &'static str {
        "uncordon"
    }

    async fn run(&self, cx: &NodeContext<'_>) -> Result<String, StepError> {
        host::cordon(&host::server(cx), &cx.subject.node, false).await?;
        Ok("pods are placed on it again".to_owned())
    }

    async fn undo(&self, cx: &NodeContext<'_>) -> Result<String, StepError> {
        drain::Cordon.run(cx).await
    }
}

/// Somebody took the machine of a node away that is there.
fn gone() -> StepError {
    let hint = "let another one take its place: `warren node replace`";
    StepError::fail(power::GONE, "its machine is gone, or somebody else's", hint)
}
