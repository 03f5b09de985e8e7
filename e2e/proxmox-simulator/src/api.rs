//! The API: which calls there are, and the order in which one is looked at. First who calls, then whether he may,
//! then whether the node can be reached, then the parameters, last the call itself.

mod access;
mod agent;
mod clone;
mod cloudinit;
mod cluster;
mod configuration;
mod content;
mod node;
mod pool;
mod power;
mod snapshot;
mod storage;
mod task;
mod vm;

pub(crate) use agent::Commands;
pub(crate) use power::describe;

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use futures::future::BoxFuture;
use serde_json::{Map, Value};

use crate::access::Actor;
use crate::cluster::Cluster;
use crate::failure::Failure;
use crate::fault::Effect;
use crate::http::answer::Reply;
use crate::http::form::percent_decode;
use crate::http::multipart::Upload;
use crate::params::{Parameter, Params};
use crate::release::Release;
use crate::task::Order;
use crate::task::work::Work;

/// A call that may be made.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) actor: Actor,
    /// The node that was asked, which need not be the one that the call is about.
    pub(crate) host: String,
    pub(crate) path: BTreeMap<&'static str, String>,
    pub(crate) params: Params,
    pub(crate) upload: Option<Upload>,
    /// What goes wrong with its task.
    pub(crate) faults: Vec<Effect>,
}

