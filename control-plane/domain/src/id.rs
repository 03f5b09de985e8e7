use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use uuid::Uuid;

/// A text that is not an identifier of the expected kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected `{prefix}` and 32 hexadecimal digits")]
pub struct ParseIdError {
    prefix: &'static str,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Uuid);

        impl $name {
            /// What every identifier of this kind starts with.
            pub const PREFIX: &'static str = $prefix;

            /// Wraps a UUID, normally one of version 7.
            #[must_use]
            pub const fn new(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID inside.
            #[must_use]
            pub const fn uuid(self) -> Uuid {
                self.0
            }

            /// The 32 hexadecimal digits without prefix: fits a DNS label and a label value.
            #[must_use]
            pub fn digits(self) -> String {
                self.0.as_simple().to_string()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0.as_simple())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                let error = ParseIdError { prefix: $prefix };
                let digits = text.strip_prefix($prefix).ok_or(error.clone())?;
                if digits.len() != 32 || digits.bytes().any(|byte| byte.is_ascii_uppercase()) {
                    return Err(error);
                }
                Uuid::try_parse(digits).map(Self).map_err(|_| error)
            }
        }

        impl TryFrom<String> for $name {
            type Error = ParseIdError;

            fn try_from(text: String) -> Result<Self, ParseIdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.to_string()
            }
        }
    };
}

id!(
    /// Names a tenant for ever, across renames.
    TenantId,
    "tn_"
);
id!(
    /// Names a session: one agent task of a tenant.
    SessionId,
    "ses_"
);
id!(
    /// Names a run: one attempt at a session, one Job.
    RunId,
    "run_"
);
id!(
    /// Names an operation: what a person watches.
    OperationId,
    "op_"
);
id!(
    /// Names a tenant's own node, from the wish for it until long after its end.
    NodeId,
    "node_"
);
id!(
    /// Names something that is left over and that nobody needs.
    OrphanId,
    "orph_"
);
id!(
    /// Names a batch of changes of plan.
    PlanBatchId,
    "batch_"
);
id!(
    /// Names an API token; the token itself is never stored.
    TokenId,
    "tok_"
);
id!(
    /// Names an entry of the audit log.
    AuditId,
    "aud_"
);
id!(
    /// Names a person's account.
    AccountId,
    "acc_"
);
id!(
    /// Names an organisation: several people and the tenants that are theirs together.
    OrganisationId,
    "org_"
);
id!(
    /// Names an invite; the secret that opens it is never stored.
    InviteId,
    "inv_"
);
id!(
    /// Names a browser in which somebody is signed in.
    SignInId,
    "sin_"
);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_identifier_survives_its_text(bits in any::<u128>()) {
            let id = SessionId::new(Uuid::from_u128(bits));
            prop_assert_eq!(id.to_string().parse::<SessionId>(), Ok(id));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "\\PC*") {
            let _ = text.parse::<TenantId>();
        }
    }

    #[test]
    fn an_identifier_of_another_kind_is_refused() {
        let session = SessionId::new(Uuid::from_u128(7)).to_string();
        assert!(session.parse::<TenantId>().is_err());
        assert!(session.to_uppercase().parse::<SessionId>().is_err());
    }
}
