use crate::Invalid;
use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// What people call a tenant: a DNS label (RFC 1123) of 3 to 40 characters.
    TenantName
);
name!(
    /// What people call an organisation: a DNS label (RFC 1123) of 3 to 40 characters.
    OrganisationName
);
name!(
    /// A project of a tenant, at the same time a namespace in the tenant's cluster: a DNS label of
    /// 1 to 40 characters that is none of Kubernetes' own.
    ProjectName
);
name!(
    /// What a tenant's virtual cluster and its host namespace are called. Random and never used
    /// again, so it says nothing about the tenant and outlives a rename.
    ClusterName
);

name!(
    /// What a tenant's own node is called, on Proxmox VE and in the host cluster. Random and never used again:
    /// who holds a join token could take any name that is free, and certificates outlive machines.
    NodeName
);

/// Names that are a DNS label of 3 to 40 characters, and nothing else.
macro_rules! label {
    ($($name:ident),+) => {$(
        impl $name {
            /// Checks a name.
            ///
            /// # Errors
            /// If it is not a DNS label of 3 to 40 characters.
            pub fn parse(field: &str, text: &str) -> Result<Self, Invalid> {
                const RULE: &str = "3 to 40 characters: a-z, 0-9 and '-', starting with a letter, \
                                    not ending with '-'";
                if (3..=40).contains(&text.len()) && is_label(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(Invalid::field(field, text, RULE))
                }
            }
        }
    )+};
}

label!(TenantName, OrganisationName);

impl ProjectName {
    /// The project that a session belongs to when it names none.
    #[must_use]
    pub fn standard() -> Self {
        Self("agents".to_owned())
    }

    /// Checks a name.
    ///
    /// # Errors
    /// If it is not a DNS label of 1 to 40 characters, or belongs to Kubernetes.
    pub fn parse(field: &str, text: &str) -> Result<Self, Invalid> {
        const RULE: &str = "1 to 40 characters: a-z, 0-9 and '-', starting with a letter, not \
                            ending with '-', not 'default' and not starting with 'kube-'";
        let reserved = text == "default" || text.starts_with("kube-");
        if (1..=40).contains(&text.len()) && is_label(text) && !reserved {
            Ok(Self(text.to_owned()))
        } else {
            Err(Invalid::field(field, text, RULE))
        }
    }
}

/// Letters that cannot be mistaken for one another.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// A small letter or digit (5 bits) for each random byte.
#[must_use]
pub fn letters(random: &[u8]) -> String {
    random.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 32)])).collect()
}

impl NodeName {
    /// What every name of a node starts with.
    pub const PREFIX: &'static str = "wn-";

    /// Derives a name from 32 random bytes: the prefix and 16 characters (80 bits).
    #[must_use]
    pub fn from_random(random: [u8; 32]) -> Self {
        Self(Self::PREFIX.to_owned() + &letters(&random[..16]))
    }

    /// Takes a name that was made by [`NodeName::from_random`] and stored.
    #[must_use]
    pub fn stored(text: String) -> Self {
        Self(text)
    }
}

impl ClusterName {
    /// Derives a name from 32 random bytes: `w` and 12 characters (60 bits).
    #[must_use]
    pub fn from_random(random: [u8; 32]) -> Self {
        Self(format!("w{}", letters(&random[..12])))
    }

    /// Takes a name that was made by [`ClusterName::from_random`] and stored.
    #[must_use]
    pub fn stored(text: String) -> Self {
        Self(text)
    }

    /// The namespace on the host cluster that holds this virtual cluster.
    #[must_use]
    pub fn host_namespace(&self) -> String {
        format!("warren-{}", self.0)
    }
}

fn is_label(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.first().is_some_and(u8::is_ascii_lowercase)
        && bytes.last().is_some_and(|byte| *byte != b'-')
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_accepted_tenant_name_is_a_dns_label(text in "\\PC{0,50}|[a-z0-9-]{0,50}") {
            if let Ok(name) = TenantName::parse("/name", &text) {
                prop_assert!(name.as_str().len() <= 63);
                prop_assert!(name.as_str().bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'));
                prop_assert!(!name.as_str().starts_with('-') && !name.as_str().ends_with('-'));
            }
        }

        #[test]
        fn a_cluster_name_leaves_room_for_what_vcluster_appends(random in any::<[u8; 32]>()) {
            let name = ClusterName::from_random(random);
            prop_assert_eq!(name.as_str().len(), 13);
            prop_assert!(name.as_str().len() + name.host_namespace().len() <= 57);
            prop_assert!(is_label(name.as_str()));
        }
    }

    #[test]
    fn a_bad_name_is_told_which_rule_it_breaks() {
        let error = TenantName::parse("/name", "Acme_Inc").expect_err("upper case is refused");
        assert_eq!(error.fields[0].field, "/name");
        assert_eq!(error.fields[0].value, "Acme_Inc");
        assert!(error.fields[0].rule.contains("a-z"));
    }

    #[test]
    fn a_project_cannot_take_a_namespace_of_kubernetes() {
        for name in ["default", "kube-system", "kube-x", "", "-a", "a-", "9a"] {
            assert!(ProjectName::parse("/project", name).is_err(), "{name}");
        }
        assert!(ProjectName::parse("/project", "agents").is_ok());
    }
}
