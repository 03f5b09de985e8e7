//! The step that sends new pods to the new place: the syncer reads its configuration once, so the control plane is
//! restarted, once.

use super::{MoveContext, Moving};
use crate::{
    Context,
    api_server::ApiServer,
    desired,
    sagas::{Step, StepError},
    tenant::is_answering,
};
use async_trait::async_trait;
use domain::Tenant;
use jiff::SignedDuration;
use planning::{Kind, pod::is_ready, syncer::CONFIG_HASH};
use serde_json::Value;
use std::{sync::Mutex, time::Duration};
use tokio::time::Instant;

/// How long the control plane may take to be there again.
const RESTART: SignedDuration = SignedDuration::from_mins(15);
/// Between two questions.
const ASK: Duration = Duration::from_millis(100);

/// Sends new pods to where the tenant will be.
#[derive(Debug)]
pub(super) struct Placement;

#[async_trait]
impl Step<Moving> for Placement {
    fn name(&self) -> &'static str {
        "placement"
    }

    fn deadline(&self) -> SignedDuration {
        RESTART
    }

    async fn run(&self, cx: &MoveContext<'_>) -> Result<String, StepError> {
        if cx.from().isolation() == cx.to().isolation() {
            return Ok("new pods stay where they were".to_owned());
        }
        place(cx, true).await
    }

    async fn undo(&self, cx: &MoveContext<'_>) -> Result<String, StepError> {
        place(cx, false).await
    }
}

/// Says where new pods go, and waits until the control plane runs that knows it.
pub(super) async fn place(cx: &MoveContext<'_>, is_placed: bool) -> Result<String, StepError> {
    let operation = cx.subject.change.operation;
    if cx.from().isolation() == cx.to().isolation() {
        return Ok("new pods went nowhere else".to_owned());
    }
    let away = Away::default();
    let applied = async {
        cx.cx.store.plan_change_place(operation, is_placed).await?;
        cx.progress.say("the control plane restarts with its new configuration").await;
        loop {
            let tenant = cx.tenant().await?;
            if knows(cx.cx, &tenant).await? && answers(cx.cx, &tenant).await {
                return Ok::<_, StepError>(());
            }
            cx.pause().await?;
        }
    };
    tokio::select! {
        done = applied => done?,
        () = away.watch(cx.cx, &cx.subject.tenant) => {}
    }
    let story = match away.milliseconds() {
        None => "its API server was always there".to_owned(),
        Some(time) => {
            cx.cx.store.plan_change_note_away(operation, time).await?;
            let seconds = f64::from(time) / 1000.0;
            format!("its API server was away for {seconds:.1} s")
        }
    };
    Ok(format!("new pods go to the nodes of the plan; {story}"))
}

/// Whether the control plane that runs has the configuration that the record asks for.
async fn knows(cx: &Context, tenant: &Tenant) -> Result<bool, StepError> {
    let wanted = desired::host(cx, tenant).await;
    let wanted = wanted.map_err(|error| StepError::Retry(error.to_string()))?;
    let set = wanted.iter().find(|object| object.key.kind == Kind::StatefulSet);
    let digest = set.and_then(|set| digest_of(set.body.pointer("/spec/template")?));
    let host = ApiServer::host(cx.host.client());
    let pod = host.get(&desired::spec(tenant).control_plane_pod()).await?;
    Ok(digest.is_some() && pod.is_some_and(|pod| digest_of(&pod) == digest && is_ready(&pod)))
}

fn digest_of(pod: &Value) -> Option<&Value> {
    pod.pointer("/metadata/annotations")?.get(CONFIG_HASH)
}

/// Whether the tenant's API server answers now; whoever is refused has no answer either.
async fn answers(cx: &Context, tenant: &Tenant) -> bool {
    is_answering(cx, tenant).await.unwrap_or(false)
}

/// How long an API server was away.
#[derive(Debug, Default)]
struct Away(Mutex<(Option<Instant>, Option<Instant>)>);

impl Away {
    /// Asks again and again, and never ends by itself.
    async fn watch(&self, cx: &Context, tenant: &Tenant) {
        loop {
            let asked = Instant::now();
            let is_there = answers(cx, tenant).await;
            {
                let mut seen = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                match *seen {
                    (None, _) if !is_there => *seen = (Some(asked), None),
                    (Some(since), None) if is_there => *seen = (Some(since), Some(Instant::now())),
                    // It went once more: one outage, as whoever waits for it sees it.
                    (Some(since), Some(_)) if !is_there => *seen = (Some(since), None),
                    _ => {}
                }
            }
            if !is_there {
                // Its address may have changed.
                cx.tenants.forget(tenant.id);
            }
            tokio::time::sleep(ASK).await;
        }
    }

    fn milliseconds(&self) -> Option<u32> {
        let (since, until) = *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let time = until.unwrap_or_else(Instant::now).duration_since(since?);
        Some(u32::try_from(time.as_millis()).unwrap_or(u32::MAX))
    }
}
