//! Sends changes, in an order that makes each one possible.

use super::observe::AT_ONCE;
use crate::api_server::{ApiError, ApiServer};
use futures::{StreamExt as _, stream};
use planning::{Action, Change, Key, Kind};
use serde_json::Value;

/// What became of the changes.
#[derive(Debug, Default)]
pub(crate) struct Applied {
    /// What was done, and the object as the API server keeps it now; nothing for a deleted one.
    pub(crate) done: Vec<(Key, Option<Value>)>,
    /// What was not: the changes after a stage with a failure were not sent.
    pub(crate) failed: Vec<ApiError>,
    /// Whether something was deleted that may have to be made anew.
    pub(crate) has_deleted: bool,
    /// What is damaged; what depends on it was not sent.
    pub(crate) damage: Vec<String>,
}

/// Sends all changes. Those of one stage go side by side; a stage begins when the one before it has
/// succeeded:
///
/// 0. namespaces, which everything else is in;
/// 1. everything that refers to nothing;
/// 2. bindings: the API server looks their role or policy up;
/// 3. what starts pods, which need accounts, secrets, limits and policies to be there;
/// 4. deletions, so that nothing is missing while its successor is on its way.
pub(crate) async fn apply(server: &ApiServer, changes: Vec<Change>) -> Applied {
    let mut applied = Applied::default();
    let mut stages: [Vec<Change>; 5] = Default::default();
    for change in changes {
        stages[stage(&change)].push(change);
    }
    for stage in stages {
        let mut results = stream::iter(stage)
            .map(|change| async move {
                let result = send(server, &change).await;
                (change, result)
            })
            .buffer_unordered(AT_ONCE);
        while let Some((change, result)) = results.next().await {
            match result {
                Ok(object) => {
                    tracing::info!(
                        object = %change.key,
                        action = ?change.action,
                        why = %change.why.join("; "),
                        "changed"
                    );
                    applied.has_deleted |= change.action == Action::Delete;
                    applied.done.push((change.key, object));
                }
                Err(error) => applied.failed.push(error),
            }
        }
        if !applied.failed.is_empty() {
            break;
        }
    }
    applied
}

fn stage(change: &Change) -> usize {
    match (change.action, change.key.kind) {
        (Action::Delete, _) => 4,
        (_, Kind::Namespace) => 0,
        (
            _,
            Kind::RoleBinding
            | Kind::ClusterRoleBinding
            | Kind::ValidatingAdmissionPolicyBinding
            | Kind::MutatingAdmissionPolicyBinding,
        ) => 2,
        (_, Kind::StatefulSet | Kind::Job | Kind::Pod) => 3,
        (
            _,
            Kind::Node
            | Kind::PersistentVolume
            | Kind::ServiceAccount
            | Kind::Secret
            | Kind::ConfigMap
            | Kind::Service
            | Kind::PersistentVolumeClaim
            | Kind::ResourceQuota
            | Kind::LimitRange
            | Kind::Event
            | Kind::PodDisruptionBudget
            | Kind::EndpointSlice
            | Kind::NetworkPolicy
            | Kind::Role
            | Kind::ClusterRole
            | Kind::ValidatingAdmissionPolicy
            | Kind::MutatingAdmissionPolicy,
        ) => 1,
    }
}

async fn send(server: &ApiServer, change: &Change) -> Result<Option<Value>, ApiError> {
    match change.action {
        Action::Create | Action::Apply => server.apply(&change.key, &change.body).await.map(Some),
        Action::Replace => server.replace(&change.key, &change.body).await.map(Some),
        Action::Delete => server.delete(&change.key, &change.body).await.map(|()| None),
        // Whoever asks for a change of something damaged has not looked: nothing is sent.
        Action::Damage => Ok(None),
    }
}
