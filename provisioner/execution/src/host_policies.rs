//! The admission policies that hold on the host whatever a tenant's control plane asks for. Nothing is
//! made for tenants before they hold.

use crate::{
    Context,
    api_server::{ApiError, ApiServer},
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
    sync::{Notify, watch as ready},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

/// What the policies consist of.
const KINDS: [Kind; 4] = [
    Kind::ValidatingAdmissionPolicy,
    Kind::ValidatingAdmissionPolicyBinding,
    Kind::MutatingAdmissionPolicy,
    Kind::MutatingAdmissionPolicyBinding,
];
const FULL_LOOK: Duration = Duration::from_mins(10);
const AFTER_FAILURE: Duration = Duration::from_secs(2);
/// Changes that come close together are looked at together.
const GATHER: Duration = Duration::from_millis(200);

/// Keeps the policies as they should be until cancelled.
pub(crate) async fn run(cx: Context, is_ready: ready::Sender<bool>, cancel: CancellationToken) {
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
        loop {
            let wait = match ensure(&cx).await {
                Ok(()) => {
                    is_ready.send_replace(true);
                    FULL_LOOK
                }
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the host's policies could not be looked at or put right"
                    );
                    AFTER_FAILURE
                }
            };
            // Whichever comes first: both mean the same.
            let _ = tokio::time::timeout(wait, changed.notified()).await;
            tokio::time::sleep(GATHER).await;
        }
    };
    cancel.run_until_cancelled(keep).await;
}

#[tracing::instrument(name = "reconcile.host_policies", skip_all)]
async fn ensure(cx: &Context) -> Result<(), ApiError> {
    let host = ApiServer::host(cx.host.client());
    let desired = render_host_policies(&cx.settings);
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
