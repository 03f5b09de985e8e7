//! A host, a tenant and a run like those of the lab.

use domain::{
    ClusterName, Input, InputSource, Plan, PlanName, Run, RunId, Session, SessionId, SessionSpec,
    SessionState, TenantId, sample,
};
use planning::{
    Bundle, ClusterSpec, HostSettings, Images, KubernetesDelivery, Rendered, RunAccess, RunObjects,
    UserNamespaces, render_baseline, render_cluster, render_host_policies, render_run_job,
};
use serde_json::Value;
use std::{collections::BTreeMap, sync::LazyLock};
use uuid::Uuid;

pub(crate) const CLUSTER: &str = "wabcdefghijkm";

pub(crate) fn host() -> HostSettings {
    let images = Images {
        syncer: "lab.local/loft-sh/vcluster-oss:0.36.1".to_owned(),
        kubernetes: "lab.local/loft-sh/kubernetes:v1.36.2".to_owned(),
        coredns: "lab.local/coredns/coredns:1.14.2".to_owned(),
        runner: "lab.local/warren/runner:1".to_owned(),
    };
    HostSettings {
        images,
        kubernetes_delivery: KubernetesDelivery::ImageVolume,
        user_namespaces: UserNamespaces::Forced,
        service_cidr: "10.79.0.0/16".parse().expect("a block"),
        storage_class: None,
        denied_cidrs: vec![
            "10.77.0.0/24".parse().expect("a block"),
            "8.8.4.0/24".parse().expect("a block"),
        ],
        control_plane_clients: vec!["10.77.0.20/32".parse().expect("a block")],
        api_servers: vec!["10.77.0.11:6443".parse().expect("an address")],
        nodes: vec!["25.77.0.12".parse().expect("an address")],
        name_servers: vec!["10.77.0.1".parse().expect("an address")],
        own_nodes: None,
        run_endpoint: "10.77.0.20:7443".parse().expect("an address"),
        run_gate: "10.77.0.20:7444".parse().expect("an address"),
    }
}

pub(crate) fn spec(plan: PlanName, was_ready: bool) -> ClusterSpec {
    ClusterSpec {
        cluster: ClusterName::stored(CLUSTER.to_owned()),
        plan: Plan::current(plan),
        was_ready,
    }
}

pub(crate) fn authority() -> BTreeMap<String, Vec<u8>> {
    BTreeMap::from([
        ("ca.crt".to_owned(), b"certificate of the authority".to_vec()),
        ("ca.key".to_owned(), b"TOP-SECRET-KEY".to_vec()),
    ])
}

pub(crate) fn bundle(host: &HostSettings) -> Bundle {
    render_cluster(&spec(PlanName::Starter, false), host, &authority())
}

pub(crate) fn session() -> Session {
    let spec = SessionSpec {
        command: vec!["/agent".to_owned(), "--price=$5".to_owned()],
        args: vec!["$(HOME) is not replaced".to_owned()],
        env: BTreeMap::from([("MODEL".to_owned(), "large $$".to_owned())]),
        secrets: BTreeMap::from([("API_KEY".to_owned(), "hunter2".to_owned())]),
        inputs: vec![Input {
            name: "task.md".to_owned(),
            source: InputSource::Inline("write a test".to_owned()),
        }],
        timeout_seconds: 900,
        grace_period_seconds: 30,
        ..sample::spec()
    };
    Session {
        id: SessionId::new(Uuid::from_u128(7)),
        tenant: TenantId::new(Uuid::from_u128(1)),
        spec,
        run: Some(run().id),
        ..sample::session(SessionState::Starting)
    }
}

pub(crate) fn run() -> Run {
    Run {
        id: RunId::new(Uuid::from_u128(8)),
        session: SessionId::new(Uuid::from_u128(7)),
        tenant: TenantId::new(Uuid::from_u128(1)),
        ..sample::run()
    }
}

pub(crate) fn run_objects() -> RunObjects {
    let access = RunAccess { token: "wrr_TOP-SECRET-TOKEN", authority: "certificate" };
    render_run_job(&session(), &run(), &host(), access)
}

/// Everything that is ever compared with something observed.
pub(crate) fn everything() -> Vec<Rendered> {
    static EVERYTHING: LazyLock<Vec<Rendered>> = LazyLock::new(|| {
        let mut objects = bundle(&host()).in_order();
        objects.extend(render_host_policies(&host()));
        objects.extend(render_baseline(&host()));
        objects
    });
    EVERYTHING.clone()
}

/// The body as people should see it: no hash, and no bytes of a Secret.
pub(crate) fn readable(object: &Rendered) -> Value {
    let mut body = object.body.clone();
    let metadata = body["metadata"].as_object_mut().expect("every object has metadata");
    let annotations = metadata["annotations"].as_object_mut().expect("a hash is an annotation");
    annotations.remove(planning::object::RENDERED);
    if annotations.is_empty() {
        metadata.remove("annotations");
    }
    if let Some(data) = body.get_mut("data").and_then(Value::as_object_mut) {
        for value in data.values_mut() {
            *value = "(not shown)".into();
        }
    }
    body
}
