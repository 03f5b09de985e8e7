//! The syncer's configuration.

use crate::{
    cluster::ClusterSpec,
    control_plane,
    machine::{self, NO_SCHEDULE},
    object::{self, Kind, Rendered},
    quota,
    settings::HostSettings,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use domain::Isolation;
use serde_json::{Value, json};

/// The version of vCluster that the embedded document belongs to.
pub const VCLUSTER_VERSION: &str = "0.36.1";

const DOCUMENT: &str = include_str!("../../../templates/virtual-cluster/0.36.1/config.yaml");

pub(crate) fn render(spec: &ClusterSpec, host: &HostSettings) -> Rendered {
    // JSON is YAML; its canonical text is the same from every build.
    let text = object::canonical_text(&document(spec, host));
    let body = json!({ "type": "Opaque", "data": { "config.yaml": STANDARD.encode(text) } });
    spec.object(Kind::Secret, &format!("vc-config-{}", spec.cluster), body)
}

/// The document with everything filled in that differs from tenant to tenant or from host to host.
pub(crate) fn document(spec: &ClusterSpec, host: &HostSettings) -> Value {
    let mut document: Value = serde_saphyr::from_str(DOCUMENT)
        .expect("the embedded document is YAML, which a test proves");
    let (cluster, namespace) = (spec.cluster.as_str(), spec.namespace());
    let plane = "/controlPlane";
    let images = &host.images;
    let dns = quota::DNS;
    let fills = [
        (format!("{plane}/statefulSet/image"), image(&images.syncer)),
        (format!("{plane}/statefulSet/resources"), control_plane::resources()),
        (
            format!("{plane}/statefulSet/persistence/volumeClaim/size"),
            json!(spec.plan.overhead.storage.to_string()),
        ),
        (format!("{plane}/distro/k8s/image"), image(&images.kubernetes)),
        (format!("{plane}/coredns/deployment/image"), json!(images.coredns)),
        (
            format!("{plane}/coredns/deployment/resources"),
            json!({
                "limits": { "cpu": dns.cpu.to_string(), "memory": dns.memory.to_string() },
                "requests": { "cpu": "20m", "memory": "64Mi" },
            }),
        ),
        (
            format!("{plane}/proxy/extraSANs"),
            json!([
                format!("{cluster}.{namespace}.svc"),
                format!("{cluster}.{namespace}.svc.cluster.local")
            ]),
        ),
        ("/sync/toHost/pods/rewriteHosts/initContainer/image".to_owned(), image(&images.syncer)),
    ];
    let own_nodes = match spec.plan.isolation {
        Isolation::Shared => Vec::new(),
        Isolation::Dedicated => own_nodes(cluster),
    };
    for (pointer, value) in fills.into_iter().chain(own_nodes) {
        *document
            .pointer_mut(&pointer)
            .expect("the embedded document has the place, which a test proves") = value;
    }
    document
}

/// Puts all of the tenant's pods on its own nodes, and lets them tolerate that those are its own.
///
/// Source: vCluster 0.36.1: the selector is added to every pod also where nodes are not synced.
fn own_nodes(cluster: &str) -> Vec<(String, Value)> {
    let toleration = format!("{}={cluster}:{NO_SCHEDULE}", machine::TAINT);
    let pods = "/sync/toHost/pods/enforceTolerations".to_owned();
    let labels = "/sync/fromHost/nodes/selector/labels".to_owned();
    vec![(pods, json!([toleration])), (labels, json!({ machine::LABEL: cluster }))]
}

/// A reference in the three parts that vCluster puts together again as `registry/repository:tag`.
///
/// Source: vCluster 0.36.1, config/config.go, `Image.String`; a reference with a digest goes into `repository`.
fn image(reference: &str) -> Value {
    let (registry, rest) = match reference.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (first, rest),
        _ => ("docker.io", reference),
    };
    let (repository, tag) = match rest.rsplit_once(':') {
        Some((repository, tag)) if !rest.contains('@') => (repository, tag),
        _ => (rest, ""),
    };
    json!({ "registry": registry, "repository": repository, "tag": tag })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_reference_is_taken_apart_as_vcluster_puts_it_together() {
        for (reference, registry, repository, tag) in [
            ("ghcr.io/loft-sh/vcluster-oss:0.36.1", "ghcr.io", "loft-sh/vcluster-oss", "0.36.1"),
            ("localhost:5000/a/b", "localhost:5000", "a/b", ""),
            ("loft-sh/kubernetes:v1", "docker.io", "loft-sh/kubernetes", "v1"),
            ("ghcr.io/a/b@sha256:00", "ghcr.io", "a/b@sha256:00", ""),
        ] {
            let expected = json!({ "registry": registry, "repository": repository, "tag": tag });
            assert_eq!(image(reference), expected, "{reference}");
        }
    }
}
