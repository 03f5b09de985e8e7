//! What the role that operators apply lets Warren do: the fake host refuses everything else, as a real one would.

use super::path::Place;
use http::Method;
use serde_json::Value;
use std::collections::BTreeSet;

const ROLE: &str = include_str!("../../../../../templates/host/cluster-role.yaml");

/// API group, resource, verb.
pub(crate) struct Rights(BTreeSet<(String, String, String)>);

impl Rights {
    /// Those that Warren asks operators for.
    pub(crate) fn of_warren() -> Self {
        let role: Value = serde_saphyr::from_str(ROLE).expect("the role is YAML");
        let texts = |value: &Value| -> Vec<String> {
            let list = value.as_array().expect("a list");
            list.iter().map(|text| text.as_str().expect("a text").to_owned()).collect()
        };
        let mut rights = BTreeSet::new();
        for rule in role["rules"].as_array().expect("rules") {
            for group in texts(&rule["apiGroups"]) {
                for resource in texts(&rule["resources"]) {
                    let verbs = texts(&rule["verbs"]).into_iter();
                    rights.extend(verbs.map(|verb| (group.clone(), resource.clone(), verb)));
                }
            }
        }
        Self(rights)
    }

    /// The refusal of a request that needs a right which is not there, in the words of Kubernetes.
    pub(crate) fn refusal(
        &self,
        method: &Method,
        place: &Place,
        is_watch: bool,
        is_there: bool,
    ) -> Option<String> {
        let is_one = !place.name.is_empty();
        let verbs: &[&str] = match (method, is_one) {
            (&Method::GET, _) if is_watch => &["watch"],
            (&Method::GET, true) => &["get"],
            (&Method::GET, false) => &["list"],
            (&Method::POST, _) => &["create"],
            (&Method::PATCH, _) if is_there => &["patch"],
            (&Method::PATCH, _) => &["patch", "create"],
            (&Method::PUT, _) => &["update"],
            (&Method::DELETE, true) => &["delete"],
            _ => &["deletecollection"],
        };
        let group = place.api_version.split_once('/').map_or("", |(group, _)| group);
        let lacks = |verb: &&&str| {
            !self.0.contains(&(group.to_owned(), place.plural.clone(), (**verb).to_owned()))
        };
        let verb = verbs.iter().find(lacks)?;
        Some(format!(
            "{} is forbidden: User \"warren\" cannot {verb} resource \"{}\" in API group \"{group}\"",
            place.plural, place.plural
        ))
    }
}
