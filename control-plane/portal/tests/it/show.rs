//! The portal to look at, with some tenants on their way: `cargo test -p portal --test it -- --ignored show`.

use crate::harness::{TestPortal, request};
use application::{
    session::{self, NewSession},
    tenant::TenantRef,
};
use axum::{
    Router,
    extract::Request,
    http::{HeaderValue, Method, header},
    middleware::{self, Next},
};
use domain::{
    Bytes, Clock as _, ConditionKind, ConditionStatus, Conditions, Millicores, NodeShape,
    OperationState, Problem, SessionState, Share, Step, StepState, Tenant, Usage,
};
use jiff::{Timestamp, ToSpan as _};
use std::{net::SocketAddr, time::Duration};
use store::{NodeEnd, TenantReport};

/// Light, dark.
const PORTS: [(u16, &str); 2] = [(8401, "light"), (8402, "dark")];

#[tokio::test]
#[ignore = "serves until it is stopped, on ports 8401 (light) and 8402 (dark) of this machine"]
async fn show() {
    let now = Timestamp::now();
    let portal = TestPortal::at(now - 30.minutes()).await;
    let acme = ready(&portal).await;
    sessions(&portal, &acme).await;
    dedicated(&portal).await;
    failed(&portal).await;
    let way = portal.tenant("dev-cluster", "starter", None).await;
    for (port, theme) in PORTS {
        let cookie = format!("theme={theme}; __Host-warren={}", portal.operator);
        let cookie = HeaderValue::from_str(&cookie).expect("text");
        let router = signed_in(portal.router.clone(), cookie);
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let listener = tokio::net::TcpListener::bind(address).await.expect("the port is free");
        tokio::spawn(async move { axum::serve(listener, router).await });
    }
    progress(&portal, &way).await;
}

fn signed_in(router: Router, cookie: HeaderValue) -> Router {
    let enter = async |cookie: HeaderValue, mut request: Request, next: Next| {
        request.headers_mut().insert(header::COOKIE, cookie);
        request.headers_mut().insert("x-request-id", HeaderValue::from_static("req_0199c2"));
        next.run(request).await
    };
    router.layer(middleware::from_fn(move |request, next| enter(cookie.clone(), request, next)))
}

/// A tenant that works, seen half an hour after it was made.
async fn ready(portal: &TestPortal) -> Tenant {
    let tenant = portal.tenant("acme", "pro", None).await;
    steps(portal, &tenant, &[3, 9, 2, 4], None).await;
    portal.make_ready(tenant.id).await;
    let known = portal.app.store.tenant_get(tenant.id).await.expect("read").expect("there");
    let bytes = |yours, limit| Share { yours, overhead: Bytes::mebi(640), limit };
    let usage = Usage {
        cpu: Share { yours: Millicores(3200), overhead: Millicores(400), limit: Millicores(8000) },
        memory: bytes(Bytes::gibi(13), Bytes::gibi(16)),
        storage: bytes(Bytes::gibi(97), Bytes::gibi(100)),
        pods: Share { yours: 14, overhead: 4, limit: 100 },
    };
    let report = TenantReport {
        observed_generation: known.generation,
        conditions: known.conditions,
        usage: Some(usage),
        steps: None,
        is_operation_running: false,
    };
    portal.app.store.tenant_report(tenant.id, report).await.expect("reported");
    for role in ["owner", "developer"] {
        portal.member(&tenant, role).await;
    }
    tenant
}

/// Moves the open operation: the first steps took so many seconds each, the next one runs with a message.
async fn steps(portal: &TestPortal, tenant: &Tenant, took: &[i64], message: Option<&str>) {
    let operation = portal.operation(tenant.id).await;
    let mut steps = operation.steps.clone();
    for (index, step) in steps.iter_mut().enumerate() {
        step.advance(StepState::Running, message.unwrap_or_default(), portal.clock.now());
        let Some(seconds) = took.get(index) else { break };
        portal.clock.set(portal.clock.now() + seconds.seconds());
        step.advance(StepState::Done, "", portal.clock.now());
    }
    let mut conditions = Conditions::default();
    for (index, kind) in ConditionKind::ALL.into_iter().enumerate() {
        let is_node = matches!(kind, ConditionKind::NodesReady | ConditionKind::NodesExclusive);
        let status =
            if index < took.len() { ConditionStatus::True } else { ConditionStatus::False };
        if !is_node && index <= took.len() || kind == ConditionKind::Ready {
            let message =
                if index < took.len() { "as it should be" } else { message.unwrap_or("") };
            conditions.set(kind, status, "Reason", message, portal.clock.now());
        }
    }
    portal.report(tenant.id, conditions, Some((operation.id, steps))).await;
}

