//! Reads what is there. Writes nothing.

use crate::{
    api_server::{ApiError, ApiServer},
    watch::TENANT_KINDS,
};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use planning::{
    Key, Kind, Observed,
    object::{CLUSTER_LABEL, MANAGED_BY, MANAGED_BY_VALUE},
};
use serde_json::Value;
use std::collections::BTreeMap;

/// Requests that are under way to one API server at the same time.
pub(super) const AT_ONCE: usize = 8;

/// What was found, by address. What is not in it is unknown.
pub(super) type Objects = BTreeMap<Key, Observed>;

/// Looks at single objects.
pub(super) async fn keys(server: &ApiServer, keys: Vec<Key>) -> Result<Objects, ApiError> {
    stream::iter(keys)
        .map(|key| async move {
            let object = server.get(&key).await?;
            Ok((key, object.map_or(Observed::Absent, Observed::Known)))
        })
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await
}

/// Looks at everything that Warren made for a tenant on the host, and at whatever of `wanted` was not
/// among it.
pub(super) async fn everything(
    host: &ApiServer,
    namespace: &str,
    cluster: &str,
    wanted: impl Iterator<Item = Key>,
) -> Result<Objects, ApiError> {
    let own = Key::global(Kind::Namespace, namespace);
    let mut wanted: Vec<Key> = wanted.collect();
    let Some(found) = host.get(&own).await? else {
        // Nothing can be in a namespace that is not there.
        wanted.push(own);
        return Ok(wanted.into_iter().map(|key| (key, Observed::Absent)).collect());
    };
    let labels = format!("{MANAGED_BY}={MANAGED_BY_VALUE},{CLUSTER_LABEL}={cluster}");
    let labels = labels.as_str();
    let kinds = TENANT_KINDS.into_iter().filter(|kind| kind.is_namespaced());
    let mut objects: Objects = stream::iter(kinds)
        .map(|kind| async move {
            let items = host.list(kind, Some(namespace), labels).await?;
            let known = |item: Value| Some((Key::of(kind, &item)?, Observed::Known(item)));
            Ok::<_, ApiError>(items.into_iter().filter_map(known).collect::<Vec<_>>())
        })
        .buffer_unordered(AT_ONCE)
        .try_fold(Objects::new(), |mut all, some| async move {
            all.extend(some);
            Ok(all)
        })
        .await?;
    objects.insert(own, Observed::Known(found));
    // What lost its label is still there, and some of it is not ours at all.
    wanted.retain(|key| !objects.contains_key(key));
    objects.extend(keys(host, wanted).await?);
    Ok(objects)
}

/// Whether somebody deletes an object, and it is still there.
pub(crate) fn is_terminating(object: &Value) -> bool {
    object.pointer("/metadata/deletionTimestamp").is_some_and(|time| !time.is_null())
}

/// The version of an observed object; nothing for an absent one.
pub(super) fn version(object: &Value) -> Option<&str> {
    object.pointer("/metadata/resourceVersion").and_then(Value::as_str)
}
