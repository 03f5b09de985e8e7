use std::collections::HashMap;

/// Where an object or a collection is; a collection has no name, one of all namespaces no namespace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place {
    pub(crate) api_version: String,
    pub(crate) plural: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl Place {
    pub(crate) fn new(api_version: &str, plural: &str, namespace: &str, name: &str) -> Self {
        let [api_version, plural, namespace, name] =
            [api_version, plural, namespace, name].map(str::to_owned);
        Self { api_version, plural, namespace, name }
    }

    /// Reads a path of an API server.
    pub(crate) fn parse(path: &str) -> Option<Self> {
        let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
        let (api_version, rest) = match segments.as_slice() {
            ["api", version, rest @ ..] => ((*version).to_owned(), rest),
            ["apis", group, version, rest @ ..] => (format!("{group}/{version}"), rest),
            _ => return None,
        };
        Some(match rest {
            ["namespaces", name] => Self::new(&api_version, "namespaces", "", name),
            ["namespaces", namespace, plural] => Self::new(&api_version, plural, namespace, ""),
            ["namespaces", namespace, plural, name] => {
                Self::new(&api_version, plural, namespace, name)
            }
            ["namespaces", namespace, plural, name, below] => {
                Self::new(&api_version, &format!("{plural}/{below}"), namespace, name)
            }
            [plural] => Self::new(&api_version, plural, "", ""),
            [plural, name] => Self::new(&api_version, plural, "", name),
            _ => return None,
        })
    }

    pub(crate) fn is(&self, plural: &str, namespace: &str, name: &str) -> bool {
        self.plural == plural && self.namespace == namespace && self.name == name
    }

    /// Whether this collection holds that object.
    pub(crate) fn covers(&self, object: &Self) -> bool {
        self.api_version == object.api_version
            && self.plural == object.plural
            && (self.namespace.is_empty() || self.namespace == object.namespace)
    }
}

pub(crate) fn query(text: &str) -> HashMap<String, String> {
    text.split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_owned(), decode(value)))
        .collect()
}

/// A label selector of equalities and existence; existence is written `*`.
pub(crate) fn labels(query: &HashMap<String, String>) -> HashMap<String, String> {
    let selector = query.get("labelSelector").map(String::as_str).unwrap_or_default();
    selector
        .split(',')
        .filter(|part| !part.is_empty())
        .map(|part| part.split_once('=').unwrap_or((part, "*")))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let digits: Vec<u8> = rest.by_ref().take(2).collect();
                let digits = std::str::from_utf8(&digits).expect("two digits");
                bytes.push(u8::from_str_radix(digits, 16).expect("hexadecimal digits"));
            }
            b'+' => bytes.push(b' '),
            byte => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).expect("UTF-8")
}
