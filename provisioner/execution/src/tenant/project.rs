//! The namespaces inside a tenant's cluster that its sessions run in.

use super::{ReconcileError, close_gap, observe, settle};
use crate::api_server::{ApiError, ApiServer};
use domain::ProjectName;
use planning::{
    Observed,
    object::{MANAGED_BY, MANAGED_BY_VALUE},
    render_project,
};
use serde_json::Value;

/// Why a project cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProjectError {
    /// The tenant uses the namespace for something else.
    #[error(
        "namespace {0} of the tenant is not a project: Warren has not made it. Choose another name for the project"
    )]
    Taken(ProjectName),
    /// It is being deleted.
    #[error("project {0} is being deleted; it is made anew when it is gone")]
    Terminating(ProjectName),
    /// The tenant's API server did not do it.
    #[error(transparent)]
    Api(#[from] ApiError),
}

/// Makes a project, or puts right what is not as it should be. Nothing is written if nothing differs.
pub(crate) async fn ensure(server: &ApiServer, project: &ProjectName) -> Result<(), ProjectError> {
    let desired = render_project(project);
    let wanted = desired.iter().map(|object| object.key.clone()).collect();
    let observed = observe::keys(server, wanted).await?;
    if let Some(Observed::Known(namespace)) = observed.get(&desired[0].key) {
        if observe::is_terminating(namespace) {
            return Err(ProjectError::Terminating(project.clone()));
        }
        let label = namespace.pointer("/metadata/labels").and_then(|all| all.get(MANAGED_BY));
        if label.and_then(Value::as_str) != Some(MANAGED_BY_VALUE) {
            return Err(ProjectError::Taken(project.clone()));
        }
    }
    let applied = close_gap(server, &desired, &observed).await;
    match settle(applied, &desired, &observed) {
        // What had to be deleted first is made at the next attempt.
        Ok(_) => Ok(()),
        Err(ReconcileError::Api(error)) => Err(error.into()),
        Err(_) => Err(ProjectError::Terminating(project.clone())),
    }
}
