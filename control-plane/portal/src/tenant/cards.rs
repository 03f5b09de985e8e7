//! What belongs to a tenant, each as far as a person may see it.

use crate::{
    links::Url,
    part::Status,
    person::Person,
    refusal::Refusal,
    time::{Took, When},
    words::{self, Tone},
};
use application::{
    Token, node, operation,
    session::{self, SessionView},
    tenant::TenantRef,
    token,
};
use domain::{CreateToken, Exclusivity, Operation, ReadSession, ReadToken, Role, Tenant};
use jiff::Timestamp;

/// The newest sessions that are shown.
const SESSIONS: usize = 5;
/// As far as sessions are counted.
const COUNTED: u64 = 100;
const TOKENS: u64 = 50;
const OPERATIONS: u64 = 10;

#[derive(Debug)]
pub(super) struct Cards {
    pub(super) nodes: Vec<NodeRow>,
    /// Whether nobody else is on them; only of tenants that have nodes.
    pub(super) exclusivity: Option<Status>,
    pub(super) sessions: Option<Vec<SessionRow>>,
    pub(super) all_sessions: String,
    pub(super) tokens: Option<Vec<TokenRow>>,
    /// Where tokens are made, with the roles that they can have.
    pub(super) new_token: Option<(String, Vec<&'static str>)>,
    pub(super) operations: Vec<OperationRow>,
    session_count: String,
}

#[derive(Debug)]
pub(super) struct NodeRow {
    pub(super) name: String,
    pub(super) status: Status,
    pub(super) shape: &'static str,
    pub(super) address: String,
    pub(super) operation: Option<String>,
}

#[derive(Debug)]
pub(super) struct SessionRow {
    pub(super) url: String,
    pub(super) short: String,
    pub(super) image: String,
    pub(super) status: Status,
    pub(super) took: Option<Took>,
}

#[derive(Debug)]
pub(super) struct TokenRow {
    pub(super) name: String,
    pub(super) role: &'static str,
    pub(super) made: When,
    pub(super) revoke: String,
}

#[derive(Debug)]
pub(super) struct OperationRow {
    pub(super) name: &'static str,
    pub(super) url: String,
    pub(super) status: Status,
    pub(super) took: Took,
}

impl Cards {
    pub(super) async fn load(
        person: &Person,
        tenant: &Tenant,
        now: Timestamp,
    ) -> Result<Self, Refusal> {
        let Person { app, actor, .. } = person;
        let (reference, scope) = (TenantRef::Id(tenant.id), tenant.scope());
        let operations = operation::list(app, actor, &reference, None, OPERATIONS).await?.items;
        let nodes = node::list(app, actor, &reference).await?;
        let nodes: Vec<_> = nodes
            .into_iter()
            .map(|(node, operation)| NodeRow {
                name: node.name.to_string(),
                status: Status::of(words::node(node.state())),
                shape: node.shape.as_str(),
                address: node.address.map_or_else(String::new, |address| address.to_string()),
                operation: operation.map(|id| Url::Operation(id).to_string()),
            })
            .collect();
        let exclusivity = if nodes.is_empty() {
            None
        } else {
            // The host may not have answered yet; the page is about more than that.
            let seen = node::exclusivity(app, actor, &reference).await.ok().flatten();
            Some(exclusive(seen.as_ref(), now))
        };
        let (sessions, session_count) = if person.may::<ReadSession>(scope) {
            let page = session::list(app, actor, &reference, None, None, COUNTED).await?;
            let more = if page.next.is_some() { "more than " } else { "" };
            let count = format!("{more}{}", words::count(page.items.len(), "session"));
            let rows = page.items.iter().take(SESSIONS);
            (Some(rows.map(|view| SessionRow::new(tenant, view, now)).collect()), count)
        } else {
            (None, "all sessions".to_owned())
        };
        let tokens = if person.may::<ReadToken>(scope) {
            let page = token::list(app, actor, Some(&reference), None, TOKENS).await?;
            let row = |token: &Token| TokenRow {
                name: token.name.clone(),
                role: token.role.as_str(),
                made: When::new(token.created_at, now),
                revoke: Url::RevokeToken(&tenant.name, token.id).to_string(),
            };
            Some(page.items.iter().map(row).collect())
        } else {
            None
        };
        let may_make = person.may::<CreateToken>(scope) && tenant.deletion_requested_at.is_none();
        let roles = Role::ALL.into_iter().filter(|role| *role != Role::Operator);
        Ok(Self {
            nodes,
            exclusivity,
            sessions,
            all_sessions: Url::Sessions(&tenant.name).to_string(),
            tokens,
            new_token: may_make.then(|| {
                let roles = roles.map(Role::as_str).collect();
                (Url::Tokens(&tenant.name).to_string(), roles)
            }),
            operations: operations.iter().map(|one| OperationRow::new(one, now)).collect(),
            session_count,
        })
    }

    /// What goes with the tenant.
    pub(super) fn goes(&self) -> Vec<String> {
        let mut goes = vec![
            "its Kubernetes API server, with everything in it".to_owned(),
            format!("{}, with all logs, results and artifacts", self.session_count),
        ];
        if !self.nodes.is_empty() {
            let nodes = words::count(self.nodes.len(), "node");
            goes.push(format!("{nodes} of its own, with machine and disk"));
        }
        if let Some(tokens) = self.tokens.as_ref().filter(|tokens| !tokens.is_empty()) {
            goes.push(format!("{}, valid no longer", words::count(tokens.len(), "API token")));
        }
        goes
    }
}

impl SessionRow {
    fn new(tenant: &Tenant, SessionView { session, .. }: &SessionView, now: Timestamp) -> Self {
        let id = session.id.to_string();
        let end = session.finished_at.unwrap_or(now);
        Self {
            url: Url::Session(&tenant.name, session.id).to_string(),
            short: format!("ses_…{}", &id[id.len() - 6..]),
            image: session.spec.image.clone(),
            status: Status::of(words::session(session.state))
                .since(When::new(session.created_at, now)),
            took: session.running_at.map(|start| Took::between(start, end)),
        }
    }
}

impl OperationRow {
    fn new(operation: &Operation, now: Timestamp) -> Self {
        Self {
            name: words::operation_kind(operation.kind),
            url: Url::Operation(operation.id).to_string(),
            status: Status::of(words::operation(operation.state))
                .since(When::new(operation.created_at, now)),
            took: Took::between(operation.created_at, operation.finished_at.unwrap_or(now)),
        }
    }
}

/// What the last look found about who runs on a tenant's nodes.
fn exclusive(seen: Option<&Exclusivity>, now: Timestamp) -> Status {
    let Some(seen) = seen else {
        return Status::of((Tone::Off, "Not looked at yet"));
    };
    let Exclusivity { foreign, elsewhere, nodes, .. } = seen;
    let status = if foreign.is_empty() && elsewhere.is_empty() {
        let because = format!("nobody else's pod on {} of its nodes", nodes.len());
        Status::of((Tone::Ok, "Exclusive")).because(because)
    } else {
        let (foreign, elsewhere) = (foreign.len(), elsewhere.len());
        let because = format!("{foreign} pods of others here, {elsewhere} of its own elsewhere");
        Status::of((Tone::Bad, "Not exclusive")).because(because)
    };
    status.since(When::new(seen.at, now))
}
