//! Where a tenant's pods are to be, and which are not there.

use super::capacity::coming;
use crate::{
    Context,
    api_server::{ApiError, ApiServer},
};
use clusters::ReachError;
use domain::{Isolation, LocalVolume, Node, NodeName, Subscription, Survey, Tenant};
use jiff::SignedDuration;
use planning::{
    Kind, UserNamespaces, moving,
    syncer::SYNCED,
    volume::{self, Bound},
};
use serde_json::Value;
use std::collections::HashSet;
use store::StoreError;

/// How long the pod of a session that is over may take to end.
const ENDING: SignedDuration = SignedDuration::from_mins(2);

/// Why nobody could look.
#[derive(Debug, thiserror::Error)]
pub enum SurveyError {
    /// The record failed.
    #[error("read the record")]
    Store(#[from] StoreError),
    /// The host cluster or the tenant's did not answer.
    #[error("look at the tenant's pods: {0}")]
    Look(String),
}

impl From<ApiError> for SurveyError {
    fn from(error: ApiError) -> Self {
        Self::Look(error.to_string())
    }
}

impl From<ReachError> for SurveyError {
    fn from(error: ReachError) -> Self {
        Self::Look(error.to_string())
    }
}

/// Where the pods of a tenant are to be.
#[derive(Debug)]
pub(super) enum Places {
    /// On these nodes, which are its own.
    On(Vec<Node>),
    /// On any node but these, which are its own.
    OffOwn(Vec<Node>),
}

impl Places {
    /// Of what a tenant pays for, or will: the oldest of its own nodes that are of the right shape.
    pub(super) async fn of(
        cx: &Context,
        tenant: &Tenant,
        side: Subscription,
    ) -> Result<Self, StoreError> {
        let nodes = cx.store.node_of_tenant(tenant.id).await?;
        if side.isolation() == Isolation::Shared {
            return Ok(Self::OffOwn(nodes));
        }
        let is_meant = |node: &Node| {
            node.release_requested_at.is_none() && Some(node.shape) == side.plan.node_shape()
        };
        let count = usize::try_from(side.nodes).unwrap_or(usize::MAX);
        let mut meant: Vec<Node> = nodes.into_iter().filter(is_meant).collect();
        // Those that are being made, those that are off, and of the others the newest, are the first to go.
        meant.sort_by_key(|node| {
            (node.ready_at.is_none(), node.state().is_off_on_purpose(), node.id)
        });
        meant.truncate(count);
        Ok(Self::On(meant))
    }

    pub(super) fn contains(&self, place: &str) -> bool {
        let is_among = |nodes: &[Node]| nodes.iter().any(|node| node.name.as_str() == place);
        match self {
            Self::On(nodes) => is_among(nodes),
            Self::OffOwn(nodes) => !is_among(nodes),
        }
    }

    /// The nodes of its own that it is to have.
    pub(super) fn own(&self) -> &[Node] {
        match self {
            Self::On(nodes) => nodes,
            Self::OffOwn(_) => &[],
        }
    }

    /// The nodes of its own that it leaves for those that everybody uses.
    pub(super) fn left(&self) -> &[Node] {
        match self {
            Self::On(_) => &[],
            Self::OffOwn(nodes) => nodes,
        }
    }
}

/// What of a tenant would not be where it is to be if it paid for `to`.
///
/// # Errors
/// If the record, the host cluster or the tenant's does not answer.
pub async fn survey(
    cx: &Context,
    tenant: &Tenant,
    to: Subscription,
) -> Result<Survey, SurveyError> {
    if tenant.subscription().isolation() == Isolation::Shared && to.isolation() == Isolation::Shared
    {
        return Ok(Survey::default());
    }
    let places = Places::of(cx, tenant, to).await?;
    let found = look(cx, tenant, &places).await?;
    let requests = coming(cx, tenant, &places, &found.runs).await?;
    Ok(Survey { requests, ..found })
}

/// The volumes of a tenant that lie on the disk of a node.
///
/// # Errors
/// If the host cluster does not answer.
pub async fn volumes_on(
    cx: &Context,
    tenant: &Tenant,
    node: &NodeName,
) -> Result<Vec<LocalVolume>, SurveyError> {
    let local = |bound: Bound| LocalVolume {
        obstacle: obstacle(cx, &bound).map(str::to_owned),
        claim: bound.claim,
    };
    Ok(bound_to(cx, tenant, node).await?.into_iter().map(local).collect())
}

/// The same, with what is needed to copy them.
pub(crate) async fn bound_to(
    cx: &Context,
    tenant: &Tenant,
    node: &NodeName,
) -> Result<Vec<Bound>, SurveyError> {
    elsewhere(cx, tenant, |place| place != node.as_str()).await
}

/// Why a volume cannot be copied; nothing if it can.
fn obstacle(cx: &Context, bound: &Bound) -> Option<&'static str> {
    let is_missing = cx.settings.now().user_namespaces == UserNamespaces::Unavailable;
    let of_host = is_missing.then_some("this host gives pods no user namespaces of their own");
    bound.obstacle().or(of_host)
}

