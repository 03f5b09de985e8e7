use domain::Role;

/// Whom a client certificate is for. A tenant's API server reads the user from the certificate's
/// common name and the group from its organization.
///
/// Source: Kubernetes, "Authenticating", section "X509 client certificates".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The name that the tenant's audit log shows.
    pub user: String,
    /// The one group, which roles inside the tenant are bound to.
    pub group: String,
}

impl Identity {
    /// Warren itself: may do everything.
    #[must_use]
    pub fn warren() -> Self {
        Self { user: "warren".to_owned(), group: "system:masters".to_owned() }
    }

    /// A person or program that has `role` in the tenant. What the groups may do is decided by the
    /// role bindings inside the tenant; a group without a binding may do nothing.
    #[must_use]
    pub fn of_role(role: Role, user: &str) -> Self {
        let group = match role {
            Role::Operator | Role::Owner | Role::Admin => "warren:admins",
            Role::Developer => "warren:developers",
            Role::Viewer | Role::Billing => "warren:viewers",
        };
        Self { user: user.to_owned(), group: group.to_owned() }
    }
}
