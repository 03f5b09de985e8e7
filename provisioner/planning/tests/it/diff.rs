//! What is found to have changed.

use crate::fixture::{CLUSTER, authority, bundle, everything, host, run_objects, spec};
use domain::PlanName;
use planning::{
    Action, Change, Key, Kind, Observed, Rendered, diff, diff_one, object, part_damage,
    render_cluster, unknown,
};
use proptest::{prelude::*, sample::Index};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The object as a server returns it that adds nothing but bookkeeping.
fn stored(rendered: &Rendered) -> Value {
    let mut object = rendered.body.clone();
    let metadata = object["metadata"].as_object_mut().expect("a map");
    metadata.insert("uid".to_owned(), json!("11111111-1111"));
    metadata.insert("resourceVersion".to_owned(), json!("42"));
    metadata.insert("creationTimestamp".to_owned(), json!("2027-01-15T08:00:00Z"));
    metadata.insert("managedFields".to_owned(), json!([{ "manager": "warren-provisioner" }]));
    object["status"] = json!({ "phase": "Active" });
    object
}

/// The object with what Kubernetes 1.36 fills in.
fn defaulted(rendered: &Rendered) -> Value {
    let mut object = stored(rendered);
    drop_empty_lists(&mut object);
    match rendered.key.kind {
        Kind::Service => {
            let spec = object["spec"].as_object_mut().expect("a map");
            spec.entry("clusterIP").or_insert(json!("10.79.3.4"));
            spec.insert("clusterIPs".to_owned(), json!(["10.79.3.4"]));
            spec.insert("ipFamilies".to_owned(), json!(["IPv4"]));
            spec.insert("ipFamilyPolicy".to_owned(), json!("SingleStack"));
            spec.insert("internalTrafficPolicy".to_owned(), json!("Cluster"));
            spec.insert("sessionAffinity".to_owned(), json!("None"));
        }
        Kind::Namespace => {
            let name = object["metadata"]["name"].clone();
            object["metadata"]["labels"]["kubernetes.io/metadata.name"] = name;
            object["spec"] = json!({ "finalizers": ["kubernetes"] });
        }
        Kind::ResourceQuota => {
            object["spec"]["hard"]["limits.cpu"] = json!("5000m");
        }
        Kind::LimitRange => {
            object["spec"]["limits"][0]["default"]["cpu"] = json!("0.5");
        }
        Kind::StatefulSet => stateful_set_defaults(&mut object),
        _ => {}
    }
    object
}

fn stateful_set_defaults(object: &mut Value) {
    let spec = &mut object["spec"];
    spec["replicas"] = json!(1);
    spec["revisionHistoryLimit"] = json!(10);
    spec["updateStrategy"] =
        json!({ "type": "RollingUpdate", "rollingUpdate": { "partition": 0 } });
    spec["volumeClaimTemplates"][0]["apiVersion"] = json!("v1");
    spec["volumeClaimTemplates"][0]["kind"] = json!("PersistentVolumeClaim");
    spec["volumeClaimTemplates"][0]["spec"]["volumeMode"] = json!("Filesystem");
    spec["volumeClaimTemplates"][0]["status"] = json!({ "phase": "Pending" });
    let template = &mut spec["template"];
    template["metadata"]["annotations"]["vcluster.loft.sh/cert-rotation-at"] = json!("2027-01-15");
    template["spec"]["dnsPolicy"] = json!("ClusterFirst");
    template["spec"]["restartPolicy"] = json!("Always");
    template["spec"]["serviceAccount"] = template["spec"]["serviceAccountName"].clone();
    template["spec"]["volumes"][4]["secret"]["defaultMode"] = json!(420);
    let container = &mut template["spec"]["containers"][0];
    container["resources"]["limits"]["cpu"] = json!("2000m");
    container["terminationMessagePath"] = json!("/dev/termination-log");
    container["readinessProbe"]["successThreshold"] = json!(1);
    container["env"][2]["valueFrom"]["fieldRef"]["apiVersion"] = json!("v1");
    container["volumeMounts"].as_array_mut().expect("a list").reverse();
}