async fn sessions(portal: &TestPortal, tenant: &Tenant) {
    let store = &portal.app.store;
    let ends = [None, Some(SessionState::Succeeded), Some(SessionState::Succeeded), None];
    for (index, end) in (0..).zip(ends) {
        let new = NewSession {
            image: "registry.example/agents/lint:2.4".to_owned(),
            command: vec!["/agent".to_owned(), format!("--shard={index}")],
            ..NewSession::default()
        };
        let (actor, reference) = (portal.actor().await, TenantRef::Id(tenant.id));
        let made = session::create(&portal.app, &actor, &reference, new.into(), None).await;
        let id = made.expect("made").value.session.id;
        let revision =
            || async { store.session_get(id).await.expect("read").expect("there").revision };
        if index == 3 {
            break;
        }
        let run = store.run_create(id, revision().await).await.expect("queued").run.id;
        store.run_started(run).await.expect("noted");
        store.session_move(id, revision().await, SessionState::Running, None).await.expect("moved");
        portal.clock.set(portal.clock.now() + (40 + 55 * index).seconds());
        if let Some(end) = end {
            store.session_move(id, revision().await, end, None).await.expect("moved");
        }
    }
}

async fn dedicated(portal: &TestPortal) {
    let tenant = portal.tenant("gpu-lab", "dedicated-s", Some(2)).await;
    steps(portal, &tenant, &[3, 9], Some("waiting for 1 of 2 nodes")).await;
    for is_ready in [true, false] {
        let attached = portal.app.store.node_attach(tenant.id, NodeShape::S).await.expect("open");
        let (_, mut operation) = attached.expect("it pays for two");
        let count = if is_ready { operation.steps.len() } else { 3 };
        let now = portal.clock.now();
        operation.state = OperationState::Running;
        for (index, step) in (0..).zip(operation.steps.iter_mut().take(count)) {
            step.advance(StepState::Running, "", now + (20 * index).seconds());
            step.advance(StepState::Done, "", now + (20 * index + 18).seconds());
        }
        if let Some(step) = operation.steps.get_mut(count) {
            let message = "qmclone on pve2: 61 % of 200 GiB";
            step.advance(StepState::Running, message, now + 54.seconds());
        }
        portal.app.store.operation_progress(&operation).await.expect("noted");
        if is_ready {
            portal.app.store.node_end(&operation, NodeEnd::Ready).await.expect("open");
        }
    }
}

async fn failed(portal: &TestPortal) {
    let tenant = portal.tenant("atelier", "starter", None).await;
    steps(portal, &tenant, &[2, 8, 2, 3], None).await;
    portal.make_ready(tenant.id).await;
    let mut conditions = Conditions::default();
    let message = "the API server has not answered for 4 minutes: connection refused";
    let now = portal.clock.now();
    for kind in [ConditionKind::NamespaceReady, ConditionKind::DnsReady] {
        conditions.set(kind, ConditionStatus::True, "Done", "as it should be", now);
    }
    for kind in [ConditionKind::ControlPlaneReady, ConditionKind::Ready] {
        conditions.set(kind, ConditionStatus::False, "NoAnswer", message, now);
    }
    portal.report(tenant.id, conditions, None).await;
    let own = portal.tenant("render-farm", "dedicated-m", Some(1)).await;
    let attached = portal.app.store.node_attach(own.id, NodeShape::M).await.expect("open");
    let (_, mut operation) = attached.expect("it pays for one");
    operation.state = OperationState::Running;
    let names: Vec<Step> = operation.steps.iter().take(3).cloned().collect();
    for (step, _) in operation.steps.iter_mut().zip(&names) {
        step.advance(StepState::Running, "", now);
        step.advance(StepState::Done, "", now + 20.seconds());
    }
    let blocked = "pve1: storage 'local-lvm' is full: 96 GiB of 500 GiB free";
    operation.steps[3].advance(StepState::Blocked, blocked, now + 21.seconds());
    portal.app.store.operation_progress(&operation).await.expect("noted");
    let problem = Problem {
        code: "no-capacity".to_owned(),
        detail: "There is no room for a machine of shape m: storage 'local-lvm' on pve1 is full."
            .to_owned(),
        hint: "An operator frees 404 GiB there, or adds a storage; then another node is made."
            .to_owned(),
    };
    operation.problem = Some(problem.clone());
    portal.app.store.operation_progress(&operation).await.expect("noted");
    portal.clock.set(now + 60.seconds());
    let end = NodeEnd::Undone(Some(problem));
    let _ = portal.app.store.node_end(&operation, end).await;
}

/// A tenant becomes ready while one looks at it, once a minute and a half.
async fn progress(portal: &TestPortal, tenant: &Tenant) {
    let took: [i64; 4] = [3, 11, 4, 5];
    for round in 0_usize.. {
        portal.clock.set(Timestamp::now());
        tokio::time::sleep(Duration::from_secs(8)).await;
        let done = round.min(took.len());
        if round == took.len() + 1 {
            portal.make_ready(tenant.id).await;
        } else if round <= took.len() {
            let message = Some("the pod w-abc-0 is pulling its image");
            steps(portal, tenant, &took[..done], message).await;
        }
    }
    let _ = request(&portal.operator, Method::GET, "/");
}
