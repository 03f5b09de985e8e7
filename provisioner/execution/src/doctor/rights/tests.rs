use super::*;
use crate::watch::TENANT_KINDS;
use domain::{ClusterName, Plan, PlanName};
use planning::{
    ClusterSpec, Kind, Rendered, render_cluster, render_host_policies, sample::settings,
};

fn right(group: &str, resource: &str, verb: &str) -> Right {
    let [group, resource, verb] = [group, resource, verb].map(str::to_owned);
    Right { group, resource, name: None, verb }
}

/// Whether Warren has a right, be it to one object alone.
fn is_needed(needed: &BTreeSet<Right>, right: &Right) -> bool {
    needed.iter().any(|needed| Right { name: None, ..needed.clone() } == *right)
}

/// Everything that Warren makes on a host, for a tenant of each plan.
fn rendered() -> Vec<Rendered> {
    let mut objects = render_host_policies(&settings());
    for plan in PlanName::ALL {
        let cluster = ClusterName::stored("wabcdefghijkm".to_owned());
        let spec = ClusterSpec { cluster, plan: Plan::current(plan), was_ready: false };
        objects.extend(render_cluster(&spec, &settings(), &BTreeMap::new()).in_order());
    }
    objects
}

#[test]
fn the_role_names_every_right_by_itself() {
    let role: ClusterRole = serde_saphyr::from_str(ROLE).expect("YAML");
    for rule in role.rules.expect("rules") {
        assert!(rule.non_resource_urls.is_none(), "{rule:?}");
    }
    for Right { group, resource, name, verb } in needed() {
        let all = format!("{group} {resource} {name:?} {verb}");
        assert!(!all.contains('*'), "no wildcards: {all}");
        // Whoever has these may give themselves everything else, but for one role whose rights they have anyway.
        let is_bounded = verb == "bind" && name.as_deref() == Some("warren-control-plane");
        let is_boundless = ["escalate", "bind", "impersonate"].contains(&verb.as_str());
        assert!(is_bounded || !is_boundless, "{all}");
    }
}

/// Kubernetes lets nobody grant what they do not have.
#[test]
fn what_tenants_control_planes_are_granted_is_in_the_role() {
    let (needed, rendered) = (needed(), rendered());
    let roles: Vec<&Rendered> =
        rendered.iter().filter(|object| object.key.kind == Kind::ClusterRole).collect();
    assert_eq!(roles.len(), 1, "one for all tenants");
    let texts = |value: &Value| -> Vec<String> {
        let list = value.as_array().expect("a list");
        list.iter().map(|text| text.as_str().expect("a text").to_owned()).collect()
    };
    for rule in roles.iter().flat_map(|role| role.body["rules"].as_array().expect("rules")) {
        for group in texts(&rule["apiGroups"]) {
            for resource in texts(&rule["resources"]) {
                for verb in texts(&rule["verbs"]) {
                    let granted = right(&group, &resource, &verb);
                    assert!(needed.contains(&granted), "{granted:?} is not Warren's to grant");
                }
            }
        }
    }
}

#[test]
fn everything_that_is_rendered_may_be_read_made_changed_and_watched() {
    let needed = needed();
    let policies = rendered().into_iter().map(|object| object.key.kind);
    let kinds: BTreeSet<Kind> = TENANT_KINDS.into_iter().chain(policies).collect();
    for kind in kinds {
        for verb in ["get", "list", "watch", "create", "patch"] {
            let right = right(kind.group(), kind.plural(), verb);
            assert!(is_needed(&needed, &right), "{right:?} is missing");
        }
    }
}

#[test]
fn missing_rights_are_a_manifest_that_can_be_applied() {
    let named = Right {
        name: Some("one".to_owned()),
        ..right("rbac.authorization.k8s.io", "clusterroles", "bind")
    };
    let missing = BTreeSet::from([
        named,
        right("apps", "statefulsets", "patch"),
        right("apps", "statefulsets", "delete"),
        right("", "pods/log", "get"),
    ]);
    let text = manifest(&missing, "system:serviceaccount:warren:warren");
    let documents: Vec<Value> = serde_saphyr::from_multiple(&text).expect("two documents");
    let rules = json!([
        { "apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"] },
        { "apiGroups": ["apps"], "resources": ["statefulsets"], "verbs": ["delete", "patch"] },
        {
            "apiGroups": ["rbac.authorization.k8s.io"],
            "resources": ["clusterroles"],
            "resourceNames": ["one"],
            "verbs": ["bind"],
        },
    ]);
    assert_eq!(documents[0]["kind"], "ClusterRole");
    assert_eq!(documents[0]["rules"], rules);
    assert_eq!(documents[1]["kind"], "ClusterRoleBinding");
    assert_eq!(documents[1]["roleRef"]["name"], documents[0]["metadata"]["name"]);
    assert_eq!(documents[1]["subjects"][0]["name"], "system:serviceaccount:warren:warren");
}
