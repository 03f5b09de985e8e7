//! Whether everything that Warren needs is as it should be.

use crate::{
    App,
    access::Check,
    error::{FindError, Noun, permit},
};
use domain::{Actor, ExplainTenant, Scope};

/// Looks at the record, the object store and the host cluster. Operators only.
///
/// # Errors
/// If the caller may not.
pub async fn check(app: &App, actor: &Actor) -> Result<Vec<Check>, FindError> {
    permit::<ExplainTenant>(actor, Scope::Platform, Noun::Page)?;
    let (mut checks, host) = tokio::join!(ready(app), app.access.host_check());
    checks.extend(host);
    Ok(checks)
}

/// Looks at the cluster of Proxmox VE on which nodes of tenants are made. Operators only.
///
/// # Errors
/// If the caller may not.
pub async fn check_proxmox(app: &App, actor: &Actor) -> Result<Vec<Check>, FindError> {
    permit::<ExplainTenant>(actor, Scope::Platform, Noun::Page)?;
    Ok(app.access.proxmox_check().await)
}

/// Whether requests can be served: the record and the object store.
pub async fn ready(app: &App) -> Vec<Check> {
    let (store, blobs) = tokio::join!(app.store.check(), app.blobs.check());
    let store = store.inspect_err(|error| {
        tracing::error!(error = error as &dyn std::error::Error, "the record does not answer");
    });
    let blobs = blobs.inspect_err(|error| {
        tracing::error!(error = error as &dyn std::error::Error, "objects cannot be written");
    });
    vec![
        verdict("record", store.is_ok(), "check the database, its disk and its address"),
        verdict("objects", blobs.is_ok(), "check the folder of blobs and its disk"),
    ]
}

fn verdict(name: &str, is_ok: bool, way_out: &str) -> Check {
    let (detail, way_out) = if is_ok { ("answers", "") } else { ("does not answer", way_out) };
    Check { name: name.to_owned(), is_ok, detail: detail.to_owned(), way_out: way_out.to_owned() }
}
