//! What is wanted, from the record and the host's settings.

use crate::{Context, KeysError};
use domain::Tenant;
use planning::{ClusterSpec, Rendered, render_baseline, render_cluster};
use secrecy::ExposeSecret as _;

pub(crate) fn spec(record: &Tenant) -> ClusterSpec {
    ClusterSpec {
        cluster: record.cluster.clone(),
        plan: record.plan_on_host(),
        was_ready: record.was_ready,
    }
}

/// The objects of a tenant on the host, in the order in which they have to be applied.
pub(crate) async fn host(cx: &Context, record: &Tenant) -> Result<Vec<Rendered>, KeysError> {
    let authority = cx.authority(record).await?;
    let files = authority
        .files()
        .into_iter()
        .map(|(name, bytes)| (name, bytes.expose_secret().to_vec()))
        .collect();
    Ok(render_cluster(&spec(record), &cx.settings.now(), &files).in_order())
}

/// The objects inside a tenant's own cluster, in the order in which they have to be applied.
pub(crate) fn baseline(cx: &Context) -> Vec<Rendered> {
    render_baseline(&cx.settings.now())
}
