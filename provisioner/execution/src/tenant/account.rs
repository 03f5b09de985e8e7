//! A pod's token ends with the account that it was made for.

use super::{apply::Applied, observe::Objects};
use crate::{
    api_server::{ApiError, ApiServer, Propagation, delete_options},
    desired,
    tenant::observe::is_terminating,
};
use domain::Tenant;
use planning::Observed;
use serde_json::Value;

/// Ends a control plane's pod that is older than its account: somebody deleted the account, and to the one that was
/// made anew the pod's token says nothing. The stateful set makes a pod that has a token of its own.
pub(super) async fn renew_token(
    host: &ApiServer,
    record: &Tenant,
    observed: &Objects,
    applied: &Applied,
) -> Result<(), ApiError> {
    let spec = desired::spec(record);
    let account = spec.control_plane_account();
    let made = applied.done.iter().find(|(key, _)| *key == account);
    let account = match (made, observed.get(&account)) {
        (Some((_, Some(made))), _) => made,
        (None, Some(Observed::Known(known))) => known,
        (Some((_, None)) | None, _) => return Ok(()),
    };
    let pod = spec.control_plane_pod();
    let Some(found) = host.get(&pod).await? else { return Ok(()) };
    // Both are RFC 3339 in UTC with seconds, which sort as texts.
    if is_terminating(&found) || created(&found) >= created(account) {
        return Ok(());
    }
    tracing::info!(object = %pod, "ended: its token was made for an account that is gone");
    let uid = found.pointer("/metadata/uid").and_then(Value::as_str);
    host.delete(&pod, &delete_options(Propagation::Background, None, uid)).await
}

fn created(object: &Value) -> Option<&str> {
    object.pointer("/metadata/creationTimestamp").and_then(Value::as_str)
}