fn drop_empty_lists(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| value.as_array().is_none_or(|list| !list.is_empty()));
            map.values_mut().for_each(drop_empty_lists);
        }
        Value::Array(list) => list.iter_mut().for_each(drop_empty_lists),
        _ => {}
    }
}

fn world(objects: &[Rendered], see: impl Fn(&Rendered) -> Observed) -> BTreeMap<Key, Observed> {
    objects.iter().map(|object| (object.key.clone(), see(object))).collect()
}

#[test]
fn what_is_as_rendered_needs_no_change() {
    let objects = everything();
    assert_eq!(diff(&objects, &world(&objects, |o| Observed::Known(stored(o)))), []);
}

#[test]
fn what_the_server_fills_in_needs_no_change() {
    let objects = everything();
    assert_eq!(diff(&objects, &world(&objects, |o| Observed::Known(defaulted(o)))), []);
}

#[test]
fn what_is_absent_is_created_in_order_and_what_is_unknown_is_looked_up_first() {
    let objects = everything();
    let changes = diff(&objects, &world(&objects, |_| Observed::Absent));
    assert!(changes.iter().all(|change| change.action == Action::Create));
    let order: Vec<&Key> = changes.iter().map(|change| &change.key).collect();
    assert_eq!(order, objects.iter().map(|object| &object.key).collect::<Vec<_>>());
    assert_eq!(diff(&objects, &world(&objects, |_| Observed::Unknown)), []);
    assert_eq!(diff(&objects, &BTreeMap::new()), []);
    assert_eq!(unknown(&objects, &BTreeMap::new()).len(), objects.len());
    assert!(unknown(&objects, &world(&objects, |_| Observed::Absent)).is_empty());
}

#[test]
fn a_lost_owner_namespace_or_volume_is_damage_once_the_tenant_was_ready() {
    let objects = render_cluster(&spec(PlanName::Starter, true), &host(), &authority()).in_order();
    let changes = diff(&objects, &world(&objects, |_| Observed::Absent));
    let damaged: Vec<String> = changes
        .iter()
        .filter(|change| change.action == Action::Damage)
        .map(|change| change.key.to_string())
        .collect();
    let namespace = format!("warren-{CLUSTER}");
    let expected = [
        format!("Namespace {namespace}"),
        format!("Service {namespace}/{CLUSTER}"),
        format!("PersistentVolumeClaim {namespace}/data-{CLUSTER}-0"),
    ];
    assert_eq!(damaged, expected);
    assert!(changes.iter().all(|c| c.action != Action::Damage || c.body.is_null()));
}

#[test]
fn damage_holds_back_the_control_plane_alone_and_a_lost_namespace_everything() {
    let objects = render_cluster(&spec(PlanName::Starter, true), &host(), &authority()).in_order();
    let lost = |kinds: &[Kind]| {
        let changes = diff(&objects, &world(&objects, |_| Observed::Absent));
        let is_lost =
            |change: &Change| change.action != Action::Damage || kinds.contains(&change.key.kind);
        part_damage(changes.into_iter().filter(is_lost).collect())
    };
    let (sent, damage) = lost(&[Kind::Service]);
    assert_eq!(damage.len(), 1);
    let kinds: Vec<Kind> = sent.iter().map(|change| change.key.kind).collect();
    for guard in [Kind::NetworkPolicy, Kind::ResourceQuota, Kind::RoleBinding] {
        assert!(kinds.contains(&guard), "{guard:?} is put right: {kinds:?}");
    }
    assert!(!kinds.contains(&Kind::StatefulSet), "it would run without what is lost");
    let (sent, damage) = lost(&[Kind::Namespace, Kind::Service, Kind::PersistentVolumeClaim]);
    assert_eq!((sent.len(), damage.len()), (0, 3), "{sent:?}");
    let (sent, damage) = lost(&[]);
    assert!(damage.is_empty());
    assert!(sent.iter().any(|change| change.key.kind == Kind::StatefulSet), "nothing is lost");
}

