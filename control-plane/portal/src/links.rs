//! Every address of the portal.

use application::organisation::OrganisationRef;
use domain::{OperationId, OrganisationId, SessionId, SessionState, SignInId, TenantName, TokenId};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use std::fmt;

/// An address of the portal; its text is what a link holds.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Url<'a> {
    /// The tenants that a person may see.
    Home,
    /// The next page of them; takes the cursor.
    MoreTenants(&'a str),
    Plans,
    Operation(OperationId),
    /// Takes where to go afterwards.
    SignIn(&'a str),
    SignOut,
    Account,
    EndSignIn(SignInId),
    Organisations,
    /// The next page of them; takes the cursor.
    MoreOrganisations(OrganisationId),
    Organisation(&'a OrganisationRef),
    Operators,
    /// Whose: the platform's, a tenant's or an organisation's.
    Audit,
    TenantAudit(&'a TenantName),
    OrganisationAudit(&'a OrganisationRef),
    Theme,
    NewTenant,
    /// Takes the query of the wizard, which has its fields already.
    NewTenantWith(&'a str),
    Tenants,
    Tenant(&'a TenantName),
    TenantEvents(&'a TenantName),
    Kubeconfig(&'a TenantName),
    DeleteTenant(&'a TenantName),
    Tokens(&'a TenantName),
    RevokeToken(&'a TenantName, TokenId),
    Sessions(&'a TenantName),
    /// Those in a state, or all; those after one, or the newest.
    SessionsIn(&'a TenantName, Option<SessionState>, Option<SessionId>),
    NewSession(&'a TenantName),
    StopSessions(&'a TenantName),
    Session(&'a TenantName, SessionId),
    /// Below a session, e.g. `log`.
    SessionPart(&'a TenantName, SessionId, &'a str),
    /// A file that a session left; takes its path.
    Artifact(&'a TenantName, SessionId, &'a str),
}

impl fmt::Display for Url<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Home => f.write_str("/"),
            Self::MoreTenants(cursor) => write!(f, "/?after={}", part(cursor)),
            Self::Plans => f.write_str("/plans"),
            Self::Operation(id) => write!(f, "/operations/{id}"),
            Self::SignIn(next) => write!(f, "/sign-in?next={}", part(next)),
            Self::SignOut => f.write_str("/sign-out"),
            Self::Account => f.write_str("/account"),
            Self::EndSignIn(id) => write!(f, "/account/sign-ins/{id}/end"),
            Self::Organisations => f.write_str("/organisations"),
            Self::MoreOrganisations(after) => write!(f, "/organisations?after={after}"),
            Self::Organisation(organisation) => write!(f, "/organisations/{organisation}"),
            Self::Operators => f.write_str("/operators"),
            Self::Audit => f.write_str("/audit"),
            Self::TenantAudit(name) => write!(f, "/tenants/{name}/audit"),
            Self::OrganisationAudit(organisation) => {
                write!(f, "/organisations/{organisation}/audit")
            }
            Self::Theme => f.write_str("/theme"),
            Self::NewTenant => f.write_str("/tenants/new"),
            Self::NewTenantWith(query) => write!(f, "/tenants/new?{query}"),
            Self::Tenants => f.write_str("/tenants"),
            Self::Tenant(name) => write!(f, "/tenants/{name}"),
            Self::TenantEvents(name) => write!(f, "/tenants/{name}/events"),
            Self::Kubeconfig(name) => write!(f, "/tenants/{name}/kubeconfig"),
            Self::DeleteTenant(name) => write!(f, "/tenants/{name}/delete"),
            Self::Tokens(name) => write!(f, "/tenants/{name}/tokens"),
            Self::RevokeToken(name, token) => write!(f, "/tenants/{name}/tokens/{token}/revoke"),
            Self::Sessions(name) => write!(f, "/tenants/{name}/sessions"),
            Self::SessionsIn(name, state, after) => {
                write!(f, "/tenants/{name}/sessions")?;
                let mut mark = '?';
                if let Some(state) = state {
                    write!(f, "?state={state}")?;
                    mark = '&';
                }
                after.map_or(Ok(()), |after| write!(f, "{mark}after={after}"))
            }
            Self::NewSession(name) => write!(f, "/tenants/{name}/sessions/new"),
            Self::StopSessions(name) => write!(f, "/tenants/{name}/sessions/stop"),
            Self::Session(name, session) => write!(f, "/tenants/{name}/sessions/{session}"),
            Self::SessionPart(name, session, below) => {
                write!(f, "/tenants/{name}/sessions/{session}/{below}")
            }
            Self::Artifact(name, session, path) => {
                write!(f, "/tenants/{name}/sessions/{session}/artifacts")?;
                path.split('/').try_for_each(|segment| write!(f, "/{}", part(segment)))
            }
        }
    }
}

/// A text as a part of a query.
pub(crate) fn part(text: &str) -> impl fmt::Display + '_ {
    utf8_percent_encode(text, NON_ALPHANUMERIC)
}

/// Where to go after something was done: an address of this portal, whatever was asked for.
pub(crate) fn own(next: &str) -> &str {
    let is_own = next.starts_with('/')
        && !next.starts_with("//")
        && next.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if is_own { next } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_led_away_from_the_portal() {
        for away in ["https://evil.test/", "//evil.test", "/\\evil.test", "", "evil", "/a\r\nb"] {
            assert_eq!(own(away), "/", "{away:?}");
        }
        assert_eq!(own("/tenants/acme?x=1#y"), "/tenants/acme?x=1#y");
    }
}
