//! The host namespace of one tenant.

use crate::{
    cluster::ClusterSpec,
    object::{Kind, Rendered},
};
use serde_json::{Value, json};

/// The labels that make a namespace `restricted`.
///
/// Source: Kubernetes, Pod Security Admission.
pub(crate) fn restricted() -> Value {
    json!({
        "pod-security.kubernetes.io/enforce": "restricted",
        "pod-security.kubernetes.io/enforce-version": "latest",
        "pod-security.kubernetes.io/warn": "restricted",
        "pod-security.kubernetes.io/warn-version": "latest",
        "pod-security.kubernetes.io/audit": "restricted",
        "pod-security.kubernetes.io/audit-version": "latest",
    })
}

pub(crate) fn render(spec: &ClusterSpec) -> Rendered {
    let body = json!({ "metadata": { "labels": restricted() } });
    let namespace = spec.object(Kind::Namespace, &spec.namespace(), body);
    if spec.was_ready {
        namespace.never_again("everything of the tenant on the host was in it, its volumes too")
    } else {
        namespace
    }
}