/// Who may make a call; more may be asked for by the call itself.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Rights {
    /// Even without a login.
    Public,
    /// Everybody who is logged in.
    All,
    /// Whoever has these privileges at this path.
    Need(&'static str, &'static [&'static str]),
    /// Whoever has one of these privileges at this path.
    Any(&'static str, &'static [&'static str]),
}

/// What a call takes beside its own parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Takes {
    Nothing,
    /// Options of a VM.
    Options,
    Upload,
}

#[derive(Clone, Copy)]
pub(crate) enum Handler {
    Now(fn(&Call) -> Result<Reply, Failure>),
    Later(fn(Call) -> BoxFuture<'static, Result<Reply, Failure>>),
}

/// A method and a path, and what they do.
pub(crate) struct Route {
    pub(crate) method: &'static str,
    /// `{name}` stands for one part, `{name*}` for the rest.
    pub(crate) path: &'static str,
    pub(crate) rights: Rights,
    pub(crate) params: &'static [Parameter],
    pub(crate) takes: Takes,
    pub(crate) handler: Handler,
}

/// A route that does its work at once.
pub(crate) const fn now(
    method: &'static str,
    path: &'static str,
    rights: Rights,
    params: &'static [Parameter],
    handler: fn(&Call) -> Result<Reply, Failure>,
) -> Route {
    Route { method, path, rights, params, takes: Takes::Nothing, handler: Handler::Now(handler) }
}

/// A route that answers after a while.
pub(crate) const fn later(
    method: &'static str,
    path: &'static str,
    rights: Rights,
    params: &'static [Parameter],
    handler: fn(Call) -> BoxFuture<'static, Result<Reply, Failure>>,
) -> Route {
    Route { method, path, rights, params, takes: Takes::Nothing, handler: Handler::Later(handler) }
}

static ROUTES: LazyLock<Vec<Route>> = LazyLock::new(|| {
    let mut routes = Vec::new();
    routes.extend(access::routes());
    routes.extend(agent::routes());
    routes.extend(clone::routes());
    routes.extend(cloudinit::routes());
    routes.extend(cluster::routes());
    routes.extend(configuration::routes());
    routes.extend(content::routes());
    routes.extend(node::routes());
    routes.extend(pool::routes());
    routes.extend(power::routes());
    routes.extend(snapshot::routes());
    routes.extend(storage::routes());
    routes.extend(task::routes());
    routes.extend(vm::routes());
    routes
});

/// A call before anything about it was looked at.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) host: String,
    pub(crate) method: String,
    /// Below `/api2/json`, still percent-encoded.
    pub(crate) path: String,
    pub(crate) query: Map<String, Value>,
    pub(crate) body: Map<String, Value>,
    pub(crate) is_json: bool,
    pub(crate) upload: Option<Upload>,
    pub(crate) faults: Vec<Effect>,
}

/// The route of a method and path, with the parts of the path.
pub(crate) fn find(
    method: &str,
    path: &str,
) -> Option<(&'static Route, BTreeMap<&'static str, String>)> {
    let mut same = ROUTES.iter().filter(|route| route.method == method);
    same.find_map(|route| Some((route, captures(route.path, path)?)))
}

fn captures(pattern: &'static str, path: &str) -> Option<BTreeMap<&'static str, String>> {
    let mut found = BTreeMap::new();
    let mut parts = path.split('/').filter(|part| !part.is_empty());
    for wanted in pattern.split('/').filter(|part| !part.is_empty()) {
        match wanted.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
            Some(name) => match name.strip_suffix('*') {
                Some(name) => {
                    let rest = parts.by_ref().collect::<Vec<_>>().join("/");
                    if rest.is_empty() {
                        return None;
                    }
                    found.insert(name, percent_decode(&rest));
                }
                None => {
                    found.insert(name, percent_decode(parts.next()?));
                }
            },
            None if parts.next()? == wanted => {}
            None => return None,
        }
    }
    parts.next().is_none().then_some(found)
}

/// Makes a call. `actor` is missing only where nobody has to be logged in.
pub(crate) async fn perform(
    cluster: &Arc<Cluster>,
    actor: Option<Actor>,
    request: Request,
) -> Result<Reply, Failure> {
    let Request { host, method, path, query, mut body, is_json, upload, faults } = request;
    let Some((route, captured)) = find(&method, &path) else {
        return Err(Failure::not_implemented(format!("Method '{method} {path}' not implemented")));
    };
    let actor = actor.unwrap_or(Actor { user: String::new(), token: None });
    check_rights(cluster, route, &captured, &actor)?;
    let node = captured.get("node").map(String::as_str);
    if let Some(node) = node {
        check_node(cluster, &host, node)?;
    }
    let is_elsewhere = node.is_some_and(|node| node != host && node != "localhost");
    if is_json && is_elsewhere && !cluster.config.release.forwards_json() {
        body.clear();
    }
    check_quorum(cluster, route)?;
    let params = parameters(route, &captured, query, body, cluster.config.release)?;
    let is_protected = method != "GET" || route.path.contains("/agent/");
    let worker =
        node.filter(|_| is_protected).map(|node| if node == "localhost" { &host } else { node });
    let _worker = match worker {
        Some(node) => cluster.worker(node).await,
        None => None,
    };
    cluster.look_at_machines();
    let call =
        Call { cluster: cluster.clone(), actor, host, path: captured, params, upload, faults };
    let changes = method != "GET";
    let outcome = match route.handler {
        Handler::Now(handler) => handler(&call),
        Handler::Later(handler) => handler(call).await,
    };
    if changes {
        cluster.save();
    }
    outcome
}

fn check_rights(
    cluster: &Cluster,
    route: &Route,
    captured: &BTreeMap<&'static str, String>,
    actor: &Actor,
) -> Result<(), Failure> {
    let fill = |path: &str| {
        let replace = |path: String, (name, value): (&&str, &String)| {
            path.replace(&format!("{{{name}}}"), value)
        };
        captured.iter().fold(path.to_owned(), replace)
    };
    match route.rights {
        Rights::Public | Rights::All => Ok(()),
        Rights::Need(path, wanted) => cluster.world().require(actor, &fill(path), wanted),
        Rights::Any(path, wanted) => cluster.world().require_any(actor, &fill(path), wanted),
    }
}

/// Any node answers for any other, if it reaches it.
fn check_node(cluster: &Cluster, host: &str, node: &str) -> Result<(), Failure> {
    let world = cluster.world();
    if node == "localhost" || node == host {
        return Ok(());
    }
    if let Some(state) = world.nodes.get(node) {
        return if state.is_online { Ok(()) } else { Err(Failure::new(595, "No route to host")) };
    }
    let first = node.split('.').next().unwrap_or_default();
    if world.nodes.contains_key(first) {
        let text = "tls_process_server_certificate: certificate verify failed";
        return Err(Failure::new(596, text));
    }
    let text = "Name or service not known";
    Err(Failure::internal(format!(
        "hostname lookup '{node}' failed - failed to get address info for: {node}: {text}"
    )))
}

fn check_quorum(cluster: &Cluster, route: &Route) -> Result<(), Failure> {
    let writes = route.method != "GET"
        && !matches!(route.rights, Rights::Public)
        && !route.path.contains("/agent/")
        && !route.path.contains("/tasks/");
    if writes && !cluster.world().has_quorum {
        return Err(Failure::internal("cluster not ready - no quorum?"));
    }
    Ok(())
}

fn parameters(
    route: &Route,
    captured: &BTreeMap<&'static str, String>,
    query: Map<String, Value>,
    body: Map<String, Value>,
    release: Release,
) -> Result<Params, Failure> {
    let mut given = body;
    // What stands in the query wins.
    given.extend(query);
    for (name, value) in captured {
        match given.remove(*name) {
            Some(other) if other.as_str() != Some(value) => {
                let text = "duplicate parameter (already defined in URI) with conflicting values.";
                return Err(Failure::parameter(name, text));
            }
            _ => {}
        }
    }
    if route.path.contains("{vmid}") {
        let id = captured.get("vmid").and_then(|text| text.parse::<u32>().ok());
        if id.is_none_or(|id| id < 100) {
            return Err(Failure::parameter(
                "vmid",
                "invalid format - value does not look like a valid VM ID",
            ));
        }
    }
    let options = (route.takes == Takes::Options).then_some(release);
    Params::check(given, route.params, options)
}

impl Call {
    /// A part of the path.
    pub(crate) fn part(&self, name: &str) -> &str {
        self.path.get(name).map_or("", String::as_str)
    }

    /// The node that the call is about.
    pub(crate) fn node(&self) -> &str {
        match self.part("node") {
            "localhost" => &self.host,
            node => node,
        }
    }

    /// The VM that the call is about.
    pub(crate) fn vm(&self) -> u32 {
        self.part("vmid").parse().unwrap_or_default()
    }

    pub(crate) fn release(&self) -> Release {
        self.cluster.config.release
    }

    pub(crate) fn now_s(&self) -> u64 {
        self.cluster.clock.unix_s()
    }

    pub(crate) fn require(&self, path: &str, wanted: &[&str]) -> Result<(), Failure> {
        self.cluster.world().require(&self.actor, path, wanted)
    }

    /// Fails for parameters that only root's own login may give.
    pub(crate) fn keep_for_root(&self, names: &[&str]) -> Result<(), Failure> {
        match names.iter().find(|name| self.params.has(name) && !self.actor.is_root()) {
            Some(name) => Err(Failure::parameter(name, "Only root may use this option.")),
            None => Ok(()),
        }
    }

    /// Starts a task on the node of the call and answers its name.
    #[expect(clippy::unnecessary_wraps, reason = "is what handlers end with")]
    pub(crate) fn start<F>(
        &self,
        kind: &'static str,
        id: &str,
        body: impl FnOnce(Work) -> F,
    ) -> Result<Reply, Failure>
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        let order: Order = Cluster::order(&self.actor, self.node(), kind, id);
        let upid = self.cluster.start(&order, self.faults.clone(), body);
        Ok(Value::String(upid).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_matched_part_by_part() {
        let found = captures("/nodes/{node}/qemu/{vmid}/config", "/nodes/a/qemu/100/config");
        assert_eq!(found.expect("fits")["vmid"], "100");
        assert!(captures("/nodes/{node}/qemu", "/nodes/a/qemu/100").is_none());
        assert!(captures("/nodes/{node}/qemu", "/nodes/a").is_none());
        let found = captures("/content/{volume*}", "/content/local:iso%2Fa.iso").expect("fits");
        assert_eq!(found["volume"], "local:iso/a.iso");
        let found = captures("/content/{volume*}", "/content/local:iso/a.iso").expect("fits");
        assert_eq!(found["volume"], "local:iso/a.iso");
    }

    #[test]
    fn no_method_and_path_is_there_twice() {
        let mut seen = std::collections::BTreeSet::new();
        for route in ROUTES.iter() {
            assert!(seen.insert((route.method, route.path)), "{} {}", route.method, route.path);
        }
    }
}