#[test]
fn an_owner_that_is_being_deleted_is_damage_and_a_mere_policy_is_waited_for() {
    let bundle = render_cluster(&spec(PlanName::Starter, true), &host(), &authority());
    let leaving = |object: &Rendered| {
        let mut value = stored(object);
        value["metadata"]["deletionTimestamp"] = json!("2027-01-15T08:00:00Z");
        Observed::Known(value)
    };
    let change = diff_one(&bundle.service, &leaving(&bundle.service)).expect("damage");
    assert_eq!(change.action, Action::Damage);
    let policy = &bundle.network_policies[0];
    assert_eq!(diff_one(policy, &leaving(policy)), None);
}

fn change_of(rendered: &Rendered, edit: impl FnOnce(&mut Value)) -> Option<Change> {
    let mut object = defaulted(rendered);
    edit(&mut object);
    diff_one(rendered, &Observed::Known(object))
}

#[test]
fn another_rendering_is_applied_even_where_nothing_else_differs() {
    let quota = bundle(&host()).quota;
    let change = change_of(&quota, |object| {
        object["metadata"]["annotations"][object::RENDERED] = json!("0000");
    })
    .expect("a change");
    assert_eq!(change.action, Action::Apply);
    assert!(change.why[0].starts_with("/metadata/annotations/warren.dev~1rendered: is 0000"));
    assert_eq!(change.body, quota.body);
}

#[test]
fn what_a_foreign_hand_added_is_taken_out_by_an_update_of_that_very_version() {
    let quota = bundle(&host()).quota;
    let change = change_of(&quota, |object| {
        object["spec"]["hard"]["requests.nvidia.com/gpu"] = json!("8");
    })
    .expect("a change");
    assert_eq!(change.action, Action::Replace);
    assert_eq!(change.why, ["/spec/hard/requests.nvidia.com~1gpu: is \"8\", should not be there"]);
    assert_eq!(change.body["metadata"]["resourceVersion"], "42");
    assert_eq!(change.body["spec"]["hard"].get("requests.nvidia.com/gpu"), None);
    assert_eq!(change.body["metadata"].get("managedFields"), None);
}

#[test]
fn a_network_policy_that_was_widened_by_an_empty_selector_is_noticed() {
    let policy = bundle(&host()).network_policies.remove(2);
    let change = change_of(&policy, |object| {
        object["spec"]["ingress"][0]["from"][0]["namespaceSelector"] = json!({});
    });
    assert_eq!(change.map(|change| change.action), Some(Action::Replace));
}

#[test]
fn a_binding_to_another_role_is_deleted_so_that_it_can_be_made_anew() {
    let binding = bundle(&host()).role_binding;
    let change = change_of(&binding, |object| object["roleRef"]["name"] = json!("admin"));
    let change = change.expect("a change");
    assert_eq!(change.action, Action::Delete);
    assert_eq!(change.body["preconditions"]["uid"], "11111111-1111");
}

#[test]
fn the_volume_of_a_control_plane_stays_as_it_was_made_and_the_rest_is_applied() {
    let mut other = host();
    other.storage_class = Some("fast".to_owned());
    other.images.syncer = "lab.local/loft-sh/vcluster-oss:0.36.2".to_owned();
    let before = stored(&bundle(&host()).stateful_set);
    let after = bundle(&other).stateful_set;
    let change = diff_one(&after, &Observed::Known(before.clone())).expect("a change");
    assert_eq!(change.action, Action::Apply);
    let claims = "/spec/volumeClaimTemplates";
    assert_eq!(change.body.pointer(claims), before.pointer(claims));
    let image = "/spec/template/spec/containers/0/image";
    assert_eq!(change.body.pointer(image), Some(&json!(other.images.syncer)));
    let mut applied = before;
    apply(&mut applied, &change.body);
    assert_eq!(diff_one(&after, &Observed::Known(applied)), None);
}

