//! Looks every half minute whether tenants' own nodes are their own.

use crate::{
    Context,
    api_server::{ApiError, ApiServer},
    hint::Hint,
    watch::{Target, Wake},
};
use domain::{Exclusivity, Isolation, NodeName, NodeState, Tenant, TenantId};
use planning::{Kind, exclusive::judge};
use std::{
    collections::{BTreeMap, HashMap},
    error::Error,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;

/// Between two looks.
const LOOK: Duration = Duration::from_secs(30);

/// What the last look at each tenant found. It is kept in memory: after a start the next look is never far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Statements(Arc<Mutex<HashMap<TenantId, Exclusivity>>>);

impl Statements {
    pub(crate) fn of(&self, tenant: TenantId) -> Option<Exclusivity> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&tenant).cloned()
    }

    /// Whether that is news: what was found differs from what was found before.
    fn note(&self, tenant: TenantId, found: Exclusivity) -> bool {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = known.insert(tenant, found.clone());
        before.is_none_or(|before| {
            (before.foreign, before.elsewhere) != (found.foreign, found.elsewhere)
        })
    }

    fn keep(&self, is_there: impl Fn(&TenantId) -> bool) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|tenant, _| is_there(tenant));
    }
}

/// Looks at all tenants with nodes of their own until cancelled.
pub(crate) async fn run(cx: Context, wake: UnboundedSender<Wake>, cancel: CancellationToken) {
    let watch = async {
        loop {
            if let Err(error) = look(&cx, &wake).await {
                tracing::warn!(
                    error = error.as_ref(),
                    "nobody could look who runs on tenants' nodes"
                );
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    cancel.run_until_cancelled(watch).await;
}

async fn look(
    cx: &Context,
    wake: &UnboundedSender<Wake>,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let Some(machines) = &cx.machines else { return Ok(()) };
    let mut tenants: BTreeMap<TenantId, Vec<NodeName>> = BTreeMap::new();
    for node in cx.store.node_open().await? {
        // One that is off stays its tenant's, with what is left there while it is emptied.
        if !matches!(node.state(), NodeState::Attaching | NodeState::Released) {
            tenants.entry(node.tenant).or_default().push(node.name);
        }
    }
    let mut records = BTreeMap::new();
    for tenant in tenants.keys() {
        let record = cx.store.tenant_get(*tenant).await?;
        // Nothing is claimed of a tenant that is moving.
        let is_settled =
            |record: &Tenant| record.shift.is_none() && record.isolation() == Isolation::Dedicated;
        if let Some(record) = record.filter(is_settled) {
            records.insert(*tenant, record);
        }
    }
    machines.statements.keep(|tenant| records.contains_key(tenant));
    let host = ApiServer::host(cx.host.client());
    for (tenant, record) in records {
        let (nodes, namespace) = (&tenants[&tenant], record.cluster.host_namespace());
        let found = look_at(cx, &host, nodes, &namespace).await?;
        if machines.statements.note(tenant, found) {
            // Nobody listens while the controllers end.
            let _ = wake.send(Wake { target: Target::Tenant(tenant), hint: Hint::Status });
        }
    }
    Ok(())
}

pub(crate) async fn look_at(
    cx: &Context,
    host: &ApiServer,
    nodes: &[NodeName],
    namespace: &str,
) -> Result<Exclusivity, ApiError> {
    let at = cx.clock.now();
    let mut on_nodes = Vec::new();
    for node in nodes {
        let field = format!("spec.nodeName={node}");
        on_nodes.extend(host.list_where(Kind::Pod, None, &[("fieldSelector", &field)]).await?);
    }
    let own = host.list(Kind::Pod, Some(namespace), "").await?;
    Ok(judge(nodes, namespace, &on_nodes, &own, at))
}
