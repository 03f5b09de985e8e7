//! The admission policies that hold on the host whatever a tenant's control plane asks for, and the role that
//! control planes have. Nothing is made for tenants before they are there.

use crate::{
    Context,
    api_server::{ApiError, ApiServer},
    backoff::Backoff,
    host_state::HostState,
    tenant::apply::apply,
    watch,
};
use planning::{
    Action, Kind, Observed, diff,
    object::{MANAGED_BY, MANAGED_BY_VALUE},
    render_host_policies,
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{
    sync::{Notify, watch as state},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

/// What the policies consist of.
const KINDS: [Kind; 5] = [
    Kind::ValidatingAdmissionPolicy,
    Kind::ValidatingAdmissionPolicyBinding,
    Kind::MutatingAdmissionPolicy,
    Kind::MutatingAdmissionPolicyBinding,
    Kind::ClusterRole,
];
const FULL_LOOK: Duration = Duration::from_mins(10);
/// Changes that come close together are looked at together.
const GATHER: Duration = Duration::from_millis(200);

/// Keeps the policies as they should be until cancelled. Tells whether they hold; once they did, a look
/// that fails says nothing against them.
pub(crate) async fn run(cx: Context, state: state::Sender<HostState>, cancel: CancellationToken) {
    let changed = Arc::new(Notify::new());
    let mut watches = JoinSet::new();
    for kind in KINDS {
        let (client, changed) = (cx.host.client(), Arc::clone(&changed));
        watches.spawn(async move {
            let labels = format!("{MANAGED_BY}={MANAGED_BY_VALUE}");
            watch::follow(client, kind, &labels, |_| changed.notify_one()).await;
        });
    }
    let keep = async {
        let mut failures = 0_u32;
        loop {
            let wait = match ensure(&cx).await {
                Ok(()) => {
                    failures = 0;
                    tell(&state, HostState::Ready);
                    FULL_LOOK
                }
                Err(error) => {
                    failures = failures.saturating_add(1);
                    tell(&state, HostState::Blocked((&error).into()));
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the host's policies could not be looked at or put right"
                    );
                    Backoff::HOST.after(failures)
                }
            };
            // Whichever comes first: both mean the same.
            let _ = tokio::time::timeout(wait, changed.notified()).await;
            tokio::time::sleep(GATHER).await;
        }
    };
    cancel.run_until_cancelled(keep).await;
}

fn tell(state: &state::Sender<HostState>, now: HostState) {
    state.send_if_modified(|known| {
        let is_news = *known != HostState::Ready && *known != now;
        if is_news {
            *known = now;
        }
        is_news
    });
}

#[tracing::instrument(name = "reconcile.host_policies", skip_all)]
async fn ensure(cx: &Context) -> Result<(), ApiError> {
    let host = ApiServer::host(cx.host.client());
    let desired = render_host_policies(&cx.settings.now());
    let labels = format!("{MANAGED_BY}={MANAGED_BY_VALUE}");
    let mut observed = BTreeMap::new();
    for kind in KINDS {
        for object in host.list(kind, None, &labels).await? {
            if let Some(key) = planning::Key::of(kind, &object) {
                observed.insert(key, Observed::Known(object));
            }
        }
    }
    for object in &desired {
        if !observed.contains_key(&object.key) {
            let found = host.get(&object.key).await?;
            let found = found.map_or(Observed::Absent, Observed::Known);
            observed.insert(object.key.clone(), found);
        }
    }
    let mut changes = diff(&desired, &observed);
    changes.retain(|change| change.action != Action::Damage);
    match apply(&host, changes).await.failed.pop() {
        Some(error) => Err(error),
        None => Ok(()),
    }
}
