//! What a call fails with: a status, and the text that stands in the reason phrase.

use std::collections::BTreeMap;

/// An answer that is not a success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) status: u16,
    pub(crate) reason: String,
    /// By parameter.
    pub(crate) errors: BTreeMap<String, String>,
    /// Sent without a body.
    pub(crate) is_bare: bool,
}

impl Failure {
    pub(crate) fn new(status: u16, reason: impl Into<String>) -> Self {
        Self { status, reason: reason.into(), errors: BTreeMap::new(), is_bare: false }
    }

    /// Nearly everything that goes wrong is a 500.
    pub(crate) fn internal(reason: impl Into<String>) -> Self {
        Self::new(500, reason)
    }

    /// A login that is missing or wrong; told after a while and without a body.
    pub(crate) fn unauthorized(reason: &str) -> Self {
        Self { is_bare: true, ..Self::new(401, reason) }
    }

    /// A right that is missing: `what` is the path and the privilege, or nothing.
    pub(crate) fn forbidden(what: Option<&str>) -> Self {
        let reason = "Permission check failed";
        Self::new(403, what.map_or(reason.into(), |what| format!("{reason} ({what})")))
    }

    /// Parameters that are wrong.
    pub(crate) fn parameters(errors: BTreeMap<String, String>) -> Self {
        Self { errors, ..Self::new(400, "Parameter verification failed.") }
    }

    /// One parameter that is wrong.
    pub(crate) fn parameter(name: &str, text: impl Into<String>) -> Self {
        Self::parameters([(name.to_owned(), text.into())].into())
    }

    pub(crate) fn not_implemented(reason: impl Into<String>) -> Self {
        Self::new(501, reason)
    }
}