#[test]
fn a_stateful_set_for_other_pods_is_damage() {
    let change = change_of(&bundle(&host()).stateful_set, |object| {
        object["spec"]["selector"]["matchLabels"]["app"] = json!("another");
    })
    .expect("a change");
    assert_eq!(change.action, Action::Damage);
    assert!(change.why.iter().any(|why| why.contains("cannot be changed")), "{:?}", change.why);
}

#[test]
fn a_paused_control_plane_stays_paused_and_a_stopped_one_is_started() {
    let set = bundle(&host()).stateful_set;
    let paused = change_of(&set, |object| {
        object["spec"]["replicas"] = json!(0);
        object["metadata"]["annotations"]["loft.sh/paused"] = json!("true");
    });
    assert_eq!(paused, None);
    let stopped =
        change_of(&set, |object| object["spec"]["replicas"] = json!(0)).expect("a change");
    assert_eq!((stopped.action, &stopped.body["spec"]["replicas"]), (Action::Apply, &json!(1)));
    assert_eq!(set.body["spec"].get("replicas"), None, "nothing else ever sets it");
}

#[test]
fn certificates_that_the_syncer_signed_are_welcome_and_a_changed_authority_is_not() {
    let certs = bundle(&host()).certs;
    let signed = change_of(&certs, |object| object["data"]["apiserver.crt"] = json!("AAAA"));
    assert_eq!(signed, None);
    let change = change_of(&certs, |object| object["data"]["ca.key"] = json!("c3RvbGVu"));
    let change = change.expect("a change");
    assert_eq!(change.action, Action::Apply);
    assert_eq!(change.why, ["/data/ca.key: differs (a secret, not shown)"]);
    assert!(!format!("{change:?}").contains("c3RvbGVu"));
}

#[test]
fn what_is_no_longer_rendered_is_deleted_unless_it_holds_data_or_is_somebody_elses() {
    let namespace = format!("warren-{CLUSTER}");
    let labelled = |kind: Kind, labels: Value| {
        let key = Key::namespaced(kind, &namespace, "old");
        (
            key,
            Observed::Known(json!({ "metadata": { "name": "old", "uid": "7", "labels": labels } })),
        )
    };
    let ours = json!({ "app.kubernetes.io/managed-by": "warren" });
    let observed = BTreeMap::from([
        labelled(Kind::NetworkPolicy, ours.clone()),
        labelled(Kind::PersistentVolumeClaim, ours.clone()),
        labelled(Kind::Secret, ours.clone()),
        labelled(Kind::Service, ours),
        labelled(Kind::Role, json!({ "app.kubernetes.io/managed-by": "somebody" })),
    ]);
    let changes = diff(&[], &observed);
    let kinds: Vec<_> = changes.iter().map(|change| (change.key.kind, change.action)).collect();
    assert_eq!(kinds, [(Kind::NetworkPolicy, Action::Delete)]);
}

#[test]
fn debug_output_of_what_was_observed_shows_no_secret() {
    let secret = run_objects().secret;
    let text = format!("{:?}", Observed::Known(secret.body));
    assert_eq!(text, "Known(…)");
}

/// Every place in `value`, as JSON Pointers.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    let escape = |name: &str| name.replace('~', "~0").replace('/', "~1");
    match value {
        Value::Object(map) => {
            map.iter()
                .for_each(|(name, value)| places(value, &format!("{at}/{}", escape(name)), found));
        }
        Value::Array(list) => {
            let each = list.iter().enumerate();
            each.for_each(|(index, value)| places(value, &format!("{at}/{index}"), found));
        }
        _ => {}
    }
}

#[derive(Debug, Clone, Copy)]
enum Edit {
    Change,
    Remove,
    Add,
}

