//! The Secret with a tenant's certificate authorities.

use crate::{
    cluster::ClusterSpec,
    object::{Kind, Rendered},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The syncer honours a Secret that it finds, signs what is missing and adds it: so what is rendered must be there and
/// more may be.
///
/// Source: vCluster 0.36.1, pkg/certs/ensure.go (labels: `CertSecretLabel…`).
pub(crate) fn render(spec: &ClusterSpec, authority: &BTreeMap<String, Vec<u8>>) -> Rendered {
    let data: Map<String, Value> = authority
        .iter()
        .map(|(name, bytes)| (name.clone(), Value::from(STANDARD.encode(bytes))))
        .collect();
    let cluster = spec.cluster.as_str();
    let body = json!({
        "metadata": { "labels": { "app": "vcluster", "vcluster-name": cluster } },
        "type": "Opaque",
        "data": data,
    });
    spec.object(Kind::Secret, &format!("{cluster}-certs"), body).as_subset()
}
