//! Whether Warren's account may do what it does; what is missing is printed as a manifest.
//!
//! What is needed stands in one place, the `ClusterRole` that operators apply.

use super::Check;
use crate::Context;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::{
    authentication::v1::SelfSubjectReview,
    authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec},
    rbac::v1::ClusterRole,
};
use kube::{Api, Client, api::PostParams};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

const ROLE: &str = include_str!("../../../../templates/host/cluster-role.yaml");
/// Questions that are asked at the same time.
const AT_ONCE: usize = 8;
/// What the missing rights are given as.
const MISSING: &str = "warren-missing";

/// One thing that somebody may do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Right {
    group: String,
    /// With its subresource, if it is about one.
    resource: String,
    /// Of this object alone.
    name: Option<String>,
    verb: String,
}

/// What verbs are about: group, resource and, if it is about one object alone, its name.
type Object<'a> = (&'a str, &'a str, Option<&'a str>);

pub(super) async fn check(cx: &Context) -> Result<Check, kube::Error> {
    let client = cx.host.client();
    let needed = needed();
    let total = needed.len();
    let missing: BTreeSet<Right> = stream::iter(needed)
        .map(|right| {
            let client = client.clone();
            async move {
                let is_granted = is_granted(client, &right).await?;
                Ok::<_, kube::Error>((!is_granted).then_some(right))
            }
        })
        .buffer_unordered(AT_ONCE)
        .try_filter_map(async |right| Ok(right))
        .try_collect()
        .await?;
    if missing.is_empty() {
        return Ok(Check::ok("rights", format!("all of {total} are granted")));
    }
    let user = who_am_i(client).await?;
    let told: Vec<String> = by_object(&missing)
        .into_iter()
        .map(|((group, resource, name), verbs)| {
            let dot = if group.is_empty() { "" } else { "." };
            let name = name.map(|name| format!("/{name}")).unwrap_or_default();
            format!("{} {resource}{dot}{group}{name}", verbs.join(", "))
        })
        .collect();
    let detail =
        format!("{} of {total} are not granted to {user}: {}", missing.len(), told.join("; "));
    Ok(Check::bad("rights", detail, manifest(&missing, &user)))
}

/// Every right in the `ClusterRole`.
fn needed() -> BTreeSet<Right> {
    let role: ClusterRole =
        serde_saphyr::from_str(ROLE).expect("the role is YAML: a test reads it");
    let mut rights = BTreeSet::new();
    for rule in role.rules.into_iter().flatten() {
        for group in rule.api_groups.iter().flatten() {
            for resource in rule.resources.iter().flatten() {
                let names = rule.resource_names.iter().flatten().cloned().map(Some);
                let mut names: Vec<Option<String>> = names.collect();
                if names.is_empty() {
                    names.push(None);
                }
                for name in names {
                    rights.extend(rule.verbs.iter().map(|verb| Right {
                        group: group.clone(),
                        resource: resource.clone(),
                        name: name.clone(),
                        verb: verb.clone(),
                    }));
                }
            }
        }
    }
    rights
}

async fn is_granted(client: Client, right: &Right) -> Result<bool, kube::Error> {
    let Right { group, resource, name, verb } = right;
    let (resource, subresource) = match resource.split_once('/') {
        Some((resource, subresource)) => (resource, Some(subresource.to_owned())),
        None => (resource.as_str(), None),
    };
    let attributes = ResourceAttributes {
        group: Some(group.clone()),
        resource: Some(resource.to_owned()),
        subresource,
        name: name.clone(),
        verb: Some(verb.clone()),
        ..ResourceAttributes::default()
    };
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(attributes),
            non_resource_attributes: None,
        },
        ..SelfSubjectAccessReview::default()
    };
    let answer = Api::all(client).create(&PostParams::default(), &review).await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}

/// The name that the host's API server knows Warren by.
async fn who_am_i(client: Client) -> Result<String, kube::Error> {
    let question = SelfSubjectReview::default();
    let answer = Api::all(client).create(&PostParams::default(), &question).await?;
    let user = answer.status.and_then(|status| status.user_info);
    Ok(user.and_then(|user| user.username).unwrap_or_else(|| "an unknown user".to_owned()))
}

fn by_object(rights: &BTreeSet<Right>) -> BTreeMap<Object<'_>, Vec<&str>> {
    let mut grouped: BTreeMap<_, Vec<&str>> = BTreeMap::new();
    for Right { group, resource, name, verb } in rights {
        let object = (group.as_str(), resource.as_str(), name.as_deref());
        grouped.entry(object).or_default().push(verb);
    }
    grouped
}

/// A role with the missing rights and its binding, as `kubectl apply -f -` takes it.
fn manifest(missing: &BTreeSet<Right>, user: &str) -> String {
    let metadata = json!({ "name": MISSING });
    let mut text = format!(
        "# Give this to `kubectl apply -f -`, or apply templates/host/cluster-role.yaml, which has all rights.\n\
         apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {metadata}\nrules:\n"
    );
    for ((group, resource, name), verbs) in by_object(missing) {
        let mut rule = json!({ "apiGroups": [group], "resources": [resource], "verbs": verbs });
        if let Some(name) = name {
            rule["resourceNames"] = json!([name]);
        }
        writeln!(text, "- {rule}").expect("writing to a string cannot fail");
    }
    let api = "rbac.authorization.k8s.io";
    let role: Value = json!({ "apiGroup": api, "kind": "ClusterRole", "name": MISSING });
    let subject: Value = json!({ "apiGroup": api, "kind": "User", "name": user });
    write!(
        text,
        "---\napiVersion: {api}/v1\nkind: ClusterRoleBinding\nmetadata: {metadata}\n\
         roleRef: {role}\nsubjects:\n- {subject}\n"
    )
    .expect("writing to a string cannot fail");
    text
}

#[cfg(test)]
mod tests;