fn apply_edit(object: &mut Value, place: &str, edit: Edit) {
    match (edit, object.pointer_mut(place).expect("the place is there")) {
        (Edit::Add, Value::Object(map)) => {
            map.insert("foreign".to_owned(), json!("x"));
        }
        (Edit::Add, Value::Array(list)) => list.push(json!({ "foreign": "x" })),
        (Edit::Remove, _) => {
            let (parent, name) = place.rsplit_once('/').expect("no edit at the root");
            let name = name.replace("~1", "/").replace("~0", "~");
            match object.pointer_mut(parent).expect("the parent is there") {
                Value::Object(map) => drop(map.remove(&name)),
                Value::Array(list) => drop(list.remove(name.parse().expect("an index"))),
                _ => unreachable!("only maps and lists have places in them"),
            }
        }
        (Edit::Change | Edit::Add, value) => {
            *value = match value {
                Value::Bool(is) => json!(!*is),
                Value::Number(_) => json!(123_456_789),
                _ => json!("changed"),
            };
        }
    }
}

/// What the server makes of an apply: maps are merged, lists without a merge key are replaced.
fn apply(object: &mut Value, body: &Value) {
    match (object, body) {
        (Value::Object(object), Value::Object(body)) => {
            for (name, value) in body {
                apply(object.entry(name.clone()).or_insert_with(|| json!({})), value);
            }
        }
        (object, body) => *object = body.clone(),
    }
}

proptest! {
    #[test]
    fn any_single_change_to_what_grants_or_limits_is_found_and_undone_at_once(
        which in any::<Index>(), place in any::<Index>(), edit in prop::sample::select(vec![Edit::Change, Edit::Remove, Edit::Add]),
    ) {
        let objects: Vec<Rendered> =
            everything().into_iter().filter(|object| !object.comparison.exact.is_empty()).collect();
        let rendered = which.get(&objects);
        let mut found = Vec::new();
        for part in rendered.comparison.exact {
            if let Some(value) = rendered.body.pointer(part) {
                places(value, part, &mut found);
            }
        }
        let mut object = stored(rendered);
        apply_edit(&mut object, place.get::<String>(&found), edit);
        let change = diff_one(rendered, &Observed::Known(object.clone()));
        let change = change.expect("the change is found");
        prop_assert!(!change.why.is_empty());
        let after = match change.action {
            Action::Replace => change.body,
            Action::Apply => { apply(&mut object, &change.body); object }
            Action::Delete => {
                // Made anew, because the part cannot be changed.
                prop_assert!(!rendered.comparison.immutable.is_empty());
                stored(rendered)
            }
            Action::Create | Action::Damage => return Err(TestCaseError::fail("a wrong action")),
        };
        prop_assert_eq!(diff_one(rendered, &Observed::Known(after)), None);
    }

    #[test]
    fn a_removed_part_of_any_object_comes_back(which in any::<Index>(), place in any::<Index>()) {
        let objects = everything();
        let rendered = which.get(&objects);
        let mut found = Vec::new();
        for part in ["/spec", "/rules", "/data", "/metadata/labels"] {
            if let Some(value) = rendered.body.pointer(part) {
                places(value, part, &mut found);
            }
        }
        let kept = rendered.comparison.kept;
        found.retain(|place| !kept.iter().any(|part| place.starts_with(part)));
        // An empty map says nothing where other fields are welcome.
        found.retain(|place| {
            let value = rendered.body.pointer(place).expect("the place is there");
            value.as_object().is_none_or(|map| !map.is_empty())
        });
        let mut object = stored(rendered);
        apply_edit(&mut object, place.get::<String>(&found), Edit::Remove);
        prop_assert!(diff_one(rendered, &Observed::Known(object)).is_some());
    }

    #[test]
    fn foreign_fields_elsewhere_are_welcome(which in any::<Index>(), place in any::<Index>()) {
        let objects: Vec<Rendered> =
            everything().into_iter().filter(|object| object.comparison.exact.is_empty()).collect();
        let rendered = which.get(&objects);
        let mut found = Vec::new();
        places(&rendered.body, "", &mut found);
        found.retain(|place| rendered.body.pointer(place).is_some_and(Value::is_object));
        let mut object = stored(rendered);
        apply_edit(&mut object, place.get::<String>(&found), Edit::Add);
        prop_assert_eq!(diff_one(rendered, &Observed::Known(object)), None);
    }
}
