//! What of a tenant is not where it is to be, and in which order it goes there.

use crate::{
    job::{SESSION_LABEL, run_of_pod},
    pod::{controller, is_alive, name, text},
    syncer::{OBJECT_NAME, OBJECT_NAMESPACE},
};
use domain::{RunId, Survey};
use serde_json::Value;
use std::collections::BTreeMap;

/// The label of a node that a volume's node affinity names when the volume lies on that node's own disk.
const HOSTNAME: &str = "kubernetes.io/hostname";

/// Sorts the `pods` of a tenant, as its own API server has them. `is_of_session` knows the digits of sessions.
#[must_use]
pub fn survey(
    pods: &[Value],
    is_of_session: impl Fn(&str) -> bool,
    is_right: impl Fn(&str) -> bool,
) -> Survey {
    let mut survey = Survey::default();
    let mut owned: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for pod in pods.iter().filter(|pod| is_alive(pod)) {
        let place = text(pod, "/spec/nodeName");
        if place.is_empty() || is_right(place) {
            continue;
        }
        let name = name(pod);
        if session_of(pod).is_some_and(&is_of_session) {
            let run = run_of_pod(text(pod, "/metadata/name"));
            survey.runs.extend(run.map(|run| (run, place.to_owned())));
            survey.sessions.push(name);
        } else if let Some(owner) = controller(pod).and_then(|owner| owner["uid"].as_str()) {
            owned.entry(owner.to_owned()).or_default().push(name);
        } else {
            survey.unmanaged.push(name);
        }
    }
    for mut pods in owned.into_values() {
        pods.sort_unstable();
        for (number, pod) in pods.into_iter().enumerate() {
            if survey.waves.len() == number {
                survey.waves.push(Vec::new());
            }
            survey.waves[number].push(pod);
        }
    }
    survey
}

/// The runs among `pods` of the host, and the node of each: the syncer notes their names where no tenant can change them.
#[must_use]
pub fn runs(pods: &[Value]) -> BTreeMap<RunId, String> {
    let run = |pod: &Value| Some((run_of(pod)?, text(pod, "/spec/nodeName").to_owned()));
    pods.iter().filter_map(run).collect()
}

/// The run that a pod of the host is of.
#[must_use]
pub fn run_of(pod: &Value) -> Option<RunId> {
    run_of_pod(pod.pointer("/metadata/annotations")?.get(OBJECT_NAME)?.as_str()?)
}

/// The digits of the session that a pod says that it is of.
#[must_use]
pub fn session_of(pod: &Value) -> Option<&str> {
    pod.pointer("/metadata/labels")?.get(SESSION_LABEL)?.as_str()
}

/// The node that a volume lies on.
pub(crate) fn hostname(volume: &Value) -> Option<&str> {
    let terms = volume.pointer("/spec/nodeAffinity/required/nodeSelectorTerms")?.as_array()?;
    let expressions = terms.iter().filter_map(|term| term["matchExpressions"].as_array()).flatten();
    let mut named = expressions.filter(|expression| expression["key"] == HOSTNAME);
    named.next()?.pointer("/values/0")?.as_str()
}

/// An object as its tenant knows it: `namespace/name`.
pub(crate) fn tenant_name(object: &Value) -> Option<String> {
    let annotations = object.pointer("/metadata/annotations")?;
    let (namespace, name) = (&annotations[OBJECT_NAMESPACE], &annotations[OBJECT_NAME]);
    Some(format!("{}/{}", namespace.as_str()?, name.as_str()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(name: &str, node: &str, owner: Option<&str>) -> Value {
        let owners = owner.map(|uid| json!([{ "uid": uid, "controller": true }]));
        json!({
            "metadata": { "namespace": "apps", "name": name, "ownerReferences": owners },
            "spec": { "nodeName": node },
            "status": { "phase": "Running" },
        })
    }

    #[test]
    fn of_each_controller_one_pod_moves_in_each_wave() {
        let pods = [
            pod("web-2", "old", Some("web")),
            pod("web-1", "old", Some("web")),
            pod("db-0", "old", Some("db")),
            pod("web-3", "new", Some("web")),
        ];
        let found = survey(&pods, |_| false, |node| node == "new");
        assert_eq!(found.waves, [vec!["apps/db-0", "apps/web-1"], vec!["apps/web-2"]]);
        assert!(found.unmanaged.is_empty() && found.sessions.is_empty());
    }

    #[test]
    fn what_nothing_makes_anew_and_what_a_session_runs_is_told_apart() {
        let mut session = pod("run", "old", Some("job"));
        session["metadata"]["labels"] = json!({ SESSION_LABEL: "0a" });
        let mut over = pod("over", "old", None);
        over["status"]["phase"] = "Succeeded".into();
        let pods = [session, pod("bare", "old", None), over, pod("waits", "", None)];
        let none = |_: &str| false;
        let found = survey(&pods, |digits| digits == "0a", none);
        assert_eq!(found.sessions, ["apps/run"]);
        assert!(found.runs.is_empty(), "it is called like no run");
        assert_eq!(found.unmanaged, ["apps/bare"]);
        let forged = survey(&pods[..1], none, none);
        assert_eq!(forged.waves, [["apps/run"]], "a label alone makes no session");
    }

    #[test]
    fn the_run_of_a_pod_is_told_by_its_name_inside_and_on_the_host() {
        let digits = "0198c0de000070008000000000000001";
        let id: RunId = format!("run_{digits}").parse().expect("an id");
        let mut inside = pod(&format!("run-{digits}-x7k2p"), "old", Some("job"));
        inside["metadata"]["labels"] = json!({ SESSION_LABEL: "0a" });
        let found = survey(&[inside], |_| true, |_| false);
        assert_eq!(found.runs, BTreeMap::from([(id, "old".to_owned())]));
        let mut outside = pod("translated", "old", None);
        outside["metadata"]["annotations"] = json!({ OBJECT_NAME: format!("run-{digits}-x7k2p") });
        let mut other = pod("other", "old", None);
        other["metadata"]["annotations"] = json!({ OBJECT_NAME: "web-0198c0de-abc" });
        assert_eq!(runs(&[outside, other]), found.runs);
    }
}