/// What of a tenant runs on one node, and the API server that lets go of it.
pub(crate) async fn on_node(
    cx: &Context,
    tenant: &Tenant,
    node: &str,
) -> Result<(ApiServer, Survey), SurveyError> {
    let pods = pods(cx, tenant).await?;
    let sessions = sessions(cx, tenant, &pods).await?;
    let found = moving::survey(&pods, |digits| sessions.contains(digits), |at| at != node);
    Ok((server(cx, tenant).await?, found))
}

/// What of a tenant is not where it is to be.
pub(super) async fn look(
    cx: &Context,
    tenant: &Tenant,
    places: &Places,
) -> Result<Survey, SurveyError> {
    let is_right = |place: &str| places.contains(place);
    let pods = pods(cx, tenant).await?;
    let sessions = sessions(cx, tenant, &pods).await?;
    let survey = moving::survey(&pods, |digits| sessions.contains(digits), is_right);
    let bound = bound(cx, tenant, places).await?;
    let uncopied = |bound: &Bound| Some((bound.claim.clone(), obstacle(cx, bound)?.to_owned()));
    Ok(Survey {
        volumes: bound.iter().map(|bound| bound.claim.clone()).collect(),
        sizes: bound.iter().map(|bound| (bound.claim.clone(), bound.size.0)).collect(),
        uncopied: bound.iter().filter_map(uncopied).collect(),
        ..survey
    })
}

/// The volumes of a tenant that lie on nodes where it is not to be.
pub(super) async fn bound(
    cx: &Context,
    tenant: &Tenant,
    places: &Places,
) -> Result<Vec<Bound>, SurveyError> {
    elsewhere(cx, tenant, |place| places.contains(place)).await
}

/// The volumes of a tenant that lie on nodes that are not right.
async fn elsewhere(
    cx: &Context,
    tenant: &Tenant,
    is_right: impl Fn(&str) -> bool,
) -> Result<Vec<Bound>, SurveyError> {
    let host = ApiServer::host(cx.host.client());
    let namespace = tenant.cluster.host_namespace();
    let synced = format!("{SYNCED}={}", tenant.cluster);
    let claims = host.list(Kind::PersistentVolumeClaim, Some(&namespace), &synced).await?;
    if claims.is_empty() {
        return Ok(Vec::new());
    }
    let volumes = host.list(Kind::PersistentVolume, None, "").await?;
    Ok(volume::bound(&claims, &volumes, is_right))
}

/// The digits of the sessions that have pods: those that are not over, and those that are and whose pods end by
/// themselves any moment. A label alone proves nothing.
async fn sessions(
    cx: &Context,
    tenant: &Tenant,
    pods: &[Value],
) -> Result<HashSet<String>, StoreError> {
    let mut known = HashSet::new();
    for digits in pods.iter().filter_map(moving::session_of).collect::<HashSet<_>>() {
        let Ok(id) = format!("ses_{digits}").parse() else { continue };
        let session = cx.store.session_get(id).await?;
        let is_meant =
            session.filter(|session| session.tenant == tenant.id).is_some_and(|session| {
                let since = session.finished_at.map(|at| cx.clock.now().duration_since(at));
                since.is_none_or(|since| since < ENDING)
            });
        if is_meant {
            known.insert(digits.to_owned());
        }
    }
    Ok(known)
}

/// All pods of a tenant, as its own API server has them.
pub(crate) async fn pods(cx: &Context, tenant: &Tenant) -> Result<Vec<Value>, SurveyError> {
    Ok(server(cx, tenant).await?.list(Kind::Pod, None, "").await?)
}

/// The tenant's own API server.
pub(super) async fn server(cx: &Context, tenant: &Tenant) -> Result<ApiServer, SurveyError> {
    Ok(ApiServer::tenant(cx.tenants.client(tenant.id).await?))
}
