//! Whether Warren's account may do what it does; what is missing is printed as a manifest.

use super::Check;
use crate::Context;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::{Api, api::PostParams};
use std::{collections::BTreeMap, fmt::Write as _};

const WRITE: &[&str] = &["get", "list", "watch", "create", "patch", "update", "delete"];
const READ: &[&str] = &["get", "list", "watch"];

/// API group, resource, verbs: what the tenant controller, the session controller and this doctor use.
const NEEDED: [(&str, &str, &[&str]); 22] = [
    ("", "namespaces", WRITE),
    ("", "serviceaccounts", WRITE),
    ("", "secrets", WRITE),
    ("", "services", WRITE),
    ("", "resourcequotas", WRITE),
    ("", "limitranges", WRITE),
    ("", "persistentvolumeclaims", WRITE),
    ("", "configmaps", WRITE),
    ("", "pods", WRITE),
    ("", "pods/portforward", &["create"]),
    ("", "events", READ),
    ("", "nodes", READ),
    ("", "persistentvolumes", READ),
    ("apps", "statefulsets", WRITE),
    ("networking.k8s.io", "networkpolicies", WRITE),
    ("rbac.authorization.k8s.io", "roles", WRITE),
    ("rbac.authorization.k8s.io", "rolebindings", WRITE),
    ("storage.k8s.io", "storageclasses", READ),
    ("admissionregistration.k8s.io", "mutatingadmissionpolicies", WRITE),
    ("admissionregistration.k8s.io", "mutatingadmissionpolicybindings", WRITE),
    ("admissionregistration.k8s.io", "validatingadmissionpolicies", WRITE),
    ("admissionregistration.k8s.io", "validatingadmissionpolicybindings", WRITE),
];

pub(super) async fn check(cx: &Context) -> Result<Check, kube::Error> {
    let reviews: Api<SelfSubjectAccessReview> = Api::all(cx.host.client());
    let mut missing: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for (group, resource, verbs) in NEEDED {
        let (resource_name, subresource) = match resource.split_once('/') {
            Some((name, sub)) => (name, Some(sub.to_owned())),
            None => (resource, None),
        };
        for verb in verbs {
            let attributes = ResourceAttributes {
                group: Some(group.to_owned()),
                resource: Some(resource_name.to_owned()),
                subresource: subresource.clone(),
                verb: Some((*verb).to_owned()),
                ..ResourceAttributes::default()
            };
            let review = SelfSubjectAccessReview {
                spec: SelfSubjectAccessReviewSpec {
                    resource_attributes: Some(attributes),
                    non_resource_attributes: None,
                },
                ..SelfSubjectAccessReview::default()
            };
            let answer = reviews.create(&PostParams::default(), &review).await?;
            if !answer.status.is_some_and(|status| status.allowed) {
                missing.entry((group, resource)).or_default().push(verb);
            }
        }
    }
    if missing.is_empty() {
        return Ok(Check::ok("rights", format!("all of {} rules are granted", NEEDED.len())));
    }
    let detail = format!("{} of {} rules are not granted", missing.len(), NEEDED.len());
    Ok(Check::bad("rights", detail, manifest(&missing)))
}

/// The missing rules as a `ClusterRole` to apply.
fn manifest(missing: &BTreeMap<(&str, &str), Vec<&str>>) -> String {
    let mut text = String::from(
        "apply this and bind it to Warren's account:\napiVersion: rbac.authorization.k8s.io/v1\n\
         kind: ClusterRole\nmetadata: {name: warren-missing}\nrules:\n",
    );
    for ((group, resource), verbs) in missing {
        let verbs = verbs.join(", ");
        writeln!(text, "- {{apiGroups: [{group:?}], resources: [{resource:?}], verbs: [{verbs}]}}")
            .expect("writing to a string cannot fail");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_rights_are_a_manifest_that_can_be_applied() {
        let missing = BTreeMap::from([(("apps", "statefulsets"), vec!["patch", "delete"])]);
        let text = manifest(&missing);
        assert!(text.ends_with(
            "- {apiGroups: [\"apps\"], resources: [\"statefulsets\"], verbs: [patch, delete]}\n"
        ));
    }
}
