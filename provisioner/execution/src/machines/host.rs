//! What the host cluster knows of a tenant's node: who may register, with what, and what is there of it.

use super::join;
use crate::{
    api_server::{ApiError, ApiServer, Propagation, delete_options},
    machines::NodeContext,
    sagas::{Step as _, StepError},
};
use domain::{ClusterName, Node, NodeState, OperationState, StepState};
use planning::{
    Key, Kind, Observed, Rendered, diff_one,
    machine::{node_key, password_key, render_expected, token_key},
    pod::is_alive,
};
use serde_json::{Value, json};

/// The host cluster's API server.
pub(super) fn server(cx: &NodeContext<'_>) -> ApiServer {
    ApiServer::host(cx.cx.host.client())
}

/// Makes an object as it was rendered, or puts it right.
pub(super) async fn ensure(host: &ApiServer, object: &Rendered) -> Result<(), StepError> {
    let found = host.get(&object.key).await?.map_or(Observed::Absent, Observed::Known);
    if diff_one(object, &found).is_some() {
        host.apply(&object.key, &object.body).await?;
    }
    Ok(())
}

/// Deletes an object, whoever made it, and proves that it is gone.
pub(super) async fn remove(host: &ApiServer, key: &Key) -> Result<(), StepError> {
    host.delete(key, &delete_options(Propagation::Background, None, None)).await?;
    match host.get(key).await? {
        None => Ok(()),
        Some(_) => Err(StepError::Retry(format!("{key} is still there"))),
    }
}

/// Lets exactly those nodes register that are admitted or there, and not given up. The list comes from the record, so
/// whoever writes it last is right.
pub(super) async fn tell_expected(
    cx: &NodeContext<'_>,
    without: Option<&Node>,
) -> Result<(), StepError> {
    let _turn = cx.subject.machines.expected.lock().await;
    let nodes = cx.cx.store.node_open().await?;
    let mut expected = Vec::new();
    for node in nodes.iter().filter(|node| without.is_none_or(|gone| gone.id != node.id)) {
        if !is_expected(cx, node).await? {
            continue;
        }
        if let Some(owner) = cx.cx.store.tenant_get(node.tenant).await? {
            expected.push((&node.name, owner.cluster));
        }
    }
    let expected = render_expected(expected.iter().map(|(name, cluster)| (*name, cluster)));
    ensure(&server(cx), &expected).await
}

/// Whether a node may register: not before it is admitted, as nobody would take its name back, and not when it is given
/// up, as somebody has by then.
async fn is_expected(cx: &NodeContext<'_>, node: &Node) -> Result<bool, StepError> {
    if node.state() != NodeState::Attaching {
        return Ok(node.release_requested_at.is_none());
    }
    let attach = cx.cx.store.node_operation(node.id).await?;
    Ok(attach.is_some_and(|attach| {
        let mut steps = attach.steps.iter();
        let admit = steps.find(|step| step.name == join::Admit.name());
        let is_begun = admit.is_some_and(|step| step.state != StepState::Waiting);
        is_begun && attach.state != OperationState::Undoing
    }))
}

/// The node as the host has it.
pub(super) async fn registered(host: &ApiServer, node: &Node) -> Result<Option<Value>, ApiError> {
    host.get(&node_key(&node.name)).await
}

/// Takes away what lets a node register. What registered stays.
pub(super) async fn forget_token(cx: &NodeContext<'_>) -> Result<(), StepError> {
    let secrets = cx.cx.store.node_secrets(cx.subject.node.id).await?;
    remove(&server(cx), &token_key(&secrets.token_id)).await
}

/// Deletes a node that is known to be switched off, with all that the host keeps of it, and proves it.
pub(super) async fn remove_node(cx: &NodeContext<'_>) -> Result<String, StepError> {
    let (host, node) = (server(cx), &cx.subject.node);
    // First of all nobody registers by its name any more, whoever switches its machine on.
    tell_expected(cx, Some(node)).await?;
    forget_token(cx).await?;
    let pods = pods_on(&host, node).await?;
    for pod in &pods {
        end(&host, pod).await?;
    }
    remove(&host, &node_key(&node.name)).await?;
    remove(&host, &password_key(&node.name)).await?;
    let left = pods_on(&host, node).await?;
    if let Some(first) = left.first() {
        let count = left.len();
        return Err(StepError::Retry(format!("{count} pods are still there, among them {first}")));
    }
    Ok(format!("the host cluster has no node {} and no pod, token or password of it", node.name))
}

/// Takes a pod away that nobody runs any more: its machine is off.
pub(super) async fn end(host: &ApiServer, pod: &Key) -> Result<(), ApiError> {
    host.delete(pod, &delete_options(Propagation::Background, Some(0), None)).await
}

/// The pods that are placed on a node.
pub(super) async fn pods_on(host: &ApiServer, node: &Node) -> Result<Vec<Key>, ApiError> {
    Ok(keys(&placed_on(host, node).await?))
}

/// Those of them that may have processes: what is over waits for nobody and is waited for by nobody.
pub(super) async fn alive_on(host: &ApiServer, node: &Node) -> Result<Vec<Value>, ApiError> {
    let mut pods = placed_on(host, node).await?;
    pods.retain(is_alive);
    Ok(pods)
}

async fn placed_on(host: &ApiServer, node: &Node) -> Result<Vec<Value>, ApiError> {
    let field = format!("spec.nodeName={}", node.name);
    host.list_where(Kind::Pod, None, &[("fieldSelector", &field)]).await
}

/// The addresses of pods.
pub(super) fn keys(pods: &[Value]) -> Vec<Key> {
    pods.iter().filter_map(|pod| Key::of(Kind::Pod, pod)).collect()
}

/// Keeps new pods off a node, or lets them on again.
pub(crate) async fn cordon(host: &ApiServer, node: &Node, is_closed: bool) -> Result<(), ApiError> {
    let patch = json!({ "spec": { "unschedulable": is_closed.then_some(true) } });
    match host.merge(&node_key(&node.name), &patch).await {
        Ok(_) => Ok(()),
        Err(error) if error.is_not_found() => Ok(()),
        Err(error) => Err(error),
    }
}

/// The certificate of the host's authority, byte for byte as its servers show it.
pub(super) async fn authority(cx: &NodeContext<'_>) -> Result<String, StepError> {
    let key = Key::namespaced(Kind::ConfigMap, "kube-system", "kube-root-ca.crt");
    let object = server(cx).get(&key).await?;
    let text = object.as_ref().and_then(|object| object.pointer("/data/ca.crt")?.as_str());
    match text {
        Some(text) if text.matches("BEGIN CERTIFICATE").count() == 1 => Ok(text.to_owned()),
        Some(_) => Err(StepError::fail(
            "authority-chain",
            "the host cluster's authority is a chain of certificates",
            "K3s pins the root of a chain in another way; use a host cluster with an authority of its own",
        )),
        None => Err(StepError::Retry(format!("{key} with the host's authority is not there"))),
    }
}

/// The tenant's cluster; a tenant that is gone has no nodes to be worked on.
pub(super) async fn cluster(cx: &NodeContext<'_>) -> Result<ClusterName, StepError> {
    let tenant = cx.cx.store.tenant_get(cx.subject.node.tenant).await?;
    tenant.map(|tenant| tenant.cluster).ok_or_else(|| {
        StepError::fail("tenant-gone", "the tenant is gone", "nothing is to be done")
    })
}
