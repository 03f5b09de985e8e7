use super::{Objects, answer, matches, path::Place, refusal};
use http::Response;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Bytes;
use planning::pod::is_ready;
use serde_json::{Value, json};
use std::{collections::HashMap, convert::Infallible};

/// Tells a pod to go, unless a budget that names a number forbids it; its kubelet ends it.
pub(super) fn evict(
    objects: &mut Objects,
    place: &Place,
) -> Response<UnsyncBoxBody<Bytes, Infallible>> {
    let Some(pod) = objects.get("pods", &place.namespace, &place.name).cloned() else {
        return refusal(404, "NotFound", "not found");
    };
    if is_ready(&pod)
        && objects.list("poddisruptionbudgets").iter().any(|b| forbids(objects, b, &pod))
    {
        return refusal(429, "TooManyRequests", "it would violate the pod's disruption budget");
    }
    objects.change("pods", &place.namespace, &place.name, |pod| {
        pod["metadata"]["deletionTimestamp"] = "2027-01-15T08:00:01Z".into();
    });
    answer(201, &json!({ "kind": "Status", "status": "Success" }))
}

/// Whether fewer pods than a budget asks for would be ready without this one.
fn forbids(objects: &Objects, budget: &Value, pod: &Value) -> bool {
    let labels = budget["spec"]["selector"]["matchLabels"].as_object().into_iter().flatten();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let labels: HashMap<_, _> = labels.map(|(name, value)| (name.clone(), text(value))).collect();
    let namespace = &budget["metadata"]["namespace"];
    let is_meant =
        |pod: &Value| pod["metadata"]["namespace"] == *namespace && matches(pod, &labels);
    if !is_meant(pod) {
        return false;
    }
    let pods = objects.list("pods");
    let ready = pods.iter().filter(|pod| is_meant(pod) && is_ready(pod)).count() as u64;
    budget["spec"]["minAvailable"].as_u64().is_some_and(|least| ready <= least)
}
